"""Manifests: one id for equal bytes, chunks that are checked alone, and roots that lie."""

import tracemalloc
from struct import pack

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.manifest import (
    CHUNK,
    MAX_CHUNKS,
    MAX_FILE,
    MAX_MANIFEST,
    MAX_ROOT,
    PAGE,
    Manifest,
    Root,
    chunk_hash,
    chunk_size_for,
    want_tag,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

EDGES = [
    *(0, 1, CHUNK - 1, CHUNK, CHUNK + 1),
    *(PAGE * CHUNK - 1, PAGE * CHUNK, PAGE * CHUNK + 1, 2 * PAGE * CHUNK + 1),
    *(MAX_CHUNKS * CHUNK, MAX_CHUNKS * CHUNK + 1, MAX_FILE - 1, MAX_FILE),
]
SIZES = st.integers(0, 20 * CHUNK) | st.integers(0, MAX_FILE) | st.sampled_from(EDGES)


def count_of(size):
    return -(-size // chunk_size_for(size))


def manifest_of(size, seed=b""):
    """A manifest of a file that nobody has: any hashes do."""
    return Manifest(size, blake3(b"%d" % size + seed).digest(length=32 * count_of(size)))


def root(version=1, levels=1, exponent=18, size=CHUNK, hashes=bytes(32)):
    """A root as anybody can write one, with its id."""
    data = pack(">BBBQ", version, levels, exponent, size) + hashes
    return chunk_hash(data), data


@given(SIZES)
def test_a_manifest_survives_its_bytes(size):
    manifest = manifest_of(size)
    again = Manifest.from_bytes(manifest.id, manifest.to_bytes())
    assert again == manifest
    assert (again.hashes, again.pages) == (manifest.hashes, manifest.pages)
    assert len(manifest.to_bytes()) <= MAX_MANIFEST


@given(SIZES)
def test_chunks_cover_the_file_and_are_not_too_many(size):
    manifest = manifest_of(size)
    assert manifest.count <= MAX_CHUNKS
    assert manifest.chunk_size.bit_count() == 1
    if manifest.count:
        last = manifest.count - 1
        assert 1 <= manifest.chunk_length(last) <= manifest.chunk_size
        assert last * manifest.chunk_size + manifest.chunk_length(last) == size
        assert manifest.hash_of(last) == manifest.hashes[-32:]


def test_chunks_double_where_a_file_would_have_too_many():
    assert chunk_size_for(0) == chunk_size_for(16 * 2**30) == CHUNK
    assert chunk_size_for(16 * 2**30 + 1) == chunk_size_for(32 * 2**30) == 2 * CHUNK
    assert chunk_size_for(MAX_FILE) == 16 * 2**20


@given(SIZES)
def test_a_root_takes_its_pages_in_any_order_and_no_others(size):
    manifest = manifest_of(size)
    root = Root.parse(manifest.id, manifest.root)
    assert root.page_count == len(manifest.pages)
    assert root.count == manifest.count
    for index in reversed(range(root.page_count)):
        page = manifest.pages[index]
        assert index in root.missing
        for wrong in (page[:-1], page + b"x", bytes(len(page)), b""):
            with pytest.raises(RemoteProtocolError, match="page"):
                root.accept(index, wrong)
        with pytest.raises(LocalProtocolError):
            root.manifest()
        root.accept(index, page)
    assert root.manifest() == manifest
    for outside in (-1, root.page_count, 2**31):
        with pytest.raises(RemoteProtocolError, match="page"):
            root.accept(outside, bytes(32 * PAGE))


def test_a_page_is_not_taken_in_another_place():
    manifest = manifest_of(3 * PAGE * CHUNK)
    root = Root.parse(manifest.id, manifest.root)
    with pytest.raises(RemoteProtocolError, match="page"):
        root.accept(0, manifest.pages[1])


def test_each_chunk_is_checked_alone():
    chunks = [b"a" * CHUNK, b"b" * CHUNK, b"c" * 7]
    manifest = Manifest(2 * CHUNK + 7, b"".join(map(chunk_hash, chunks)))
    for index, data in enumerate(chunks):
        manifest.check(index, data)
        for wrong in (data[:-1], data + b"x", b"x" + data[1:], chunks[index - 1]):
            with pytest.raises(RemoteProtocolError, match="chunk"):
                manifest.check(index, wrong)
    for outside in (-1, 3):
        with pytest.raises(RemoteProtocolError, match="chunk"):
            manifest.check(outside, chunks[0])


def test_an_empty_file_has_a_manifest_and_no_chunks():
    manifest = Manifest(0, b"")
    assert (manifest.count, manifest.pages) == (0, [])
    assert Manifest.from_bytes(manifest.id, manifest.to_bytes()) == manifest


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("size", {"size": 2**60, "exponent": 44}),
        ("size", {"size": 2**60}),
        ("size", {"size": 2**64 - 1, "exponent": 63}),
        ("size", {"size": MAX_FILE + 1, "levels": 2, "exponent": 24}),
        ("chunk size", {"exponent": 17}),
        ("chunk size", {"exponent": 19}),
        ("chunk size", {"exponent": 255}),
        ("chunk size", {"exponent": 0}),
        ("chunk size", {"size": MAX_FILE, "levels": 2, "exponent": 18}),
        ("root", {"hashes": b""}),
        ("root", {"hashes": bytes(64)}),
        ("root", {"hashes": bytes(31)}),
        ("root", {"size": CHUNK + 1}),
        ("root", {"size": 0}),
        ("root", {"size": MAX_FILE, "levels": 2, "exponent": 24, "hashes": bytes(63 * 32)}),
        ("root", {"size": MAX_FILE, "levels": 2, "exponent": 24, "hashes": bytes(65 * 32)}),
        ("levels", {"levels": 0}),
        ("levels", {"levels": 2}),
        ("levels", {"levels": 3}),
        ("levels", {"size": PAGE * CHUNK, "levels": 2}),
        ("levels", {"size": PAGE * CHUNK + 1, "levels": 1, "hashes": bytes(1024 * 32)}),
        ("version", {"version": 0}),
        ("version", {"version": 2}),
        ("root", {"hashes": bytes(MAX_ROOT)}),
    ],
)
def test_a_root_that_breaks_a_rule_is_refused_though_the_file_is_named_by_it(field, parts):
    file_id, data = root(**parts)
    with pytest.raises(RemoteProtocolError) as refusal:
        Root.parse(file_id, data)
    assert refusal.value.field == field
    with pytest.raises(RemoteProtocolError):
        Manifest.from_bytes(file_id, data)


