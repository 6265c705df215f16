"""What a seal holds: one message from a person to a person, as deterministic CBOR.

    0  version, 1
    1  between: BLAKE2s("meshpeer/between/1" + sender's person id + receiver's)[:16]
    2  Lamport counter, 0 to 2^32 - 1
    3  written: the writer's wall clock in seconds, a hint
    4  text, at most 128 KiB of UTF-8
    5  kind, if it is another than "text": a letter a to z, then up to 31 of a to z, 0 to 9, "-"
    6  message id that this one answers, if any
    7  the writer's card, if the receiver may not know it
    8  attachments, if any: a list of them (formats/attachment.py)

The message id stands in front of it (identity/seal.py). Other integer keys are kept as they came.

A seal proves a sealing key, and a card says whose that is; but anybody can sign a card that names
somebody else's sealing key, and so pass off that person's messages as his own. `between` ends
that: the writer says, under the seal, which person writes to which. A hash of both, since with two
person ids a message of 200 characters would no longer fit 256 bytes.

A Lamport counter that a stranger drives to the end must not silence us, and a clock that is wrong
by centuries neither: ours are cut to what fits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Final

from meshpeer.core.formats.attachment import Attachment, faults, parse_attachments
from meshpeer.core.formats.card import MAX_CARD
from meshpeer.core.formats.cbor import Value, decode, encode
from meshpeer.core.identity.seal import MESSAGE_ID_SIZE
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

VERSION: Final = 1
TEXT: Final = "text"
MAX_TEXT: Final = 128 * 1024
"""Bytes of UTF-8."""
MAX_LAMPORT: Final = 2**32 - 1
MAX_WRITTEN: Final = 253_402_300_799
"""The last second of the year 9999."""

_BETWEEN_SIZE: Final = 16
_KIND_FORM: Final = re.compile("[a-z][a-z0-9-]{0,31}")
_VERSION, _BETWEEN, _LAMPORT, _WRITTEN, _TEXT, _KIND, _REPLY_TO, _CARD, _ATTACHMENTS = (
    range(9)
)


def between(sender: bytes, receiver: bytes) -> bytes:
    """Give the 16 bytes that say which person writes to which."""
    return blake2s(b"meshpeer/between/1" + sender + receiver).digest()[:_BETWEEN_SIZE]


@dataclass(frozen=True, slots=True)
class Message:
    """What a person wrote. Who wrote it is what the seal proves and `is_between` confirms."""

    text: str
    lamport: int
    written: int
    kind: str = TEXT
    reply_to: bytes | None = None
    card: bytes | None = None
    """Not read yet: `Card.parse` judges it."""
    attachments: tuple[Attachment, ...] = ()
    between: bytes = b""
    unknown: Mapping[int, Value] = field(default_factory=dict)
    """What a newer writer added."""

    @classmethod
    def parse(cls, body: bytes) -> "Message":
        """Read a message, or raise RemoteProtocolError and nothing else."""
        parts = decode(body, "message")
        if not isinstance(parts, dict) or not all(isinstance(key, int) for key in parts):
            raise RemoteProtocolError("message", "not a map with integers as keys")
        version = _number(parts.pop(_VERSION, None), "version", MAX_LAMPORT)
        if version != VERSION:
            raise RemoteProtocolError("version", f"{version}, known is {VERSION}")
        return cls(
            between=_bytes(parts.pop(_BETWEEN, None), "between", _BETWEEN_SIZE),
            lamport=_number(parts.pop(_LAMPORT, None), "lamport", MAX_LAMPORT),
            written=_number(parts.pop(_WRITTEN, None), "written", MAX_WRITTEN),
            text=_text(parts.pop(_TEXT, None)),
            kind=_kind(parts.pop(_KIND)) if _KIND in parts else TEXT,
            reply_to=(
                _bytes(parts.pop(_REPLY_TO), "reply", MESSAGE_ID_SIZE)
                if _REPLY_TO in parts
                else None
            ),
            card=_card(parts.pop(_CARD)) if _CARD in parts else None,
            attachments=(
                parse_attachments(parts.pop(_ATTACHMENTS)) if _ATTACHMENTS in parts else ()
            ),
            unknown=parts,
        )

    def is_between(self, sender: bytes, receiver: bytes) -> bool:
        """Whether the writer says that this person writes to that one."""
        return self.between == between(sender, receiver)

    def to_bytes(self, *, sender: bytes, receiver: bytes) -> bytes:
        """Give the body to seal; LocalProtocolError if it can't be said."""
        if not self._can_be_said():
            raise LocalProtocolError("a message with a part that is too long, or no kind")
        parts: dict[int, Value] = {
            **self.unknown,
            _VERSION: VERSION,
            _BETWEEN: between(sender, receiver),
            _LAMPORT: min(self.lamport, MAX_LAMPORT),
            _WRITTEN: max(0, min(self.written, MAX_WRITTEN)),
            _TEXT: self.text,
        }
        if self.kind != TEXT:
            parts[_KIND] = self.kind
        if self.reply_to is not None:
            parts[_REPLY_TO] = self.reply_to
        if self.card is not None:
            parts[_CARD] = self.card
        if self.attachments:
            parts[_ATTACHMENTS] = [list(attachment) for attachment in self.attachments]
        return encode(parts)

    def _can_be_said(self) -> bool:
        return (
            len(self.text.encode(errors="surrogatepass")) <= MAX_TEXT
            and _KIND_FORM.fullmatch(self.kind) is not None
            and (self.reply_to is None or len(self.reply_to) == MESSAGE_ID_SIZE)
            and (self.card is None or 1 <= len(self.card) <= MAX_CARD)
            and not faults(self.attachments)
            and not any(_VERSION <= key <= _ATTACHMENTS for key in self.unknown)
        )


def _number(value: Value, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise RemoteProtocolError(name, f"not an integer from 0 to {most}")
    return value


def _bytes(value: Value, name: str, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise RemoteProtocolError(name, f"not a byte string of {size}")
    return value


def _text(value: Value) -> str:
    if not isinstance(value, str) or len(value.encode()) > MAX_TEXT:
        raise RemoteProtocolError("text", f"not text of at most {MAX_TEXT} bytes")
    return value


def _kind(value: Value) -> str:
    if not isinstance(value, str) or value == TEXT or not _KIND_FORM.fullmatch(value):
        raise RemoteProtocolError(
            "kind", "no name of a kind, or the one meant without saying"
        )
    return value


def _card(value: Value) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_CARD:
        raise RemoteProtocolError("card", f"not a byte string of at most {MAX_CARD}")
    return value
