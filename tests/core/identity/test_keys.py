"""Signing keys and certificates: what is signed for what, and which keys are none."""

import pytest

from meshpeer.core.identity.certificate import Certificate, check_distinct
from meshpeer.core.identity.keys import (
    DeviceKey,
    PersonKey,
    check_signing_public,
    verify,
)
from meshpeer.core.identity.noise import KeyPair
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

PERSON = PersonKey(b"\x01" * 32)
IDENTITY_POINT = (1).to_bytes(32, "little")
BAD_KEYS = [
    b"",
    bytes(31),
    bytes(32),
    IDENTITY_POINT,
    (1 | 1 << 255).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
    b"\xff" * 32,
]


def certificate(seed):
    return Certificate(
        DeviceKey(bytes([seed]) * 32).public,
        KeyPair(bytes([seed + 1]) * 32).public,
        KeyPair(bytes([seed + 2]) * 32).public,
    )


def test_a_signature_holds_for_its_key_message_and_purpose_only():
    signature = PERSON.sign(b"list", b"message")
    verify(PERSON.public, b"list", b"message", signature)
    other = PersonKey(b"\x02" * 32).public
    for public, purpose, message, shown in [
        (other, b"list", b"message", signature),
        (PERSON.public, b"post", b"message", signature),
        (PERSON.public, b"list", b"massage", signature),
        (PERSON.public, b"list", b"message", bytes(64)),
        (PERSON.public, b"list", b"message", signature[:-1]),
        (PERSON.public[:-1], b"list", b"message", signature),
    ]:
        with pytest.raises(RemoteProtocolError, match="signature"):
            verify(public, purpose, message, shown)


@pytest.mark.parametrize("public", BAD_KEYS)
def test_a_bad_key_is_refused_and_verifies_nothing(public):
    with pytest.raises(RemoteProtocolError, match="signing key"):
        check_signing_public(public)
    with pytest.raises(RemoteProtocolError, match="signature"):
        verify(public, b"", b"message", IDENTITY_POINT + bytes(32))


def test_a_signature_has_one_form():
    signature = PERSON.sign(b"", b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(RemoteProtocolError):
        verify(
            PERSON.public, b"", b"message", signature[:32] + scalar.to_bytes(32, "little")
        )


def test_a_key_does_not_show_its_private_half():
    assert PERSON.private.hex() not in repr(PERSON)
    with pytest.raises(LocalProtocolError):
        PersonKey(b"short")


def test_a_certificate_is_its_three_keys():
    one = certificate(10)
    assert Certificate.unpack(one.pack()) == one
    one.check()
    with pytest.raises(RemoteProtocolError, match="certificate"):
        Certificate.unpack(one.pack() + b"x")
    for name, bad in (
        ("device", bytes(32)),
        ("sealing", bytes(32)),
        ("peer", b"\xff" * 32),
    ):
        with pytest.raises(RemoteProtocolError):
            one._replace(**{name: bad}).check()


def test_no_key_serves_two_purposes():
    one, other = certificate(10), certificate(20)
    check_distinct(PERSON.public, [one, other])
    for twice in (
        one,
        other._replace(peer=one.peer),
        other._replace(sealing=one.peer),
        other._replace(peer=other.sealing),
        other._replace(device=PERSON.public),
    ):
        with pytest.raises(RemoteProtocolError, match="twice"):
            check_distinct(PERSON.public, [one, twice])
