"""Measurements of bee against simpler things that do the same work. Run ``python -m benchmarks``; nothing here is a test."""
