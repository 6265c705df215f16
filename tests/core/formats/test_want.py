"""Wants, answers and pieces: what is asked for by nobody in particular, and what comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.bundle import MAX_PAYLOAD
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.manifest import CHUNK, MAX_ROOT
from meshpeer.core.formats.message import Message
from meshpeer.core.formats.want import (
    MAX_BUDGET,
    MAX_RUNS,
    MAX_WANT,
    PAGE0,
    ROOT,
    Kind,
    Part,
    Want,
    is_part,
)
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE, SEAL_OVERHEAD, pad
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

SEALING = KeyPair(b"s" * 32).public
FILE = bytes(range(32))
WANT = Want(SEALING, 2**20, ((0, 3), (5, 1), (PAGE0, 2), (ROOT, 1)))
PART = Part(Kind.ANSWER, FILE, 7, b"a chunk")


@st.composite
def runs(draw):
    made, at = [], 0
    for gap, count in draw(
        st.lists(
            st.tuples(st.integers(1, 2**26), st.integers(1, 2**26)), min_size=1, max_size=9
        )
    ):
        made.append((at, count))
        at += count + gap
    return tuple(made)


@given(st.none() | runs(), st.integers(1, MAX_BUDGET))
def test_a_want_survives_its_bytes(runs, budget):
    want = Want(SEALING, budget, runs)
    assert Want.parse(want.to_bytes()) == want


def test_a_want_says_what_it_lacks():
    assert [part for part in range(10) if WANT.lacks(part)] == [0, 1, 2, 5]
    assert WANT.lacks(ROOT)
    assert WANT.lacks(PAGE0 + 1)
    assert not WANT.lacks(PAGE0 + 2)
    assert Want(SEALING, 1).lacks(123_456)


def test_the_largest_want_is_within_the_limit():
    runs = tuple((PAGE0 + n * 2**20, 2**19) for n in range(MAX_RUNS))
    want = Want(SEALING, MAX_BUDGET, runs)
    assert len(want.to_bytes()) == 10_288 < MAX_WANT
    assert Want.parse(want.to_bytes()) == want


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 2),
        (0, True),
        (0, None),
        (1, SEALING[1:]),
        (1, bytes(32)),
        (1, b"\xff" * 32),
        (1, SEALING.hex()),
        (2, 0),
        (2, -1),
        (2, MAX_BUDGET + 1),
        (2, True),
        (3, []),
        (3, [0]),
        (3, [0, 0]),
        (3, [-1, 2]),
        (3, [0, 2**32 + 1]),
        (3, [ROOT, 2]),
        (3, [2**60, 1]),
        (3, [5, 1, 0, 1]),
        (3, [0, 2, 1, 2]),
        (3, [0, 1, 1, 1]),
        (3, [0, True]),
        (3, [[0, 1]]),
        (3, {0: 1}),
        (3, False),
        (3, [part for n in range(MAX_RUNS + 1) for part in (2 * n, 1)]),
        (4, 0),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_want_that_breaks_a_rule_is_refused(at, value):
    parts = decode(WANT.to_bytes())
    parts[at:] = [value, *parts[at + 1 :]]
    with pytest.raises(RemoteProtocolError):
        Want.parse(encode(parts))


@given(st.binary(max_size=80))
def test_noise_gives_a_want_or_a_protocol_error(noise):
    try:
        want = Want.parse(noise)
    except RemoteProtocolError:
        return
    assert want.to_bytes() == noise


def test_too_long_a_want_is_not_even_read():
    with pytest.raises(RemoteProtocolError, match="limit"):
        Want.parse(bytes(MAX_WANT + 1))


@given(
    st.sampled_from(Kind),
    st.binary(min_size=32, max_size=32),
    st.integers(0, ROOT),
    st.binary(min_size=1, max_size=50),
)
def test_a_part_survives_its_bytes(kind, file, number, data):
    part = Part(kind, file, number, data)
    assert Part.parse(part.to_bytes()) == part
    assert is_part(part.to_bytes())


def test_a_chunk_fits_a_bundle():
    assert max(CHUNK, MAX_ROOT) == CHUNK
    body = Part(Kind.PIECE, FILE, ROOT, bytes(CHUNK)).to_bytes()
    assert SEAL_OVERHEAD + len(pad(bytes(MESSAGE_ID_SIZE) + body)) <= MAX_PAYLOAD


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (0, 1),
        (0, 4),
        (0, True),
        (0, None),
        (0, [2]),
        (1, FILE[1:]),
        (1, FILE.hex()),
        (2, -1),
        (2, ROOT + 1),
        (2, True),
        (3, b""),
        (3, bytes(CHUNK + 1)),
        (3, "text"),
        (4, 0),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_part_that_breaks_a_rule_is_refused(key, value):
    with pytest.raises(RemoteProtocolError):
        Part.parse(encode(decode(PART.to_bytes()) | {key: value}))


@given(st.binary(max_size=80))
def test_noise_gives_a_part_or_a_protocol_error(noise):
    try:
        part = Part.parse(noise)
    except RemoteProtocolError:
        return
    assert part.to_bytes() == noise


def test_too_long_a_part_is_not_even_read():
    with pytest.raises(RemoteProtocolError, match="limit"):
        Part.parse(bytes(MAX_PAYLOAD + 1))


def test_a_message_and_a_part_are_not_taken_for_each_other():
    message = Message("hello", 1, 2).to_bytes(sender=FILE, receiver=FILE)
    assert not is_part(message)
    with pytest.raises(RemoteProtocolError):
        Part.parse(message)
    with pytest.raises(RemoteProtocolError, match="version"):
        Message.parse(PART.to_bytes())


def test_what_nobody_could_read_is_not_even_said():
    for runs in ((), ((0, 0),), ((1, 1), (0, 1)), ((0, 1), (1, 1))):
        with pytest.raises(LocalProtocolError):
            Want(SEALING, 1, runs).to_bytes()
    for want in (Want(b"short", 1), Want(SEALING, 0)):
        with pytest.raises(LocalProtocolError):
            want.to_bytes()
    for part in (
        Part(Kind.PIECE, b"", 0, b"x"),
        Part(Kind.PIECE, FILE, 0, bytes(CHUNK + 1)),
    ):
        with pytest.raises(LocalProtocolError):
            part.to_bytes()
