"""Cards: what their signature covers, their three forms, and what no card may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.formats.block import MAX_SEQUENCE
from meshpeer.core.formats.card import (
    MAX_CARD,
    MAX_DEVICES,
    MAX_HINTS,
    MAX_LOGS,
    MAX_NUMBER,
    MAX_REVOKED,
    Card,
    Cut,
    Revocation,
    nickname_fault,
)
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.hint import MAX_HINT
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import LocalProtocolError, RemoteProtocolError, UsageError

PERSON = PersonKey(b"\x01" * 32)


def certificate(number):
    return Certificate(
        DeviceKey(b"d" * 16 + bytes([number]) * 16).public,
        KeyPair(b"s" * 16 + bytes([number]) * 16).public,
        KeyPair(b"p" * 16 + bytes([number]) * 16).public,
    )


CARD = Card.sign(
    PERSON,
    number=3,
    nickname="Ada Lovelace",
    devices=[certificate(0), certificate(1)],
    hints=["udp:203.0.113.7:4711", "udp:[2001:db8::7]:4711", "udp:node.example.org:4711"],
)


@st.composite
def cards(draw):
    nickname = draw(
        st.text(min_size=1, max_size=16).filter(lambda n: not nickname_fault(n))
    )
    return Card.sign(
        PERSON,
        number=draw(st.integers(1, MAX_NUMBER)),
        nickname=nickname,
        devices=[certificate(n) for n in draw(st.sets(st.integers(0, 9), min_size=1))],
        hints=draw(
            st.lists(st.from_regex(r"memory:[a-z]{1,9}", fullmatch=True), unique=True)
        )[:8],
    )


def changed(**parts):
    """The card's parts as CBOR after a change, not signed anew."""
    names = ("version", "person", "number", "nickname", "devices", "signature", "hints")
    values = dict(zip(names, decode(CARD.to_bytes()), strict=True)) | parts
    return encode(list(values.values()))


def signed_anyway(**parts):
    """What a person can sign who breaks the rules."""
    values = {
        "version": 1,
        "person": PERSON.public,
        "number": 3,
        "nickname": "Ada",
        "devices": [certificate(0).pack()],
    } | parts
    signature = PERSON.sign(b"meshpeer/device-list/1", encode(list(values.values())))
    return encode([*values.values(), signature, []])


@given(cards())
def test_a_card_survives_each_of_its_forms(card):
    assert Card.parse(card.to_bytes()) == card
    assert Card.load(card.to_bytes()) == card
    assert Card.read(card.to_uri()) == card
    assert Card.read(card.to_file()) == card


def test_a_card_that_a_mail_program_wrapped_is_read():
    uri = CARD.to_uri()
    wrapped = "\n> ".join(uri[at : at + 60] for at in range(0, len(uri), 60)).replace(
        "> ", "  "
    )
    assert Card.read(f"  {wrapped}\r\n") == CARD
    assert Card.read("MESHPEER:" + uri.removeprefix("meshpeer:")) == CARD


def test_the_card_of_one_device_fits_a_qr_code():
    for number, hint in [(1, "udp:203.0.113.7:4711"), (255, "udp:[2001:db8::7]:4711")]:
        card = Card.sign(
            PERSON, number=number, nickname="n" * 16, devices=[certificate(0)], hints=[hint]
        )
        assert len(card.to_uri()) <= 330


def test_the_largest_card_is_within_the_limit():
    card = Card.sign(
        PERSON,
        number=MAX_NUMBER,
        nickname="n" * 64,
        devices=map(certificate, range(MAX_DEVICES)),
        hints=[f"memory:{n}".ljust(MAX_HINT, "x") for n in range(MAX_HINTS)],
    )
    assert len(card.to_bytes()) == 2403 < MAX_CARD
    assert Card.parse(card.to_bytes()) == card


def test_hints_change_without_the_persons_key():
    moved = CARD.with_hints(["memory:elsewhere"])
    assert Card.parse(moved.to_bytes()).hints == ("memory:elsewhere",)
    assert moved.signature == CARD.signature


def test_one_address_in_two_spellings_is_one_hint():
    card = CARD.with_hints(["udp:[2001:DB8:0::7]:1", "udp:[2001:db8::7]:1", "memory:a"])
    assert card.hints == ("udp:[2001:db8::7]:1", "memory:a")
    assert Card.parse(card.to_bytes()) == card


