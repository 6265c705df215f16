"""The card: what people exchange to become contacts.

    [1, person id, number, nickname, [certificate, ...], signature, [hint, ...]]
    [2, person id, number, nickname, [certificate, ...], [revocation, ...], signature, [hint, ...]]

in deterministic CBOR. The person's key signs the purpose below and the CBOR list of all before the
signature: the numbered device list with the nickname, so whoever passes a card on can't give its
owner another name. One signature certifies every device. Hints stand outside it, since they change
often and the person's key may be off line; they grant nothing.

Version 2 is the form of a card whose owner revoked a device, and only of such a card. A revocation
names the device and the last block that counts in each of its logs; what it signed beyond, and
its other logs, count no more. That a device is simply left out of the list says less: its blocks
stay. A revocation is one byte string:

    0..32  device key
    then, for each log, in the order of the log ids:
           0..16  log id    16..24  sequence    24..56  id of the block with that sequence

A list rather than a map, addresses packed, certificates in one string: so the URI of a card of
one device, a nickname of 16 bytes and one address has at most 330 characters, which a QR code in
an 80-column terminal holds. The file form is the URI on a line of its own, for it survives mail.

A nickname may not hold characters that act on the screen instead of showing on it: controls,
line ends, marks that turn the direction of writing. The list is fixed here, rather than what this
Python's Unicode thinks, so that every peer judges a card alike.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from struct import Struct
from typing import Any, Final, NamedTuple

from meshpeer.core.formats.block import BLOCK_ID_SIZE, LOG_SIZE, MAX_SEQUENCE
from meshpeer.core.formats.cbor import decode, encode
from meshpeer.core.formats.hint import MAX_HINT, pack_hint, unpack_hint
from meshpeer.core.formats.uri import from_uri, to_uri
from meshpeer.core.identity.certificate import Certificate, check_distinct
from meshpeer.core.identity.keys import (
    SIGNATURE_SIZE,
    SIGNING_KEY_SIZE,
    PersonKey,
    verify,
)
from meshpeer.errors import LocalProtocolError, RemoteProtocolError, UsageError

VERSION: Final = 1
VERSION_REVOKING: Final = 2
SCHEME: Final = "meshpeer:"
MAX_NUMBER: Final = 2**63 - 1
MAX_NICKNAME: Final = 64
"""Bytes of UTF-8."""
MAX_DEVICES: Final = 16
"""A message costs its sender one seal a device."""
MAX_HINTS: Final = 8
MAX_LOGS: Final = 64
"""Of a device."""
MAX_REVOKED: Final = 64
MAX_CARD: Final = 8_192
"""Bytes; without revocations the largest that the limits above allow has 2,403."""

_MOST_HINTS: Final = MAX_HINTS * (MAX_HINT + 2)
_PURPOSE: Final = b"meshpeer/device-list/1"
_CUT: Final = Struct(f">{LOG_SIZE}sQ{BLOCK_ID_SIZE}s")
_DOES_NOT_SHOW: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


class Cut(NamedTuple):
    """The last block of a log that counts."""

    log: bytes
    sequence: int
    block: bytes


class Revocation(NamedTuple):
    """A device that is no longer its person's, and what of its logs still counts."""

    device: bytes
    logs: tuple[Cut, ...] = ()
    """In the order of the log ids; logs that are not named don't count at all."""

    def pack(self) -> bytes:
        """Give the bytes that are signed as a part of the list."""
        return self.device + b"".join(_CUT.pack(*cut) for cut in self.logs)

    @classmethod
    def unpack(cls, packed: object) -> "Revocation":
        """Cut bytes into parts, or raise RemoteProtocolError; `check` judges them."""
        size = len(packed) - SIGNING_KEY_SIZE if isinstance(packed, bytes) else -1
        if not isinstance(packed, bytes) or size < 0 or size % _CUT.size:
            raise RemoteProtocolError("revocation", "not a device key and whole logs")
        cuts = _CUT.iter_unpack(packed[SIGNING_KEY_SIZE:])
        return cls(packed[:SIGNING_KEY_SIZE], tuple(Cut(*cut) for cut in cuts))

    def check(self) -> None:
        """Raise RemoteProtocolError unless the logs are few, in order, and cut at a block."""
        if len(self.device) != SIGNING_KEY_SIZE or len(self.logs) > MAX_LOGS:
            raise RemoteProtocolError(
                "revocation", f"{len(self.logs)} logs of a device, limit {MAX_LOGS}"
            )
        for cut in self.logs:
            if not 1 <= cut.sequence <= MAX_SEQUENCE:
                raise RemoteProtocolError("revocation", f"cuts at block {cut.sequence}")
        if any(one.log >= after.log for one, after in pairwise(self.logs)):
            raise RemoteProtocolError("revocation", "logs not in order, or one twice")


