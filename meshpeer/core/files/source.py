"""One neighbour as a holder: what is looked for there, what it was asked for, and what it brings.

Files of which it holds something lie in a heap by priority and age; what can't be asked for now
leaves the heap until something changes. A neighbour that brings nothing for SILENT_S is left alone
for a while, and what it was asked for is asked elsewhere. One that brings what the manifest
doesn't name is banned for this file.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from meshpeer.core.files.fetch import Fetch, Holding, Wanted
from meshpeer.core.files.incoming import PartCame
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import (
    ROOT,
    Ask,
    Cancel,
    Forget,
    Runs,
    Seek,
    Slow,
    Why,
)
from meshpeer.core.files.pipeline import Pipeline
from meshpeer.core.files.runs import from_runs
from meshpeer.core.files.saying import Saying
from meshpeer.core.formats.manifest import MAX_ROOT
from meshpeer.errors import RemoteProtocolError

if TYPE_CHECKING:
    from meshpeer.core.files.swarm import Swarm

MAX_SEEKS: Final = 1_024
"""Files looked for at one neighbour at a time."""
MAX_ASKED: Final = 512
"""Parts asked for and not yet here."""
MAX_STRAYS: Final = 1_024
"""Cancelled parts that may still come."""
SILENT_S: Final = 30.0
QUIET_S: Final = 30.0
"""A silent neighbour isn't asked for so long."""
SEEK_AGAIN_S: Final = 5.0
"""Between two rounds through files that there was no handle for."""


