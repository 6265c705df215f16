"""Virtual time: what is due next happens next, and the clock jumps to it.

Nothing sleeps and nothing is random here, so a run is a pure function of what was scheduled.
Actions due at the same moment run in the order in which they were asked for. An Alarm is a timer
that is moved far more often than it rings (a peer's next wake-up): moving it later costs nothing,
because its entry in the heap is looked at again only when it comes up.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush


class Loop:
    """The clock and the agenda of one simulation."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Run `action` when the clock shows `when`, or at once if that is past."""
        self._count += 1
        heappush(self._agenda, (max(when, self.now), self._count, action))

    def run(self, until: float = math.inf) -> None:
        """Run everything due up to `until`; then the clock shows `until` if that is finite."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= until:
            self.now, _, action = heappop(agenda)
            action()
        if until < math.inf:
            self.now = until


class Alarm:
    """One timer that rings at the last time set."""

    def __init__(self, loop: Loop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due = math.inf
        self._booked = math.inf

    def set(self, due: float | None) -> None:
        """Ring at `due`; None silences it."""
        self._due = math.inf if due is None else due
        if self._due < self._booked:
            self._book()

    def _book(self) -> None:
        self._booked = self._due
        self._loop.at(self._due, lambda booked=self._due: self._come_up(booked))  # type: ignore[misc]

    def _come_up(self, booked: float) -> None:
        if booked != self._booked:
            return  # an earlier booking took its place
        self._booked = math.inf
        if self._due <= self._loop.now:
            self._due = math.inf
            self._ring()
        elif self._due < math.inf:
            self._book()
