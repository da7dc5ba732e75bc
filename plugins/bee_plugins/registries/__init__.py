"""Registries that bee brings."""
