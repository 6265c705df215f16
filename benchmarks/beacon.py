"""Beacons in cells of 2, 20 and 200 stations: how much air, and how soon a newcomer is noticed.

A simulated channel of 6 Mbit/s with listening before talking, collisions, and one pair in ten that
don't hear each other; the daemon's own code decides what is sent, under a clock that jumps. A
frame takes 20 us of preamble, its bits (802.11, LLC and checksum in), a gap of 34 us and a mean wait of
67 us. All is visible: the longer form.

A newcomer is noticed by a station when that one tells its node of it (PeerFound); the median is over
newcomers and all stations that hear them, who never does counts as never. `median_s` is of one that
walks into range with its radio on, which nobody is told of; `start` of one that is switched on there.
The air is counted from when the cell has settled, newcomers and answers in; the worst cell counts.

What a newcomer costs: its beacons and the answers in its first two seconds, and the handshakes with
those that call it, of the core's own endpoints. What idle links cost is reckoned from the packets of
one idle link and the number of links that so many strangers make by the daemon's own bounds.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from random import Random
from statistics import mean, median
from typing import NamedTuple

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.path import Datagram, Path
from meshpeer.node.crowd import Call, Crowd
from tests.transports.air import Air
from transports.adhoc.address import path_of
from transports.adhoc.announcing import Announcing
from transports.beaconing import FRAME_S, HEADERS

RATE = 6e6
ACK_S = 60e-6
"""What 802.11's acknowledgement of a frame to one station takes."""
HIDDEN = 0.1
SETTLE = 120.0
STAY = 10.0
"""Seconds between two newcomers."""
FIRST = 2.0
"""Seconds in which beacons are counted as a newcomer's doing."""
CELLS = {2: 60, 20: 20, 200: 6}
"""Newcomers of each kind to each cell."""
EVERYBODY = path_of("mesh0", b"\xff" * 6)


def station_of(number: int) -> bytes:
    return b"\x02" + number.to_bytes(5, "big")


class Newcomer(NamedTuple):
    """One that came: when each station that hears it noticed, and what was on the air."""

    noticed: list[float]
    beacons: int


class Cell:
    """Some stations on one air, and a place for a newcomer, the last."""

    def __init__(self, stations: int, rng: Random) -> None:
        self._rng, self.now = rng, 0.0
        self.present = stations - 1
        self.near: set[int] = set()
        """Who hears the newcomer."""
        self.deaf = {
            frozenset((one, other))
            for one in range(self.present)
            for other in range(one)
            if rng.random() < HIDDEN
        }
        self.air = Air(stations, rate=RATE, hears=self._hears, rng=rng)
        self.peers = [self._peer() for _ in range(stations)]
        self.noticed: dict[int, float] = {}
        self._wakeups: list[tuple[float, int]] = []
        self._names = list(map(station_of, range(stations)))
        self._came = stations

    def _hears(self, listener: int, source: int) -> bool:
        if self.present in (listener, source):
            return (listener if source == self.present else source) in self.near
        return frozenset((listener, source)) not in self.deaf

    def _peer(self) -> Announcing:
        return Announcing(
            self._rng.randbytes(32),
            hidden=False,
            rng=self._rng.randbytes,
            counters=Counter(),
            now=self.now,
        )

    def switch_on(self, number: int) -> None:
        """This station begins."""
        self.peers[number].set_mediums({EVERYBODY: None}, self.now)
        self._note(number)

    def newcomer(self) -> None:
        """A station that nobody heard before comes to the last place; no one is near it yet."""
        self.near, self.noticed = set(), {}
        self.peers[self.present] = self._peer()
        self._names[self.present] = station_of(self._came)
        self._came += 1

    def come_near(self) -> None:
        """From now on most hear the newcomer, and it them."""
        everybody = range(self.present)
        self.near = {each for each in everybody if self._rng.random() >= HIDDEN} or {0}

    def run(self, until: float) -> None:
        """Let happen what does till then."""
        while True:
            at = min(self.air.next_wakeup() or math.inf, self._next())
            if at > until:
                break
            self.now = at
            for listener, source, data in self.air.advance(at):
                self._heard(listener, source, data[HEADERS:])
            while self._next() <= at:
                self._speak(heapq.heappop(self._wakeups)[1])
        self.now = until

    def _next(self) -> float:
        """When the first station has something to say; forgets times that have changed."""
        while self._wakeups:
            at, number = self._wakeups[0]
            if self.peers[number].next_wakeup() == at:
                return at
            heapq.heappop(self._wakeups)
        return math.inf

    def _note(self, number: int) -> None:
        at = self.peers[number].next_wakeup()
        if at is not None:
            heapq.heappush(self._wakeups, (at, number))

    def _speak(self, number: int) -> None:
        for _, beacon in self.peers[number].due(self.now):
            self.air.offer(number, bytes(HEADERS) + beacon, None, self.now)
        self._note(number)

    def _heard(self, listener: int, source: int, payload: bytes) -> None:
        path = path_of("mesh0", self._names[source])
        found = self.peers[listener].heard(payload, path, EVERYBODY, self.now)
        if found and source == self.present:
            self.noticed.setdefault(listener, self.now)
        self._note(listener)

    def air_s(self) -> float:
        """Seconds that all frames took till now."""
        gaps = self.air.counters["frames"] * FRAME_S
        return gaps + 8 * self.air.counters["bytes"] / RATE


