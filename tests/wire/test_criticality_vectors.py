"""How important a call is, on the wire: ``tests/vectors/criticality.json``."""

import pytest

from bee_core.terms.criticality import criticality_of
from bee_core.wire import requests
from support.wire_vectors import load

VECTORS = load("criticality")


def fields_of(vector):
    frame = bytes.fromhex(vector["hex"])
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    size = int.from_bytes(frame[12:14], "big")
    assert frame[14 + size :] == b"[1,2]"
    return frame[14 : 14 + size]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_receiver_takes_the_level_out_of_the_baggage(vector):
    said = requests.RequestParser().parse(fields_of(vector))
    assert criticality_of(said.baggage) == vector["criticality"]


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if one["written"]], ids=lambda vector: vector["name"]
)
def test_bee_writes_what_it_has_read(vector):
    fields = fields_of(vector)
    said = requests.RequestParser().parse(fields)
    again = requests.request_fields(said.method, said.metadata, said.baggage)
    assert again + requests.time_left_field(said.time_left) == fields
