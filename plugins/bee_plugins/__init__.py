"""The plugins that bee brings, by kind.

They use the same entry points as everybody's plugins. The names of the entry points are stable; the
import paths below this package are private.
"""