def visits(cell: Cell, count: int, *, walking: bool) -> Iterator[Newcomer]:
    """Let newcomers come, one after the other, and stay for a while."""
    for _ in range(count):
        cell.newcomer()
        if walking:
            cell.switch_on(cell.present)
        cell.run(cell.now + STAY * (0.5 + cell._rng.random()))
        begin, frames = cell.now, cell.air.counters["frames"]
        cell.come_near()
        if not walking:
            cell.switch_on(cell.present)
        cell.run(begin + FIRST)
        beacons = cell.air.counters["frames"] - frames
        cell.run(begin + STAY)
        times = [cell.noticed.get(each, math.inf) - begin for each in cell.near]
        yield Newcomer(times, beacons)


class Cost(NamedTuple):
    """Seconds of air of a link's handshake, and of each later second of an idle link."""

    begin: float
    idle: float


def link_cost(rng: Random) -> Cost:
    """Link two endpoints, leave them alone for a while, and count what they send."""
    ends = [
        Endpoint(static=KeyPair.generate(rng.randbytes), now=0.0, rng=rng.randbytes)
        for _ in range(2)
    ]
    paths = [path_of("mesh0", station_of(number)) for number in range(2)]
    ends[0].connect(ends[1].peer_id, paths[1], 0.0)
    begin, now, idle_s = 0.0, 0.0, 600.0
    total = 0.0
    while now <= idle_s:
        for number, end in enumerate(ends):
            end.wake(now)
            total += exchange(ends, paths, number, now)
        begin = total if now < 5.0 else begin
        due = [each.next_wakeup() for each in ends]
        now = max(min(at for at in due if at is not None), now + 0.001)
    return Cost(begin, (total - begin) / idle_s)


def exchange(ends: list[Endpoint], paths: list[Path], number: int, now: float) -> float:
    """Bring what one has to say to the other; give the seconds that it takes on the air."""
    seconds = 0.0
    ends[number].events()
    for _, data in ends[number].outgoing(now):
        seconds += FRAME_S + ACK_S + 8 * (len(data) + HEADERS) / RATE
        ends[1 - number].receive([Datagram(paths[number], data)], now)
    return seconds


def links_of(stations: int, rng: Random) -> tuple[int, float]:
    """Give how many links so many strangers make who start together, and how many call one
    that comes later or are called by it."""
    links: list[set[int]] = [set() for _ in range(stations + 1)]

    def up(number: int) -> Crowd:
        return Crowd(lambda *_: len(links[number]), rng.randbytes)

    crowds = [up(number) for number in range(stations + 1)]

    def meet(pairs: list[tuple[int, int]], begin: float) -> None:
        for here, there in pairs:
            peer = there.to_bytes(32, "big")
            crowds[here].heard(Call(peer, EVERYBODY, "air", False), 1.0, begin)
        for now in (begin + step / 50 for step in range(51)):
            for here, crowd in enumerate(crowds):
                for call in crowd.due(now):
                    there = int.from_bytes(call.peer, "big")
                    for one, other in ((here, there), (there, here)):
                        links[one].add(other)
                        crowds[one].linked(other.to_bytes(32, "big"))

    everybody = range(stations)
    meet([(one, other) for one in everybody for other in everybody if one != other], 0.0)
    before = sum(map(len, links)) // 2
    pairs = [(each, stations) for each in everybody] + [
        (stations, each) for each in everybody
    ]
    meet(pairs, 60.0)
    return before, len(links[stations])


def measure(stations: int, count: int) -> dict[str, float]:
    """Give the figures of one cell."""
    rng = Random(stations)
    cell = Cell(stations, rng)
    for number in range(cell.present):
        cell.now = number * 10 / stations
        cell.run(cell.now)
        cell.switch_on(number)
    cell.run(SETTLE)
    since, before = cell.now, cell.air_s()
    walked = list(visits(cell, count, walking=True))
    started = list(visits(cell, count, walking=False))
    percent = 100 * (cell.air_s() - before) / (cell.now - since)
    walk = [at for each in walked for at in each.noticed]
    start = [at for each in started for at in each.noticed]
    cost = link_cost(rng)
    links, calls = links_of(stations - 1, rng)
    beacon_s = FRAME_S + 8 * (41 + HEADERS) / RATE
    air = mean(each.beacons for each in started) * beacon_s + calls * cost.begin
    print(
        f"{stations:>8} {percent:>8.3f} {median(walk):>9.3f} {sorted(walk)[len(walk) * 19 // 20]:>7.2f}"
        f" {median(start):>9.4f} {max(start):>7.2f} {1e3 * air:>10.1f} {links:>7}"
        f" {100 * links * cost.idle:>9.2f} {100 * stations * (stations - 1) / 2 * cost.idle:>8.2f}"
    )
    return {
        "percent": percent,
        f"median_s_{stations}": round(median(walk), 3),
        f"start_median_s_{stations}": round(median(start), 4),
        f"newcomer_air_ms_{stations}": round(1e3 * air, 1),
        f"idle_links_percent_{stations}": round(100 * links * cost.idle, 2),
    }


def main() -> dict[str, float]:
    print(
        "stations   air, %  walked in, s   95 %  switched on   worst   newcomer   links  idle links  if all linked"
    )
    print(
        "                        median                median           air, ms               air, %         air, %"
    )
    figures: dict[str, float] = {}
    worst = 0.0
    for stations, count in CELLS.items():
        cell = measure(stations, count)
        worst = max(worst, cell.pop("percent"))
        figures |= cell
    return {"airtime_percent": round(worst, 3), **figures}
