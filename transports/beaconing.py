"""When to beacon, whom to believe and whom to answer: one set of manners for LANs and for radio.

Whoever starts, or gets an address, beacons three times within a second, for one may be lost, and
is told of and answered: so nobody has to ask around. After that the two differ in one number.

- On a LAN a round of 120 s is enough: nobody comes into range there without getting an address.
- On a radio somebody walks by, and neither side is told. So few stations beacon every 2 s; where
  there are more, each as much less often as keeps all of them below a quarter of a percent of the
  air: 200 at 6 Mbit/s every 19 s. Who walks in hears a tenth of a second later that others are
  there, and answers; and the one alone beacons every 2 s anyway.

How many there are is counted by addresses heard lately. Who forges thousands slows everybody
down, but only to 30 s, and never the first three beacons, nor an answer.

An answer on a LAN goes to the newcomer alone, and everybody gives one. By radio it goes to all;
whoever has heard three others meanwhile keeps silent, so 200 stations answer with a few beacons,
also where some of them don't hear each other. Both wait for a random time that grows with the
number of stations. Who is about to beacon anyway spares it: that beacon says the same.

Trickle (RFC 6206) is the model, but for its suppression of what is regular: every beacon here
says something else, and one at the edge has to be heard by who hears nobody else.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from meshpeer.core.bucket import Bucket
from meshpeer.core.formats.beacon import Beacon
from meshpeer.core.link.slow import is_slow

Place = TypeVar("Place", bound=Hashable)
"""From where a beacon is sent: an address of a LAN, everybody's path of a medium."""

BURST: Final = (0.0, 0.2, 1.0)
"""Seconds after an address came, the later two give or take a quarter; longer where one beacon
takes long."""
BURST_AIR: Final = (0, 10, 30)
"""The same, at least so many times what a beacon takes on the air."""
ROUND: Final = 120.0
"""Seconds between beacons on a LAN, give or take a quarter, as all intervals."""
LEAST: Final = 2.0
"""Seconds between beacons by radio while few are there."""
LONGEST: Final = 30.0
"""Seconds between them at most, however many seem to be there."""
SHARE: Final = 0.0025
"""Of the air, what all stations together may take."""
COUNTED: Final = 512
"""Stations counted in a place."""
SLOW_CROWD: Final = 8
"""Stations that count where a beacon takes so long that LONGEST is no limit."""
ASSUMED_RATE: Final = 6_000_000.0
"""Bit/s of what is sent to all, where a medium doesn't say: what our own cells are set to."""
FRAME_S: Final = 121e-6
"""Seconds of air that a frame takes beside its bits: preamble, gap, mean wait."""
HEADERS: Final = 39
"""Bytes around a beacon: 802.11 (24), LLC and SNAP (8), length (2), frame (1), checksum (4)."""
SLOW_HEADERS: Final = 8
"""The same on a serial port: KISS (3), stations (4), frame (1)."""
ANSWER_PAUSE: Final = 0.02
"""Longest pause before an answer, in seconds, where few are; its length is random."""
ANSWER_SLOT: Final = 0.005
"""Seconds that the longest pause gains with each station."""
CROWDED: Final = 8
"""Others from which on calls are spread, and not everybody is called."""
ENOUGH: Final = 3
"""Others heard meanwhile, with whom an answer to all is spared."""
ANSWERS_AT_ONCE: Final = 3
"""Answers to all in a row; then one in the interval of a lone station."""
SPOKEN: Final = 0.25
"""Seconds between a beacon and an answer to all."""
SPARED: Final = 0.25
"""An answer is spared if a beacon is due within so many seconds."""
TOGETHER: Final = 0.5
"""Of the interval: what is due so soon goes now, so that idle peers wake up seldom."""
REPEAT: Final = 1.0
"""Seconds for which a beacon heard again on a LAN, by another way, is not told again."""
REPEAT_ON_AIR: Final = 30.0
"""The same by radio, where each beacon repeats the last."""
HOST_RATE, HOST_BURST = 20.0, 100.0
"""Beacons a second taken from one address, and at once: ten peers may start on it together."""
NEWS_RATE, NEWS_BURST = 10_000.0, 10_000.0
"""Peers told of in a second, and at once: more than 6 Mbit/s can carry, so that on the air nobody is
crowded out. A flood of so many costs a fifth of a core. Whom to call, the node decides."""
ANSWER_RATE, ANSWER_BURST = 10.0, 50.0
"""Answers sent to one in a second, and at once; whoever gets none hears the next round."""
REMEMBERED: Final = 1_024
"""Addresses, and peers, kept in mind; the one unheard for longest goes first."""


