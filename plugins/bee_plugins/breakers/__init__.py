"""Breakers: when a node is cut off, and how it comes back."""
