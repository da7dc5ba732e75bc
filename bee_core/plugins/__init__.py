"""Plugins found by their entry points, loaded by name and made while a client or server is built.

Nothing here runs during a call.
"""