@pytest.mark.parametrize(
    "parts",
    [
        {"nickname": "Eve"},
        {"number": 4},
        {"devices": [certificate(0).pack()]},
        {"devices": [certificate(1).pack(), certificate(0).pack()]},
        {"devices": [certificate(0).pack(), certificate(2).pack()]},
        {"person": PersonKey(b"\x02" * 32).public},
        {"signature": bytes(64)},
    ],
)
def test_what_the_person_did_not_sign_is_refused(parts):
    with pytest.raises(RemoteProtocolError, match="signature"):
        Card.parse(changed(**parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"version": 2},
        {"version": True},
        {"number": True},
        {"number": 0},
        {"number": -1},
        {"number": MAX_NUMBER + 1},
        {"number": "3"},
        {"nickname": b"Ada"},
        {"nickname": ""},
        {"nickname": " Ada"},
        {"nickname": "Ada\nadmin"},
        {"nickname": "Ada\x1b[2J"},
        {"nickname": "\u202eadA"},
        {"nickname": "Ada\u200b"},
        {"nickname": "\u3164"},
        {"nickname": "n" * 65},
        {"devices": []},
        {"devices": [certificate(0).pack()] * 2},
        {"devices": [certificate(n).pack() for n in range(17)]},
        {"devices": [certificate(0).pack()[:-1]]},
        {"devices": [list(certificate(0))]},
        {"devices": certificate(0).pack()},
        {"devices": [certificate(0)._replace(device=bytes(32)).pack()]},
        {"devices": [certificate(0)._replace(sealing=bytes(32)).pack()]},
        {"devices": [certificate(0)._replace(peer=b"\xff" * 32).pack()]},
        {"devices": [certificate(0)._replace(device=PERSON.public).pack()]},
        {
            "devices": [
                certificate(0).pack(),
                certificate(1)._replace(peer=certificate(0).peer).pack(),
            ]
        },
        {"person": b"short"},
        {"more": 1},
    ],
)
def test_a_card_that_breaks_a_rule_is_refused_though_it_is_signed(parts):
    with pytest.raises(RemoteProtocolError):
        Card.parse(signed_anyway(**parts))


def test_signing_by_hand_is_right_apart_from_the_broken_rule():
    assert Card.parse(signed_anyway()).nickname == "Ada"


@pytest.mark.parametrize(
    "parts",
    [
        {"hints": ["memory:a"] * 2},
        {"hints": [f"memory:{n}" for n in range(9)]},
        {"hints": ["no hint"]},
        {"hints": "memory:a"},
        {"signature": b"short"},
        {"signature": None},
    ],
)
def test_a_card_with_bad_parts_outside_the_signature_is_refused(parts):
    with pytest.raises(RemoteProtocolError):
        Card.parse(changed(**parts))


