"""What became of the answers to each want: how many, who has them, and how to end them.

The history tells when all were given, and when neighbours have them all. Who made a seal knows
its receipt, so once the asker has the file the answers can be purged wherever they are.
"""

from dataclasses import dataclass, field
from typing import Final

from meshpeer.core.journal import Journal
from meshpeer.core.writes import PutEvent

MAX_TALLIES: Final = 512
"""Wants whose answers can be ended from here; 16 bytes for each answer."""
MAX_LEAVING: Final = 4_096
"""Answers of which is remembered to whom they belong, until a neighbour has them."""


@dataclass(slots=True, eq=False)
class Tally:
    """What became of the answers to one want; it outlives the job, which has the manifest."""

    file: bytes
    given: int = 0
    all_given: bool = False
    here: set[bytes] = field(default_factory=set)
    """Answers that no neighbour has yet."""
    receipts: list[bytes] = field(default_factory=list)
    """Of all answers that were made: who made a seal can end it, too."""
    stopped: bool = False
    is_news: bool = True
    """Whether the history is told."""


class Tallies:
    """The wants that were answered of late."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_want: dict[bytes, Tally] = {}
        self._leaving: dict[bytes, Tally] = {}

    def begin(self, want: bytes, file: bytes, *, is_news: bool) -> Tally:
        """A want, known by its bundle, is answered from now on."""
        tally = self._by_want[want] = Tally(file, is_news=is_news)
        while len(self._by_want) > MAX_TALLIES:
            self._by_want.pop(next(iter(self._by_want)))
        return tally

    def gave(self, tally: Tally, bundle: bytes, receipt: bytes, *, last: bool) -> None:
        """One more answer is in the queue; `last` if there will be no other."""
        tally.given += 1
        tally.receipts.append(receipt)
        tally.all_given = last
        tally.here.add(bundle)
        self._leaving[bundle] = tally
        while len(self._leaving) > MAX_LEAVING:
            self._leaving.pop(next(iter(self._leaving)))
        if last:
            self._tell(tally, state="answered", parts=tally.given)

    def carried(self, bundle: bytes, peer: bytes) -> None:
        """A neighbour has this answer."""
        tally = self._leaving.pop(bundle, None)
        if tally is None:
            return
        tally.here.discard(bundle)
        if tally.all_given and not tally.here:
            self._tell(tally, state="handed_on", peer=peer.hex())

    def end(self, want: bytes, *, satisfied: bool) -> list[bytes]:
        """A want left the queue; give the receipts of answers that nobody needs any more."""
        tally = self._by_want.pop(want, None)
        if tally is None or not satisfied:
            return []
        tally.stopped = True
        return tally.receipts

    def _tell(self, tally: Tally, **more: object) -> None:
        if tally.is_news:
            self._journal.add(PutEvent.of("want", file=tally.file.hex(), **more))
