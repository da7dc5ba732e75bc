"""Observers: who is told of calls and requests."""
