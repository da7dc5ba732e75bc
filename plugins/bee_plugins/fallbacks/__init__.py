"""Fallbacks: what a call answers when it could not be made."""
