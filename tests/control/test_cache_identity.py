"""A list belongs to one registry, and to one namespace of it."""

from __future__ import annotations

from bee_core.control.cache_identity import cache_identity


class Registry:
    def __init__(self, namespace=None):
        if namespace is not None:
            self.namespace = namespace


def identity(plugin="etcd3", addresses=("a:1", "b:2"), namespace=None, options=""):
    return cache_identity(plugin, addresses, Registry(namespace), lambda: options)


def test_the_plugin_the_addresses_and_the_namespace_tell_lists_apart():
    told = {
        identity(),
        identity(plugin="consul"),
        identity(addresses=("a:1",)),
        identity(namespace="prefix=/prod"),
        identity(namespace="prefix=/staging"),
        identity(namespace=""),
    }
    assert len(told) == 6


def test_the_order_of_addresses_does_not_count():
    same = {
        identity(addresses=addresses)
        for addresses in (("a:1", "b:2"), ("b:2", "a:1"), ("b:2,a:1",), ("a:1", "b:2", "a:1"))
    }
    assert len(same) == 1


def test_without_a_namespace_the_options_count_and_with_one_they_do_not():
    assert identity(options="prefix=/prod") != identity(options="prefix=/staging")
    assert identity(namespace="x", options="timeout=1") == identity(namespace="x", options="")


def test_addresses_as_the_registry_reads_them_count_instead_of_their_texts():
    def told(addresses, read):
        registry = Registry("prefix=/bee")
        registry.addresses = read
        return cache_identity("etcd3", addresses, registry, str)

    read = ("http://a:2379",)
    assert told(("a:2379",), read) == told(("HTTP://A", "a:2379/"), read)
    assert told(("a:2379",), read) != told(("a:2379",), ("http://b:2379",))
    assert told(("a:2379",), ["http://b:2379"]) == identity(
        addresses=("a:2379",), namespace="prefix=/bee"
    ), "what is no tuple of texts is not what it should be"


def test_a_password_in_an_address_is_left_out_and_its_user_counts():
    one = identity(addresses=("redis://ada:secret@h:1",))
    assert "secret" not in one
    assert one == identity(addresses=("redis://ada:other@h:1",))
    assert one != identity(addresses=("redis://bob:secret@h:1",))


def test_a_namespace_that_fails_or_is_no_text_leaves_it_to_the_options():
    class Broken:
        @property
        def namespace(self):
            raise OSError

    told = cache_identity("x", (), Broken(), lambda: "prefix=/prod")
    assert told == identity("x", (), 7, "prefix=/prod") == identity("x", (), None, "prefix=/prod")
