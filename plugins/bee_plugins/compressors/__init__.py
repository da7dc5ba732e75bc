"""Compressors that bee brings."""
