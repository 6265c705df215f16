"""What a person wants to say, before it is a message."""

from typing import Final, NamedTuple

from meshpeer.core.formats.attachment import Attachment, faults
from meshpeer.core.formats.bundle import MAX_LIFETIME, Priority
from meshpeer.core.formats.message import MAX_TEXT
from meshpeer.core.mail.people import Contact, Status
from meshpeer.errors import UsageError

DEFAULT_LIFETIME: Final = 7 * 86_400


class Draft(NamedTuple):
    """What a person wants to say, and how."""

    text: str
    lifetime: int = DEFAULT_LIFETIME
    priority: Priority = Priority.NORMAL
    reply_to: bytes | None = None
    kind: str = "text"
    attachments: tuple[Attachment, ...] = ()
    """Files sealed for this message alone, which are held here."""


def check(draft: Draft, contact: Contact) -> None:
    """Raise UsageError, saying what to do, for a message that can't be sent."""
    try:
        size = len(draft.text.encode())
    except UnicodeEncodeError as error:
        raise UsageError("the text is not valid Unicode") from error
    if not draft.text and not draft.attachments:
        raise UsageError("an empty message; write something")
    if fault := faults(draft.attachments):
        raise UsageError(fault)
    if size > MAX_TEXT:
        raise UsageError(f"a message of {size:,} bytes; the limit is {MAX_TEXT:,}")
    if not 1 <= draft.lifetime <= MAX_LIFETIME:
        raise UsageError(
            f"a lifetime of {draft.lifetime:,} s; it must be 1 to {MAX_LIFETIME:,} (35 days)"
        )
    if contact.status is Status.BLOCKED:
        raise UsageError("that contact is blocked; unblock it first")
