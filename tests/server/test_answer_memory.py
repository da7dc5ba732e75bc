"""What a server remembers of requests with a key, and that it knows what it forgot."""

import pytest

from bee_core.contracts.connection_numbers import MOST_BARRED, ConnectionNumbers
from bee_core.server.answer_memory import GONE, AnswerMemory, judge
from bee_core.terms.failures import Failure
from bee_core.testing import FakeClock
from bee_core.wire.deduplication import Repetition


def ran(memory, key, at, *, answer="answer", size=10, ended=None):
    """A request that came, ran and was answered."""
    verdict, entry = memory.take(key, "what", at)
    assert verdict == "new"
    memory.end(entry, answer, size, at if ended is None else ended)
    return entry


def test_a_key_that_ran_is_known_with_its_answer():
    memory = AnswerMemory(60, 10, 1000)
    ran(memory, b"a", 1)
    verdict, entry = memory.take(b"a", "what", 2)
    assert (verdict, entry.answer, entry.ended) == ("known", "answer", 1)


def test_a_key_that_runs_is_known_without_an_answer():
    memory = AnswerMemory(60, 10, 1000)
    memory.take(b"a", "what", 1)
    verdict, entry = memory.take(b"a", "what", 2, sent=0)
    assert (verdict, entry.answer, entry.ended) == ("known", None, None)


def test_a_key_of_another_request_gives_nothing_away():
    memory = AnswerMemory(60, 10, 1000)
    ran(memory, b"a", 1)
    assert memory.take(b"a", "something else", 2) == ("other", None)


def test_what_did_not_run_is_new_again():
    memory = AnswerMemory(60, 10, 1000)
    _, entry = memory.take(b"a", "what", 1)
    memory.drop(entry)
    assert memory.take(b"a", "what", 2, sent=0).verdict == "new"


def test_an_unknown_key_is_new_if_nothing_was_forgotten_that_is_as_old():
    memory = AnswerMemory(60, 2, 1000)
    for at in (1, 2, 3):
        ran(memory, b"%d" % at, at)  # the third pushes the first one out
    assert len(memory) == 2
    assert memory.take(b"x", "what", 4, sent=1).verdict == "unsure"
    assert memory.take(b"1", "what", 4, sent=0.5).verdict == "unsure"
    assert memory.take(b"x", "what", 4, sent=1.5).verdict == "new"


def test_a_key_is_forgotten_so_long_after_its_answer():
    memory = AnswerMemory(60, 10, 1000)
    ran(memory, b"a", 1, ended=5)
    assert memory.take(b"a", "what", 64.9, sent=0).verdict == "known"
    assert memory.take(b"a", "what", 65, sent=0.5).verdict == "unsure"
    assert len(memory) == 0


def test_what_runs_is_not_forgotten():
    memory = AnswerMemory(60, 1, 1000)
    memory.take(b"a", "what", 1)
    assert memory.take(b"a", "what", 1000, sent=0).verdict == "known"


def test_where_all_places_run_a_new_key_is_forgotten_at_once():
    memory = AnswerMemory(60, 1, 1000)
    memory.take(b"a", "what", 1)
    verdict, entry = memory.take(b"b", "what", 2)
    assert verdict == "new"
    assert memory.take(b"b", "what", 3, sent=2).verdict == "unsure"
    memory.end(entry, "answer", 10, 4)
    assert memory.take(b"b", "what", 5, sent=2).verdict == "unsure"
    assert len(memory) == 1


def test_over_its_size_the_oldest_answers_go_and_the_keys_stay():
    memory = AnswerMemory(60, 100, 800)
    for at in range(10):
        ran(memory, b"%d" % at, at, size=100)
    assert memory.held == 800
    found = [memory.take(b"%d" % at, "what", 10).entry.answer for at in range(10)]
    assert found == [GONE, GONE, *["answer"] * 8]


def test_an_answer_over_an_eighth_of_the_size_is_not_kept():
    memory = AnswerMemory(60, 100, 800)
    ran(memory, b"a", 1, size=101)
    ran(memory, b"b", 1, size=100)
    assert memory.take(b"a", "what", 2).entry.answer is GONE
    assert memory.take(b"b", "what", 2).entry.answer == "answer"
    assert memory.held == 100


