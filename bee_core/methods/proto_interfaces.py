"""Interfaces from ``.proto`` files.

A service's descriptor, as plain ``protoc`` output has it, becomes a class that clients and servers
take as an interface.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .decorators import idempotent

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
    a method as ``@bee_core.idempotent`` does.

    Args:
        service: ``<module>_pb2.DESCRIPTOR.services_by_name["<Service>"]``; nothing has to be
            generated but by ``protoc --python_out``.

    Returns:
        A class, the same one each time.

    Raises:
        TypeError: It is no descriptor of a service, it has no method, or methods stream; the
            message names them.
    """
    if not hasattr(service, "methods") or not hasattr(service, "full_name"):
        raise TypeError(
            "interface_of() wants the descriptor of a service, such as "
            f'greeter_pb2.DESCRIPTOR.services_by_name["Greeter"], not {service!r}'
        )
    return _interface(service)


@functools.cache
def _interface(service: Any) -> type[Any]:
    # Imported here, since bee_core needs no protobuf; who has a descriptor has it.
    from google.protobuf.message_factory import GetMessageClass

    name = service.full_name
    streaming = [
        method.name
        for method in service.methods
        if method.client_streaming or method.server_streaming
    ]
    if streaming:
        raise TypeError(
            f"{name}: {', '.join(streaming)} would stream, and bee's calls have one request and "
            "one reply: leave them out of the service that bee serves"
        )
    private = [method.name for method in service.methods if method.name.startswith("_")]
    if private:
        raise TypeError(
            f"{name}: {', '.join(private)} cannot be called by a client: names with a leading "
            "underscore are private"
        )
    if not service.methods:
        raise TypeError(f"{name} declares no method")
    methods = {
        method.name: _declaration(
            method.name,
            f"{service.name}.{method.name}",
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            method.GetOptions().idempotency_level != 0,  # NO_SIDE_EFFECTS or IDEMPOTENT
        )
        for method in service.methods
    }
    return type(
        service.name, (), {"__doc__": f"The service {name} of {service.file.name}.", **methods}
    )


def _declaration(
    name: str, qualified: str, request: type, reply: type, is_idempotent: bool
) -> Callable[..., Any]:
    # By position only: a handler gives its parameter the name that it likes.
    def method(self: Any, request: Any, /) -> Any: ...

    method.__name__ = name
    method.__qualname__ = qualified
    method.__annotations__ = {"request": request, "return": reply}
    return idempotent(method) if is_idempotent else method
