"""The bytes of bee's own protocol: fields, frames, messages and the state of a connection.

Pure: bytes come in, events go out. Sockets are in ``streams/``. ``docs/wire-protocol.md`` is the
text.
"""
