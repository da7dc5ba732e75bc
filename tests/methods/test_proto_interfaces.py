from __future__ import annotations

import asyncio
import sys

import pytest

import bee_core
from bee_core.errors import InvalidArgument, MethodNotFound
from bee_core.methods.interface_methods import interface_methods
from support import processes
from support.proto_files import NEW, SERVICES, Line, Order, Receipt

Shop = bee_core.interface_of(SERVICES["Shop"])


class MyShop:
    def Buy(self, order):  # noqa: N802  # the proto's names
        return Receipt(total=order.id)

    async def Look(self, request: Order) -> Receipt:  # noqa: N802
        return Receipt(note=len(request.lines))

    @bee_core.nonblocking
    def Pay(self, receipt, tip=0.0):  # noqa: N802
        return Receipt(total=receipt.total + tip)

    def Close(self):  # noqa: N802
        return "not in the proto"


def serving(**added):
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {"name": "shop", "address": "127.0.0.1:0", "codecs": ["protobuf"]}
                }
            }
        }
    )
    server.add(MyShop(), interface=Shop, **added)
    return server


def calling(server):
    return {
        "bee": {
            "rpc": {
                "client": {"shop": {"address": server.address, "codec": "protobuf", "timeout": 10}}
            }
        }
    }


# ── the interface ──


def test_each_method_takes_and_gives_the_messages_of_the_proto():
    methods = interface_methods(Shop)
    assert list(methods) == ["Buy", "Look", "Pay"]
    assert str(methods["Buy"].signature) == "Buy(request: Order, /)"
    assert [
        (method.signature.params[0].hint, method.signature.result) for method in methods.values()
    ] == [
        (Order, Receipt),
        (Order, Receipt),
        (Receipt, Receipt),
    ]


def test_an_idempotency_level_marks_the_method():
    assert [method.idempotent for method in interface_methods(Shop).values()] == [False, True, True]


def test_the_interface_is_the_same_each_time():
    assert bee_core.interface_of(SERVICES["Shop"]) is Shop
    assert (Shop.__name__, Shop.__doc__) == (
        "Shop",
        "The service tests.services.Shop of tests/services.proto.",
    )


def test_one_method_that_streams_does_not_refuse_the_others():
    methods = interface_methods(bee_core.interface_of(SERVICES["Streams"]))
    assert {name: bool(method.streams) for name, method in methods.items()} == {
        "Buy": False,
        "Watch": True,
        "Feed": True,
    }


def test_a_service_of_streams_only_is_refused():
    with pytest.raises(
        TypeError, match=r"each method of tests\.services\.OnlyStreams streams, and"
    ):
        bee_core.interface_of(SERVICES["OnlyStreams"])


def test_a_service_without_methods_is_refused():
    with pytest.raises(TypeError, match=r"tests\.services\.Empty declares no method"):
        bee_core.interface_of(SERVICES["Empty"])


def test_a_private_method_is_refused():
    with pytest.raises(TypeError, match="_Buy cannot be called by a client"):
        bee_core.interface_of(SERVICES["Private"])


def test_a_method_may_have_the_name_of_a_keyword():
    assert list(interface_methods(bee_core.interface_of(SERVICES["Keyword"]))) == ["import"]


@pytest.mark.parametrize("thing", [NEW, Order, Order.DESCRIPTOR, None, "Shop", {}])
def test_what_is_no_descriptor_of_a_service_is_refused_with_an_example(thing):
    with pytest.raises(TypeError, match=r'services_by_name\["Greeter"\]'):
        bee_core.interface_of(thing)


def test_bee_imports_no_protobuf_by_itself():
    program = "import sys, bee_core, bee_core.methods.proto_interfaces; bee_core.interface_of; assert not [name for name in sys.modules if name.startswith('google.protobuf')]"
    processes.run([sys.executable, "-c", program], check=True, timeout=30)


# ── with servers and clients ──


def test_a_blocking_and_an_asyncio_client_use_the_same_interface():
    server = serving()
    assert server.methods == ("Buy", "Look", "Pay")

    async def in_a_loop(config):
        async with bee_core.build_async_client(config) as client:
            return await client.service("shop", Shop).Look(Order(lines=[Line(), Line()]))

    with server.in_thread():
        config = calling(server)
        with bee_core.build_client(config) as client:
            shop = client.service("shop", Shop)
            assert shop.Buy(Order(id=7)) == Receipt(total=7)
            assert shop.Pay(Receipt(total=2)) == Receipt(total=2)
            with pytest.raises(InvalidArgument, match="expected Order, got Receipt"):
                shop.Buy(Receipt())
            with pytest.raises(InvalidArgument, match="takes by position only 'request'"):
                shop.Buy(request=Order())
            with pytest.raises(MethodNotFound):
                client.service("shop").Close()
        assert asyncio.run(in_a_loop(config)) == Receipt(note=2)


def test_a_method_that_streams_says_so_when_it_is_called_and_the_others_work():
    streams = bee_core.interface_of(SERVICES["Streams"])
    server = serving_streams(streams)
    assert server.methods == ("Buy",)
    with server.in_thread(), bee_core.build_client(calling(server)) as client:
        shop = client.service("shop", streams)
        assert shop.Buy(Order(id=7)) == Receipt(total=7)
        with pytest.raises(
            MethodNotFound,
            match=r"tests\.services\.Streams\.Watch streams its replies; streams are not there yet",
        ) as local:
            shop.Watch(Order())
        assert (local.value.attempts, local.value.executed) == (0, "no")
        with pytest.raises(MethodNotFound, match="Feed streams its requests") as remote:
            client.service("shop").Feed(Order())
        assert (remote.value.attempts, remote.value.executed) == (1, "no")


def serving_streams(interface):
    """A server of what somebody else defined; its class need not have the methods that stream."""
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {"name": "shop", "address": "127.0.0.1:0", "codecs": ["protobuf"]}
                }
            }
        }
    )
    server.add(MyShop(), interface=interface)
    return server


def test_an_idempotent_method_may_be_repeated():
    server = serving()
    with server.in_thread(), bee_core.build_client(calling(server)) as client:
        shop = client.service("shop", Shop)
        assert [method._prepare().idempotent for method in (shop.Buy, shop.Look, shop.Pay)] == [  # noqa: SLF001  # no public name has it
            False,
            True,
            True,
        ]


def test_a_service_may_stand_under_a_name():
    server = serving(name="Shop")
    assert server.methods == ("Shop.Buy", "Shop.Look", "Shop.Pay")

    class Api:
        Shop: Shop

    with server.in_thread(), bee_core.build_client(calling(server)) as client:
        assert client.service("shop", Api).Shop.Buy(Order(id=3)) == Receipt(total=3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"Buy": None}, "does not implement Shop: it has no public method Buy"),
        (
            {"Buy": lambda self: None},
            r"Buy does not take what its interface declares, Buy\(request: Order, /\)",
        ),
        (
            {"Buy": lambda self, order, context: None},
            "Buy does not take what its interface declares",
        ),
        ({"Buy": lambda self, *, order: None}, "Buy does not take what its interface declares"),
    ],
    ids=["absent", "none", "two", "by name"],
)
def test_a_class_that_does_not_implement_the_interface_is_refused_when_it_is_added(change, problem):
    wrong = type("Wrong", (MyShop,), change)()
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "shop", "codecs": ["protobuf"]}}}}
    )
    with pytest.raises(TypeError, match=problem):
        server.add(wrong, interface=Shop)
