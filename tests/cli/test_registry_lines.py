"""What the commands say of registries and lists, and with which code they end."""

from __future__ import annotations

import json

import pytest

from bee_core.cli.output import duration
from bee_core.cli.registry_lines import (
    outlook_code,
    outlook_fields,
    print_outlook,
    source_text,
)
from bee_core.nodes.report import KnownNode, NodesReport
from bee_core.terms.node import Node

WHY = "the registry does not list it, and it answers pings"


def node(name="a", doubt="", doubted_for=None):
    return KnownNode(Node(name, f"tcp://{name}:1"), True, "", doubt, doubted_for)


def report(service="calc", source="registry", nodes=None, **fields):
    known = (node(),) if nodes is None else nodes
    fields = {"registry": "etcd3 at h:1", "state": "answering", "age": 0.25} | fields
    return NodesReport(service, source, 1, known, "anything", **fields)


def said(capsys, *reports):
    print_outlook(reports)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.26, "0.3 s"),
        (9.96, "10 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172800, "2 days"),
    ],
)
def test_a_time_has_one_unit(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "registry, heard 0.2 s ago"),
        ({"source": "cache", "age": 10800.0}, "cache, written 3 h ago"),
        ({"source": "address", "age": None}, "address"),
        ({"source": None, "age": None}, "none has answered"),
    ],
)
def test_the_source_says_how_old_the_list_is(fields, text):
    assert source_text(report(**fields)) == text


def test_where_all_is_well_nothing_is_said(capsys):
    assert said(capsys, report(), report(state=None, registry="")) == []


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"state": "unheard"}, "the registry etcd3 at h:1 has not answered yet"),
        (
            {"state": "silent", "silent_for": 12.0, "trouble": "connection refused"},
            "the registry etcd3 at h:1 has been out of reach for 12 s: connection refused",
        ),
        (
            {"state": "silent", "silent_for": 12.0, "trouble": "it has said nothing for 12 s"},
            "the registry etcd3 at h:1 has been out of reach: it has said nothing for 12 s",
        ),
        (
            {"state": "refusing", "silent_for": 1.0, "trouble": "permission denied"},
            "the registry etcd3 at h:1 refuses to answer: permission denied",
        ),
        (
            {"state": "lying"},
            "the registry etcd3 at h:1 does not list nodes that say that they serve",
        ),
    ],
)
def test_the_state_of_the_registry_is_one_line(capsys, fields, line):
    assert said(capsys, report(**fields)) == [f"calc: {line}"]


def test_what_services_have_in_common_is_said_once_with_the_longest_silence(capsys):
    names = "abcdefg"
    silent = [report(one, state="silent", silent_for=float(n)) for n, one in enumerate(names)]
    assert said(capsys, report("well"), *silent) == [
        "a, b, c, d, e, 2 more: the registry etcd3 at h:1 has been out of reach for 6.0 s"
    ]


def test_refusals_with_other_reasons_are_said_each(capsys):
    lines = said(
        capsys,
        report("a", state="refusing", trouble="a is denied"),
        report("b", state="refusing", trouble="b is denied"),
    )
    assert [line.rpartition(": ")[2] for line in lines] == ["a is denied", "b is denied"]


def test_nodes_in_doubt_are_counted_with_the_reasons(capsys):
    doubted = (node(), node("b", WHY, 1.0), node("c", WHY, 2.0), node("d", "it is late", 3.0))
    assert said(capsys, report(nodes=doubted)) == [f"calc: 3 nodes are in doubt: {WHY}; it is late"]
    assert said(capsys, report(nodes=doubted[1:2])) == [f"calc: 1 node is in doubt: {WHY}"]


def test_an_error_that_has_the_trouble_of_the_registry_is_the_one_line(capsys):
    refused = {"state": "silent", "silent_for": 1.0, "trouble": "connection refused"}
    unknown = "no node of calc is known: the registry is out of reach (connection refused)"
    assert said(capsys, report(nodes=(), unknown=unknown, **refused)) == [f"error: {unknown}"]


@pytest.mark.parametrize("command", ["nodes calc", "services", "explain calc", "call calc add 1 2"])
def test_a_registry_out_of_reach_and_no_list_is_one_line_on_stderr(start, write, command):
    write(
        "bee.yml",
        "bee: {rpc: {registry: {protocol: etcd3, address: '127.0.0.1:1'},"
        " client: {calc: {timeout: 3}}}}",
    )
    process = start(*command.split())
    assert process.exit_code() == 1
    (line,) = process.lines
    assert line.startswith("error: ")
    assert "connection refused" in line


def test_why_no_node_is_known_is_an_error(capsys):
    assert said(capsys, report(nodes=(), unknown="no node of calc is known")) == [
        "error: no node of calc is known"
    ]


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([], 0),
        ([report()], 0),
        ([report(state=None)], 0),
        ([report(nodes=())], 1),
        ([report(source="cache")], 3),
        ([report(state="silent")], 3),
        ([report(nodes=(node(doubt=WHY),))], 3),
        ([report(), report(state="silent")], 3),
        ([report(state="silent"), report(nodes=())], 1),
    ],
)
def test_the_exit_code_is_that_of_the_service_of_which_least_is_known(reports, code):
    assert outlook_code(reports) == code


def test_json_has_the_same_facts():
    told = report(state="silent", silent_for=12.34567, trouble="refused", nodes=(node(doubt=WHY),))
    assert json.loads(json.dumps(outlook_fields(told))) == {
        "source": "registry",
        "registry": "etcd3 at h:1",
        "state": "silent",
        "age": 0.25,
        "silent_for": 12.346,
        "trouble": "refused",
        "doubtful": True,
        "in_doubt": 1,
    }
