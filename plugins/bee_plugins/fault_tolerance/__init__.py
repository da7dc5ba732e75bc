"""Fault tolerances that bee brings."""
