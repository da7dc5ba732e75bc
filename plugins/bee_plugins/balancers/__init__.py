"""Balancers that bee brings."""
