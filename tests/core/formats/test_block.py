"""Blocks: their one form, their signature, and the links that join any two of a log."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.block import (
    HEADER_SIZE,
    LOG_SIZE,
    MAX_BODY,
    MAX_LAMPORT,
    MAX_PATH,
    MAX_SEQUENCE,
    NO_BLOCK,
    Block,
    Header,
    check_path,
    path,
    skip_of,
)
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

PERSON = PersonKey(b"\x01" * 32).public
DEVICE = DeviceKey(b"\x02" * 32)
OTHER = DeviceKey(b"\x03" * 32)
LOG = bytes(range(LOG_SIZE))
SEQUENCES = st.integers(1, 2_000) | st.integers(1, MAX_SEQUENCE)
AT = {
    "version": (0, 1),
    "suite": (1, 1),
    "person": (2, 32),
    "device": (34, 32),
    "log": (66, 16),
    "sequence": (82, 8),
    "lamport": (90, 8),
    "previous": (98, 32),
    "skip": (130, 32),
    "body_hash": (162, 32),
    "body_size": (194, 4),
}
"""As the module draws it."""


def block(device=DEVICE, **parts):
    said = {
        "person": PERSON,
        "log": LOG,
        "sequence": 1,
        "lamport": 7,
        "previous": NO_BLOCK,
        "skip": NO_BLOCK,
        "body": b"a body",
    } | parts
    return Block.sign(device, **said)


def log_of(height, device=DEVICE, log=LOG):
    """A whole log, by sequence; nothing stands at 0."""
    blocks, ids = [None], [NO_BLOCK]
    for sequence in range(1, height + 1):
        blocks.append(
            block(
                device,
                log=log,
                sequence=sequence,
                lamport=sequence,
                previous=ids[-1],
                skip=ids[skip_of(sequence)],
                body=b"body %d" % sequence,
            )
        )
        ids.append(blocks[-1].id)
    return blocks


BLOCKS = log_of(130)


@st.composite
def blocks(draw):
    sequence = draw(SEQUENCES)
    ids = st.binary(min_size=32, max_size=32).filter(any)
    previous = NO_BLOCK if sequence == 1 else draw(ids)
    straight = skip_of(sequence) == sequence - 1
    skip = previous if straight else draw(ids.filter(lambda one: one != previous))
    return block(
        log=draw(st.binary(min_size=16, max_size=16)),
        sequence=sequence,
        lamport=draw(st.integers(0, MAX_LAMPORT)),
        previous=previous,
        skip=skip,
        body=draw(st.binary(min_size=1, max_size=100)),
    )


def signed_anyway(**parts):
    """A header that its device signed, though it breaks a rule."""
    data = bytearray(BLOCKS[3].header.to_bytes()[:198])
    for name, value in parts.items():
        at, size = AT[name]
        data[at : at + size] = value if isinstance(value, bytes) else value.to_bytes(size)
    return bytes(data) + DEVICE.sign(b"meshpeer/block/1", bytes(data))


@given(blocks())
def test_a_block_survives_its_bytes(made):
    made.check()
    header = Header.parse(made.header.to_bytes())
    assert header == made.header
    assert header.id == made.id
    assert header.log_key == (DEVICE.public, made.header.log)
    Block(header, made.body).check()
    Block(header, None).check()


@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE) | st.binary(max_size=300))
def test_noise_gives_a_header_or_a_protocol_error(noise):
    try:
        header = Header.parse(noise)
    except RemoteProtocolError:
        return
    assert header.to_bytes() == noise


@given(st.integers(0, HEADER_SIZE - 1), st.integers(1, 255))
def test_every_changed_byte_of_a_header_is_noticed(at, change):
    data = bytearray(BLOCKS[13].header.to_bytes())
    data[at] ^= change
    with pytest.raises(RemoteProtocolError):
        Header.parse(bytes(data)).verify()


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("version", {"version": 2}),
        ("version", {"suite": 0}),
        ("sequence", {"sequence": 0}),
        ("sequence", {"sequence": MAX_SEQUENCE + 1}),
        ("sequence", {"sequence": 2**64 - 1}),
        ("lamport", {"lamport": MAX_LAMPORT + 1}),
        ("lamport", {"lamport": 2**64 - 1}),
        ("body", {"body_size": 0}),
        ("body", {"body_size": MAX_BODY + 1}),
        ("body", {"body_size": 2**32 - 1}),
        ("previous", {"sequence": 1}),
        ("previous", {"sequence": 1, "skip": NO_BLOCK}),
        ("skip", {"sequence": 1, "previous": NO_BLOCK}),
        ("previous", {"previous": NO_BLOCK}),
        ("previous", {"previous": NO_BLOCK, "skip": NO_BLOCK}),
        ("skip", {"skip": b"\x05" * 32}),
        ("skip", {"skip": NO_BLOCK}),
        ("skip", {"sequence": 4}),
        ("skip", {"sequence": 4, "skip": NO_BLOCK}),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused_though_it_is_signed(field, parts):
    with pytest.raises(RemoteProtocolError) as refusal:
        Header.parse(signed_anyway(**parts))
    assert refusal.value.field == field


def test_signing_by_hand_is_right_apart_from_the_broken_rule():
    header = Header.parse(signed_anyway())
    header.verify()
    assert header == BLOCKS[3].header


def test_a_block_that_another_device_signed_is_refused():
    data = BLOCKS[1].header.to_bytes()
    forged = data[:198] + OTHER.sign(b"meshpeer/block/1", data[:198])
    with pytest.raises(RemoteProtocolError, match="signature"):
        Block(Header.parse(forged), None).check()
    with pytest.raises(RemoteProtocolError, match="signature"):
        Header.parse(data[:198] + DEVICE.sign(b"meshpeer/other/1", data[:198])).verify()


def test_a_key_of_low_order_signs_nothing():
    data = bytearray(BLOCKS[1].header.to_bytes())
    data[34:66] = b"\x01" + bytes(31)
    data[198:] = data[34:66] + bytes(32)
    with pytest.raises(RemoteProtocolError, match="signature"):
        Header.parse(bytes(data)).verify()


@pytest.mark.parametrize("body", [b"", b"a bodx", b"a body ", bytes(MAX_BODY + 1)])
def test_a_body_that_the_header_does_not_name_is_refused(body):
    with pytest.raises(RemoteProtocolError, match="body"):
        Block(block().header, body).check()


def test_a_body_is_bound_by_its_own_kind_of_hash():
    """A header's bytes can't be taken for a body, nor a body for a header."""
    header = BLOCKS[1].header.to_bytes()[:198]
    assert block(body=header).header.body_hash != BLOCKS[1].id


def test_the_same_header_signed_twice_is_the_same_block():
    one = BLOCKS[1].header
    assert Header.parse(one.to_bytes()[:198] + bytes(64)).id == one.id


@pytest.mark.parametrize(
    "parts",
    [
        {"sequence": 0},
        {"sequence": 2},
        {"sequence": MAX_SEQUENCE + 1, "previous": b"p" * 32, "skip": b"s" * 32},
        {"previous": b"p" * 32},
        {"body": b""},
        {"body": bytes(MAX_BODY + 1)},
        {"person": b"short"},
        {"log": bytes(17)},
        {"lamport": -1},
        {"skip": b""},
    ],
)
def test_a_block_that_nobody_would_take_is_not_even_signed(parts):
    with pytest.raises(LocalProtocolError):
        block(**parts)


def test_a_lamport_counter_at_its_end_does_not_silence_us():
    assert block(lamport=2**64).header.lamport == MAX_LAMPORT


def test_skip_links_are_those_of_bamboo():
    below = [0, 1, 2, 1, 4, 5, 6, 4, 8, 9, 10, 8, 4]
    second = [13, 14, 15, 13, 17, 18, 19, 17, 21, 22, 23, 21, 13]
    third = [26, 27, 28, 26, 30, 31, 32, 30, 34, 35, 36, 34, 26, 13]
    assert [skip_of(n) for n in range(1, 41)] == [*below, *second, *third]


@given(SEQUENCES)
def test_a_skip_link_goes_back_and_no_two_cross(sequence):
    skipped = skip_of(sequence)
    assert 0 <= skipped < sequence
    for between in range(max(skipped + 1, sequence - 50), sequence):
        assert skip_of(between) >= skipped


@given(SEQUENCES, SEQUENCES)
def test_a_path_is_short_and_each_step_is_a_link(one, other):
    older, newer = sorted((one, other))
    steps = path(newer, older)
    assert (steps[0], steps[-1]) == (newer, older)
    assert len(steps) <= MAX_PATH
    assert len(steps) <= 4 * newer.bit_length() + 1
    for above, below in pairwise(steps):
        assert below in (above - 1, skip_of(above))


def test_no_path_is_shorter():
    for newer in (40, 97, 121, 130):
        distance, waiting = {newer: 1}, deque([newer])
        while waiting:
            at = waiting.popleft()
            for below in {at - 1, skip_of(at)} - distance.keys() - {0}:
                distance[below] = distance[at] + 1
                waiting.append(below)
        assert [len(path(newer, older)) for older in range(1, newer + 1)] == [
            distance[older] for older in range(1, newer + 1)
        ]


@given(st.integers(1, 130), st.integers(1, 130))
def test_a_proof_joins_any_two_blocks(one, other):
    older, newer = sorted((one, other))
    proof = [BLOCKS[sequence].header for sequence in path(newer, older)]
    check_path(proof)
    for left_out in range(1, len(proof) - 1):
        with pytest.raises(RemoteProtocolError, match="link"):
            check_path(proof[:left_out] + proof[left_out + 1 :])


def test_a_proof_of_another_log_device_or_order_is_refused():
    proof = [BLOCKS[sequence].header for sequence in path(100, 1)]
    strangers = (log_of(1, log=bytes(16))[1], log_of(1, OTHER)[1])
    bad = [
        [],
        [*proof[::-1]],
        [*proof[:-1], strangers[0].header],
        [*proof[:-1], strangers[1].header],
        [proof[0], *proof],
        [proof[0]] * (MAX_PATH + 1),
    ]
    for headers in bad:
        with pytest.raises(RemoteProtocolError, match="path"):
            check_path(headers)


def test_each_signature_of_a_proof_is_verified():
    proof = [BLOCKS[sequence].header for sequence in path(100, 1)]
    for at in range(len(proof)):
        unsigned = proof[at]._replace(signature=bytes(64))
        with pytest.raises(RemoteProtocolError, match="signature"):
            check_path([*proof[:at], unsigned, *proof[at + 1 :]])


def test_there_is_no_path_to_what_is_newer_or_is_not_there():
    for newer, older in [(1, 2), (1, 0), (0, 0), (MAX_SEQUENCE + 1, 1)]:
        with pytest.raises(LocalProtocolError):
            path(newer, older)
