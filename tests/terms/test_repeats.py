"""What is said again and again is counted, and the number is told."""

from __future__ import annotations

from bee_core.terms.repeats import QUIET_SECONDS, Repeats


class Later:
    def __init__(self):
        self.waiting = []

    def __call__(self, seconds, callback):
        assert seconds == QUIET_SECONDS
        self.waiting.append(callback)

    def pass_by(self):
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


def test_the_first_is_said_and_the_others_are_counted_until_the_time_is_over():
    later, told = Later(), []
    repeats = Repeats(later, lambda *what: told.append(what))
    assert [repeats.again(("a",)) for _ in range(4)] == [False, True, True, True]
    assert repeats.again(("b",)) is False
    later.pass_by()
    assert told == [(("a",), 3)]
    assert repeats.again(("a",)) is False


def test_what_is_counted_is_told_at_the_end_once():
    later, told = Later(), []
    repeats = Repeats(later, lambda *what: told.append(what))
    repeats.again(("a",))
    repeats.again(("a",))
    repeats.close()
    later.pass_by()
    assert told == [(("a",), 1)]


def test_many_different_things_take_bounded_memory():
    repeats = Repeats(Later(), lambda *_: None)
    for number in range(1000):
        repeats.again((str(number),))
    assert repeats.again(("0",)) is False
    assert repeats.again(("999",)) is True
