"""Control messages and transfers as bytes: round trips, one form, noise."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.broadcast.sessions import Announced, Missing
from meshpeer.core.formats.bundle import MAX_WIRE
from meshpeer.core.formats.receipt import ValueEntry
from meshpeer.core.sync import messages
from meshpeer.core.sync.messages import (
    KINDS,
    MAX_BODY,
    Code,
    Coming,
    Ended,
    Frames,
    Hello,
    Lack,
    Offer,
    Pause,
    Recon,
    Result,
    Resume,
    Run,
    Set,
    Values,
    Want,
    WantValues,
)
from meshpeer.core.sync.transfer import Partials, Transfer, Transfers, frame
from meshpeer.core.sync.varint import Reader, varint
from meshpeer.errors import RemoteProtocolError
from tests.core.sync.village import bundle

ids = st.binary(min_size=32, max_size=32)
values = st.binary(min_size=16, max_size=16)
starts = st.binary(min_size=8, max_size=8)
numbers = st.integers(0, 2**64 - 1)


def tuples(elements):
    return st.lists(elements, max_size=6).map(tuple)


B = bundle(1, size=5_000)
any_message = st.one_of(
    st.builds(Hello, tuples(starts), st.just(1), numbers),
    st.builds(Recon, st.sampled_from(Set), st.binary(max_size=200)),
    st.builds(Want, tuples(st.tuples(ids, numbers))),
    st.builds(Offer, ids, st.integers(50, 300_000), st.just(B.header)),
    st.builds(
        Result,
        tuples(
            st.builds(
                Run,
                st.integers(0, 4),
                numbers,
                st.integers(1, 2**64 - 1),
                st.sampled_from(Code),
            )
        ),
    ),
    st.builds(Values, tuples(st.builds(ValueEntry, values, st.integers(1, 840)))),
    st.builds(WantValues, tuples(values)),
    st.builds(Lack, tuples(ids)),
    st.builds(Coming, tuples(starts)),
    st.builds(
        Announced,
        starts.map(lambda start: start[:4]),
        ids,
        ids,
        st.integers(2_000, 327_000),
        st.integers(1, 2_000),
        st.integers(0, 86_400),
    ),
    st.builds(Missing, starts.map(lambda start: start[:4]), numbers, numbers),
    st.builds(Ended, starts.map(lambda start: start[:4])),
    st.just(Pause()),
    st.just(Resume()),
)


def test_numbers_and_names_are_used_once():
    assert len({kind.number for kind in KINDS}) == len({kind.name for kind in KINDS}) == 14


@given(st.lists(any_message, max_size=8), st.integers(1, 60))
@settings(max_examples=100)
def test_messages_survive_a_stream_cut_anywhere(said, step):
    wire = b"".join(messages.pack(message) for message in said)
    frames, heard = Frames(), []
    for at in range(0, len(wire), step):
        for number, body in frames.feed(wire[at : at + step]):
            heard.append(messages.unpack(number, body))
    assert heard == said


@given(st.integers(0, 255), st.binary(max_size=150))
@settings(max_examples=300)
def test_noise_is_a_message_in_its_one_form_or_refused(number, body):
    try:
        message = messages.unpack(number, body)
    except RemoteProtocolError:
        return
    if message is not None:
        assert messages.pack(message) == bytes((number,)) + varint(len(body)) + body


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (1, b""),
        (1, b"\2\0"),
        (1, b"\1\0" + bytes(7)),
        (1, b"\1\0" + bytes(8 * 257)),
        (2, b"\2abc"),
        (3, bytes(32)),
        (4, bytes(40)),
        (4, bytes(32) + varint(49) + B.header.wire),
        (5, bytes((5, 0, 1, 0))),
        (12, bytes(68) + varint(5_000) + varint(6_000) + b"\0"),
        (12, bytes(68) + varint(MAX_WIRE + 1) + varint(1_000) + b"\0"),
        (12, bytes(68) + varint(5_000) + varint(0) + b"\0"),
        (12, bytes(68) + varint(5_000) + varint(1_000) + b"\0\0"),
        (13, bytes(5)),
        (13, bytes(7)),
        (14, bytes(3)),
        (5, bytes((1, 0, 0, 0))),
        (5, bytes((1, 0, 1, 99))),
        (6, bytes(18)),
        (7, bytes(17)),
        (10, b"x"),
    ],
)
def test_a_malformed_body_is_refused(number, body):
    with pytest.raises(RemoteProtocolError):
        messages.unpack(number, body)


def test_a_frame_above_the_limit_ends_the_stream():
    with pytest.raises(RemoteProtocolError):
        list(Frames().feed(b"\1" + varint(MAX_BODY + 1)))


def test_a_list_of_any_length_fits_into_messages():
    parts = list(messages.chunks([b"i" * 32] * 5_000))
    assert sum(map(len, parts)) == 5_000
    assert all(len(messages.pack(Lack(part))) < MAX_BODY for part in parts)
    longest = messages.pack(Want(((b"i" * 32, 2**64 - 1),) * messages.LIST_AT_ONCE))
    assert len(longest) < MAX_BODY


def test_results_travel_in_runs():
    results = [(1, n, Code.DURABLE) for n in range(500)] + [(2, 7, Code.ROOM)]
    runs = messages.runs(reversed(results))
    assert runs == (Run(1, 0, 500, Code.DURABLE), Run(2, 7, 1, Code.ROOM))
    assert len(messages.pack(Result(runs))) == 11


@given(numbers)
def test_a_number_is_written_in_one_way(number):
    reader = Reader("test", varint(number))
    assert reader.varint() == number
    assert reader.finished
    with pytest.raises(RemoteProtocolError):
        Reader("test", b"\x80" + varint(number)).varint()


# -- transfers


@given(
    st.lists(st.sampled_from([1, 50, 4_096, 4_097, 9_000]), max_size=5),
    st.integers(1, 9_999),
)
@settings(max_examples=60)
def test_transfers_survive_a_stream_cut_anywhere(sizes, step):
    wires = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    stream = b"".join(frame(wire, b"i" * 32, 0) for wire in wires)
    transfers, came = Transfers(), []
    for at in range(0, len(stream), step):
        came += transfers.feed(stream[at : at + step], 0.0)
    assert [transfer.piece for transfer in came] == wires


def test_a_small_bundle_has_two_bytes_around_it():
    assert len(frame(bytes(400), bytes(32), 0)) == 402


@pytest.mark.parametrize("head", [varint(0), varint(2 * 4_097), varint(2 * 400_000 + 1)])
def test_a_transfer_of_no_legal_size_ends_the_stream(head):
    with pytest.raises(RemoteProtocolError):
        list(Transfers().feed(head, 0.0))


@pytest.mark.parametrize("whole", [b"", frame(b"wire" * 20, b"i" * 32, 0)])
def test_of_a_stream_that_was_ended_nothing_is_kept(whole):
    transfers = Transfers()
    with pytest.raises(RemoteProtocolError):
        list(transfers.feed(whole + varint(1), 0.0))
    assert transfers.cut() is None


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_noise_gives_transfers_or_the_one_error(noise):
    transfers = Transfers()
    with suppress(RemoteProtocolError):
        list(transfers.feed(noise, 0.0))
    transfers.cut()


def test_what_was_cut_is_completed_by_whoever_has_the_rest():
    partials, wire, id = Partials(), bytes(range(256)) * 40, b"i" * 32
    transfers = Transfers()
    assert list(transfers.feed(frame(wire, id, 0)[:3_000], 5.0)) == []
    partials.keep(transfers.cut())
    offset = partials.offset(id)
    assert 2_900 < offset < 3_000
    (rest,) = Transfers().feed(frame(wire, id, offset), 900.0)
    assert partials.complete(rest) == (wire, 5.0)
    assert partials.offset(id) == 0


def test_each_transfer_is_as_old_as_its_first_byte():
    transfers, one = Transfers(), frame(bytes(5_000), b"i" * 32, 0)
    assert list(transfers.feed(one[:1], 1.0)) == []
    assert [came.since for came in transfers.feed(one[1:] + one + one[:9], 2.0)] == [
        1.0,
        2.0,
    ]
    assert [came.since for came in transfers.feed(one[9:], 3.0)] == [2.0]
    assert [came.since for came in transfers.feed(one, 4.0)] == [4.0]


def test_an_end_without_its_start_is_no_bundle():
    assert Partials().complete(Transfer(b"end", b"i" * 32, 500)) is None


def test_partials_are_bounded_and_keep_the_longer_start():
    partials = Partials(limit=1_000)
    partials.keep(Transfer(bytes(400), b"a" * 32, 0))
    partials.keep(Transfer(bytes(300), b"a" * 32, 0))
    assert partials.offset(b"a" * 32) == 400
    partials.keep(Transfer(bytes(100), b"a" * 32, 400))
    assert partials.offset(b"a" * 32) == 500
    partials.keep(Transfer(bytes(600), b"b" * 32, 0))
    assert (partials.offset(b"a" * 32), partials.offset(b"b" * 32)) == (0, 600)
    partials.keep(Transfer(bytes(40), b"c" * 32, 0))
    partials.keep(Transfer(bytes(90), b"d" * 32, 700))
    assert len(partials) == 1
