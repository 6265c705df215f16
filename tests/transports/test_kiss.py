"""KISS: what is written is read again, and a line's noise is only counted."""

import os
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.errors import LocalProtocolError, RemoteProtocolError
from transports.adhoc.kiss import FEND, FESC, Command, Decoder, Frame, decode, encode

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "2000"))
LIMIT = 504
ports = st.integers(0, 15)
special = st.lists(st.sampled_from((FEND, FESC, 0xDC, 0xDD, 0, 65))).map(bytes)
contents = st.one_of(st.binary(max_size=LIMIT), special)


def read(line, limit=LIMIT, cuts=()):
    """What a decoder makes of a line that comes in pieces, and what it counted."""
    counters = Counter()
    decoder, frames, at = Decoder(limit, counters), [], 0
    for cut in (*sorted(cuts), len(line)):
        frames += decoder.feed(line[at:cut])
        at = max(at, cut)
    return frames, counters


def test_the_example_of_the_paper():
    assert encode(b"\xc0\xdb", port=0) == bytes.fromhex("c0 00 dbdc dbdd c0")
    assert encode(b"TEST", port=5) == b"\xc0\x50TEST\xc0"
    assert encode(b"\x1e", command=Command.TXDELAY) == b"\xc0\x01\x1e\xc0"


@given(contents, ports, ports)
def test_decode_undoes_encode(content, port, command):
    line = encode(content, port=port, command=command)
    assert line[0] == line[-1] == FEND
    assert FEND not in line[1:-1]
    assert decode(line[1:-1]) == Frame(port, command, content)


@given(st.binary(max_size=64) | special)
def test_noise_is_a_frame_in_its_one_form_or_an_error(noise):
    try:
        frame = decode(noise)
    except RemoteProtocolError:
        return
    assert encode(frame.content, port=frame.port, command=frame.command)[1:-1] == noise


@given(st.lists(contents, max_size=6), st.lists(st.integers(0, 3_000), max_size=8))
def test_a_line_in_any_pieces_gives_the_same_frames(sent, cuts):
    line = b"".join(map(encode, sent))
    frames, counters = read(line, cuts=cuts)
    assert [frame.content for frame in frames] == sent
    assert not counters


@given(st.binary(max_size=300), contents)
def test_after_noise_a_whole_frame_is_read(noise, content):
    frames, _ = read(noise + encode(content))
    assert frames[-1].content == content


def test_what_a_line_opened_in_the_middle_says_first_is_no_frame():
    frames, counters = read(b"half a frame\xc0" + encode(b"whole"))
    assert [frame.content for frame in frames] == [b"whole"]
    assert not counters


def test_a_frame_without_end_takes_no_memory():
    counters = Counter()
    decoder = Decoder(LIMIT, counters)
    list(decoder.feed(b"\xc0"))
    for _ in range(1_000):
        assert not list(decoder.feed(b"x" * 4_096))
        assert len(decoder._data) <= 2 * (LIMIT + 1)
    assert counters == {"dropped: length": 1}
    assert [frame.content for frame in decoder.feed(b"\xc0" + encode(b"next"))] == [b"next"]


def test_a_frame_may_be_as_long_as_agreed_and_no_longer():
    for content in (b"x" * LIMIT, b"\xc0" * LIMIT):
        assert read(encode(content))[0][0].content == content
    for content in (b"x" * (LIMIT + 1), b"\xc0" * (LIMIT + 1), b"x" * (3 * LIMIT)):
        assert read(encode(content)) == ([], {"dropped: length": 1})


@pytest.mark.parametrize("wrong", [{"port": 16}, {"port": -1}, {"command": 16}])
def test_what_no_frame_can_say(wrong):
    with pytest.raises(LocalProtocolError):
        encode(b"x", **wrong)


def test_mutated_lines_raise_nothing_and_keep_nothing():
    random = Random(6)
    counters = Counter()
    decoder = Decoder(LIMIT, counters)
    seen = 0
    for _ in range(MUTATIONS):
        line = bytearray(
            encode(random.randbytes(random.randrange(80)), port=random.randrange(16))
        )
        for _ in range(random.randrange(4)):
            at = random.randrange(len(line))
            match random.randrange(4):
                case 0:
                    line[at] = random.choice(
                        (FEND, FESC, 0xDC, 0xDD, random.randrange(256))
                    )
                case 1:
                    del line[at:]
                    line.append(random.randrange(256))
                case 2:
                    line[at:at] = random.randbytes(random.randrange(1, 2_000))
                case 3:
                    line[at:at] = line[: random.randrange(at + 1)]
        for frame in decoder.feed(bytes(line)):
            seen += 1
            assert len(frame.content) <= LIMIT
        assert len(decoder._data) <= 2 * (LIMIT + 1)
    assert seen > MUTATIONS // 2
    assert set(counters) <= {"dropped: kiss", "dropped: length"}
