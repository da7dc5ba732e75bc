"""Measurements of bee beside simpler things that do the same work: ``python -m benchmarks``.

Nothing here is a test.
"""
