"""The card: what people exchange to become contacts.

    [1, person id, number, nickname, [certificate, ...], signature, [hint, ...]]

in deterministic CBOR. The person's key signs the purpose below and the CBOR list of the first
five: the numbered device list with the nickname, so whoever passes a card on can't give its owner
another name. One signature certifies every device. Hints stand outside it, since they change
often and the person's key may be off line; they grant nothing.

A list rather than a map, addresses packed, certificates in one string: so the URI of a card of
one device, a nickname of 16 bytes and one address has at most 330 characters, which a QR code in
an 80-column terminal holds. The file form is the URI on a line of its own, for it survives mail.

A nickname may not hold characters that act on the screen instead of showing on it: controls,
line ends, marks that turn the direction of writing. The list is fixed here, rather than what this
Python's Unicode thinks, so that every peer judges a card alike.
"""

import re
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.hint import pack_hint, unpack_hint
from meshpeer.core.identity.certificate import Certificate, check_distinct
from meshpeer.core.identity.keys import (
    SIGNATURE_SIZE,
    SIGNING_KEY_SIZE,
    PersonKey,
    verify,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError, UsageError

VERSION: Final = 1
SCHEME: Final = "meshpeer:"
MAX_NUMBER: Final = 2**63 - 1
MAX_NICKNAME: Final = 64
"""Bytes of UTF-8."""
MAX_DEVICES: Final = 16
"""A message costs its sender one seal a device."""
MAX_HINTS: Final = 8
MAX_CARD: Final = 2_560
"""Bytes; the largest that the limits above allow has 2,403."""

_PURPOSE: Final = b"meshpeer/device-list/1"
_DOES_NOT_SHOW: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@dataclass(frozen=True, slots=True)
class Card:
    """Who somebody is and on which devices; parsed, it was signed by that person."""

    person: bytes
    number: int
    """Of the device list: the highest wins."""
    nickname: str
    devices: tuple[Certificate, ...]
    signature: bytes
    hints: tuple[str, ...] = ()

    @classmethod
    def sign(
        cls,
        key: PersonKey,
        *,
        number: int,
        nickname: str,
        devices: Iterable[Certificate],
        hints: Iterable[str] = (),
    ) -> "Card":
        """Make a card; UsageError for a nickname that can't be one."""
        fault = nickname_fault(nickname)
        if fault:
            raise UsageError(f"the nickname {nickname!r} {fault}")
        card = cls(key.public, number, nickname, tuple(devices), b"")
        signature = key.sign(_PURPOSE, encode(card._signed()))
        return replace(card, signature=signature).with_hints(hints)

    def with_hints(self, hints: Iterable[str]) -> "Card":
        """The same card with other hints; needs no key. LocalProtocolError for a bad hint."""
        one_form = dict.fromkeys(unpack_hint(pack_hint(hint)) for hint in hints)
        card = replace(self, hints=tuple(one_form))
        try:
            _check(card)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"no such card: {error}") from error
        return card

    @classmethod
    def parse(cls, data: bytes) -> "Card":
        """Read a card and verify it, or raise RemoteProtocolError and nothing else."""
        card = cls.load(data)
        _check(card)
        for certificate in card.devices:
            certificate.check()
        verify(card.person, _PURPOSE, encode(card._signed()), card.signature)
        return card

    @classmethod
    def load(cls, data: bytes) -> "Card":
        """Read a card that was verified before it was kept: checks its form, no signature."""
        if len(data) > MAX_CARD:
            raise RemoteProtocolError("card", f"{len(data)} bytes, limit {MAX_CARD}")
        match decode(data, "card"):
            case [
                int(version),
                bytes(person),
                int(number),
                str(nickname),
                [*devices],
                bytes(signature),
                [*hints],
            ] if not isinstance(version, bool) and not isinstance(number, bool):
                pass
            case _:
                raise RemoteProtocolError("card", "not the seven parts of a card")
        if version != VERSION:
            raise RemoteProtocolError("card", f"version {version}, known is {VERSION}")
        return cls(
            person,
            number,
            nickname,
            tuple(_read_certificate(device) for device in devices),
            signature,
            tuple(unpack_hint(hint) for hint in hints),
        )

    def to_bytes(self) -> bytes:
        """Give the one encoding of the card."""
        hints = [pack_hint(hint) for hint in self.hints]
        return encode([*self._signed(), self.signature, hints])

    def to_uri(self) -> str:
        """Give the card as a `meshpeer:` URI."""
        return SCHEME + urlsafe_b64encode(self.to_bytes()).decode().rstrip("=")

    def to_file(self) -> bytes:
        """Give the card as a file: its URI on a line."""
        return f"{self.to_uri()}\n".encode()

    @classmethod
    def read(cls, source: str | bytes) -> "Card":
        """Read a URI or a file that a person gave us; UsageError says what is wrong with it."""
        text = source.decode("ascii", "replace") if isinstance(source, bytes) else source
        text = "".join(text.split())
        if not text.lower().startswith(SCHEME):
            raise UsageError(f"that is no card: a card starts with {SCHEME}")
        try:
            return cls.parse(_from_base64(text[len(SCHEME) :]))
        except RemoteProtocolError as error:
            raise UsageError(
                f"that card is damaged, or not copied whole ({error})"
            ) from error

    def _signed(self) -> list[object]:
        certificates = [certificate.pack() for certificate in self.devices]
        return [VERSION, self.person, self.number, self.nickname, certificates]


def nickname_fault(nickname: str) -> str:
    """Say why this can't be a nickname; empty if it can."""
    if not nickname or nickname != nickname.strip():
        return "is empty or has spaces around it"
    if _DOES_NOT_SHOW.search(nickname):
        return "has a character that does not show on a screen"
    size = len(nickname.encode())
    return f"has {size} bytes, limit {MAX_NICKNAME}" if size > MAX_NICKNAME else ""


def _check(card: Card) -> None:
    """Raise RemoteProtocolError for the first rule broken, apart from keys and signature."""
    fault = nickname_fault(card.nickname)
    if fault:
        raise RemoteProtocolError("nickname", fault)
    if not 1 <= card.number <= MAX_NUMBER:
        raise RemoteProtocolError("number", f"{card.number}, not 1 to {MAX_NUMBER}")
    if len(card.person) != SIGNING_KEY_SIZE or len(card.signature) != SIGNATURE_SIZE:
        raise RemoteProtocolError("card", "person id or signature of a wrong size")
    _check_number("devices", card.devices, 1, MAX_DEVICES)
    _check_number("hints", card.hints, 0, MAX_HINTS)
    check_distinct(card.person, card.devices)


def _check_number(field: str, things: Sequence[object], least: int, most: int) -> None:
    if not least <= len(things) <= most or len(set(things)) != len(things):
        raise RemoteProtocolError(
            field, f"{len(things)}, not {least} to {most} different ones"
        )


def _read_certificate(device: object) -> Certificate:
    if not isinstance(device, bytes):
        raise RemoteProtocolError("certificate", "not a byte string")
    return Certificate.unpack(device)


def _from_base64(letters: str) -> bytes:
    try:
        data = b64decode(letters + "=" * (-len(letters) % 4), altchars=b"-_", validate=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError("card", f"not base64: {error}") from error
    if urlsafe_b64encode(data).decode().rstrip("=") != letters:
        raise RemoteProtocolError("card", "not the one base64 form of its bytes")
    return data
