import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.sync import negentropy
from meshpeer.core.sync.sorted_set import SortedSet
from meshpeer.errors import RemoteProtocolError

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "negentropy.json").read_text()
)


def item(n, rule):
    return (0 if rule == "0" else n // 10, sha256(f"item {n}".encode()).digest())


def vector_sets(vector):
    return [
        SortedSet(items=[item(n, vector["timestamp_rule"]) for n in vector[side]])
        for side in ("client", "server")
    ]


def meet(client, server, frame=0, limit=10_000):
    """Both sides to the end: what the client learns, messages and bytes."""
    message = negentropy.initiate(client)
    have, need, count, size = [], [], 0, 0
    for _ in range(limit):
        answer = negentropy.respond(server, message, frame)
        if frame:
            assert max(len(message), len(answer)) <= frame
        reply = negentropy.resume(client, answer, frame)
        have, need = have + reply.have, need + reply.need
        count, size = count + 2, size + len(message) + len(answer)
        if reply.finished:
            return have, need, count, size
        message = reply.message
    raise AssertionError("no end")


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["name"])
def test_a_responder_says_what_the_reference_says(vector):
    _, server = vector_sets(vector)
    messages = [bytes.fromhex(message["hex"]) for message in vector["messages"]]
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert negentropy.respond(server, question, vector["frame_limit"]) == answer


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["name"])
def test_an_initiator_understands_the_reference(vector):
    client, _ = vector_sets(vector)
    have, need = [], []
    messages = [bytes.fromhex(message["hex"]) for message in vector["messages"]]
    for answer in messages[1::2]:
        reply = negentropy.resume(client, answer, vector["frame_limit"])
        have, need = have + reply.have, need + reply.need
    check(vector, have, need)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["name"])
def test_two_of_ours_learn_what_the_reference_learns(vector):
    have, need, *_ = meet(*vector_sets(vector), vector["frame_limit"])
    check(vector, have, need)


def check(vector, have, need):
    assert sorted(id.hex() for id in have) == sorted(vector["have"])
    assert sorted(id.hex() for id in need) == sorted(vector["need"])


def test_equal_sets_cost_one_round_trip_of_a_few_bytes():
    items = [item(n, "n // 10") for n in range(10_000)]
    have, need, messages, size = meet(SortedSet(items=items), SortedSet(items=items))
    assert (have, need, messages) == ([], [], 2)
    assert size <= 120


numbers = st.integers(0, 5)
ids = st.binary(min_size=16, max_size=16)
owners = st.sampled_from(["mine", "theirs", "both"])
members = st.dictionaries(ids, st.tuples(numbers, owners), max_size=200)
"""Which ids there are, when each was made (an id says it, so it has one), and who holds it."""


@given(members, st.sampled_from([0, 512, 4096]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_sets_the_initiator_learns_the_difference(members, frame):
    mine = {(n, id) for id, (n, owner) in members.items() if owner != "theirs"}
    theirs = {(n, id) for id, (n, owner) in members.items() if owner != "mine"}
    have, need, *_ = meet(SortedSet(16, mine), SortedSet(16, theirs), frame)
    assert set(have) >= {id for _, id in mine - theirs}
    assert set(need) >= {id for _, id in theirs - mine}


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_noise_is_answered_or_refused(noise):
    items = SortedSet(items=[item(n, "n // 10") for n in range(50)])
    for message in (noise, b"\x61" + noise):
        for read in (negentropy.respond, negentropy.resume):
            try:
                read(items, message, 4096)
            except RemoteProtocolError:
                continue


@pytest.mark.parametrize(
    "message",
    [
        "",
        "62",
        "61 00 00 03",
        "61 00 00 01 aabb",
        "61 00 00 02 05 aabb",
        "61 00 00 00 00 00 00",
        "61 05 21",
        "61 80 01 00 00",
        "61 02 01 ff 00 01 01 fe 00",
        "61 00 00 02 ff ff ff ff ff ff ff ff ff ff 7f",
        "61" + "02 00 00" * 3_000,
    ],
)
def test_a_malformed_message_is_named(message):
    with pytest.raises(RemoteProtocolError):
        negentropy.respond(SortedSet(), bytes.fromhex(message))
