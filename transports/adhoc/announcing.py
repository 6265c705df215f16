"""Beacons on mediums that have no IP: what to say and what was heard, without clock or sockets.

A beacon goes to all in range, and so does an answer: whoever else hears it needs no more of them.

Each medium has a nonce of its own, drawn when it comes up. It stays as long as our station's
address there does, for who listens knows us again by that anyhow; and who hears us has to find out
only once who is behind a mark. Two mediums show nothing that tells they are one peer's, where the
owner hides the peer id.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from meshpeer.core.formats.beacon import NONCE_SIZE, Beacon, parse_frame
from meshpeer.core.link.path import Path
from meshpeer.errors import RemoteProtocolError
from transports.beaconing import REPEAT_ON_AIR, Hearing, Rounds, pace_on_air
from transports.interface import PeerFound


class Announcing:
    """Announces one peer on the mediums that are up, and says whom it heard there."""

    def __init__(
        self,
        peer_id: bytes,
        *,
        hidden: bool,
        rng: Callable[[int], bytes],
        counters: Counter[str],
        now: float,
    ) -> None:
        self._peer_id, self._hidden, self._rng = peer_id, hidden, rng
        self._counters = counters
        self._rounds: Rounds[Path] = Rounds(rng=rng)
        self._hearing = Hearing(now=now, repeat=REPEAT_ON_AIR)
        self._beacons: dict[Path, Beacon] = {}

    def set_mediums(self, rates: Mapping[Path, float | None], now: float) -> None:
        """These are up now, each by everybody's path, with the rate of what goes to all there."""
        self._beacons = {
            everybody: self._beacons.get(everybody) or self._beacon() for everybody in rates
        }
        paces = {
            everybody: pace_on_air(rate, len(self._beacons[everybody].encode_frame()))
            for everybody, rate in rates.items()
        }
        self._rounds.set_places(paces, now)

    def heard(
        self, payload: bytes, path: Path, everybody: Path, now: float
    ) -> PeerFound | None:
        """Take what came from this path, on the medium of `everybody`; give what is news."""
        station = str(path.address)
        if not self._hearing.admits(station, now):
            self._counters["beacons dropped: too many"] += 1
            return None
        try:
            beacon = parse_frame(payload)
        except RemoteProtocolError as error:
            self._counters[f"beacons dropped: {error.field}"] += 1
            return None
        if beacon.is_of(self._peer_id):
            self._counters["beacons own"] += 1
            return None
        self._counters["beacons heard"] += 1
        self._rounds.heard(everybody, station, now)
        heard = self._hearing.heard(beacon, station, now)
        if heard.answer:
            self._rounds.answer(everybody, station, now)
        if not heard.tell:
            return None
        spread = self._rounds.spread(everybody, now)
        return PeerFound(beacon.peer_id, path, beacon.nonce, beacon.mark, spread)

    def due(self, now: float) -> list[tuple[Path, bytes]]:
        """Take what is to be sent now, each to everybody's path of a medium."""
        out = []
        for everybody, answer in self._rounds.due(now):
            beacon = replace(self._beacons[everybody], answer=answer)
            out.append((everybody, beacon.encode_frame()))
            self._counters["beacons sent"] += 1
        return out

    def next_wakeup(self) -> float | None:
        """When something is due, at the earliest; None while there is no medium."""
        return self._rounds.next_wakeup()

    def _beacon(self) -> Beacon:
        nonce = self._rng(NONCE_SIZE)
        return Beacon.of(self._peer_id, nonce=nonce, hidden=self._hidden)