class Pace(NamedTuple):
    """How often to beacon in a place of some kind."""

    least: float
    longest: float
    airtime: float = 0.0
    """Seconds that one beacon takes of what all share."""

    def interval(self, others: int) -> float:
        """Seconds between two beacons of one station beside so many others."""
        fair = (others + 1) * self.airtime / SHARE
        return max(self.least, min(fair, self.longest))

    def burst(self) -> tuple[float, ...]:
        """Give when a newcomer beacons."""
        both = zip(BURST, BURST_AIR, strict=True)
        return tuple(max(delay, times * self.airtime) for delay, times in both)

    def pause(self, others: int) -> float:
        """Give the longest pause before an answer."""
        return max(
            ANSWER_PAUSE, (others + 1) * max(ANSWER_SLOT * (others > 3), self.airtime)
        )


LAN_PACE: Final = Pace(ROUND, ROUND)


def pace_on_air(rate: float | None, size: int) -> Pace:
    """Give the pace of beacons of so many bytes on a medium of this rate."""
    headers = SLOW_HEADERS if is_slow(rate) else HEADERS
    airtime = FRAME_S + 8 * (size + headers) / (rate or ASSUMED_RATE)
    return Pace(LEAST, max(LONGEST, SLOW_CROWD * airtime / SHARE), airtime)


class Crowd:
    """Counts who was heard lately, of a bounded number: in this span of time and the last."""

    def __init__(self, span: float, now: float) -> None:
        self._span, self._ends = span, now + span
        self._now: set[Hashable] = set()
        self._before: set[Hashable] = set()

    def heard(self, station: Hashable, now: float) -> None:
        """Count one more, unless it is counted."""
        self._turn(now)
        if len(self._now) < COUNTED:
            self._now.add(station)

    def size(self, now: float) -> int:
        """Give how many were heard lately."""
        self._turn(now)
        return min(len(self._now | self._before), COUNTED)

    def _turn(self, now: float) -> None:
        if now < self._ends:
            return
        lately = now < self._ends + self._span
        self._before, self._now = (self._now if lately else set()), set()
        self._ends = now + self._span


@dataclass(slots=True)
class _Schedule:
    """What is due in one place."""

    pace: Pace
    crowd: Crowd
    answers: Bucket
    burst: list[float]
    regular: float = math.inf
    spoken: float = -math.inf
    answer: float = math.inf
    to: Hashable = None
    others: int = 0
    """Heard since an answer waits, the newcomer apart."""

    def next(self) -> float:
        """When something is due."""
        return min(self.next_beacon(), self.answer)

    def next_beacon(self) -> float:
        """When a beacon is due, answers apart."""
        return self.burst[0] if self.burst else self.regular


