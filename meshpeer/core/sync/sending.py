"""What goes out over one link, in which order, and what became of it.

Ids wait in a plan ordered by the policy and are looked at again when their turn comes, for they
may have been purged meanwhile. Only so much is handed to the link that it doesn't run dry: what
is worth more may come in at any time. Above 4 KiB an offer goes first, since the neighbour may
have the bundle, or no room; an offer is one round trip, and the link is busy with others. What
several neighbours ask for after that may be broadcast to all of them (airing.py); then the link
carries no more than its announcement and the answer.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Final

from meshpeer.core.broadcast.sessions import Announced
from meshpeer.core.formats.bundle import rewrite
from meshpeer.core.link.slow import LONG_S, airtime, low_water
from meshpeer.core.link.streams import LOW_WATER
from meshpeer.core.sync.airing import Airing
from meshpeer.core.sync.depot import Depot
from meshpeer.core.sync.entry import Entry
from meshpeer.core.sync.events import CarriedBy, Refused
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.sync.messages import (
    BY_BROADCAST,
    PREFIX_SIZE,
    Code,
    Lack,
    Message,
    Offer,
    Run,
    chunks,
)
from meshpeer.core.sync.policy import SendKey
from meshpeer.core.sync.shares import SMALL
from meshpeer.core.sync.tags import NeighbourTags
from meshpeer.core.sync.transfer import frame, stream_of
from meshpeer.errors import RemoteProtocolError

MAX_PLAN: Final = 8_192
"""Ids that wait their turn; what more differs is found by reconciling again."""
MAX_UNDER_WAY: Final = 2_048
"""Transfers sent and not yet answered."""
MAX_OFFERS: Final = 64
OFFER_FIRST: Final = -1
"""Stands for the offset of what is wanted and was never offered."""
LOAD_AHEAD: Final = 1 << 20
"""Bytes of wires asked from the disk and not yet here."""
MAX_REMEMBERED: Final = 16_384
"""Ids refused for this contact time, and starts of ids that come to the neighbour anyway."""


class Sending:
    """The outgoing half of a session."""

    def __init__(
        self,
        depot: Depot,
        airing: Airing,
        link: LinkLike,
        say: Callable[[Message], None],
    ) -> None:
        self._depot, self._airing = depot, airing
        self._queue = depot.queue
        self._link = link
        self._peer = link.peer_id
        self._say = say
        self._tags = NeighbourTags(link.binding)
        self._plan: list[tuple[SendKey, bytes]] = []
        self._busy: set[bytes] = set()
        self._wanted: dict[bytes, int] = {}
        self._offers: dict[int, bytes] = {}
        self._offered: dict[bytes, int] = {}
        self._next_offer = 0
        self._sent: dict[int, dict[int, bytes]] = {1: {}, 2: {}, 3: {}, BY_BROADCAST: {}}
        self._next = {1: 0, 2: 0, 3: 0, BY_BROADCAST: 0}
        self._out: dict[int, list[bytes]] = {1: [], 2: [], 3: []}
        self._out_bytes = {1: 0, 2: 0, 3: 0}
        self._loading: dict[bytes, int] = {}
        self._refused: dict[bytes, None] = {}
        self._coming: dict[bytes, None] = {}
        self._aired: dict[bytes, None] = {}
        self.broadcasts = False
        """Broadcasts may be announced to the neighbour."""
        self._rate = link.rate
        self._too_long: dict[bytes, None] = {}
        """Bundles that wait for a better link, or for better times on this one."""
        self._room = low_water(LOW_WATER, link.rate)
        """Bytes that may wait in the link: on a slow one few, so that what is urgent overtakes."""
        self.paused = False
        self.overlaps = False
        """The neighbour gets bundles from elsewhere too."""
        self.overflow = False
        """Something differing was left out of the plan."""

    @property
    def idle(self) -> bool:
        """Nothing waits its turn."""
        return not self._plan

    def know_tags(self, hashes: Iterable[bytes], now: float) -> None:
        """The neighbour said who lives there: rank anew."""
        self._tags = NeighbourTags(self._link.binding, hashes)
        planned, self._plan = [id for _, id in self._plan], []
        self._busy.difference_update(planned)
        for id in planned:
            self._enter(id, now)

    def push(self, id: bytes, now: float) -> None:
        """Send a held bundle in its turn, unless the neighbour needs no copy."""
        if (
            id in self._busy
            or id in self._refused
            or self._queue.carried.has(id, self._peer)
        ):
            return
        if self._coming and id[:PREFIX_SIZE] in self._coming:
            return
        self._enter(id, now)

    def want(self, bundles: Iterable[tuple[bytes, int]], now: float) -> None:
        """The neighbour lacks these and asks for them, whatever we believed that it has.

        A large one that was neither offered nor begun is offered first: there may be no room."""
        lacking = []
        for id, offset in bundles:
            offered = self._forget_offer(id)
            self._queue.carried.remove(id, self._peer)
            self._refused.pop(id, None)
            self._coming.pop(id[:PREFIX_SIZE], None)
            entry = self._queue.get(id)
            if entry is None or not self._may(entry, now) or offset >= entry.size:
                lacking.append(id)
            elif id not in self._busy:
                begun = offset or offered or id in self._aired
                self._wanted[id] = offset if begun else OFFER_FIRST
                if offered and not offset and self._goes_by_air(entry, now):
                    self._busy.add(id)
                    continue
                self._enter(id, now)
                if id not in self._busy:
                    self._wanted.pop(id, None)
                    lacking.append(id)
        for ids in chunks(lacking):
            self._say(Lack(ids))

    def coming(self, prefixes: Iterable[bytes]) -> None:
        """The neighbour gets these from elsewhere."""
        self.overlaps = True
        for prefix in prefixes:
            self._coming[prefix] = None
        while len(self._coming) > MAX_REMEMBERED:
            del self._coming[next(iter(self._coming))]

    def results(self, runs: Iterable[Run], now: float) -> None:
        """What became of transfers and offers, or RemoteProtocolError for one never made."""
        for run in runs:
            numbers = self._sent[run.stream] if run.stream else self._offers
            if run.length > len(numbers):
                raise RemoteProtocolError(
                    "result", f"{run.length} of {len(numbers)} transfers"
                )
            for number in range(run.first, run.first + run.length):
                id = numbers.pop(number, None)
                if id is None:
                    raise RemoteProtocolError("result", f"for {number}, which is not open")
                self._offered.pop(id, None)
                if run.stream == BY_BROADCAST:
                    failed = run.code is Code.DAMAGED
                    self._airing.broadcast.givings.settled(self._peer, id, failed, now)
                self._settle(id, run.code, now)
        self._airing.broadcast.stir()

    def offered(self, id: bytes) -> bool:
        """It was offered, and the neighbour has not yet said yes or no."""
        return id in self._offered and self.broadcasts

    def announce(self, announced: Announced) -> None:
        """Tell the neighbour of a broadcast; whatever comes of that, it is not done twice."""
        self._remember(self._aired, announced.id)
        self._sent[BY_BROADCAST][self._next[BY_BROADCAST]] = announced.id
        self._next[BY_BROADCAST] += 1
        self._say(announced)

    def alone(self, id: bytes, now: float) -> None:
        """It waited for others, and goes over the link after all."""
        self._busy.discard(id)
        self._enter(id, now)
        if id not in self._busy:
            self._give_up(id)

    def pump(self, now: float) -> None:
        """Hand to the link what it has room for."""
        if self._rate != self._link.rate:
            self._rate = self._link.rate
            self._room = low_water(LOW_WATER, self._rate)
            waited, self._too_long = self._too_long, {}
            for id in waited:
                self.push(id, now)
        while self._plan and not self.paused:
            _, id = self._plan[0]
            entry = self._queue.get(id)
            if entry is None or not self._needed(entry, now):
                heappop(self._plan)
                self._give_up(id)
            elif not self._start(entry, now):
                break
            else:
                heappop(self._plan)
        self.flush()

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        """The disk gave a wire, or hasn't got it."""
        self._loading.pop(id, None)
        entry = self._queue.get(id)
        if wire is None or entry is None or not self._needed(entry, now):
            self._give_up(id)
        else:
            self._send(entry, wire, now)

    def flush(self) -> None:
        """Write what was framed since the last time, in one go for each stream."""
        for stream, pieces in self._out.items():
            if pieces:
                self._link.write(stream, b"".join(pieces))
                self._out_bytes[stream] = 0
                pieces.clear()

    def _enter(self, id: bytes, now: float) -> None:
        entry = self._queue.get(id)
        if entry is None:
            return
        if len(self._plan) >= MAX_PLAN:
            self.overflow = True
            return
        key = self._queue.policy.send_key(entry, self._tags, now)
        if key is not None:
            heappush(self._plan, (key, id))
            self._busy.add(id)

    def _goes_by_air(self, entry: Entry, now: float) -> bool:
        if not self.broadcasts or self.paused or entry.id in self._aired:
            return False
        return self._airing.wished(self._peer, entry, now)

    def _may(self, entry: Entry, now: float) -> bool:
        if entry.exhausted or entry.id in self._depot.unsaved:
            return False
        if airtime(self._rate, entry.size) > LONG_S:
            self._too_long[entry.id] = None
            if len(self._too_long) > MAX_REMEMBERED:
                del self._too_long[next(iter(self._too_long))]
            return False
        return now < entry.deadline

    def _needed(self, entry: Entry, now: float) -> bool:
        if not self._may(entry, now):
            return False
        if entry.id in self._wanted:
            return True
        coming = self._coming and entry.id[:PREFIX_SIZE] in self._coming
        return not coming and not self._queue.carried.has(entry.id, self._peer)

    def _start(self, entry: Entry, now: float) -> bool:
        """Offer, load or send it; False if there is no room for that now."""
        id, stream = entry.id, stream_of(entry.priority)
        if entry.size > SMALL and self._wanted.get(id, OFFER_FIRST) == OFFER_FIRST:
            if len(self._offers) >= MAX_OFFERS:
                return False
            self._offer(entry, now)
            return True
        under_way = len(self._sent[stream]) + len(self._loading)
        waiting = self._link.buffered(stream) + self._out_bytes[stream]
        if under_way >= MAX_UNDER_WAY or waiting > self._room:
            return False
        wire = self._depot.wires.get(id)
        if wire is not None:
            self._send(entry, wire, now)
        elif sum(self._loading.values()) < LOAD_AHEAD:
            self._loading[id] = entry.size
            self._depot.load(id, self._depot.parties[self._peer])
        else:
            return False
        return True

    def _offer(self, entry: Entry, now: float) -> None:
        self._offers[self._next_offer] = entry.id
        self._offered[entry.id] = self._next_offer
        self._next_offer += 1
        self._say(Offer(entry.id, entry.size, entry.header(entry.hops + 1, now)))

    def _send(self, entry: Entry, wire: bytes, now: float) -> None:
        stream = stream_of(entry.priority)
        offset = max(0, self._wanted.get(entry.id, 0))
        told = rewrite(wire, entry.hops + 1, entry.age(now))
        piece = frame(told, entry.id, offset)
        self._sent[stream][self._next[stream]] = entry.id
        self._next[stream] += 1
        self._out[stream].append(piece)
        self._out_bytes[stream] += len(piece)

    def _settle(self, id: bytes, code: Code, now: float) -> None:
        self._busy.discard(id)
        self._wanted.pop(id, None)
        self.overlaps = self.overlaps or code is Code.DUPLICATE
        entry = self._queue.get(id)
        if entry is None:
            return
        if code in (Code.DURABLE, Code.DUPLICATE):
            made_here = entry.own or id in self._depot.made_here
            if self._queue.acknowledged(id, self._peer, now) and made_here:
                self._depot.events.append(CarriedBy(id, self._peer, now))
            return
        if code in (Code.OVER, Code.INVALID):
            self._queue.carried.add(id, self._peer)
        else:
            self._remember(self._refused, id)
        if entry.own:
            self._depot.events.append(Refused(id, self._peer, code))

    def _give_up(self, id: bytes) -> None:
        self._busy.discard(id)
        if self._wanted.pop(id, None) is not None:
            self._say(Lack((id,)))

    @staticmethod
    def _remember(memory: dict[bytes, None], id: bytes) -> None:
        memory[id] = None
        if len(memory) > MAX_REMEMBERED:
            del memory[next(iter(memory))]

    def _forget_offer(self, id: bytes) -> bool:
        """True if it was offered and not yet answered."""
        number = self._offered.pop(id, None)
        if number is None:
            return False
        del self._offers[number]
        self._busy.discard(id)
        return True
