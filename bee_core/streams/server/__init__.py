"""The server's end: the listener, its connections, and the requests on them.

Imports go down: listener, connection, inbound call. Each declares as an ``Owner`` what it needs of
the object above it.
"""
