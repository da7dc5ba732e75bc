"""What each kind of plugin implements, and the values that pass between plugins and the core.

Plugin authors import these from :mod:`bee_core.interfaces`. The modules here are what it
re-exports.
"""
