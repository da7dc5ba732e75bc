"""Transports: how bytes get to a node."""