def test_what_is_forgotten_takes_no_bytes():
    memory = AnswerMemory(60, 2, 800)
    for at in range(50):
        ran(memory, b"%d" % at, at, size=at % 100)
    assert (len(memory), memory.held) == (2, 48 + 49)
    memory.take(b"x", "what", 1000)
    assert memory.held == 0


class Door:
    """A memory with two connections."""

    def __init__(self, count=10):
        self.clock = FakeClock()
        numbers = iter((b"1", b"2", b"3"))
        self.numbers = ConnectionNumbers(lambda: next(numbers), self.clock)
        self.memory = AnswerMemory(60, count, 1000)
        self.first, self.second = self.numbers.add(), self.numbers.add()

    def judge(self, line, key=b"a", repetition=None):
        found = judge(self.memory, self.numbers, line, key, "what", repetition, self.clock())
        return found.verdict

    def run(self, key):
        _, entry = self.memory.take(key, "what", self.clock())
        self.memory.end(entry, "answer", 1, self.clock())


def test_a_first_request_that_comes_after_its_repetition_does_not_run():
    door = Door(count=1)
    assert door.judge(door.second, repetition=Repetition(1, b"1")) == "new"
    assert door.judge(door.first) == "known"  # it is barred there
    door.memory.end(door.memory.take(b"a", "what", 0).entry, "answer", 1, door.clock())
    door.run(b"b")  # a is forgotten
    assert door.judge(door.first) == "late"
    assert door.judge(door.first, b"c") == "new"


@pytest.mark.parametrize("answer", [None, GONE, "lost"])
def test_an_unmarked_request_runs_again_where_there_is_no_answer_for_it(answer):
    door = Door()
    assert door.judge(door.first) == "new"
    entry = door.memory.take(b"a", "what", door.clock()).entry
    if answer is not None:
        given_up = Failure("cancelled", "given up", "maybe", "never", "none")
        size = 1000 if answer is GONE else 1
        door.memory.end(entry, given_up if answer == "lost" else "answer", size, door.clock())
    assert door.judge(door.second) == "again"
    assert door.judge(door.second, repetition=Repetition(1, b"1")) == "known"
    door.second.bar(b"a")
    assert door.judge(door.second) == "known"


def test_an_unmarked_request_gets_the_answer_that_is_there():
    door = Door()
    door.run(b"a")
    assert door.judge(door.second) == "known"


def test_on_one_connection_the_first_request_cannot_come_later():
    door = Door(count=1)
    assert door.judge(door.first, repetition=Repetition(1, b"1")) == "new"
    assert door.first.barred == set()


def test_a_connection_that_is_gone_brings_nothing_any_more():
    door = Door()
    door.numbers.remove(door.first)
    assert door.judge(door.second, repetition=Repetition(1, b"1")) == "new"
    assert door.first.barred == set()


def test_a_repetition_is_refused_where_too_many_keys_are_barred():
    door = Door()
    for number in range(MOST_BARRED):
        assert door.first.bar(b"%d" % number)
    assert door.judge(door.second, repetition=Repetition(1, b"1")) == "crowded"
    assert not door.memory.knows(b"a")


@pytest.mark.parametrize(("waits", "verdict"), [(0, "unsure"), (100, "unsure")])
def test_the_time_that_a_repetition_was_on_its_way_makes_it_no_younger(waits, verdict):
    door = Door(count=1)
    door.clock.advance(10)
    door.run(b"a")
    door.clock.advance(1)
    third = door.numbers.add()  # greeted a second after a came
    door.run(b"b")  # a is forgotten
    door.clock.advance(waits)
    assert door.judge(third, repetition=Repetition(1.001, b"1")) == verdict


def test_a_clock_that_is_a_little_slow_does_no_harm():
    door = Door(count=1)
    door.run(b"a")
    door.clock.advance(50)
    third = door.numbers.add()
    door.run(b"b")
    assert door.judge(third, repetition=Repetition(49.6, b"1")) == "unsure"
    assert door.judge(third, repetition=Repetition(49.4, b"1")) == "new"
