from __future__ import annotations

import itertools
import logging

from bee_plugins.registries.etcd3.messages import Event, Header, KeyValue, RangeReply, WatchReply
from bee_plugins.registries.etcd3.watch import View
from bee_plugins.registries.shared.watched_registry import NodeList, WarnOnce

PREFIX = b"/bee/rpc/calc/providers/"
RECORD = b'{"address":"tcp://10.0.0.1:9000"}'


def kv(name, revision, lease=1, value=RECORD):
    return KeyValue(key=PREFIX + name.encode(), value=value, mod_revision=revision, lease=lease)


def read(*kvs, revision, cluster=1):
    warnings = WarnOnce(logging.getLogger("test"))
    view = View(PREFIX, NodeList(lambda name: name, itertools.count(1), warnings))
    again(view, *kvs, revision=revision, cluster=cluster)
    return view


def again(view, *kvs, revision, cluster=1):
    for each in kvs:
        view.put([each])
    view.keep({each.key for each in kvs}, Header(revision=revision, cluster_id=cluster))


def now(newest, count, revision, cluster=1):
    return RangeReply(
        header=Header(revision=revision, cluster_id=cluster),
        kvs=() if newest is None else (newest,),
        count=count,
    )


def events(*kvs, gone=(), fragment=False):
    return WatchReply(
        events=(
            *(Event(kv=each) for each in kvs),
            *(Event(type="DELETE", kv=each) for each in gone),
        ),
        fragment=fragment,
    )


def ids(view):
    snapshot = view.nodes.snapshot()
    return None if snapshot is None else sorted(node.id for node in snapshot.nodes)


def test_what_has_not_changed_is_the_same_and_known_up_to_now():
    view = read(kv("a", 3), kv("b", 5), revision=7)
    assert view.compare(now(kv("b", 5), 2, 20)) == "same"
    assert view.revision == 20
    assert view.unchanged(Header(revision=20, cluster_id=1))
    assert not view.unchanged(Header(revision=21, cluster_id=1))


def test_a_put_a_change_and_a_removal_that_were_not_told_are_noticed():
    view = read(kv("a", 3), kv("b", 5), revision=7)
    assert view.compare(now(kv("c", 8), 3, 8)) == "behind"
    assert view.compare(now(kv("a", 8), 2, 8)) == "behind"
    assert view.compare(now(kv("a", 3), 1, 8)) == "behind"
    assert view.compare(now(None, 0, 9)) == "behind"
    assert view.revision == 7


def test_a_store_that_was_emptied_is_noticed_also_when_its_revisions_have_caught_up():
    view = read(kv("a", 3, lease=77), kv("b", 5, lease=78), revision=7)
    assert view.compare(now(None, 0, 1)) == "other"
    assert view.compare(now(kv("b", 5, lease=99), 2, 7)) == "other", (
        "the same key at the same revision, and another lease"
    )
    assert view.compare(now(kv("c", 5, lease=78), 2, 7)) == "other"
    assert view.compare(now(kv("b", 5, lease=78), 3, 7)) == "other", (
        "more keys, and none of them new"
    )
    assert view.compare(now(kv("b", 5, lease=78), 2, 7, cluster=2)) == "other"


def test_events_change_the_list_and_the_revision_to_resume_from():
    view = read(kv("a", 3), revision=3)
    assert ids(view) == ["a"]
    view.apply(events(kv("b", 4)))
    assert ids(view) == ["a", "b"]
    view.apply(events(gone=[kv("a", 6)]))
    assert ids(view) == ["b"]
    assert view.revision == 6
    view.apply(WatchReply(header=Header(revision=50)))
    assert (ids(view), view.revision) == (None, 6)


def test_a_revision_of_which_a_part_is_still_to_come_is_asked_for_again():
    view = read(revision=3)
    view.apply(events(kv("a", 4), fragment=True))
    assert view.revision == 3
    view.apply(events(kv("b", 4)))
    assert view.revision == 4


def test_reading_anew_takes_out_what_has_gone():
    view = read(kv("a", 3), kv("b", 3), revision=3)
    ids(view)
    again(view, kv("b", 3), kv("c", 9), revision=9)
    snapshot = view.nodes.snapshot()
    assert {node.id for node in snapshot.nodes} == {"b", "c"}
    assert snapshot.changes.gone == {"a"}
    assert [node.id for node in snapshot.changes.put] == ["c"]


def test_keys_that_are_no_records_count_and_are_skipped(caplog):
    odd = (
        KeyValue(key=PREFIX, mod_revision=2),
        KeyValue(key=PREFIX + b"\xff", mod_revision=2),
        kv("a/b", 2),
    )
    view = read(*odd, kv("a", 2), revision=2)
    assert ids(view) == ["a"]
    assert view.compare(now(kv("a", 2), 4, 2)) == "same"
    view.apply(events(odd[2]))
    view.apply(events(gone=[odd[2]]))
    assert ids(view) is None
    assert sorted(record.getMessage() for record in caplog.records) == [
        " is not the key of a record; it is skipped",
        "\\xff is not the key of a record; it is skipped",
        "a/b is not the key of a record; it is skipped",
    ]