class Rounds(Generic[Place]):
    """Says where a beacon is due."""

    def __init__(self, *, rng: Callable[[int], bytes]) -> None:
        self._rng = rng
        self._places: dict[Place, _Schedule] = {}

    def set_places(self, paces: Mapping[Place, Pace], now: float) -> None:
        """From there we can send from now, at these paces; each new one gets its burst."""
        self._places = {
            place: self._places.get(place) or self._begin(pace, now)
            for place, pace in paces.items()
        }

    def heard(self, place: Place, station: Hashable, now: float) -> None:
        """Somebody else beaconed in a place."""
        schedule = self._places.get(place)
        if schedule is None:
            return
        schedule.crowd.heard(station, now)
        if schedule.answer < math.inf and station != schedule.to:
            schedule.others += 1
            if schedule.others >= ENOUGH:
                schedule.answer = math.inf

    def answer(self, place: Place, station: Hashable, now: float) -> None:
        """Answer a newcomer by a beacon to all there, soon, unless others do."""
        schedule = self._places.get(place)
        if schedule is None or schedule.answer < math.inf:
            return
        at = max(now + self.pause(place, now), schedule.spoken + SPOKEN)
        if schedule.next_beacon() > at + SPARED and schedule.answers.take(now):
            schedule.answer, schedule.to, schedule.others = at, station, 0

    def pause(self, place: Place, now: float) -> float:
        """Draw how long to wait before an answer."""
        schedule = self._places.get(place)
        if schedule is None:
            return 0.0
        return schedule.pace.pause(schedule.crowd.size(now)) * self._random()

    def spread(self, place: Place, now: float) -> float:
        """Give over how many seconds all who hear a newcomer should call it; 0 where few do."""
        schedule = self._places.get(place)
        others = schedule.crowd.size(now) if schedule else 0
        return schedule.pace.pause(others) if schedule and others >= CROWDED else 0.0

    def speaks_soon(self, place: Place, now: float) -> bool:
        """Whether a newcomer's beacon is due there anyway, so that an answer can be spared."""
        schedule = self._places.get(place)
        return schedule is not None and schedule.next_beacon() - now <= SPARED

    def due(self, now: float) -> list[tuple[Place, bool]]:
        """Take the places to beacon from now, each with whether that is only an answer."""
        regular = any(now >= each.regular for each in self._places.values())
        taken = []
        for place, schedule in self._places.items():
            early = TOGETHER * schedule.pace.least * regular
            if schedule.next_beacon() <= now or schedule.regular <= now + early:
                self._spoke(schedule, now)
                taken.append((place, False))
            elif schedule.answer <= now:
                schedule.answer, schedule.spoken = math.inf, now
                taken.append((place, True))
        return taken

    def next_wakeup(self) -> float | None:
        """When something is due, at the earliest; None while there is no place."""
        return min((each.next() for each in self._places.values()), default=None)

    def _begin(self, pace: Pace, now: float) -> _Schedule:
        return _Schedule(
            pace,
            Crowd(1.5 * pace.longest, now),
            Bucket(rate=1 / pace.interval(0), burst=ANSWERS_AT_ONCE, now=now),
            [now + delay * self._jitter() for delay in pace.burst()],
        )

    def _spoke(self, schedule: _Schedule, now: float) -> None:
        schedule.burst = [time for time in schedule.burst if time > now]
        schedule.spoken, schedule.answer = now, math.inf
        if schedule.burst:
            return
        others = schedule.crowd.size(now)
        schedule.regular = now + schedule.pace.interval(others) * self._jitter()

    def _random(self) -> float:
        return int.from_bytes(self._rng(2)) / 65_535

    def _jitter(self) -> float:
        return 0.75 + 0.5 * self._random()


class Heard(NamedTuple):
    """What to do about a beacon."""

    tell: bool
    answer: bool


NOTHING: Final = Heard(tell=False, answer=False)


class Hearing:
    """Decides about each beacon that was heard."""

    def __init__(self, *, now: float, repeat: float = REPEAT) -> None:
        self._repeat = repeat
        self._hosts: OrderedDict[str, Bucket] = OrderedDict()
        self._peers: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._news = Bucket(rate=NEWS_RATE, burst=NEWS_BURST, now=now)

    def admits(self, host: str, now: float) -> bool:
        """Whether this host may be listened to at all; asked before its beacon is read."""
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._hosts[host] = Bucket(rate=HOST_RATE, burst=HOST_BURST, now=now)
            trim(self._hosts)
        self._hosts.move_to_end(host)
        return bucket.take(now)

    def heard(self, beacon: Beacon, host: str, now: float) -> Heard:
        """Take one beacon of somebody else's."""
        key = host, beacon.nonce
        told = self._peers.get(key)
        if told is not None and now - told < self._repeat:
            return NOTHING
        if not self._news.take(now):
            return NOTHING
        self._peers[key] = now
        self._peers.move_to_end(key)
        trim(self._peers)
        return Heard(tell=True, answer=told is None and not beacon.answer)


def trim(table: OrderedDict[str, Bucket] | OrderedDict[tuple[str, bytes], float]) -> None:
    """Forget what was used longest ago, over the limit."""
    while len(table) > REMEMBERED:
        table.popitem(last=False)
