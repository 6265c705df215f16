"""Ids that are not taken again: what was held and purged, delivered, evicted, or is invalid.

An id stays over for as long again as its lifetime. Beside it lies a lesser memory, never on the
disk: when an id was first seen that ended only by the age that carriers reported. It may come
again, younger, but is not held for longer than its lifetime from that first sight.
"""

from typing import Final

from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.charged import Charged
from meshpeer.core.writes import DropOver, PutOver

MAX_OVERS: Final = 65_536
MAX_SIGHTS: Final = 16_384
SWEEP_S: Final = 3_600.0


class Overs:
    """The bounded memory; the largest account's oldest goes first."""

    def __init__(self, journal: Journal, limit: int = MAX_OVERS) -> None:
        self._journal = journal
        self._until: Charged[float] = Charged(limit)
        self._sights: dict[bytes, float] = {}
        self._swept = 0.0

    def __len__(self) -> int:
        return len(self._until)

    def has(self, id: bytes, now: float) -> bool:
        """It is not to be taken now."""
        until = self._until.get(id)
        return until is not None and now < until

    def add(self, id: bytes, until: float, account: Account) -> None:
        """Never take this id again before `until`."""
        self._journal.add(PutOver(id, until, str(account)))
        crowded_out = self._until.put(id, until, account)
        if crowded_out is not None:
            self._journal.add(DropOver(crowded_out[0]))

    def restore(self, row: PutOver) -> None:
        """Take up a row from the disk."""
        self._until.put(row.id, row.until, Account.parse(row.account))

    def note_sight(self, id: bytes, first_seen: float) -> None:
        """It ended early by reported age, and may come again."""
        self._sights[id] = first_seen
        if len(self._sights) > MAX_SIGHTS:
            del self._sights[next(iter(self._sights))]

    def first_seen(self, id: bytes, now: float) -> float:
        """When it was first seen: now, unless it was here before."""
        return self._sights.get(id, now)

    def expire(self, now: float) -> None:
        """Forget ids whose time is up; at most once an hour, for nobody waits for it."""
        if now < self._swept + SWEEP_S:
            return
        self._swept = now
        for id in [id for id, until in self._until if until <= now]:
            self._until.pop(id)
            self._journal.add(DropOver(id))
