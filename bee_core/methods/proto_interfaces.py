"""Interfaces from ``.proto`` files.

A service's descriptor, as plain ``protoc`` output has it, becomes a class that clients and servers
take as an interface.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .decorators import PROTO_NAME, STREAMS, idempotent
from .type_hints import NO_STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import ServiceDescriptor


def interface_of(service: ServiceDescriptor) -> type[Any]:
    """The interface of a service that a ``.proto`` describes, for the codec ``protobuf``.

    ::

        Greeter = bee_core.interface_of(greeter_pb2.DESCRIPTOR.services_by_name["Greeter"])
        client.service("greeter", Greeter).SayHello(greeter_pb2.HelloRequest(name="Ada"))
        server.add(MyGreeter(), interface=Greeter)

    Methods have the names of the ``.proto``, here and on the wire. Each takes one message by
    position and gives one. The same interface is for blocking and asyncio clients, and for
    handlers of every kind. ``option idempotency_level = IDEMPOTENT`` (or ``NO_SIDE_EFFECTS``) marks
    a method as ``@bee_core.idempotent`` does. A method that streams is there, and says so when it
    is called; a handler for it is left out.

    Args:
        service: ``<module>_pb2.DESCRIPTOR.services_by_name["<Service>"]``; nothing has to be
            generated but by ``protoc --python_out``.

    Returns:
        A class, the same one each time.

    Raises:
        TypeError: It is no descriptor of a service, or it has no method that can be called; the
            message says why.
    """
    if not hasattr(service, "methods") or not hasattr(service, "full_name"):
        raise TypeError(
            "interface_of() wants the descriptor of a service, such as "
            f'greeter_pb2.DESCRIPTOR.services_by_name["Greeter"], not {service!r}'
        )
    return _interface(service)


@functools.cache
def _interface(service: Any) -> type[Any]:
    name = service.full_name
    private = [method.name for method in service.methods if method.name.startswith("_")]
    if private:
        raise TypeError(
            f"{name}: {', '.join(private)} cannot be called by a client: names with a leading "
            "underscore are private"
        )
    if not service.methods:
        raise TypeError(f"{name} declares no method")
    if all(map(_stream, service.methods)):
        raise TypeError(f"each method of {name} streams, and {NO_STREAMS}")
    methods = {method.name: _declaration(service, method) for method in service.methods}
    return type(
        service.name, (), {"__doc__": f"The service {name} of {service.file.name}.", **methods}
    )


def _declaration(service: Any, declared: Any) -> Callable[..., Any]:
    # Imported here, since bee_core needs no protobuf; who has a descriptor has it.
    from google.protobuf.message_factory import GetMessageClass

    # By position only: a handler gives its parameter the name that it likes.
    def method(self: Any, request: Any, /) -> Any: ...

    method.__name__ = declared.name
    method.__qualname__ = f"{service.name}.{declared.name}"
    method.__annotations__ = {
        "request": GetMessageClass(declared.input_type),
        "return": GetMessageClass(declared.output_type),
    }
    setattr(method, PROTO_NAME, declared.full_name)
    streams = _stream(declared)
    if streams:
        setattr(
            method, STREAMS, f"{service.full_name}.{declared.name} streams {streams}; {NO_STREAMS}"
        )
    # NO_SIDE_EFFECTS or IDEMPOTENT
    return idempotent(method) if declared.GetOptions().idempotency_level else method


def _stream(declared: Any) -> str:
    """What a method streams, in words; empty if it streams nothing."""
    parts = [
        word
        for word, streams in (
            ("its requests", declared.client_streaming),
            ("its replies", declared.server_streaming),
        )
        if streams
    ]
    return " and ".join(parts)
