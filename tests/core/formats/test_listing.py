"""Listings: what a stranger may make our file system do, which is nothing."""

import tracemalloc
from unicodedata import normalize

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.cbor import encode
from meshpeer.core.formats.listing import (
    MAX_ENTRIES,
    MAX_FOLDERS,
    MAX_LEVELS,
    MAX_LISTING,
    MAX_PATH,
    Entry,
    Listing,
    path_fault,
)
from meshpeer.core.formats.manifest import MAX_FILE
from meshpeer.core.formats.message import MAX_WRITTEN
from meshpeer.errors import RemoteProtocolError, UsageError

FILE = bytes(range(32))
PARTS = st.text(
    st.characters(
        exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters="/\\"
    ),
    min_size=1,
    max_size=8,
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ENTRIES = st.builds(
    Entry,
    PATHS,
    st.integers(0, MAX_FILE),
    st.binary(min_size=32, max_size=32),
    st.booleans(),
    st.integers(0, MAX_WRITTEN),
)


def signed_anyway(*paths):
    """A listing with these paths, as anybody can write one."""
    return encode([[path, 1, FILE, False, 0] for path in paths])


@given(st.lists(ENTRIES, max_size=8))
def test_a_listing_survives_its_bytes(entries):
    try:
        listing = Listing.of(entries)
    except UsageError:
        return
    assert Listing.parse(listing.to_bytes()) == listing
    assert listing.to_bytes() == encode([list(entry) for entry in listing.entries])
    assert listing.total == sum(entry.size for entry in entries)


@given(st.binary(max_size=100) | st.lists(ENTRIES, max_size=3).map(cbor2.dumps))
def test_noise_gives_a_listing_or_a_protocol_error(noise):
    try:
        listing = Listing.parse(noise)
    except RemoteProtocolError:
        return
    assert listing.to_bytes() == noise


def test_ordinary_names_of_many_languages_can_be_listed():
    paths = [
        "README.md",
        ".hidden",
        "Füße/ß.txt",
        "a b/c.tar.gz",
        "console/command.com",
        "com10",
        "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.txt",
        "\U0001f469\u200d\U0001f680.png",
        "what?/a:b*.txt",
        "...x",
        "nul-and-void",
        "deep/" * (MAX_LEVELS - 1) + "file",
    ]
    listing = Listing.of([Entry(path, 5, FILE, True, 9) for path in paths])
    assert sorted(paths) == [entry.path for entry in listing.entries]
    assert Listing.parse(listing.to_bytes()) == listing
    assert Listing.parse(Listing.of([]).to_bytes()).entries == ()


BAD_PATHS = [
    "",
    "..",
    ".",
    "../x",
    "../../../etc/passwd",
    "a/../b",
    "a/./b",
    "a/..",
    "/etc/passwd",
    "//x",
    "a//b",
    "a/",
    "/",
    "C:\\x",
    "..\\x",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\x85b",
    "\u202etxt.exe",
    "a\u2066b",
    "a\u200eb",
    "a\u200bb",
    "a\ufeffb",
    "con",
    "CON",
    "con.txt",
    "Con .txt",
    "x/nul",
    "x/aux/y",
    "prn",
    "com1",
    "com0",
    "COM9.tar.gz",
    "com\u00b9",
    "lpt\u00b3.x",
    "conin$",
    "nul:stream",
    "a.",
    "a ",
    "a./b",
    "a /b",
    "a...",
    ".. ",
    ".meshpeer",
    ".meshpeer/x",
    ".MeshPeer/x",
    "a/.meshpeer/b",
    ".mesh\u200cpeer/x",
    "n" * 256,
    "\u00e4" * 128,
    "d/" * MAX_LEVELS + "file",
    "d/" * 100_000 + "file",
    "d" * 250 + ("/" + "d" * 250) * 16,
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: ascii(path)[:30])
def test_a_path_that_would_do_harm_is_refused(path):
    with pytest.raises(RemoteProtocolError):
        Listing.parse(signed_anyway(path))
    with pytest.raises(UsageError):
        Listing.of([Entry(path, 1, FILE)])
    assert path_fault(path) or not path


def test_one_bad_path_refuses_all():
    with pytest.raises(RemoteProtocolError, match="path"):
        Listing.parse(signed_anyway("../x", "good"))


@pytest.mark.parametrize(
    "paths",
    [
        ("A", "a"),
        ("README", "Readme"),
        ("a/B/c", "a/b/d"),
        ("A/x", "a/y"),
        (normalize("NFD", "\u00e9"), "\u00e9"),
        ("stra\u00dfe", "STRASSE"),
        ("\u03a3", "\u03c2"),
        ("a\u200db", "ab"),
        ("a", "a/b"),
        ("a", "a.txt", "a/b"),
        ("A", "a/b"),
        ("a/b", "a/b/c/d"),
        ("\u212a", "k"),
    ],
    ids=ascii,
)
def test_what_some_file_system_takes_for_one_is_refused(paths):
    with pytest.raises(RemoteProtocolError, match="same as"):
        Listing.parse(signed_anyway(*sorted(paths)))


@pytest.mark.parametrize("paths", [("b", "a"), ("a", "a"), ("a/b", "a.b"), ("\u00e9", "z")])
def test_paths_out_of_order_or_twice_are_refused(paths):
    with pytest.raises(RemoteProtocolError, match="order"):
        Listing.parse(signed_anyway(*paths))


@pytest.mark.parametrize(
    "entry",
    [
        ["a", 1, FILE, False],
        ["a", 1, FILE, False, 0, 0],
        ["a", -1, FILE, False, 0],
        ["a", MAX_FILE + 1, FILE, False, 0],
        ["a", 2**60, FILE, False, 0],
        ["a", 1, FILE[:-1], False, 0],
        ["a", 1, FILE + b"x", False, 0],
        ["a", 1, FILE.hex(), False, 0],
        ["a", 1, FILE, 0, 0],
        ["a", 1, FILE, None, 0],
        ["a", 1, FILE, False, -1],
        ["a", 1, FILE, False, MAX_WRITTEN + 1],
        ["a", 1, FILE, False, 1.5],
        ["a", True, FILE, False, 0],
        [b"a", 1, FILE, False, 0],
        [["a"], 1, FILE, False, 0],
        {"path": "a"},
        "a",
        None,
    ],
    ids=lambda entry: str(entry)[:40],
)
def test_an_entry_of_another_form_is_refused(entry):
    with pytest.raises(RemoteProtocolError):
        Listing.parse(cbor2.dumps([entry]))


def test_any_other_form_of_the_same_value_is_refused():
    good = signed_anyway("a")
    assert Listing.parse(good)
    again = [
        b"\x98\x01" + good[1:],
        b"\x9f" + good[1:] + b"\xff",
        good.replace(b"\x61a", b"\x78\x01a"),
        good.replace(b"\x61a\x01", b"\x61a\x18\x01"),
        good.replace(b"\x61a\x01", b"\x61a\x1b" + bytes(7) + b"\x01"),
        good.replace(b"\x58\x20", b"\x59\x00\x20"),
        good + b"\x00",
        good[:-1],
        good[:20],
        b"",
        b"\x81" * 100_000,
        b"\xc0" + good,
        good.replace(b"\x61a", b"\x62\xed\xa0"),
    ]
    for data in again:
        with pytest.raises(RemoteProtocolError):
            Listing.parse(data)


def test_a_million_entries_are_refused_before_one_is_read():
    entry = signed_anyway("a")[1:]
    many = b"\x9a" + (1_000_000).to_bytes(4) + entry * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="limit"):
            Listing.parse(many[:MAX_LISTING])
        with pytest.raises(RemoteProtocolError, match="limit"):
            Listing.parse(b"\x9b" + b"\xff" * 8 + entry)
        with pytest.raises(RemoteProtocolError):
            Listing.parse(b"\x81" * 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()


def test_too_long_a_listing_is_not_even_read():
    with pytest.raises(RemoteProtocolError, match="limit"):
        Listing.parse(bytes(MAX_LISTING + 1))


def test_as_many_entries_as_may_be():
    entries = [Entry(f"{n // 1000:03}/{n % 1000:03}", 1, FILE) for n in range(MAX_ENTRIES)]
    data = Listing.of(entries).to_bytes()
    assert len(Listing.parse(data).entries) == MAX_ENTRIES
    with pytest.raises(UsageError, match="limit"):
        Listing.of([*entries, Entry("z", 1, FILE)])


def test_folders_are_counted_and_cost_no_more_than_that():
    """64 levels in each of thousands of paths would be gigabytes, written out."""
    levels = ["x" * 60 + str(level) for level in range(40)]
    paths = sorted(f"{n:06}/" + "/".join(levels) for n in range(MAX_FOLDERS // 40 + 1))
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="folder too many"):
            Listing.parse(signed_anyway_fast(paths))
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()


def signed_anyway_fast(paths):
    return cbor2.dumps([[path, 1, FILE, False, 0] for path in paths])


def test_a_mtime_from_before_time_does_not_stop_a_publisher():
    listing = Listing.of([Entry("a", 1, FILE, mtime=-5), Entry("b", 1, FILE, mtime=2**60)])
    assert [entry.mtime for entry in listing.entries] == [0, MAX_WRITTEN]


def test_a_publisher_is_told_which_path_and_why():
    with pytest.raises(UsageError, match=r"'notes\.' has a part that ends with a dot"):
        Listing.of([Entry("notes.", 1, FILE)])
    with pytest.raises(UsageError, match="'a' would be the same as 'A'"):
        Listing.of([Entry("a", 1, FILE), Entry("A", 1, FILE)])


def test_a_path_of_the_longest_kind_is_fine():
    path = "/".join(["p" * 255] * 15) + "/" + "q" * 255
    assert len(path) == MAX_PATH - 1
    assert path_fault(path) == ""
    assert "bytes" in path_fault(path + "xx")


@pytest.mark.parametrize("paths", [("A", "M/x", "a"), ("M/x", "m"), ("A/x", "B/x", "a/y")])
def test_names_that_clash_are_found_with_a_folder_between_them(paths):
    data = cbor2.dumps([Entry(path, 1, FILE) for path in paths])
    with pytest.raises(RemoteProtocolError, match="some file systems"):
        Listing.parse(data)
    kept, others = Listing.fitting([Entry(path, 1, FILE) for path in paths])
    assert [entry.path for entry in kept.entries] == list(paths[:-1])
    assert [path for path, _ in others] == [paths[-1]]
