"""The key ``deduplicate`` of a server."""

import pytest

from bee_core.config import load_config
from bee_core.config.deduplication_model import DeduplicationConfig
from bee_core.config.differences import differences
from bee_core.errors import ConfigError


def server(**more):
    return {"bee": {"rpc": {"server": {"name": "calc", **more}}}}


def read(value):
    return load_config(server(deduplicate=value)).server.deduplicate


def test_it_is_off_unless_it_is_stated():
    assert load_config(server()).server.deduplicate is False


@pytest.mark.parametrize("value", [False, "false", "no", "off"])
def test_no_is_no(value):
    assert read(value) is False


def test_an_empty_mapping_takes_the_defaults():
    assert read({}) == DeduplicationConfig(window=60.0, count=10_000, bytes=16 << 20)


def test_values_are_read_as_everywhere():
    found = read({"window": "2m", "count": "5", "bytes": "64 k"})
    assert found == DeduplicationConfig(window=120.0, count=5, bytes=64 << 10)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"window": 0}, "bee.rpc.server.deduplicate.window"),
        ({"window": "soon"}, "bee.rpc.server.deduplicate.window"),
        ({"count": 0}, "bee.rpc.server.deduplicate.count"),
        ({"bytes": 10}, "bee.rpc.server.deduplicate.bytes"),
        ({"widow": 5}, "bee.rpc.server.deduplicate.widow"),
        (True, "bee.rpc.server.deduplicate"),
        ("yes", "bee.rpc.server.deduplicate"),
        (5, "bee.rpc.server.deduplicate"),
    ],
)
def test_what_is_impossible_is_named_with_its_path(value, path):
    with pytest.raises(ConfigError) as caught:
        read(value)
    assert caught.value.path == path


def test_it_says_how_to_switch_it_on():
    with pytest.raises(ConfigError, match=r"\{\} for the defaults"):
        read(True)


def test_a_change_needs_a_restart():
    found = differences(load_config(server()), load_config(server(deduplicate={"count": 5})))
    assert {one.server for one in found} == {"restart"}
    assert {one.path.partition(".count")[0] for one in found} == {"bee.rpc.server.deduplicate"}
