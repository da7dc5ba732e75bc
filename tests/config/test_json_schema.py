"""The schema for editors accepts what bee accepts, and marks what is wrong."""

from __future__ import annotations

import copy
import datetime as dt  # noqa: TC003  # attrs resolves the hint
import json
import re
from pathlib import Path

import attrs
import pytest
import yaml

from bee_core.cli.schema_command import installed_options
from bee_core.config import AddressConfig, ClientConfig, RegistryConfig, ServerConfig, json_schema
from bee_core.config.fields import keys_of
from bee_core.config.model import ApplicationConfig
from bee_core.config.values import resolve
from bee_core.config.yaml_tree import parse
from bee_core.plugins.hub import PluginHub
from support.readme_shell import BLOCK
from support.seed import SEED

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
FOREIGN = re.compile(r"\b(nearest|counting|request-ids|roles|scrape_configs)\b")
"""Plugins of a reader and of an example, and a file of another program."""
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]


@pytest.fixture(scope="module")
def schema():
    return json_schema.schema(installed_options(PluginHub()))


@pytest.fixture(scope="module")
def problems(schema):
    """What is wrong with a text of YAML, as editors of YAML 1.1 and of YAML 1.2 read it."""
    validator = jsonschema.Draft202012Validator(schema)

    def of(text):
        trees = yaml.safe_load(text), resolve(parse(text))
        return [error.json_path for tree in trees for error in validator.iter_errors(tree)]

    return of


def snippets():
    """Every block of YAML of every page that is a whole configuration."""
    for page in PAGES:
        for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            whole = kind == "yaml" and re.search(r"^bee:", text, re.MULTILINE)
            if whole and "…" not in text and not FOREIGN.search(text):
                yield pytest.param(text, id=f"{page.name}-{text.split()[1]}")


