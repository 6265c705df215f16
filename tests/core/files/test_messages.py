"""The messages of stream 5: three laws, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.files import messages, runs
from meshpeer.core.files.messages import (
    KINDS,
    MAX_PAGES,
    PAGE0,
    ROOT,
    Ask,
    Cancel,
    Coming,
    Forget,
    Have,
    Hold,
    No,
    Seek,
    Slow,
    Why,
)
from meshpeer.core.files.runs import MAX_CHUNKS
from meshpeer.errors import RemoteProtocolError

handles = st.integers(0, 2**32 - 1)
parts = (
    st.integers(0, MAX_CHUNKS - 1)
    | st.integers(PAGE0, PAGE0 + MAX_PAGES - 1)
    | st.just(ROOT)
)
sets = st.sets(st.integers(0, MAX_CHUNKS - 1), max_size=200)


def listed(item):
    return st.lists(item, min_size=1, max_size=50).map(tuple)


def chunks(members):
    return sum(1 << member for member in members)


told_runs = sets.map(lambda members: tuple(runs.to_runs(chunks(members))))
every = st.one_of(
    st.builds(Seek, listed(st.tuples(handles, st.binary(min_size=16, max_size=16)))),
    st.builds(Hold, listed(handles)),
    st.builds(Have, handles, told_runs),
    st.builds(Coming, handles, told_runs),
    st.builds(Ask, listed(st.tuples(handles, parts))),
    st.builds(No, listed(st.tuples(handles, parts, st.sampled_from(Why)))),
    st.builds(Cancel, listed(st.tuples(handles, parts))),
    st.builds(Forget, listed(handles)),
    st.builds(Slow, listed(handles)),
)


@given(every)
def test_decoding_undoes_encoding(message):
    ((number, body),) = messages.Frames().feed(messages.pack(message))
    assert messages.unpack(number, body) == message


@given(st.sampled_from([kind.number for kind in KINDS]), st.binary(max_size=300))
def test_noise_gives_a_message_of_one_form_or_a_protocol_error(number, noise):
    try:
        message = messages.unpack(number, noise)
    except RemoteProtocolError:
        return
    ((_, body),) = messages.Frames().feed(messages.pack(message))
    assert body == noise


@given(sets)
def test_sets_and_runs_are_the_same(members):
    told = runs.to_runs(chunks(members))
    assert runs.from_runs(told) == chunks(members)
    assert runs.members(chunks(members)) == sorted(members)
    assert all(end < start for end, start in _gaps(told))


def _gaps(told):
    return [(first + length, after) for (first, length), (after, _) in pairwise(told)]


@given(sets, st.integers(1, MAX_CHUNKS))
def test_sets_and_bitmaps_are_the_same_up_to_the_count(members, count):
    inside = {member for member in members if member < count}
    bitmap = runs.to_bitmap(chunks(inside), count)
    assert len(bitmap) == (count + 7) // 8
    assert runs.from_bitmap(bitmap, count) == chunks(inside)
    full = b"\xff" * len(bitmap)
    assert runs.from_bitmap(full, count) == runs.everything(count)


@given(sets.filter(bool), st.integers(0, MAX_CHUNKS - 1))
def test_the_first_chunk_from_a_place_on(members, start):
    later = [member for member in members if member >= start]
    assert runs.first_from(chunks(members), start) == min(later or members)


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (1, b""),
        (1, bytes(19)),
        (2, b""),
        (2, bytes(3)),
        (3, bytes(3)),
        (3, bytes(4) + b"\x00\x00"),
        (3, bytes(4) + b"\x00\x01\x00\x01"),
        (3, bytes(4) + b"\x83\xff\x7f\x02"),
        (4, bytes(4) + b"\x00"),
        (5, (7).to_bytes(4) + (65_536).to_bytes(4)),
        (5, (7).to_bytes(4) + (PAGE0 + 64).to_bytes(4)),
        (6, (7).to_bytes(4) + bytes(4) + b"\x04"),
        (8, bytes(5)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_malformed_is_refused(number, body):
    with pytest.raises(RemoteProtocolError):
        messages.unpack(number, body)


def test_what_we_do_not_know_is_skipped():
    assert messages.unpack(99, b"from the future") is None


def test_the_largest_sets_go_in_messages_that_are_not_too_large():
    every_other = sum(1 << chunk for chunk in range(0, MAX_CHUNKS, 2))
    told = runs.to_runs(every_other)
    for at in range(0, len(told), messages.RUNS_AT_ONCE):
        some = Have(1, tuple(told[at : at + messages.RUNS_AT_ONCE]))
        ((number, body),) = messages.Frames().feed(messages.pack(some))
        assert messages.unpack(number, body) == some