def test_every_changed_byte_is_noticed_unless_it_is_in_a_hint():
    data = CARD.to_bytes()
    hints_at = data.index(CARD.signature) + 64
    for at in range(hints_at):
        with pytest.raises(RemoteProtocolError):
            Card.parse(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@given(st.binary(max_size=200))
def test_noise_gives_a_protocol_error(noise):
    with pytest.raises(RemoteProtocolError):
        Card.parse(noise)


@given(st.text(max_size=50) | st.binary(max_size=50) | st.text().map("meshpeer:".__add__))
def test_what_a_person_gives_us_is_a_card_or_a_usage_error(source):
    with pytest.raises(UsageError, match="card"):
        Card.read(source)


def test_base64_has_one_form():
    uri = CARD.to_uri()
    assert len(CARD.to_bytes()) % 3, "the last letter has bits to spare"
    last = uri[-1]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = letters[letters.index(last) ^ 1]
    for damaged in (
        uri[:-1] + sibling,
        uri + "=",
        uri[:-1],
        uri.replace("_", "/", 1) + "!",
    ):
        with pytest.raises(UsageError, match="damaged"):
            Card.read(damaged)


def test_too_long_a_card_is_not_even_read():
    with pytest.raises(RemoteProtocolError, match="limit"):
        Card.parse(bytes(MAX_CARD + 1))


def test_a_card_that_nobody_would_take_is_not_even_signed():
    with pytest.raises(UsageError, match="nickname"):
        Card.sign(PERSON, number=1, nickname="a\tb", devices=[certificate(0)])
    with pytest.raises(UsageError, match="nickname"):
        Card.sign(PERSON, number=1, nickname="\ud800", devices=[certificate(0)])
    with pytest.raises(LocalProtocolError):
        Card.sign(PERSON, number=0, nickname="Ada", devices=[certificate(0)])
    with pytest.raises(LocalProtocolError):
        Card.sign(PERSON, number=1, nickname="Ada", devices=[])
    with pytest.raises(LocalProtocolError):
        CARD.with_hints(["nonsense"])


def cut(number, sequence=9):
    return Cut(bytes([number]) * 16, sequence, b"b" * 31 + bytes([number]))


def revoking(*revoked, devices=(0,)):
    """A card that its person signed; what is revoked is given as its bytes."""
    packed = [one.pack() if isinstance(one, Revocation) else one for one in revoked]
    signed = [2, PERSON.public, 4, "Ada", [certificate(n).pack() for n in devices], packed]
    signature = PERSON.sign(b"meshpeer/device-list/1", encode(signed))
    return encode([*signed, signature, []])


LOST, STOLEN = (certificate(n).device for n in (7, 8))


def test_a_device_is_revoked_and_its_logs_end_where_the_person_says():
    revoked = [Revocation(STOLEN, (cut(2), cut(1, MAX_SEQUENCE))), Revocation(LOST)]
    card = Card.sign(
        PERSON,
        number=4,
        nickname="Ada",
        devices=[certificate(0)],
        hints=["memory:a"],
        revoked=revoked,
    )
    assert Card.parse(card.to_bytes()) == Card.read(card.to_uri()) == card
    assert dict(card.revoked) == {STOLEN: (cut(1, MAX_SEQUENCE), cut(2)), LOST: ()}
    assert Card.parse(card.with_hints([]).to_bytes()).revoked == card.revoked


def test_a_card_that_revokes_nothing_has_the_bytes_that_older_peers_read():
    assert decode(CARD.to_bytes())[0] == 1
    assert decode(revoking(Revocation(LOST)))[0] == 2


def test_revoking_by_hand_is_right_apart_from_the_broken_rule():
    assert Card.parse(revoking(Revocation(LOST, (cut(1),)))).revoked[0].logs == (cut(1),)


@pytest.mark.parametrize(
    "revoked",
    [
        [],
        [Revocation(certificate(0).device)],
        [Revocation(certificate(0).device, (cut(1),))],
        [Revocation(LOST), Revocation(LOST)],
        [Revocation(max(LOST, STOLEN)), Revocation(min(LOST, STOLEN))],
        [Revocation(LOST, (cut(2), cut(1)))],
        [Revocation(LOST, (cut(1), cut(1)))],
        [Revocation(LOST, (cut(1, 1), cut(1, 2)))],
        [Revocation(LOST, (cut(1, 0),))],
        [Revocation(LOST, (cut(1, MAX_SEQUENCE + 1),))],
        [Revocation(LOST, (cut(1, 2**64 - 1),))],
        [Revocation(LOST, tuple(cut(n) for n in range(MAX_LOGS + 1)))],
        [Revocation(bytes([n]) * 32) for n in range(MAX_REVOKED + 1)],
        [LOST[1:]],
        [LOST + b"x"],
        [b""],
        ["text"],
        [[LOST]],
        [None],
    ],
    ids=lambda revoked: str(revoked)[:40],
)
def test_a_revocation_that_breaks_a_rule_is_refused_though_it_is_signed(revoked):
    with pytest.raises(RemoteProtocolError, match="revocation"):
        Card.parse(revoking(*revoked))


def test_the_most_logs_of_a_device_and_the_most_devices():
    logs = tuple(cut(n) for n in range(MAX_LOGS))
    devices = [Revocation(bytes([n]) * 32) for n in range(MAX_REVOKED)]
    for revoked in ([Revocation(LOST, logs)], devices):
        assert Card.parse(revoking(*revoked)).revoked == tuple(revoked)


def test_what_is_revoked_can_be_neither_taken_away_nor_changed():
    good = revoking(Revocation(LOST, (cut(1),)))
    assert Card.parse(good)
    parts = decode(good)
    for revoked in ([], [LOST], [Revocation(LOST, (cut(1, 10),)).pack()], [STOLEN]):
        with pytest.raises(RemoteProtocolError):
            Card.parse(encode([*parts[:5], revoked, *parts[6:]]))
    with pytest.raises(RemoteProtocolError):
        Card.parse(encode([1, *parts[1:5], *parts[6:]]))


@given(st.integers(0, 400), st.integers(1, 255))
def test_every_changed_byte_of_a_revoking_card_is_noticed(at, change):
    data = bytearray(revoking(Revocation(LOST, (cut(1),))))
    data[at % (len(data) - 1)] ^= change
    with pytest.raises(RemoteProtocolError):
        Card.parse(bytes(data))


def test_more_revocations_than_a_card_holds_are_a_persons_mistake():
    logs = tuple(cut(n) for n in range(MAX_LOGS))
    with pytest.raises(UsageError, match="name fewer logs"):
        Card.sign(
            PERSON,
            number=1,
            nickname="Ada",
            devices=[certificate(0)],
            revoked=[Revocation(bytes([n]) * 32, logs) for n in range(3)],
        )
    with pytest.raises(LocalProtocolError, match="still has"):
        Card.sign(
            PERSON,
            number=1,
            nickname="Ada",
            devices=[certificate(0)],
            revoked=[Revocation(certificate(0).device)],
        )
