"""Messages of ours that files go with: each has arrived when its text and all its files have.

A file's arrival is a value that no bundle's header tells, r of formats/attachment.py: the receiver
shows it once the whole file is verified and stored, whichever way it came. What has arrived is in
the journal before it is told, so a state never lies and never falls: a delivery's row says that
the text arrived, the file's own row says it of each file, and only both together are *arrived*.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.journal import Journal
from meshpeer.core.writes import DeliveryState, PutEvent

UNDERWAY: Final = "underway"
ARRIVED: Final = "arrived"

_LIVELIEST: Final = (
    DeliveryState.ARRIVED,
    DeliveryState.RECALL_ASKED,
    DeliveryState.CARRIED,
    DeliveryState.QUEUED,
    DeliveryState.DROPPED,
)


class Letter(NamedTuple):
    """A message of ours and the files that go with it."""

    message_id: bytes
    person: bytes
    """Who wrote it, here."""
    contact: bytes
    attachments: tuple[Attachment, ...]
    lifetime: int
    stored: float
    """Running seconds when it was written."""
    written: int
    """Wall seconds when it was written: a hint."""
    arrived: frozenset[bytes] = frozenset()
    """The files that have."""
    text_arrived: bool = False


class Letters:
    """All of which something is still under way."""

    def __init__(self, journal: Journal, letters: Iterable[Letter] = ()) -> None:
        self._journal = journal
        self._letters: dict[bytes, Letter] = {}
        self._by_hash: dict[bytes, tuple[bytes, int]] = {}
        for letter in letters:
            self._index(letter)

    def __iter__(self) -> Iterator[Letter]:
        return iter(list(self._letters.values()))

    def get(self, message_id: bytes) -> Letter | None:
        """The letter, while something of it is under way."""
        return self._letters.get(message_id)

    def add(self, letter: Letter) -> None:
        """A message was written with files: journal that they are under way."""
        for position, attachment in enumerate(letter.attachments):
            self._journal.add(_row(letter, position, attachment, UNDERWAY))
        self._index(letter)

    def watched(self) -> Iterator[bytes]:
        """The hashes under which values of files are waited for."""
        return iter(self._by_hash)

    def text_arrived(self, message_id: bytes) -> bool:
        """Its text arrived; True if that was all."""
        letter = self._letters.get(message_id)
        if letter is None:
            return True
        self._letters[message_id] = letter._replace(text_arrived=True)
        return self._whole(message_id)

    def file_arrived(self, receipt_hash: bytes) -> tuple[Letter, Attachment] | None:
        """A value was seen: if it is that of a file of ours, journal that this one arrived."""
        message_id, position = self._by_hash.pop(receipt_hash, (b"", 0))
        letter = self._letters.get(message_id)
        if letter is None:
            return None
        attachment = letter.attachments[position]
        letter = letter._replace(arrived=letter.arrived | {attachment.file})
        self._letters[message_id] = letter
        self._journal.add(
            _row(letter, position, attachment, ARRIVED),
            PutEvent.of(
                "attachment",
                id=message_id.hex(),
                name=attachment.name,
                file=attachment.file.hex(),
                state=ARRIVED,
            ),
        )
        self._whole(message_id)
        return letter, attachment

    def forget(self, message_id: bytes) -> list[bytes]:
        """It can't arrive any more; give the hashes that were watched."""
        letter = self._letters.pop(message_id, None)
        hashes = [one.receipt_hash for one in letter.attachments] if letter else []
        return [hash for hash in hashes if self._by_hash.pop(hash, None)]

    def _whole(self, message_id: bytes) -> bool:
        """Whether all of it arrived; then it is no letter under way any more."""
        letter = self._letters[message_id]
        whole = letter.text_arrived and len(letter.arrived) == len(letter.attachments)
        if whole:
            del self._letters[message_id]
        return whole

    def _index(self, letter: Letter) -> None:
        self._letters[letter.message_id] = letter
        for position, attachment in enumerate(letter.attachments):
            if attachment.file not in letter.arrived:
                self._by_hash[attachment.receipt_hash] = letter.message_id, position


def _row(
    letter: Letter, position: int, attachment: Attachment, state: str
) -> PutAttachment:
    return PutAttachment(
        message_id=letter.message_id,
        contact=letter.contact,
        sent=True,
        position=position,
        file=attachment.file,
        size=attachment.size,
        name=attachment.name,
        media_type=attachment.media_type,
        key=attachment.key,
        state=state,
    )


def message_state(
    states: Iterable[DeliveryState], *, files_lack: bool, over: bool
) -> DeliveryState:
    """Say what is known of a message from what is known of its bundles and files.

    It arrived when one of the receiver's devices has its text, and all files came; `over`: its
    lifetime is. A text that arrived alone is on its way still. Else the liveliest bundle speaks.
    """
    found = set(states)
    if DeliveryState.ARRIVED in found and files_lack:
        found.discard(DeliveryState.ARRIVED)
        found.add(DeliveryState.EXPIRED if over else DeliveryState.CARRIED)
    return next((state for state in _LIVELIEST if state in found), DeliveryState.EXPIRED)
