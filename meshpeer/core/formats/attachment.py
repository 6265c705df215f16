"""An attachment: a sealed file that goes with a message, as the list under key 8 names it.

    [file id, size, name, media type, key]

File id and size are the sealed file's (formats/sealed_file.py): carriers and holders serve it like
any other, and the key, which stands only under the message's seal, opens it. A file is sealed anew
for each message, so the value below is known to the sender and the one receiver:

    r = BLAKE2s("meshpeer/attachment/1" + key + file id)[:16]

The receiver shows r when the whole file is verified and stored, in whatever way it came: as
pieces, by a link, by wants. No bundle's header holds H(H(r)); the sender watches for it.
"""

from collections.abc import Sequence
from hashlib import blake2s
from typing import Final, NamedTuple

from meshpeer.core.formats.cbor import Value
from meshpeer.core.formats.manifest import HASH_SIZE, MAX_FILE
from meshpeer.core.formats.words import media_type_fault, name_fault
from meshpeer.core.identity.preimage import VALUE_SIZE, one_way
from meshpeer.errors import RemoteProtocolError

MAX_ATTACHMENTS: Final = 16
"""Of a message; a folder goes as one file."""
KEY_SIZE: Final = 32


class Attachment(NamedTuple):
    """One file of a message."""

    file: bytes
    size: int
    """Bytes of the sealed file."""
    name: str
    media_type: str
    key: bytes

    @property
    def receipt(self) -> bytes:
        """r: whoever shows it has the whole file, or sent it."""
        start = b"meshpeer/attachment/1"
        return blake2s(start + self.key + self.file).digest()[:VALUE_SIZE]

    @property
    def receipt_hash(self) -> bytes:
        """H(H(r)), by which the sender watches for r."""
        return one_way(one_way(self.receipt))

    @property
    def fault(self) -> str:
        """Why there can't be such an attachment; empty if there can."""
        if len(self.file) != HASH_SIZE or len(self.key) != KEY_SIZE:
            return "has a file id or a key of a wrong size"
        if not 0 <= self.size <= MAX_FILE:
            return f"has {self.size} bytes, limit {MAX_FILE}"
        fault = name_fault(self.name)
        if fault:
            return f"has a name that {fault}"
        fault = media_type_fault(self.media_type)
        return f"has a media type that {fault}" if fault else ""


def faults(attachments: Sequence[Attachment]) -> str:
    """Why these can't go with one message; empty if they can."""
    if len(attachments) > MAX_ATTACHMENTS:
        return f"{len(attachments)} attachments, limit {MAX_ATTACHMENTS}"
    if len({attachment.file for attachment in attachments}) != len(attachments):
        return "one attachment comes twice"
    for attachment in attachments:
        if fault := attachment.fault:
            return f"attachment {attachment.name!r} {fault}"
    return ""


def parse_attachments(value: Value) -> tuple[Attachment, ...]:
    """Read the list of a message, or raise RemoteProtocolError."""
    if not isinstance(value, list) or not value:
        raise RemoteProtocolError("attachments", "not a list of one or more")
    attachments = tuple(_parse(one) for one in value)
    fault = faults(attachments)
    if fault:
        raise RemoteProtocolError("attachments", fault)
    return attachments


def _parse(value: Value) -> Attachment:
    match value:
        case [bytes(file), int(size), str(name), str(media_type), bytes(key)] if not (
            isinstance(size, bool)
        ):
            return Attachment(file, size, name, media_type, key)
        case _:
            raise RemoteProtocolError("attachments", "not the five parts of an attachment")
