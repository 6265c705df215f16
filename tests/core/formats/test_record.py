"""Records: each has one form, what a newer author adds is kept, and nothing acts on a screen."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.chain_writes import Item
from meshpeer.core.formats.block import MAX_BODY
from meshpeer.core.formats.card import MAX_CARD
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.listing import MAX_ENTRIES, MAX_LISTING
from meshpeer.core.formats.manifest import MAX_FILE
from meshpeer.core.formats.message import MAX_WRITTEN
from meshpeer.core.formats.record import (
    MAX_ATTACHMENTS,
    MAX_COUNT,
    MAX_DESCRIPTION,
    MAX_TEXT,
    Collection,
    Devices,
    File,
    FileRef,
    Follow,
    Key,
    Label,
    Post,
    Profile,
    Unknown,
    Withdraw,
    item_of,
    parse_record,
)
from meshpeer.core.formats.words import MAX_LANGUAGE, MAX_TAG, MAX_TAGS
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import RemoteProtocolError, UsageError

ID = bytes(range(32))
FULL = [
    Profile("Ada", "writes\nprograms", ID, written=5),
    Post(
        "The bridge is open.\n\tReally \u2709",
        ID,
        ("bridge", "news"),
        "pt-BR",
        (FileRef(ID, 7, "map.png", "image/png"), FileRef(ID, 0, "empty")),
        written=1_800_000_000,
    ),
    File(ID, MAX_FILE, "a b.tar.gz", "application/gzip", ("x",), "words", "en", written=1),
    Collection("photos", ID, 1000, 12, 2**40, ("x",), "words", "en", written=1),
    Withdraw(ID, written=1),
    Follow(ID, following=False, written=1),
    Label(ID, "person", -2, "loud", "He shouts.", written=1),
    Devices(b"a card", written=1),
    Key(KeyPair(b"k" * 32).public, 3, written=1),
    Unknown(99, {2: b"from", -1: ["a newer", None, True]}, 1),
]
SPARE = [
    Profile("Ada"),
    Post("hello"),
    Post("", attachments=(FileRef(ID, 1, "n"),)),
    File(ID, 0, "empty"),
    Collection("none", ID, 1, 0, 0),
    Follow(ID, following=True),
    Label(ID, "file"),
    Label(ID, "block", 0),
    Unknown(0, {}),
]
SHOWN = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
RECORDS = st.one_of(
    st.builds(
        Post,
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1),
        st.none() | st.binary(min_size=32, max_size=32),
        st.lists(SHOWN, max_size=4, unique=True).map(tuple),
        st.sampled_from(["", "en", "pt-BR", "zh-Hant-TW"]),
        written=st.integers(0, MAX_WRITTEN),
    ),
    st.builds(
        File,
        st.binary(min_size=32, max_size=32),
        st.integers(0, MAX_FILE),
        SHOWN,
        st.sampled_from(["", "text/plain", "application/vnd.x+json"]),
        written=st.integers(0, MAX_WRITTEN),
    ),
    st.builds(
        Label,
        st.binary(min_size=32, max_size=32),
        st.sampled_from(["block", "person", "file"]),
        st.none() | st.integers(-2, 2),
        SHOWN,
        unknown=st.dictionaries(st.integers(10, 2**64 - 1) | st.integers(-9, -1), SHOWN),
    ),
    st.builds(
        Unknown,
        st.integers(10, 2**32 - 1),
        st.dictionaries(st.integers(2, 9), st.integers(0, 9) | SHOWN, max_size=4),
        st.integers(0, MAX_WRITTEN),
    ),
)


def said(record, **changes):
    """A body as anybody can write one: `_2=...` sets key 2, None takes it away."""
    parts = decode(record.to_bytes())
    for name, value in changes.items():
        key = int(name.removeprefix("_"))
        if value is None:
            del parts[key]
        else:
            parts[key] = value
    return encode(parts)


@pytest.mark.parametrize("record", FULL + SPARE, ids=lambda record: type(record).__name__)
def test_a_record_survives_its_bytes(record):
    assert parse_record(record.to_bytes()) == record
    assert hash(parse_record(record.to_bytes())) == hash(record)


@given(RECORDS)
def test_any_record_survives_its_bytes(record):
    body = record.to_bytes()
    assert parse_record(body) == record
    assert parse_record(body).to_bytes() == body


@given(
    st.binary(max_size=80)
    | st.dictionaries(st.integers(0, 9), st.integers(0, 9) | st.binary() | SHOWN).map(
        encode
    )
)
def test_noise_gives_a_record_or_a_protocol_error(noise):
    try:
        record = parse_record(noise)
    except RemoteProtocolError:
        return
    assert record.to_bytes() == noise


@pytest.mark.parametrize("record", FULL, ids=lambda record: type(record).__name__)
def test_what_a_newer_author_adds_is_kept(record):
    if isinstance(record, Unknown):
        return
    newer = parse_record(said(record, _20=[1, "two"]))
    assert newer.unknown == {20: [1, "two"]}
    assert newer.to_bytes() == said(record, _20=[1, "two"])
    assert replace(newer, unknown={}) == record


@pytest.mark.parametrize("record", FULL + SPARE, ids=lambda record: type(record).__name__)
def test_each_field_has_its_type(record):
    parts = decode(record.to_bytes())
    if isinstance(record, Unknown):
        return
    wrong = [1.5, -(2**60), b"", b"short", "\x00", "\ud7ff" * 9000, True, [[]], [0], {0: 0}]
    for key in set(parts) - {0, 1}:
        for value in wrong:
            if type(value) is float or value == parts[key] or value is parts[key]:
                continue
            try:
                again = parse_record(encode(parts | {key: value}))
            except RemoteProtocolError:
                continue
            assert again.to_bytes() == encode(parts | {key: value})


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (Post("x"), {"_2": "a\x1b[2Jb"}),
        (Post("x"), {"_2": "a\rb"}),
        (Post("x"), {"_2": "a\x00b"}),
        (Post("x"), {"_2": "a\x9bb"}),
        (Post("x"), {"_2": "a\u2028b"}),
        (Post("x"), {"_2": "n" * (MAX_TEXT + 1)}),
        (Post("x"), {"_2": "\u00e4" * (MAX_TEXT // 2 + 1)}),
        (Post("x"), {"_2": b"x"}),
        (Post("x"), {"_2": ""}),
        (Post("x"), {"_2": None}),
        (Post("x"), {"_3": ID[1:]}),
        (Post("x"), {"_4": []}),
        (Post("x"), {"_4": ["a", "a"]}),
        (Post("x"), {"_4": ["t" * (MAX_TAG + 1)]}),
        (Post("x"), {"_4": ["t" * 30_000]}),
        (Post("x"), {"_4": [str(n) for n in range(MAX_TAGS + 1)]}),
        (Post("x"), {"_4": ["a\nb"]}),
        (Post("x"), {"_4": ["\u202eb"]}),
        (Post("x"), {"_4": [" a"]}),
        (Post("x"), {"_4": [""]}),
        (Post("x"), {"_4": [b"a"]}),
        (Post("x"), {"_4": "a"}),
        (Post("x"), {"_5": ""}),
        (Post("x"), {"_5": "EN"}),
        (Post("x"), {"_5": "english"}),
        (Post("x"), {"_5": "en\n"}),
        (Post("x"), {"_5": "en-" + "a" * 9}),
        (Post("x"), {"_5": "en" + "-ab" * MAX_LANGUAGE}),
        (Post("x"), {"_6": []}),
        (Post("x"), {"_6": [[ID, 1, "n"]]}),
        (Post("x"), {"_6": [[ID, 1, "n", "", 0]]}),
        (Post("x"), {"_6": [[ID, 1, "a/b", ""]]}),
        (Post("x"), {"_6": [[ID, 1, "..", ""]]}),
        (Post("x"), {"_6": [[ID, -1, "n", ""]]}),
        (Post("x"), {"_6": [[ID, True, "n", ""]]}),
        (Post("x"), {"_6": [[ID[1:], 1, "n", ""]]}),
        (Post("x"), {"_6": [[ID, 1, "n", ""]] * (MAX_ATTACHMENTS + 1)}),
        (File(ID, 1, "n"), {"_2": None}),
        (File(ID, 1, "n"), {"_3": 2**60}),
        (File(ID, 1, "n"), {"_3": -1}),
        (File(ID, 1, "n"), {"_4": ""}),
        (File(ID, 1, "n"), {"_4": "."}),
        (File(ID, 1, "n"), {"_4": ".."}),
        (File(ID, 1, "n"), {"_4": "../../.ssh/authorized_keys"}),
        (File(ID, 1, "n"), {"_4": "a\u200bb"}),
        (File(ID, 1, "n"), {"_4": "\u202egpj.exe"}),
        (File(ID, 1, "n"), {"_4": "n" * 256}),
        (File(ID, 1, "n"), {"_7": "d" * (MAX_DESCRIPTION + 1)}),
        (File(ID, 1, "n"), {"_8": "text"}),
        (File(ID, 1, "n"), {"_8": "Text/Plain"}),
        (File(ID, 1, "n"), {"_8": "text/plain\r\nx: y"}),
        (File(ID, 1, "n"), {"_8": "a/" + "b" * 127}),
        (Collection("n", ID, 1, 0, 0), {"_3": 0}),
        (Collection("n", ID, 1, 0, 0), {"_3": MAX_LISTING + 1}),
        (Collection("n", ID, 1, 0, 0), {"_8": MAX_ENTRIES + 1}),
        (Collection("n", ID, 1, 0, 0), {"_9": MAX_COUNT + 1}),
        (Collection("n", ID, 1, 0, 0), {"_9": None}),
        (Withdraw(ID), {"_2": b""}),
        (Withdraw(ID), {"_2": None}),
        (Follow(ID, following=True), {"_3": 1}),
        (Follow(ID, following=True), {"_3": None}),
        (Label(ID, "file"), {"_3": "thing"}),
        (Label(ID, "file"), {"_3": ["file"]}),
        (Label(ID, "file"), {"_4": 3}),
        (Label(ID, "file"), {"_4": -3}),
        (Label(ID, "file"), {"_4": True}),
        (Label(ID, "file"), {"_5": "w" * 256}),
        (Profile("Ada"), {"_2": "Ada\nadmin"}),
        (Profile("Ada"), {"_2": "n" * 65}),
        (Profile("Ada"), {"_3": ""}),
        (Profile("Ada"), {"_4": b""}),
        (Devices(b"c"), {"_2": b""}),
        (Devices(b"c"), {"_2": bytes(MAX_CARD + 1)}),
        (FULL[8], {"_2": bytes(32)}),
        (FULL[8], {"_2": b"\xff" * 32}),
        (FULL[8], {"_3": 0}),
        (Post("x"), {"_0": None}),
        (Post("x"), {"_0": -1}),
        (Post("x"), {"_0": 2**32}),
        (Post("x"), {"_0": True}),
        (Post("x"), {"_0": "post"}),
        (Post("x"), {"_1": None}),
        (Post("x"), {"_1": -1}),
        (Post("x"), {"_1": MAX_WRITTEN + 1}),
        (Post("x"), {"_1": True}),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_record_that_breaks_a_rule_is_refused(record, changes):
    body = said(record, **changes)
    with pytest.raises(RemoteProtocolError):
        parse_record(body)


@pytest.mark.parametrize(
    "body",
    [b"", encode([]), encode({"0": 1}), encode({0: 2, 1: 1, "x": 1}), bytes(MAX_BODY + 1)],
)
def test_what_is_no_map_of_integers_is_no_record(body):
    with pytest.raises(RemoteProtocolError, match="record"):
        parse_record(body)


def test_text_may_have_lines_and_be_written_from_right_to_left():
    for text in ("one\n\ttwo", "\u0634\u0644\u0627\u0645 \u200f(\u06a9)", "\u2067x\u2069"):
        assert parse_record(Post(text).to_bytes()).text == text


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Post(""), "text: is empty, and nothing is attached"),
        (Post("n" * (MAX_TEXT + 1)), "text: has 16385 bytes, limit 16384"),
        (Post("a\r\nb"), "control character"),
        (Post("x", language="english"), "language tag such as en"),
        (File(ID, 1, "a/b"), "name: has a slash"),
        (File(ID, 1, "n", "text"), "media type such as"),
        (File(ID, 1, "n", tags=("a", "a")), "different"),
        (Label(ID, "thing"), "block, file, person"),
        (Label(ID, "file", 5), "rating"),
        (Post("x", unknown={2: "y" * 40_000}), None),
        (Unknown(99, {2: "y" * 40_000}), "limit"),
        (Unknown(2, {2: ""}), "text"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_person_is_told_what_can_not_be_published(record, told):
    if told is None:
        assert parse_record(record.to_bytes()) == Post("x")
        return
    with pytest.raises(UsageError, match="this can't be published") as refusal:
        record.to_bytes()
    assert told in str(refusal.value)


def test_a_clock_that_is_wrong_by_centuries_does_not_silence_us():
    assert parse_record(Post("x", written=2**60).to_bytes()).written == MAX_WRITTEN
    assert parse_record(Post("x", written=-5).to_bytes()).written == 0


def test_the_longest_post_fits_a_block():
    post = Post(
        "n" * MAX_TEXT,
        ID,
        tuple(f"{n:02}".ljust(MAX_TAG, "\U0001f680") for n in range(MAX_TAGS)),
        "en",
        tuple(
            FileRef(ID, MAX_FILE, "n" * 255, "a/" + "b" * 125)
            for _ in range(MAX_ATTACHMENTS)
        ),
    )
    assert len(post.to_bytes()) <= MAX_BODY
    assert parse_record(post.to_bytes()) == post


def test_what_is_searched_for():
    assert item_of(FULL[0]) == Item("profile", "Ada", "writes\nprograms", written=5)
    assert item_of(FULL[1]) == Item(
        "post",
        "map.png empty",
        FULL[1].text,
        ("bridge", "news"),
        "pt-BR",
        "image/png",
        7,
        ID,
        ID,
        1_800_000_000,
    )
    assert item_of(FULL[2]) == Item(
        "file",
        "a b.tar.gz",
        "words",
        ("x",),
        "en",
        "application/gzip",
        MAX_FILE,
        ID,
        None,
        1,
    )
    assert item_of(FULL[3]) == Item(
        "collection", "photos", "words", ("x",), "en", "", 2**40, ID, None, 1
    )
    assert item_of(FULL[6]) == Item(
        "label", "loud", "He shouts.", size=-2, target=ID, written=1
    )
    assert item_of(Label(ID, "file", text="x")).size == 0
    assert item_of(SPARE[1]) == Item("post", "", "hello")


def test_what_nobody_searches_for():
    for record in (FULL[4], FULL[5], FULL[7], FULL[8], FULL[9]):
        assert item_of(record) is None


def test_each_field_of_a_record_is_written():
    for record in FULL[:-1]:
        names = {line.name for line in record.FIELDS} | {"written", "unknown"}
        assert names == {field.name for field in fields(record)}
        keys = [line.key for line in record.FIELDS]
        assert keys == list(range(2, 2 + len(keys)))
