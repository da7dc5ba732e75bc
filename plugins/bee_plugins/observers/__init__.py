"""Observers: who is told what a client or a server does."""