class Source:
    """What one neighbour can bring."""

    def __init__(self, swarm: "Swarm", link: LinkLike, saying: Saying) -> None:
        self.peer = link.peer_id
        self._swarm = swarm
        self._link = link
        self._saying = saying
        self._handles: dict[int, Holding] = {}
        self._next_handle = 0
        self._to_seek: OrderedDict[Wanted, None] = OrderedDict()
        self._unheld: dict[int, None] = {}
        self._seek_at = 0.0
        self._asked: dict[tuple[int, int], tuple[Holding, int]] = {}
        self._asked_bytes = 0
        self._strays: dict[tuple[int, int], None] = {}
        self._ready: list[tuple[int, int, int, Holding]] = []
        self._pipeline = Pipeline()
        self._heard_at = 0.0
        self._quiet_until = 0.0
        self._held_back = False
        self._rate = link.rate
        self._told_slow: set[int] = set()
        """Handles of files that were said to be wanted though this link is slow."""

    # -- looking for files

    def seek(self, wanted: Wanted) -> None:
        """Find out what the neighbour has of this file, now or when there is a free handle."""
        if not (isinstance(wanted, Fetch) and self.peer in wanted.banned):
            self._to_seek[wanted] = None
            self._fill()

    def forget(self, wanted: Wanted) -> None:
        """Look for the file no more."""
        holding = wanted.holdings.pop(self.peer, None)
        if holding is None:
            self._to_seek.pop(wanted, None)
            return
        self.stop_asking(holding)
        holding.ready = False
        del self._handles[holding.handle]
        self._unheld.pop(holding.handle, None)
        self._told_slow.discard(holding.handle)
        self._saying.item(Forget, holding.handle)
        self._fill()

    def _fill(self) -> None:
        while self._to_seek and len(self._handles) < MAX_SEEKS:
            wanted, _ = self._to_seek.popitem(last=False)
            self._next_handle += 1
            holding = Holding(self, wanted, self._next_handle)
            self._handles[holding.handle] = wanted.holdings[self.peer] = holding
            self._saying.item(Seek, (holding.handle, wanted.tag))

    def _rotate(self, now: float) -> None:
        """Give handles of files that aren't there to files not looked for yet."""
        if not self._to_seek or now < self._seek_at:
            return
        self._seek_at = now + SEEK_AGAIN_S
        for handle in list(self._unheld)[: len(self._to_seek)]:
            wanted = self._handles[handle].wanted
            self.forget(wanted)
            self._to_seek[wanted] = None
        self._fill()

    # -- what it says

    def hold(self, handle: int) -> None:
        """It has all of this."""
        holding = self._handles.get(handle)
        if holding and not (holding.whole and holding.answered):
            self._gained(holding, 0, whole=True)

    def have(self, handle: int, runs: Runs) -> None:
        """It has these chunks."""
        if holding := self._handles.get(handle):
            self._gained(holding, from_runs(runs), whole=False)

    def _gained(self, holding: Holding, chunks: int, *, whole: bool) -> None:
        self._unheld.pop(holding.handle, None)
        if isinstance(holding.wanted, Fetch):
            holding.wanted.gain(holding, chunks, whole=whole)
            self.make_ready(holding)
        else:
            holding.answered = whole or bool(chunks)
            holding.whole = whole
        self._swarm.holders_changed(holding.wanted)

    def coming(self, handle: int, runs: Runs, now: float) -> None:
        """These are on their way to it."""
        holding = self._handles.get(handle)
        if holding and holding.answered and isinstance(holding.wanted, Fetch):
            chunks = from_runs(runs) & holding.wanted.possible
            holding.hear_coming(chunks, holding.wanted.coming_until(now))

    def no(self, handle: int, part: int, why: Why, now: float) -> None:
        """It won't send this part; with ROOT, nothing of the file."""
        holding = self._handles.get(handle)
        if holding is None:
            return
        wanted = holding.wanted
        if isinstance(wanted, Fetch):
            wanted.lose(holding, part)
            asked = bool(holding.asked) if part == ROOT else self._drop(holding, part)
            if part == ROOT:
                self.stop_asking(holding, tell=False)
            if asked:
                self._swarm.wake_fetch(wanted)
        elif part == ROOT:
            holding.answered = holding.whole = False
        if part == ROOT:
            self._unheld[handle] = None
            if why is Why.LIMIT:
                self._seek_at = now + SEEK_AGAIN_S
                self.forget(wanted)
                self._to_seek[wanted] = None
        self._swarm.holders_changed(wanted)

    # -- asking

    def make_ready(self, holding: Holding) -> None:
        """The neighbour may have something now that is wanted."""
        wanted = holding.wanted
        if not holding.ready and holding.answered and isinstance(wanted, Fetch):
            holding.ready = True
            entry = -wanted.row.priority, wanted.number, holding.handle, holding
            heappush(self._ready, entry)
            self._swarm.touch(self.peer)

    def renew(self, holding: Holding) -> None:
        """The priority of its file is another."""
        holding.ready = False
        self._ready = [entry for entry in self._ready if entry[3] is not holding]
        self._ready.sort()
        self.make_ready(holding)

    def time_for(self, size: int) -> float:
        """Seconds until so many more bytes would have come from here."""
        return self._pipeline.time_for(self._asked_bytes + size, self._link.rtt)

    @property
    def rate(self) -> float | None:
        """Bits a second that the link carries at most, where known."""
        return self._link.rate

    def too_slow(self, fetch: Fetch) -> bool:
        """Whether this link takes longer for a file than anybody here said they would wait."""
        slow = self._swarm.limits.too_slow(self._link, fetch.size)
        return slow and not fetch.row.slow

    def pump(self, now: float) -> None:
        """Ask for what may be asked for."""
        if self._rate != self._link.rate:
            self._rate = self._link.rate
            for holding in self._handles.values():
                self.make_ready(holding)
        ready = self._ready
        while ready and now >= self._quiet_until and self._swarm.open:
            holding = ready[0][3]
            wanted = holding.wanted
            if not holding.ready or not isinstance(wanted, Fetch) or not wanted.open:
                heappop(ready)
                holding.ready = False
                continue
            if self.too_slow(wanted):
                heappop(ready)
                holding.ready = False
                self._swarm.holders_changed(wanted)
                continue
            if len(self._asked) >= MAX_ASKED or self._asked_bytes >= self._pipeline.depth(
                self._link.rtt, wanted.chunk_size
            ):
                return
            part = wanted.next_part(holding, now, self._swarm.rng)
            if part is None:
                heappop(ready)
                holding.ready = False
                self._held_back = self._held_back or wanted.held_back
            else:
                self._ask(holding, wanted, part, now)

    def _ask(self, holding: Holding, wanted: Fetch, part: int, now: float) -> None:
        if not self._asked:
            self._pipeline.begin(now)
            self._heard_at = now
        self._expect(holding, wanted, part, now)
        if wanted.row.slow and holding.handle not in self._told_slow:
            self._told_slow.add(holding.handle)
            self._saying.item(Slow, holding.handle)
        self._saying.item(Ask, (holding.handle, part))
        self._swarm.asked(wanted, part)

    def _expect(self, holding: Holding, wanted: Fetch, part: int, now: float) -> None:
        wanted.ask(part, holding, now)
        size = wanted.part_size(part)
        self._asked[holding.handle, part] = holding, size
        self._asked_bytes += size

    def cancel(self, holding: Holding, part: int) -> None:
        """It came from elsewhere, or isn't wanted any more."""
        if self._drop(holding, part):
            self._saying.item(Cancel, (holding.handle, part))
            self._stray(holding.handle, part)

    def stop_asking(self, holding: Holding, *, tell: bool = True) -> None:
        """Ask for nothing of this file any more."""
        for part in list(holding.asked):
            if tell:
                self.cancel(holding, part)
            else:
                self._drop(holding, part)
                self._stray(holding.handle, part)

    def _drop(self, holding: Holding, part: int) -> bool:
        """The part is expected no more; whether it was."""
        asked = self._asked.pop((holding.handle, part), None)
        if asked is None:
            return False
        self._asked_bytes -= asked[1]
        if isinstance(holding.wanted, Fetch):
            holding.wanted.release(part, holding)
        self._swarm.touch(self.peer)
        return True

    def _stray(self, handle: int, part: int) -> None:
        self._strays[handle, part] = None
        if part == ROOT:  # with which a chunk may come
            self._strays[handle, 0] = None
        while len(self._strays) > MAX_STRAYS:
            del self._strays[next(iter(self._strays))]

    # -- what comes

    def wants(self, handle: int, part: int, length: int) -> bool:
        """Whether to keep the bytes of a part that begins to come."""
        holding = self._handles.get(handle)
        if holding is None or not isinstance(holding.wanted, Fetch):
            return False
        fetch = holding.wanted
        if (handle, part) not in self._asked and not self._is_added(fetch, part):
            return False
        if part == ROOT:
            return length <= MAX_ROOT
        return length == fetch.part_size(part)

    def _is_added(self, fetch: Fetch, part: int) -> bool:
        """The chunk that comes with the root of a file that has but one."""
        manifest = fetch.manifest
        return part == 0 and manifest is not None and manifest.count == 1 == fetch.lacking

    def heard(self, size: int, now: float) -> None:
        """So many bytes of parts came."""
        self._pipeline.came(size, now)
        self._heard_at = now

    def take(self, came: PartCame, now: float) -> None:
        """A part is whole; RemoteProtocolError if nobody asked for it."""
        handle, part, data = came
        holding = self._handles.get(handle)
        asked = self._asked.get((handle, part))
        if holding is None or (asked is None and data is None):
            if self._strays.pop((handle, part), 0) == 0:
                raise RemoteProtocolError("part", "nobody asked for it")
            return
        fetch = holding.wanted
        assert isinstance(fetch, Fetch)
        if asked:
            self._drop(holding, part)
            if part == ROOT:
                self._strays[handle, 0] = None
        if data is None:
            self._swarm.ban(fetch, self, "a part of another length")
            return
        fetch.taken += len(data)
        try:
            self._use(fetch, holding, part, data, now)
        except RemoteProtocolError as error:
            self._swarm.counters[error.field] += 1
            self._swarm.ban(fetch, self, str(error))

    def _use(
        self, fetch: Fetch, holding: Holding, part: int, data: bytes, now: float
    ) -> None:
        self._swarm.take_part(fetch, part, data, now)
        manifest = fetch.manifest
        one_chunk = part == ROOT and manifest is not None and manifest.count == 1
        if (
            one_chunk
            and not self.too_slow(fetch)
            and fetch.reach(holding) & fetch.lacking & ~fetch.asked_chunks
        ):
            self._expect(holding, fetch, 0, now)
        self.make_ready(holding)

    # -- time

    @property
    def busy(self) -> bool:
        """Something is under way or waits for time to pass, so ticks are needed."""
        return bool(self._asked or self._to_seek or self._ready or self._held_back)

    def tick(self, now: float) -> None:
        """Look at what takes too long, and whether something may be asked for again."""
        self._rotate(now)
        self._held_back = False
        if self._asked and now - self._heard_at > SILENT_S:
            self._quiet_until = now + QUIET_S
            for holding, part in [(held, key[1]) for key, (held, _) in self._asked.items()]:
                self.cancel(holding, part)
                self._swarm.wake_fetch(holding.wanted)
        for holding in self._handles.values():
            if holding.answered:
                holding.expire_coming(now)
                self.make_ready(holding)

    def close(self) -> None:
        """The link is down."""
        for holding in list(self._handles.values()):
            self.stop_asking(holding, tell=False)
            wanted = holding.wanted
            wanted.holdings.pop(self.peer, None)
            holding.ready = False
            if isinstance(wanted, Fetch):
                wanted.count_again()
                self._swarm.wake_fetch(wanted)
            if holding.answered:
                self._swarm.holders_changed(wanted)
        self._handles.clear()
        self._to_seek.clear()
        self._ready.clear()
