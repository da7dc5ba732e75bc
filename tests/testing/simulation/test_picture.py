from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from bee_core.testing.simulation import SCENARIOS, draw
from bee_core.testing.simulation.picture import HEIGHT, WIDTH
from support.simulations import run, settings

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def runs():
    one = run("dead-nodes", nodes=5, seconds=20)
    two = run("dead-nodes", settings(balancer="round-robin"), nodes=5, seconds=20)
    return [dict(one, file="a.yml"), dict(two, file="b <&> c.yml")]


def test_a_picture_is_svg_for_light_and_dark_pages(runs):
    text = draw(runs[:1])
    root = ET.fromstring(text)
    assert root.tag == NAMESPACE + "svg"
    assert "prefers-color-scheme: dark" in text
    assert "10 % of the nodes are killed" in root.find(NAMESPACE + "title").text
    assert len(root.findall(NAMESPACE + "polyline")) == 5  # p50, p99; calls, attempts, answered


def test_all_lines_lie_in_the_picture_and_each_run_has_its_panels(runs):
    root = ET.fromstring(draw(runs))
    tall = float(root.get("viewBox").split()[3])
    lines = root.findall(NAMESPACE + "polyline")
    assert len(lines) == 10
    for line in lines:
        points = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        assert len(points) > 100
        assert all(0 <= x <= WIDTH and 0 <= y <= tall for x, y in points)
        heights = [y for _, y in points]
        assert max(heights) - min(heights) <= HEIGHT + 0.1


def test_the_trouble_is_marked_where_it_was(runs):
    root = ET.fromstring(draw(runs[:1]))
    assert any(text.text.endswith("shaded: the trouble") for text in root.iter(NAMESPACE + "text"))
    mark = root.find(NAMESPACE + "rect")
    begin, width = float(mark.get("x")), float(mark.get("width"))
    assert begin == pytest.approx(64 + (WIDTH - 64 - 16) / 2, abs=1)
    assert width == pytest.approx((WIDTH - 64 - 16) / 2, abs=1)  # from 10 s to 20 s of 20 s


def test_names_of_files_are_escaped(runs):
    text = draw(runs)
    assert "b &lt;&amp;&gt; c.yml" in text
    assert not re.search(r"b <&> c", text)


def test_a_run_in_which_no_call_was_answered_is_drawn_too():
    dead = settings(fail="failfast", breaker="none", timeout=0.001, read_timeout=0.001)
    found = run("dead-nodes", dead, nodes=3, seconds=12)
    assert found["latency"] is None
    assert found["answered"] == 0
    ET.fromstring(draw([found]))
    assert SCENARIOS["dead-nodes"].about in draw([found])


def test_a_run_whose_trouble_never_begins_has_no_mark_and_no_bad_nodes():
    found = run("dead-nodes", nodes=3, seconds=5)
    assert (found["fault"], found["bad_nodes"], found["phases"]) == (None, None, {})
    root = ET.fromstring(draw([found]))
    assert root.find(NAMESPACE + "rect") is None


def test_the_seconds_of_an_hour_are_written_out(runs):
    labels = [text.text for text in ET.fromstring(draw([dict(runs[0], seconds=3600)])).iter()]
    assert "600 s" in labels
    assert "3,600 s" in labels