def test_it_is_a_schema_of_its_draft_that_json_can_carry(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_it_accepts_the_seed(problems):
    assert problems(SEED) == []


@pytest.mark.parametrize(
    "file",
    [
        file
        for file in sorted(ROOT.glob("examples/**/*.yml"))
        if not FOREIGN.search(file.read_text(encoding="utf-8"))
    ],
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_it_accepts_the_files_of_the_examples(problems, file):
    assert problems(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", list(snippets()))
def test_it_accepts_the_snippets_of_the_pages(problems, text):
    assert problems(text) == []


@pytest.mark.parametrize(
    "section",
    [
        "{timeout: 500ms, read_timeout: 1, connect_timeout: 0.5, write_timeout: ' 2 s'}",
        "{timeout: '${T}', retries: '${R:-2}', idempotent: '${I}', balancer: '${B}'}",
        "{idempotent: yes, oneway: 'no', retries: '3'}",
        "{version: 1.10, tags: 'a, b'}",
        "{version: '>=1', tags: [a, 1]}",
        "{breaker: none, limiter: ~, fallback: null, compress: {name: gzip}}",
        "{codec: {name: json, options: {max_size: 2 m, max_inflated: 4MiB}}, compress_above: 10}",
        "{address: 'a:1'}",
        "{address: ['a:1', {url: 'b:2', weight: 0.5, version: 1.0, tags: x}]}",
        "{metadata: {tenant: 7}, methods: {'Stats.mean': {timeout: 1}, add: }}",
        "{token: {file: secrets}}",
        "{retries: 0, timeout: 0.001, compress: {name: gzip, options: {level: 9}}}",
        "{}",
        "",
    ],
)
def test_it_accepts_each_way_to_write_a_value(problems, section):
    assert problems(f"bee: {{rpc: {{client: {{calc: {section}}}}}}}") == []


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("{timeuot: 1}", "calc"),
        ("{timeout: soon}", "calc.timeout"),
        ("{timeout: -1}", "calc.timeout"),
        ("{timeout: 0}", "calc.timeout"),
        ("{retries: 2.7}", "calc.retries"),
        ("{retries: -1}", "calc.retries"),
        ("{codec: {name: json, options: {max_size: 10}}}", "calc.codec"),
        ("{compress: {name: gzip, options: {level: 12}}}", "calc.compress"),
        ("{idempotent: 1}", "calc.idempotent"),
        ("{balancer: randum}", "calc.balancer"),
        ("{balancer: none}", "calc.balancer"),
        ("{codec: {name: json, options: {max_size: 2 x}}}", "calc.codec"),
        ("{breaker: {name: consecutive, options: {failurs: 3}}}", "calc.breaker"),
        ("{breaker: {name: consecutive, option: {}}}", "calc.breaker"),
        ("{address: {weight: 1}}", "calc.address"),
        ("{methods: {add: {balancer: random}}}", "calc.methods.add"),
    ],
)
def test_it_marks_what_is_wrong(problems, section, place):
    found = problems(f"bee: {{rpc: {{client: {{calc: {section}}}}}}}")
    assert found == [f"$.bee.rpc.client.{place}"] * len(found) != []


def test_it_marks_unknown_sections_and_options_of_the_registry(problems):
    pytest.importorskip("httpx")
    assert problems("bee: {rpc: {clients: {}}}") == ["$.bee.rpc"] * 2
    assert problems("bes: {}") != []
    registry = "bee: {rpc: {registry: {protocol: etcd3, options: {%s: /x}}}}"
    assert problems(registry % "prefix") == []
    assert problems(registry % "prefx") != []
    assert problems("bee: {rpc: {client: {default: {methods: {}}}}}") != []


def test_a_file_that_others_complete_is_not_marked(problems):
    assert problems("x-a: &a {timeout: 1}\nbee: {rpc: {server: {workers: 4}}}") == []


@pytest.mark.parametrize(
    ("cls", "place"),
    [
        (ApplicationConfig, ("bee", "application")),
        (RegistryConfig, ("bee", "rpc", "registry")),
        (ServerConfig, ("bee", "rpc", "server")),
    ],
)
def test_it_has_every_key_with_what_it_does(schema, cls, place):
    section = schema
    for key in place:
        section = section["properties"][key]
    assert set(section["properties"]) == set(keys_of(cls))
    assert all(one["description"] for one in section["properties"].values())


def test_it_has_every_key_of_a_service_and_of_an_address(schema):
    assert set(schema["$defs"]["service"]["properties"]) == set(keys_of(ClientConfig))
    assert set(schema["$defs"]["address"]["properties"]) == set(keys_of(AddressConfig))
    timeout = schema["$defs"]["service"]["properties"]["timeout"]
    assert timeout["default"] == 30
    assert timeout["description"].startswith("Bounds the whole call")
    assert "three attempts" in timeout["description"]


def test_the_options_of_plugins_have_the_words_of_their_docstrings(schema):
    pytest.importorskip("httpx")
    options = schema["$defs"]["options.registry.etcd3"]["properties"]
    assert options["prefix"]["description"].startswith("Beginning of all keys")
    assert "system trusts" in options["ca"]["description"]
    assert "default" not in options["password"]


@attrs.frozen
class _Inner:
    when: float


@attrs.frozen
class _Options:
    """Options.

    Attributes:
        first, second: Two of them,
            on two lines.
    """

    first: list[_Inner] = attrs.field(factory=list)
    second: dict[str, int | None] = attrs.field(factory=dict)
    third: dt.date | None = None
    _fourth: str = "x"


def test_options_of_any_class_are_described(problems):
    installed = {"balancer": {"mine": _Options, "plain": None, "broken": json_schema.UNREADABLE}}
    made = json_schema.schema(installed)
    mine = made["$defs"]["options.balancer.mine"]["properties"]
    assert set(mine) == {"first", "second", "third", "fourth"}
    assert (
        mine["first"]["description"]
        == mine["second"]["description"]
        == "Two of them, on two lines."
    )
    validator = jsonschema.Draft202012Validator(made)

    def valid(balancer):
        service = {"balancer": balancer}
        return validator.is_valid({"bee": {"rpc": {"client": {"calc": copy.deepcopy(service)}}}})

    assert valid({"name": "mine", "options": {"first": [{"when": 1}], "second": {"a": None}}})
    assert not valid({"name": "mine", "options": {"first": [{}]}})
    assert valid({"name": "plain"})
    assert not valid({"name": "plain", "options": {"a": 1}})
    assert valid({"name": "broken", "options": {"a": 1}})
    assert not valid("other")
