"""The bundle's header: one form for each, an id that covers what must not change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.bundle import (
    HEADER_SIZE,
    MAX_AGE,
    MAX_EXTENSIONS,
    MAX_HOPS,
    MAX_LIFETIME,
    MAX_PAYLOAD,
    Bundle,
    Header,
    Priority,
    rewrite,
)
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.seal import Seal
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

HEADER = Header(
    priority=Priority.NORMAL,
    hop_limit=5,
    tag=b"t" * 16,
    receipt_hash=b"h" * 16,
    lifetime=604_800,
    hour=490_000,
    hops=1,
    age=70,
)
EXTENDED = HEADER._replace(extensions=b"\x01\x02ab\x07\x00\xff\x03xyz")
MUTABLE = range(44, 49)


@st.composite
def extensions(draw):
    kinds = draw(st.sets(st.integers(0, 255), max_size=4))
    parts = [(kind, draw(st.binary(max_size=3))) for kind in sorted(kinds)]
    return b"".join(bytes([kind, len(value)]) + value for kind, value in parts)[
        :MAX_EXTENSIONS
    ]


def is_whole(raw):
    at = 0
    while at + 1 < len(raw):
        at += 2 + raw[at + 1]
    return at == len(raw)


HEADERS = st.builds(
    Header,
    priority=st.sampled_from(Priority),
    hop_limit=st.integers(0, MAX_HOPS),
    tag=st.binary(min_size=16, max_size=16),
    receipt_hash=st.binary(min_size=16, max_size=16),
    lifetime=st.integers(1, MAX_LIFETIME),
    hour=st.integers(0, 2**32 - 1),
    hops=st.integers(0, MAX_HOPS),
    age=st.integers(0, MAX_AGE),
    extensions=extensions().filter(is_whole),
    suite=st.integers(0, 15),
)


@given(HEADERS, st.binary(min_size=1, max_size=300))
def test_what_is_written_is_parsed(header, payload):
    bundle = Bundle.make(header, payload)
    assert Bundle.parse(bundle.wire) == bundle
    assert Header.parse(header.wire) == header
    assert header.size == len(header.wire) <= 63


@given(st.binary(max_size=200))
def test_noise_gives_a_bundle_or_a_protocol_error(noise):
    try:
        bundle = Bundle.parse(noise)
    except RemoteProtocolError:
        return
    assert bundle.wire == noise


@given(HEADERS, st.binary(min_size=1, max_size=100), st.data())
def test_a_changed_byte_is_refused_or_gives_another_id(header, payload, data):
    bundle = Bundle.make(header, payload)
    wire = bytearray(bundle.wire)
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = Bundle.parse(bytes(wire))
    except RemoteProtocolError:
        return
    assert changed.wire == bytes(wire)
    assert (changed.id == bundle.id) == (at in MUTABLE)


@given(HEADERS, st.integers(0, 300), st.integers(0, 2**33))
def test_a_carrier_changes_hops_and_age_and_nothing_else(header, hops, age):
    bundle = Bundle.make(header, b"sealed")
    passed_on = Bundle.parse(rewrite(bundle.wire, hops, age))
    assert passed_on.id == bundle.id
    assert passed_on.header == header.with_hops_and_age(hops, age)
    assert passed_on.header.immutable == header.immutable
    assert (passed_on.header.hops, passed_on.header.age) == (
        min(hops, 255),
        min(age, MAX_AGE),
    )


def test_payload_and_extensions_can_not_trade_bytes():
    whole = HEADER._replace(extensions=b"\x01\x02ab")
    shorter = Bundle.make(HEADER, b"\x01\x02ab" + b"sealed")
    assert Bundle.make(whole, b"sealed").id != shorter.id


def patched(at, *values):
    wire = bytearray(EXTENDED.wire + b"sealed")
    wire[at : at + len(values)] = bytes(values)
    return bytes(wire)


@pytest.mark.parametrize(
    ("field", "wire"),
    [
        ("bundle", b""),
        ("bundle", HEADER.wire[:-1]),
        ("version", patched(0, 0x01)),
        ("version", patched(0, 0x21)),
        ("flags", patched(1, 3)),
        ("flags", patched(1, 0x05)),
        ("flags", patched(1, 0x81)),
        ("lifetime", patched(36, 0, 0, 0, 0)),
        ("lifetime", patched(36, *(MAX_LIFETIME + 1).to_bytes(4, "big"))),
        ("extensions", patched(3, MAX_EXTENSIONS + 1)),
        ("extensions", patched(3, 255)),
        ("extensions", patched(3, EXTENDED.size - HEADER_SIZE - 1)),
        ("extensions", patched(HEADER_SIZE + 4, 1)),
        ("extensions", patched(HEADER_SIZE + 4, 0)),
        ("extensions", patched(HEADER_SIZE + 7, 4)),
        ("extensions", HEADER._replace(extensions=b"\x01").wire + b"sealed"),
        ("extensions", EXTENDED.wire[:-1]),
        ("payload", HEADER.wire),
        ("payload", EXTENDED.wire),
        ("payload", HEADER.wire + bytes(MAX_PAYLOAD + 1)),
    ],
)
def test_what_breaks_a_rule_is_refused_by_its_field(field, wire):
    with pytest.raises(RemoteProtocolError) as refusal:
        Bundle.parse(wire)
    assert refusal.value.field == field


def test_a_bundle_of_an_unknown_suite_is_carried():
    bundle = Bundle.make(HEADER._replace(suite=9), b"sealed")
    assert Bundle.parse(bundle.wire) == bundle


def test_the_largest_payload_passes():
    bundle = Bundle.make(HEADER, bytes(MAX_PAYLOAD))
    assert Bundle.parse(bundle.wire).id == bundle.id


@pytest.mark.parametrize(
    "change",
    [
        {"lifetime": 0},
        {"lifetime": MAX_LIFETIME + 1},
        {"tag": b"short"},
        {"receipt_hash": bytes(17)},
        {"hop_limit": 256},
        {"hour": -1},
        {"suite": 16},
        {"extensions": bytes(15)},
        {"age": -1},
        {"hops": -1},
    ],
)
def test_a_header_that_can_not_be_said_is_our_own_bug(change):
    with pytest.raises(LocalProtocolError):
        _ = HEADER._replace(**change).wire


def test_an_empty_payload_is_our_own_bug():
    with pytest.raises(LocalProtocolError):
        Bundle.make(HEADER, b"")


def test_a_carrier_can_not_move_a_seal_under_another_header():
    alice, bob = KeyPair(b"\xa1" * 32), KeyPair(b"\xb0" * 32)
    seal = Seal(
        sender=alice,
        receiver=bob.public,
        message_id=bytes(16),
        ephemeral=KeyPair(b"\x0e" * 32),
    )
    header = EXTENDED._replace(receipt_hash=seal.receipt_hash)
    bundle = Bundle.make(header, seal.close(header.immutable, b"text"))
    carried = Bundle.parse(rewrite(bundle.wire, hops=3, age=4000))
    assert carried.open(bob).body == b"text"
    for change in ({"lifetime": 9}, {"hop_limit": 99}, {"hour": 0}, {"extensions": b""}):
        moved = Bundle.make(header._replace(**change), bundle.payload)
        with pytest.raises(RemoteProtocolError, match="noise"):
            moved.open(bob)
    with pytest.raises(RemoteProtocolError, match="suite"):
        Bundle.make(header._replace(suite=2), bundle.payload).open(bob)
