"""Messages: what is inside a seal, how small it stays, and who may not be impersonated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.attachment import MAX_ATTACHMENTS, Attachment
from meshpeer.core.formats.card import MAX_CARD
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.manifest import MAX_FILE
from meshpeer.core.formats.message import MAX_LAMPORT, MAX_TEXT, MAX_WRITTEN, Message
from meshpeer.core.identity.seal import pad
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

ADA, BOB, EVE = b"a" * 32, b"b" * 32, b"e" * 32
ATTACHMENTS = st.builds(
    Attachment,
    file=st.binary(min_size=32, max_size=32),
    size=st.integers(0, MAX_FILE),
    name=st.sampled_from(["photo.jpg", "Größe", "a b"]),
    media_type=st.sampled_from(["", "image/jpeg"]),
    key=st.binary(min_size=32, max_size=32),
)
MESSAGES = st.builds(
    Message,
    text=st.text(),
    lamport=st.integers(0, MAX_LAMPORT),
    written=st.integers(0, MAX_WRITTEN),
    kind=st.just("text") | st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    reply_to=st.none() | st.binary(min_size=16, max_size=16),
    card=st.none() | st.binary(min_size=1, max_size=50),
    attachments=st.lists(ATTACHMENTS, max_size=3, unique_by=lambda a: a.file).map(tuple),
    unknown=st.dictionaries(
        st.integers(9, 99) | st.integers(-99, -1), st.integers() | st.text()
    ),
).filter(
    lambda m: all(not isinstance(v, int) or abs(v) < 2**64 for v in m.unknown.values())
)
SMALL = Message("x" * 200, lamport=MAX_LAMPORT, written=1_800_000_000)


def body(message=SMALL):
    return message.to_bytes(sender=ADA, receiver=BOB)


def changed(**keys):
    parts = decode(body()) | {int(key[1:]): value for key, value in keys.items()}
    return encode({key: value for key, value in parts.items() if value is not ...})


@given(MESSAGES)
def test_what_is_written_is_read(message):
    read = Message.parse(body(message))
    assert read.is_between(ADA, BOB)
    assert body(read) == body(message)
    for name in (
        "text",
        "lamport",
        "written",
        "kind",
        "reply_to",
        "card",
        "attachments",
        "unknown",
    ):
        assert getattr(read, name) == getattr(message, name)


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.integers(0, 9), st.integers(0, 9)).map(encode)
)
def test_noise_gives_a_protocol_error(noise):
    with pytest.raises(RemoteProtocolError):
        Message.parse(noise)


def test_two_hundred_characters_fit_256_padded_bytes_with_the_message_id():
    assert len(pad(bytes(16) + body())) == 256


def test_a_card_that_names_anothers_sealing_key_does_not_take_over_her_messages():
    message = Message.parse(body())
    assert message.is_between(ADA, BOB)
    assert not message.is_between(EVE, BOB)
    assert not message.is_between(ADA, EVE)
    assert not message.is_between(BOB, ADA)


def test_a_counter_or_clock_driven_to_the_end_does_not_silence_us():
    read = Message.parse(body(Message("late", lamport=2**70, written=2**70)))
    assert (read.lamport, read.written) == (MAX_LAMPORT, MAX_WRITTEN)
    assert Message.parse(body(Message("early", lamport=0, written=-5))).written == 0


def test_the_longest_text_passes():
    text = "\u00e9" * (MAX_TEXT // 2)
    assert Message.parse(body(Message(text, lamport=0, written=0))).text == text
    with pytest.raises(LocalProtocolError):
        body(Message(text + "x", lamport=0, written=0))
    with pytest.raises(RemoteProtocolError, match="text"):
        Message.parse(changed(_4=text + "x"))


@pytest.mark.parametrize(
    ("field", "keys"),
    [
        ("version", {"_0": 2}),
        ("version", {"_0": True}),
        ("version", {"_0": ...}),
        ("between", {"_1": bytes(15)}),
        ("between", {"_1": ...}),
        ("lamport", {"_2": -1}),
        ("lamport", {"_2": MAX_LAMPORT + 1}),
        ("lamport", {"_2": True}),
        ("written", {"_3": MAX_WRITTEN + 1}),
        ("written", {"_3": None}),
        ("text", {"_4": b"bytes"}),
        ("text", {"_4": ...}),
        ("kind", {"_5": "text"}),
        ("kind", {"_5": ""}),
        ("kind", {"_5": "\x1b[2J"}),
        ("kind", {"_5": "a" * 33}),
        ("kind", {"_5": None}),
        ("reply", {"_6": bytes(17)}),
        ("reply", {"_6": None}),
        ("card", {"_7": b""}),
        ("card", {"_7": bytes(MAX_CARD + 1)}),
        ("card", {"_7": None}),
    ],
)
def test_what_breaks_a_rule_is_refused_by_its_field(field, keys):
    with pytest.raises(RemoteProtocolError) as refusal:
        Message.parse(changed(**keys))
    assert refusal.value.field == field


@pytest.mark.parametrize("value", [5, [], {"a": 1}, {**dict.fromkeys(range(5), 0), "a": 1}])
def test_what_is_no_message_at_all_is_refused(value):
    with pytest.raises(RemoteProtocolError, match="message"):
        Message.parse(encode(value))


@pytest.mark.parametrize(
    "parts",
    [
        {"kind": "No Kind"},
        {"reply_to": b"short"},
        {"card": bytes(MAX_CARD + 1)},
        {"unknown": {4: "another text"}},
        {"text": "\ud800"},
    ],
)
def test_what_can_not_be_said_is_our_own_bug(parts):
    message = Message(**({"text": "x", "lamport": 0, "written": 0} | parts))
    with pytest.raises(LocalProtocolError):
        body(message)


PHOTO = Attachment(b"f" * 32, 5_000, "photo.jpg", "image/jpeg", b"k" * 32)


def with_attachments(*attachments):
    return changed(_8=[list(attachment) for attachment in attachments])


def test_an_attachment_says_which_file_and_how_it_is_opened():
    message = Message.parse(with_attachments(PHOTO))
    assert message.attachments == (PHOTO,)
    other = PHOTO._replace(key=b"j" * 32)
    assert PHOTO.receipt != other.receipt, "who knows the file alone can't say that it came"


@pytest.mark.parametrize(
    "hostile",
    [
        with_attachments(),
        with_attachments(PHOTO._replace(name="../../.bashrc")),
        with_attachments(PHOTO._replace(name="photo\u202egpj.exe")),
        with_attachments(PHOTO._replace(size=2**60)),
        with_attachments(PHOTO._replace(size=-1)),
        with_attachments(PHOTO._replace(file=b"f")),
        with_attachments(PHOTO._replace(key=b"")),
        with_attachments(PHOTO._replace(media_type="Image/JPEG; x")),
        with_attachments(PHOTO, PHOTO._replace(name="the same")),
        with_attachments(
            *(PHOTO._replace(file=bytes([n]) * 32) for n in range(MAX_ATTACHMENTS + 1))
        ),
        changed(_8=[[b"f" * 32]]),
        changed(_8=[[b"f" * 32, True, "n", "", b"k" * 32]]),
        changed(_8={}),
    ],
)
def test_hostile_attachments_refuse_the_message(hostile):
    with pytest.raises(RemoteProtocolError, match="attachments"):
        Message.parse(hostile)
