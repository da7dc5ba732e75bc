"""Codecs: how arguments and results become bytes."""
