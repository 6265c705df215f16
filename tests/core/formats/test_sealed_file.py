"""Sealed files: only whole, in order, to the end, and only with the key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.formats.manifest import CHUNK, MAX_FILE, chunk_size_for
from meshpeer.core.formats.sealed_file import (
    SLICE,
    open_chunk,
    plain_chunk,
    plain_size,
    seal_chunk,
    sealed_size,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
SIZES = [0, 1, SLICE - 1, SLICE, SLICE + 1, CHUNK, 2 * SLICE, 3 * SLICE + 5]
LARGE = st.integers(0, MAX_FILE // 2)


def content(size):
    return bytes(range(251)) * (size // 251) + bytes(size % 251)


def sealed(data, key=KEY, chunk_size=CHUNK):
    step = plain_chunk(chunk_size)
    parts = [data[at : at + step] for at in range(0, max(1, len(data)), step)]
    return [
        seal_chunk(key, index, index == len(parts) - 1, part, chunk_size)
        for index, part in enumerate(parts)
    ]


def opened(chunks, key=KEY, chunk_size=CHUNK):
    last = len(chunks) - 1
    return b"".join(
        open_chunk(key, index, index == last, chunk, chunk_size)
        for index, chunk in enumerate(chunks)
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_size", [CHUNK, 2 * CHUNK, 4 * CHUNK])
def test_a_file_comes_out_as_it_went_in(size, chunk_size):
    data = content(size)
    chunks = sealed(data, chunk_size=chunk_size)
    assert opened(chunks, chunk_size=chunk_size) == data
    assert b"".join(chunks) == b"".join(sealed(data))
    assert all(len(chunk) == chunk_size for chunk in chunks[:-1])


@pytest.mark.parametrize("size", SIZES)
def test_the_sizes_are_told_beforehand(size):
    assert len(b"".join(sealed(content(size)))) == sealed_size(size)


@given(LARGE)
def test_a_size_comes_back(size):
    assert plain_size(sealed_size(size)) == size


@given(st.integers(0, 4 * CHUNK) | LARGE)
def test_a_size_that_no_sealed_file_has_is_refused(size):
    try:
        plain = plain_size(size)
    except RemoteProtocolError:
        return
    assert sealed_size(plain) == size


@given(LARGE)
def test_a_chunk_of_any_file_holds_whole_slices(size):
    assert chunk_size_for(sealed_size(size)) % CHUNK == 0


@settings(max_examples=20)
@given(st.binary(max_size=300), st.integers(0, 5_000))
def test_the_same_key_and_bytes_give_the_same_sealed_file(data, at):
    assert sealed(data) == sealed(data)
    assert sealed(data) != sealed(data, OTHER_KEY)
    changed = bytearray(sealed(data)[0])
    changed[at % len(changed)] ^= 1
    with pytest.raises(RemoteProtocolError, match="does not open"):
        open_chunk(KEY, 0, True, bytes(changed))


def test_a_file_that_was_cut_does_not_open():
    chunks = sealed(content(3 * SLICE))
    for fewer in (chunks[:-1], chunks[1:], chunks[:1]):
        with pytest.raises(RemoteProtocolError):
            opened(fewer)
    with pytest.raises(RemoteProtocolError):
        opened([*chunks[:-1], chunks[-1][:-1]])


def test_chunks_that_were_moved_or_repeated_do_not_open():
    one, two, three = sealed(content(3 * SLICE))
    for order in ([two, one, three], [one, three, two], [one, one, three], [one, two, two]):
        with pytest.raises(RemoteProtocolError, match="does not open"):
            opened(order)


def test_slices_moved_within_a_large_chunk_do_not_open():
    whole = sealed(content(4 * SLICE), chunk_size=2 * CHUNK)
    swapped = whole[0][CHUNK:] + whole[0][:CHUNK]
    with pytest.raises(RemoteProtocolError):
        open_chunk(KEY, 0, False, swapped, 2 * CHUNK)


def test_nothing_can_be_added_to_the_end():
    (only,) = sealed(b"all of it")
    with pytest.raises(RemoteProtocolError):
        open_chunk(KEY, 0, False, only.ljust(CHUNK, b"x"))
    with pytest.raises(RemoteProtocolError):
        open_chunk(KEY, 0, True, only + b"x")


def test_another_key_opens_nothing():
    with pytest.raises(RemoteProtocolError, match="does not open"):
        opened(sealed(b"secret"), OTHER_KEY)


@pytest.mark.parametrize("last", [True, False])
@given(noise=st.binary(max_size=100))
def test_noise_does_not_open(last, noise):
    with pytest.raises(RemoteProtocolError, match="sealed"):
        open_chunk(KEY, 0, last, noise)


def test_too_long_a_chunk_is_not_even_tried():
    with pytest.raises(RemoteProtocolError, match="bytes in chunk"):
        open_chunk(KEY, 0, True, bytes(CHUNK + 1))


def test_a_slice_of_a_wrong_size_or_a_short_key_is_our_own_mistake():
    for bad in (bytes(SLICE + 1), bytes(SLICE - 1)):
        with pytest.raises(LocalProtocolError):
            seal_chunk(KEY, 0, False, bad)
    with pytest.raises(LocalProtocolError):
        seal_chunk(KEY[1:], 0, True, b"")
