"""The history that every client of the API sees, and the clock of each commit.

An event's number is the highest plus one, given inside the transaction: a commit undone leaves
no gap, and since only the oldest are trimmed no number is given twice.
"""

from typing import Final

from meshpeer.core.clock import ClockReading
from meshpeer.core.writes import PutEvent
from store.plan import Plan, Statement
from store.reader import Reader
from store.rows import EventRow

EVENTS: Final = 10_000
"""Kept, the latest: a client away for longer begins with a gap."""

PLAN: Final[Plan] = {
    PutEvent: (
        Statement(
            "INSERT INTO event(kind, body) VALUES (?, ?)", lambda write, names: tuple(write)
        ),
    ),
}

TRIM_EVENTS: Final = "DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?"

SAVE_CLOCK: Final = """INSERT OR REPLACE INTO clock(only_row, running, boot_id, boottime, wall)
    VALUES (1, ?, ?, ?, ?)"""


class HistoryReads(Reader):
    """What happened, and when this peer last knew the time."""

    def events_after(self, seq: int, limit: int = 100) -> list[EventRow]:
        """Give events above `seq`, oldest first."""
        rows = self._all(
            "SELECT seq, kind, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
            seq,
            limit,
        )
        return [EventRow(*row) for row in rows]

    def event_range(self) -> tuple[int, int]:
        """Give the lowest and highest event number kept; (0, 0) before the first."""
        low, high = self._one(
            "SELECT (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)"
        )
        return (low or 0, high or 0)

    def saved_clock(self) -> ClockReading | None:
        """Give the clock as the last commit saved it."""
        row = self._one("SELECT running, boot_id, boottime, wall FROM clock")
        return ClockReading(*row) if row else None
