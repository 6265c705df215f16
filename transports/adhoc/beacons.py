"""The clock of the beacons on mediums without IP; what they say, `announcing` decides."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from meshpeer.core.link.path import Path
from transports.adhoc.announcing import Announcing
from transports.interface import Found


class Beacons:
    """Announces one peer on the mediums that are up, and tells whom it heard there.

    `send(path, beacon)` is called with everybody's path of a medium.
    """

    def __init__(
        self,
        peer_id: bytes,
        *,
        hidden: bool,
        found: Found,
        send: Callable[[Path, bytes], None],
        rng: Callable[[int], bytes],
        counters: Counter[str],
    ) -> None:
        self._found, self._send = found, send
        self._loop = asyncio.get_running_loop()
        self._announcing = Announcing(
            peer_id, hidden=hidden, rng=rng, counters=counters, now=self._loop.time()
        )
        self._timer: asyncio.TimerHandle | None = None

    def set_mediums(self, rates: Mapping[Path, float | None]) -> None:
        """These mediums are up now, each by everybody's path; new ones get a burst."""
        self._announcing.set_mediums(rates, self._loop.time())
        self._wake()

    def heard(self, payload: bytes, path: Path, everybody: Path) -> None:
        """A beacon came from this path, on the medium of `everybody`."""
        found = self._announcing.heard(payload, path, everybody, self._loop.time())
        if found is not None:
            self._found(found)
            self._set_timer()

    def close(self) -> None:
        """Fall silent. A second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        for everybody, beacon in self._announcing.due(self._loop.time()):
            self._send(everybody, beacon)
        self._set_timer()

    def _set_timer(self) -> None:
        at = self._announcing.next_wakeup()
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at, self._wake)
