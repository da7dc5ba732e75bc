"""The parts of the benchmarks that think: statistics, open loop, table, page, picture."""

from __future__ import annotations

import asyncio
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import stages
from benchmarks.instructions import counting, programs, scripted, table
from benchmarks.loads import open_loop
from benchmarks.loads.meter import Meter
from benchmarks.report import page, picture, targets
from benchmarks.results import Results, load
from benchmarks.spreads import Spread, percentile, ratios, spread


def test_a_percentile_is_the_value_of_the_nearest_rank() -> None:
    ordered = [float(one) for one in range(1, 1001)]
    assert [percentile(ordered, one) for one in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    with pytest.raises(ValueError, match="no call ended"):
        percentile([], 50)


def test_ratios_are_taken_within_rounds_that_both_finished() -> None:
    assert ratios([10, 30, None, 8], [5, 10, 4, None]) == Spread(2.5, 2, 3)
    assert ratios([None], [1]) is None
    assert spread([3, 1, 2]) == Spread(2, 1, 3)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + max(seconds, 0.001)
        for _ in range(5):  # what is due runs before time goes on
            await asyncio.sleep(0)
        self.now = max(self.now, until)


def open_latencies(monkeypatch: pytest.MonkeyPatch, stall: float) -> list[float]:
    """Ten calls a second for a second, one caller; the third call stalls."""
    monkeypatch.setattr(open_loop, "WARM_UP", 0)
    clock = Clock()
    meter = Meter(0, clock)
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        if made == 1 + 3:  # one warms up
            clock.now += stall

    async def main() -> None:
        await open_loop.run_tasks([call], 10, 1, meter, clock.sleep)

    asyncio.run(main())
    return list(meter.took)


def test_an_open_loop_makes_all_planned_calls_and_counts_from_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = open_latencies(monkeypatch, 0.0)
    assert len(took) == 10
    assert max(took) < 0.01


def test_a_stall_shows_in_every_call_that_it_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    took = open_latencies(monkeypatch, 0.35)
    assert len(took) == 10
    assert sum(one > 0.04 for one in took) == 4  # the stalled one and the three planned meanwhile


def counted(**figures: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return figures


TABLE = table.updated(table.read(Path("none.json")), "3.13", counted(client=(400, 100)), "first")


def test_a_figure_within_the_tolerance_is_no_complaint() -> None:
    assert table.complaints(TABLE, "3.13", counted(client=(407, 100))) == []


@pytest.mark.parametrize(("own", "word"), [(412, "3.0% dearer"), (388, "3.0% cheaper")])
def test_a_figure_that_moved_says_by_how_much(own: int, word: str) -> None:
    (line,) = table.complaints(TABLE, "3.13", counted(client=(own, 100)))
    assert line.startswith(f"client: {word}")
    assert "table has 4.000" in line


def test_figures_that_are_missing_on_either_side_are_complaints() -> None:
    assert len(table.complaints(TABLE, "3.13", counted(server=(1, 1)))) == 2
    assert table.complaints(TABLE, "3.9", {}) == ["the table has no figures of Python 3.9"]


def test_an_update_needs_a_reason_and_keeps_the_history() -> None:
    with pytest.raises(ValueError, match="--reason"):
        table.updated(TABLE, "3.13", counted(client=(1, 1)), " ")
    newer = table.updated(TABLE, "3.10 pure", counted(client=(1, 1)), "second")
    assert [one["reason"] for one in newer["history"]] == ["first", "second"]
    assert list(newer["figures"]) == ["3.10 pure", "3.13"]


def test_whole_frames_are_taken_off_a_stream() -> None:
    stream = bytearray(b"\0\0\0\2ab\0\0\0\1c\0\0\0\5de")
    assert list(scripted.split(stream)) == [b"\0\0\0\2ab", b"\0\0\0\1c"]
    assert stream == b"\0\0\0\5de"


def test_a_page_keeps_its_words_and_gets_new_parts() -> None:
    text = "before\n<!-- measured: x -->\nold\n<!-- end -->\nafter\n"
    wanted = "before\n<!-- measured: x -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert page.replace(text, {"x": "new"}) == wanted
    assert page.replace(wanted, {"x": "new"}) == wanted
    with pytest.raises(ValueError, match="no part is called"):
        page.replace(text, {})


def test_the_picture_is_an_svg_for_light_and_dark_pages() -> None:
    bar = picture.Bar("a < b", Spread(5, 4, 10), "bee")
    text = picture.draw([picture.Panel("calls", "longer is better", [bar])], "what it shows")
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    (rect,) = root.iter("{http://www.w3.org/2000/svg}rect")
    whole = picture.WIDTH - picture.LABELS - picture.FIGURES
    assert float(rect.attrib["width"]) == whole / 2


def test_a_target_says_what_was_reached() -> None:
    rounds = {"bee": [{"per_second": 30.0}], "thriftpy2": [{"per_second": 10.0}]}
    results = Results(suites={"peers": {"threads-16": rounds}})
    row = "| 16 threads: ≥ 2 × thriftpy2 | 3.00 (3.00 to 3.00) × | yes |"  # noqa: RUF001
    assert row in targets.table(results)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    results = Results(options={"rounds": 3}, left_out={"x": "why"})
    results.save(path)
    assert load(path) == results
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a result file"):
        load(path)


def test_the_innermost_function_says_what_time_is_spent_on() -> None:
    encode = "encode_args (bee_plugins/codecs/msgspec_methods.py:164)"
    raw = f"""\
<module> (programs.py:1);drive (bee_core/client/blocking_driver.py:40) 1
<module> (programs.py:1);drive (bee_core/client/blocking_driver.py:40);{encode} 2
_find_and_load (<frozen importlib._bootstrap>:1360) 90
mark_when_told (benchmarks/instructions/programs.py:108) 90
 1
"""
    shares = stages.shares(raw)
    codec, client = stages.stage_of(encode), "client: proxy, driver"
    assert shares == {codec: 0.5, client: 0.25, stages.REST: 0.25}
    assert codec.startswith("codec")
    assert f"| {client} | 25% |" in stages.table({"a load": {"client": shares}})


@pytest.mark.parametrize("name", counting.BALANCERS)
def test_the_picks_of_every_balancer_can_be_counted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: list[str] = []
    monkeypatch.setattr(programs, "mark", lambda: marks.append(name))
    programs.pick_often(name, (10, 20))
    assert len(marks) == 2