@dataclass(frozen=True, slots=True)
class Card:
    """Who somebody is and on which devices; parsed, it was signed by that person."""

    person: bytes
    number: int
    """Of the device list: the highest wins (see `is_newer`)."""
    nickname: str
    devices: tuple[Certificate, ...]
    signature: bytes
    hints: tuple[str, ...] = ()
    revoked: tuple[Revocation, ...] = ()
    """In the order of the device keys."""

    @classmethod
    def sign(
        cls,
        key: PersonKey,
        *,
        number: int,
        nickname: str,
        devices: Iterable[Certificate],
        hints: Iterable[str] = (),
        revoked: Iterable[Revocation] = (),
    ) -> "Card":
        """Make a card; UsageError for a nickname that can't be one, or too many revocations."""
        fault = nickname_fault(nickname)
        if fault:
            raise UsageError(f"the nickname {nickname!r} {fault}")
        in_order = tuple(
            Revocation(device, tuple(sorted(logs))) for device, logs in sorted(revoked)
        )
        card = cls(key.public, number, nickname, tuple(devices), b"", revoked=in_order)
        signature = key.sign(_PURPOSE, encode(card._signed()))
        card = replace(card, signature=signature)
        size = len(card.to_bytes()) + _MOST_HINTS
        if size > MAX_CARD:
            raise UsageError(
                f"a card that revokes so much could have {size} bytes, limit {MAX_CARD}:"
                " name fewer logs of the revoked devices"
            )
        return card.with_hints(hints)

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
        parts: Any = decode(data, "card")
        if type(parts) is not list or not 7 <= len(parts) <= 8:
            raise RemoteProtocolError("card", "not the parts of a card")
        version, revoked = parts[0], []
        if type(version) is not int or not VERSION <= version <= VERSION_REVOKING:
            raise RemoteProtocolError(
                "card",
                f"version {version!r:.40}, known are {VERSION} and {VERSION_REVOKING}",
            )
        if version == VERSION_REVOKING:
            revoked = parts.pop(5)
            if not isinstance(revoked, list) or not revoked:
                raise RemoteProtocolError(
                    "revocation", "none in a card that is to have some"
                )
        match parts:
            case [
                _,
                bytes(person),
                int(number),
                str(nickname),
                [*devices],
                bytes(signature),
                [*hints],
            ] if not isinstance(number, bool):
                pass
            case _:
                raise RemoteProtocolError("card", "not the parts of a card")
        return cls(
            person,
            number,
            nickname,
            tuple(_read_certificate(device) for device in devices),
            signature,
            tuple(unpack_hint(hint) for hint in hints),
            tuple(map(Revocation.unpack, revoked)),
        )

    def to_bytes(self) -> bytes:
        """Give the one encoding of the card."""
        hints = [pack_hint(hint) for hint in self.hints]
        return encode([*self._signed(), self.signature, hints])

    def to_uri(self) -> str:
        """Give the card as a `meshpeer:` URI."""
        return to_uri(SCHEME, self.to_bytes())

    def to_file(self) -> bytes:
        """Give the card as a file: its URI on a line."""
        return f"{self.to_uri()}\n".encode()

    @classmethod
    def read(cls, source: str | bytes) -> "Card":
        """Read a URI or a file that a person gave us; UsageError says what is wrong with it."""
        text = source.decode("ascii", "replace") if isinstance(source, bytes) else source
        try:
            data = from_uri(text, SCHEME, "card")
            if data is None:
                raise UsageError(f"that is no card: a card starts with {SCHEME}")
            return cls.parse(data)
        except RemoteProtocolError as error:
            raise UsageError(
                f"that card is damaged, or not copied whole ({error})"
            ) from error

    def _signed(self) -> list[object]:
        certificates = [certificate.pack() for certificate in self.devices]
        version = VERSION_REVOKING if self.revoked else VERSION
        signed = [version, self.person, self.number, self.nickname, certificates]
        return (
            [*signed, [device.pack() for device in self.revoked]]
            if self.revoked
            else signed
        )


def is_newer(card: Card, held: Card) -> bool:
    """Whether this card of a person replaces the one that is held.

    Of two with one number, which only two devices that don't know of each other or a liar make,
    the same holds everywhere, or peers would never agree which devices count."""
    return (card.number, card.signature) > (held.number, held.signature)


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
    _check_revoked(card)


def _check_revoked(card: Card) -> None:
    _check_number("revocation", card.revoked, 0, MAX_REVOKED)
    for revocation in card.revoked:
        revocation.check()
    if any(one.device >= after.device for one, after in pairwise(card.revoked)):
        raise RemoteProtocolError("revocation", "devices not in order, or one twice")
    if {one.device for one in card.revoked} & {one.device for one in card.devices}:
        raise RemoteProtocolError("revocation", "of a device that the list still has")


def _check_number(field: str, things: Sequence[object], least: int, most: int) -> None:
    if not least <= len(things) <= most or len(set(things)) != len(things):
        raise RemoteProtocolError(
            field, f"{len(things)}, not {least} to {most} different ones"
        )


def _read_certificate(device: object) -> Certificate:
    if not isinstance(device, bytes):
        raise RemoteProtocolError("certificate", "not a byte string")
    return Certificate.unpack(device)
