"""The air between stations, as a model without sockets or clock: who hears whom, what collides.

Stations listen before they talk: one that hears another waits till that is silent, and a random
number of slots more. Two that don't hear each other (hidden stations) may talk at once; who hears
both then understands neither. A frame to one station is repeated, with longer waits, as radios do
where no acknowledgement comes; a frame to all is sent once.

Times are seconds, from whoever calls: a real clock in `ether_worker`, a made-up one in a
simulation. Nothing here knows what a frame holds.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

SLOT = 20e-6
"""Seconds; 802.11's at 2.4 GHz."""
GAP = 50e-6
"""Silence before a station may talk (DIFS)."""
PREAMBLE = 40e-6
"""Seconds that each frame takes before its first bit."""
WINDOW, WIDEST = 16, 1_024
"""Slots out of which a wait is drawn, at first and after many failures."""
QUEUE = 256
"""Frames that wait at one station; what comes then is lost."""


@dataclass(eq=False)
class Frame:
    """What a station wants to say; `to` is the one meant, None for all."""

    data: bytes
    to: int | None
    tries: int = 0


@dataclass(eq=False)
class Talk:
    """A frame on the air."""

    source: int
    frame: Frame
    end: float
    spoiled: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Station:
    """What waits at one station, and since when it hears nobody."""

    queue: deque[Frame] = field(default_factory=deque)
    slots: int = 0
    silent_since: float = 0.0
    talking: bool = False


class Air:
    """Some stations on one channel of `rate` bits a second.

    `hears(listener, source)` says who hears whom; `loss(listener, source)` the share of frames
    that a listener misses for no reason of the model's.
    """

    def __init__(
        self,
        stations: int,
        *,
        rate: float,
        hears: Callable[[int, int], bool] = lambda listener, source: True,
        loss: Callable[[int, int], float] = lambda listener, source: 0.0,
        retries: int = 6,
        rng: Random | None = None,
    ) -> None:
        self.hears, self.loss = hears, loss
        self.counters: Counter[str] = Counter()
        """Frames and bytes on the air, collisions, losses."""
        self.busy_s = 0.0
        """Seconds that all frames took together."""
        self._rate, self._retries = rate, retries
        self._rng = rng or Random(1)
        self._stations = [Station() for _ in range(stations)]
        self._talks: list[Talk] = []

    def offer(self, source: int, data: bytes, to: int | None, now: float) -> None:
        """A station wants to send; it waits for its turn."""
        station = self._stations[source]
        if len(station.queue) >= QUEUE:
            self.counters["queue full"] += 1
            return
        station.queue.append(Frame(data, to))
        if len(station.queue) == 1:
            self._draw(source, max(now, station.silent_since))

    def waiting(self, source: int) -> int:
        """How many frames a station has to send."""
        return len(self._stations[source].queue)

    def next_wakeup(self) -> float | None:
        """When something begins or ends."""
        times = [talk.end for talk in self._talks]
        starts = map(self._start, range(len(self._stations)))
        return min([*times, *(at for at in starts if at is not None)], default=None)

    def advance(self, now: float) -> list[tuple[int, int, bytes]]:
        """Let happen what does until `now`; give what arrived: listener, source, frame."""
        arrived: list[tuple[int, int, bytes]] = []
        while (at := self.next_wakeup()) is not None and at <= now:
            ended = [talk for talk in self._talks if talk.end <= at]
            if ended:
                for talk in ended:
                    self._talks.remove(talk)
                    self._ended(talk, arrived)
                continue
            for source in range(len(self._stations)):
                start = self._start(source)
                if start is not None and start <= at:
                    self._talk(source, at)
            self._hush(at)
        return arrived

    # -- one station

    def _draw(self, source: int, now: float) -> None:
        """Draw how long a station waits before its first frame, once it hears nobody."""
        station = self._stations[source]
        window = min(WINDOW << station.queue[0].tries, WIDEST)
        station.slots = self._rng.randrange(window)
        station.silent_since = now

    def _start(self, source: int) -> float | None:
        """When a station will talk; None while it hears somebody or has nothing to say."""
        station = self._stations[source]
        if not station.queue or station.talking or self._hears_anybody(source):
            return None
        return station.silent_since + GAP + station.slots * SLOT

    def _hears_anybody(self, listener: int) -> bool:
        return any(self.hears(listener, talk.source) for talk in self._talks)

    # -- what happens

    def _talk(self, source: int, now: float) -> None:
        station = self._stations[source]
        frame = station.queue[0]
        seconds = PREAMBLE + 8 * len(frame.data) / self._rate
        talk = Talk(source, frame, now + seconds)
        station.talking = True
        self.busy_s += seconds
        self.counters["frames"] += 1
        self.counters["bytes"] += len(frame.data)
        for other in self._talks:
            talk.spoiled |= {other.source, *self._both(talk, other)}
            other.spoiled |= {source, *self._both(talk, other)}
        self._talks.append(talk)

    def _both(self, one: Talk, other: Talk) -> set[int]:
        """Who hears two that talk at once, and so understands neither."""
        return {
            listener
            for listener in range(len(self._stations))
            if self.hears(listener, one.source) and self.hears(listener, other.source)
        }

    def _hush(self, now: float) -> None:
        """Who hears somebody now keeps the slots that are left for later."""
        for number, station in enumerate(self._stations):
            if station.queue and not station.talking and self._hears_anybody(number):
                passed = int(max(now - station.silent_since - GAP, 0.0) / SLOT)
                station.slots = max(station.slots - passed, 0)
                station.silent_since = now

    def _ended(self, talk: Talk, arrived: list[tuple[int, int, bytes]]) -> None:
        source, frame = talk.source, talk.frame
        heard = [each for each in range(len(self._stations)) if self._gets(each, talk)]
        arrived += [(listener, source, frame.data) for listener in heard]
        station = self._stations[source]
        station.talking = False
        frame.tries += 1
        if frame.to is None or frame.to in heard or frame.tries > self._retries:
            station.queue.popleft()
        for number, each in enumerate(self._stations):
            if number != source and self.hears(number, source):
                each.silent_since = talk.end
        if station.queue:
            self._draw(source, talk.end)
        else:
            station.silent_since = talk.end

    def _gets(self, listener: int, talk: Talk) -> bool:
        source = talk.source
        if listener == source or not self.hears(listener, source):
            return False
        if listener in talk.spoiled:
            self.counters["collisions"] += 1
            return False
        if self._rng.random() < self.loss(listener, source):
            self.counters["lost"] += 1
            return False
        return True