def test_writing_a_root_by_hand_is_right_apart_from_the_broken_rule():
    file_id, data = root()
    assert Root.parse(file_id, data).manifest().count == 1


def test_a_claim_of_much_reserves_nothing():
    claims = [root(size=2**60, exponent=exponent) for exponent in range(256)]
    tracemalloc.start()
    try:
        for file_id, data in claims:
            with pytest.raises(RemoteProtocolError):
                Manifest.from_bytes(file_id, data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_another_files_root_is_refused():
    one, other = manifest_of(CHUNK), manifest_of(CHUNK, b"other")
    with pytest.raises(RemoteProtocolError, match="another file"):
        Root.parse(one.id, other.root)
    with pytest.raises(RemoteProtocolError, match="another file"):
        Manifest.from_bytes(one.id, other.to_bytes())


def test_a_manifest_that_is_cut_or_longer_is_refused():
    manifest = manifest_of(2 * PAGE * CHUNK + 1)
    data = manifest.to_bytes()
    pages = manifest.pages
    for wrong in (
        b"",
        data[:10],
        data[:-1],
        data + b"x",
        manifest.root,
        manifest.root + pages[1] + pages[0] + pages[2],
        bytes(MAX_MANIFEST + 1),
    ):
        with pytest.raises(RemoteProtocolError):
            Manifest.from_bytes(manifest.id, wrong)


@given(st.binary(max_size=200))
def test_noise_gives_a_manifest_or_a_protocol_error(noise):
    for file_id in (chunk_hash(noise), bytes(32)):
        try:
            manifest = Manifest.from_bytes(file_id, noise)
        except RemoteProtocolError:
            continue
        assert manifest.to_bytes() == noise


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, b""), (0, bytes(32)), (-1, b""), (CHUNK + 1, bytes(32))]
)
def test_hashes_that_do_not_fit_the_size_are_our_own_mistake(size, hashes):
    with pytest.raises(LocalProtocolError):
        Manifest(size, hashes)


def test_a_file_too_large_is_our_own_mistake_too():
    with pytest.raises(LocalProtocolError):
        manifest_of(MAX_FILE + 1)


def test_the_tag_of_a_want_does_not_name_the_file():
    assert len(want_tag(bytes(32))) == 16
    assert want_tag(bytes(32)) != want_tag(b"\x01" + bytes(31))
