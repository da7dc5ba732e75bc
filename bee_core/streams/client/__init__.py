"""The client's end: channels to nodes, their connections, and what a server's answers mean.

Imports go down: channel, connection, outcomes. A connection sees its channel as an ``Owner`` only,
which it declares itself.
"""
