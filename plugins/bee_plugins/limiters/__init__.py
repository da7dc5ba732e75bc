"""Limiters: how many calls of a service run at a time."""
