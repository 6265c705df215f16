"""Beacons on mediums that have no IP: the same beacon as on a LAN, by the same manners.

A beacon goes to all in range, when a medium comes up and then hardly ever; an answer goes to the
newcomer alone. The port in it has no meaning here.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from meshpeer.core.formats.beacon import NONCE_SIZE, Beacon, parse
from meshpeer.core.link.path import Path
from meshpeer.errors import RemoteProtocolError
from transports.beaconing import ANSWER_PAUSE, Hearing, Rounds
from transports.interface import Found, PeerFound

NO_PORT: Final = 1


class Beacons:
    """Announces one peer on the mediums that are up, and tells whom it heard there.

    `send(path, beacon)` is called with everybody's path of a medium, or a station's.
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
        self._peer_id, self._hidden = peer_id, hidden
        self._found, self._send, self._rng = found, send, rng
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._rounds: Rounds[Path] = Rounds(now=now, rng=rng)
        self._hearing = Hearing(now=now)
        self._nonce = rng(NONCE_SIZE)
        self._answers: set[asyncio.TimerHandle] = set()
        self._timer: asyncio.TimerHandle | None = None

    def set_mediums(self, everybody: Iterable[Path]) -> None:
        """These mediums are up now, each given by everybody's path; new ones get a burst."""
        self._rounds.set_addresses(everybody, self._loop.time())
        self._wake()

    def heard(self, payload: bytes, path: Path, everybody: Path) -> None:
        """A beacon came from this path, on the medium of `everybody`."""
        now = self._loop.time()
        if not self._hearing.admits(str(path.address), now):
            self._counters["beacons dropped: too many"] += 1
            return
        try:
            beacon = parse(payload)
        except RemoteProtocolError as error:
            self._counters[f"beacons dropped: {error.field}"] += 1
            return
        if beacon.is_of(self._peer_id):
            self._counters["beacons own"] += 1
            return
        self._counters["beacons heard"] += 1
        heard = self._hearing.heard(beacon, str(path.address), now)
        if heard.tell:
            self._found(PeerFound(beacon.peer_id, path, beacon.nonce, beacon.mark))
        if heard.answer and not self._rounds.speaks_soon(everybody, now):
            self._answer(path)

    def close(self) -> None:
        """Fall silent. A second call does nothing."""
        for timer in [*self._answers, *([self._timer] if self._timer else [])]:
            timer.cancel()
        self._answers.clear()
        self._timer = None

    def _wake(self) -> None:
        for everybody in self._rounds.due(self._loop.time()):
            self._speak(everybody)
        if self._timer is not None:
            self._timer.cancel()
        at = self._rounds.next_wakeup()
        self._timer = None if at is None else self._loop.call_at(at, self._wake)

    def _answer(self, path: Path) -> None:
        def speak() -> None:
            self._answers.discard(timer)
            self._speak(path, answer=True)

        pause = ANSWER_PAUSE * self._rng(1)[0] / 255
        timer = self._loop.call_later(pause, speak)
        self._answers.add(timer)

    def _speak(self, path: Path, *, answer: bool = False) -> None:
        beacon = Beacon.of(
            self._peer_id,
            nonce=self._nonce,
            port=NO_PORT,
            hidden=self._hidden,
            answer=answer,
        )
        self._counters["beacons sent"] += 1
        self._send(path, beacon.encode())
