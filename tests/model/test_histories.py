"""A registry, servers and clients of bee live through random histories, and keep their promises.

``nox -s model`` runs thousands. What one finds is kept below, as the shortest history that
shows it.
"""

from __future__ import annotations

import attrs
import hypothesis
import pytest

from model import language, machine
from model.world import World, replay


def campaign():
    """Whether this is ``--hypothesis-profile=campaign``."""
    return hypothesis.settings.default.max_examples >= machine.CAMPAIGN


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(machine.SEEDS if campaign() else 1))


@pytest.mark.timeout(7200)
def test_random_histories_break_no_promise(seed, record_property):
    figures = machine.run(machine.CAMPAIGN if campaign() else machine.USUAL, seed)
    for field in attrs.fields(machine.Figures):
        value = getattr(figures, field.name)
        record_property(field.name, len(value) if field.name == "broken" else value)
    assert not figures.broken, figures.told()


@pytest.mark.parametrize(
    "history",
    [
        # Two renewals were answered at one moment, and the server never renewed again.
        "world 10 3 2 34; wait 0.3; silence; wait 2; come; wait 2",
    ],
)
def test_what_histories_found_before(history):
    assert replay(language.History.parse(history.replace(";", "\n"))) == ""


def test_a_history_is_a_text():
    steps = language.random_steps(1, 5, language.SERVER_VERBS)
    assert len(steps) == 10
    history = language.History(3.0, 4, 1, 17, steps)
    assert language.History.parse(str(history)) == history
    assert language.History.parse("kill 1  # at once\n\nwait 0.5").steps == (
        language.step("kill", 1),
        language.step("wait", 0.5),
    )


def test_a_history_that_fails_loses_the_steps_that_do_not_matter():
    history = language.History(steps=language.random_steps(1, 8, language.PLAIN_VERBS))
    needed = {history.steps[3], history.steps[10]}
    short = history.shortest(lambda other: needed <= set(other.steps))
    assert set(short.steps) == needed


def test_every_verb_is_one_of_the_world():
    verbs = (*language.SERVER_VERBS, *language.CLIENT_VERBS, *language.PLAIN_VERBS)
    for verb in (*verbs, "slow", "slow_client", "part", "wait"):
        assert callable(getattr(World, verb)), verb
