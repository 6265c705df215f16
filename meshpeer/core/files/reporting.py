"""How fast each fetch comes and how far it is, told when that changed.

Measured and told at most twice a second, for all fetches together, and only while something
moves: a fetch that waits costs nothing.
"""

from typing import Final

from meshpeer.core.files.events import FetchProgress, Progress
from meshpeer.core.files.fetch import Fetch
from meshpeer.core.files.swarm import Swarm
from meshpeer.core.journal import Journal

PROGRESS_S: Final = 0.5
FORGETS: Final = 0.4
"""How fast the shown rate follows what comes."""
SLOWEST: Final = 1_000.0
"""Bytes a second below which the rate of a fetch of which nothing came is 0."""

ONLY_SLOWLY: Final = (
    "only a slow link ({:,.0f} bit/s) leads there; get it anyway with --slow"
)


class Reporting:
    """Tells of all fetches."""

    def __init__(self, swarm: Swarm, journal: Journal, now: float) -> None:
        self._swarm, self._journal = swarm, journal
        self._at = now
        """When it was told last."""
        self._told: dict[bytes, tuple[int, str, str]] = {}

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        return self._at + PROGRESS_S if self._swarm.moved else None

    def wake(self, now: float) -> None:
        """Measure how fast files come, and tell how far they are, if that is due."""
        elapsed = now - self._at
        if elapsed < PROGRESS_S:
            return
        self._at = now
        elapsed = min(elapsed, 2 * PROGRESS_S)  # before, nothing was fetched
        for fetch in list(self._swarm.moved):
            rate = fetch.taken / elapsed
            if not fetch.taken and fetch.rate < SLOWEST:
                del self._swarm.moved[fetch]
                rate = fetch.rate = 0.0
            fetch.rate = fetch.rate + FORGETS * (rate - fetch.rate) if fetch.rate else rate
            fetch.taken = 0
            self._tell(fetch)

    def forget(self, file: bytes) -> None:
        """It is not fetched any more."""
        self._told.pop(file, None)

    def progress(self, fetch: Fetch) -> Progress:
        """How far it has come."""
        size, here, sources = fetch.size, fetch.bytes_here, fetch.sources
        state, why = fetch.row.state, fetch.row.why
        if state == "paused":
            return Progress(here, size, 0.0, 0, None, state, why)
        if fetch.why:
            state, why = "waiting", fetch.why
        elif self._journal.blocked:
            state, why = "waiting", "the disk takes nothing now; make room on it"
        elif state == "fetching" and (rate := _only_slowly(fetch)):
            state, why = "waiting", ONLY_SLOWLY.format(rate)
        elif state == "fetching" and not (sources or fetch.landing or fetch.arriving):
            state, why = "waiting", "no peer that can be reached now holds it"
        left = (size - here) / fetch.rate if fetch.rate >= 1 and size >= 0 else None
        return Progress(here, size, fetch.rate, sources, left, state, why)

    def _tell(self, fetch: Fetch) -> None:
        progress = self.progress(fetch)
        seen = progress.have, progress.state, progress.why
        if seen != self._told.get(fetch.file):
            self._told[fetch.file] = seen
            self._swarm.events.append(FetchProgress(fetch.file, progress))


def _only_slowly(fetch: Fetch) -> float | None:
    """Bit/s of the best link to a holder, if all are too slow for this file."""
    holders = [each.source for each in fetch.holdings.values() if each.answered]
    if not holders or not all(source.too_slow(fetch) for source in holders):
        return None
    return max(source.rate or 0.0 for source in holders)
