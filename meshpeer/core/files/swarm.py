"""What all neighbours share of files: what is looked for, what is given, and the disk's pace.

Sources and givings come and go with their links; here is what they have in common. Nothing here
talks to a link: what a change means for a neighbour is done by its Source or its Giving, which
Files lets go on at the end of each turn.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from meshpeer.core.files.events import (
    ChunkCame,
    Event,
    FetchFailed,
    FileComplete,
    HolderBanned,
    HoldersCounted,
)
from meshpeer.core.files.fetch import Fetch, Probe, Wanted
from meshpeer.core.files.landing import SMALL, Landing
from meshpeer.core.files.limits import Limits, Pace
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import PAGE0, ROOT, Coming, Have
from meshpeer.core.files.requests import ReadChunk, Request
from meshpeer.core.files.runs import members
from meshpeer.core.files.shelf import Shelf
from meshpeer.core.formats.manifest import Manifest, chunk_hash, want_tag
from meshpeer.core.journal import Action, Journal
from meshpeer.errors import RemoteProtocolError, StoreError

if TYPE_CHECKING:
    from meshpeer.core.files.giving import Giving
    from meshpeer.core.files.source import Source

ANNOUNCE_S: Final = 0.05
"""Chunks that come within so long are announced together."""
AHEAD_IN_ALL: Final = 32 << 20
"""Bytes read ahead that all neighbours that wait for parts share, though each has its next one."""
MANIFESTS_BYTES: Final = 4 << 20
"""Of manifests kept in memory because neighbours ask for parts of these files."""
MISSING_LIMIT: Final = 4_096
"""Files remembered as not to be read any more, though the store knows them."""


class Here(NamedTuple):
    """What is here of a file."""

    file: bytes
    chunks: int | None
    """None for all."""
    coming: int = 0

    def has(self, chunk: int) -> bool:
        """Whether this chunk can be read."""
        return self.chunks is None or bool(self.chunks >> chunk & 1)


class Swarm:
    """Shared state; neighbours come and go."""

    def __init__(
        self,
        *,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        shelf: Shelf,
        limits: Limits,
        now: float,
    ) -> None:
        self.journal = journal
        self.rng = rng
        self.wall = wall
        self.shelf = shelf
        self.limits = limits
        self.pace = Pace(limits.rate, now)
        self.wanted: dict[bytes, Wanted] = {}
        self.by_tag: dict[bytes, Fetch] = {}
        self.sources: dict[bytes, Source] = {}
        self.seekers: dict[bytes, dict[Giving, int]] = {}
        """By tag: who looks for it, and under which handle."""
        self.sought = 0
        self.given = 0
        """Bytes of chunks given to neighbours."""
        self.events: list[Event] = []
        self.counters: Counter[str] = Counter()
        self.moved: dict[Fetch, None] = {}
        """Fetches whose progress has to be looked at."""
        self.touched: dict[bytes, None] = {}
        """Peers to which something may have to be said in this turn."""
        self.turns: dict[Giving, None] = {}
        """Neighbours that wait for parts, in the order of their turns."""
        self.landing = Landing(
            journal=journal,
            shelf=shelf,
            came=self._came,
            wake=self.wake_fetch,
            complete=self._complete,
        )
        self.give_at: float | None = None
        """When the pace lets more be given, if that is what neighbours wait for."""
        self.announce_at: float | None = None
        self._news: dict[Fetch, int] = {}
        self._coming: dict[Fetch, int] = {}
        self._readers: dict[Request, tuple[Giving, int]] = {}
        self._manifests: OrderedDict[bytes, Manifest] = OrderedDict()
        self._manifest_bytes = 0
        self.missing: dict[bytes, None] = {}
        """Files that the store knows and that can't be read."""

    @property
    def open(self) -> bool:
        """The disk keeps up, so more may be asked for and read."""
        return self.landing.open

    def touch(self, peer: bytes) -> None:
        """This neighbour goes on at the end of the turn."""
        self.touched[peer] = None

    def fetch(self, file: bytes) -> Fetch | None:
        """The fetch of this file, if somebody asked for it."""
        wanted = self.wanted.get(file)
        return wanted if isinstance(wanted, Fetch) else None

    # -- looking for files

    def look_for(self, wanted: Wanted) -> None:
        """Ask all neighbours about a file."""
        self.wanted[wanted.file] = wanted
        if isinstance(wanted, Fetch):
            self.by_tag[wanted.tag] = wanted
        for source in self.sources.values():
            source.seek(wanted)
            self.touch(source.peer)

    def stop_looking(self, wanted: Wanted) -> None:
        """Ask nobody about it any more."""
        if isinstance(wanted, Fetch):
            self.moved.pop(wanted, None)
        self.wanted.pop(wanted.file, None)
        self.by_tag.pop(wanted.tag, None)
        for source in self.sources.values():
            source.forget(wanted)
            self.touch(source.peer)

    def holders_changed(self, wanted: Wanted) -> None:
        """Report how many hold it, where somebody wants to know."""
        if isinstance(wanted, Fetch):
            self.moved[wanted] = None
        elif isinstance(wanted, Probe) and wanted.told != wanted.holders:
            wanted.told = wanted.holders
            self.events.append(HoldersCounted(wanted.file, wanted.holders))

    def wake_fetch(self, wanted: Wanted) -> None:
        """Something of this file may have to be asked of others."""
        if isinstance(wanted, Fetch):
            self.moved[wanted] = None
        for holding in wanted.holdings.values():
            holding.source.make_ready(holding)

    def asked(self, fetch: Fetch, part: int) -> None:
        """A neighbour was asked for this: tell others that it is on its way here."""
        if part < PAGE0 and fetch.manifest and fetch.manifest.count > 1:
            self._coming[fetch] = self._coming.get(fetch, 0) | 1 << part

    # -- what comes

    def take_part(
        self,
        fetch: Fetch,
        part: int,
        data: bytes,
        now: float,
        durable: Action | None = None,
    ) -> bool:
        """Take a part of a file, or raise RemoteProtocolError if it isn't that; whether it is
        news. `durable` runs, if it is, when the part is on the disk."""
        if fetch.manifest is None and part >= PAGE0:
            return self._take_of_manifest(fetch, part, data, now)
        manifest = fetch.manifest
        if manifest is None or part >= manifest.count or not fetch.lacking >> part & 1:
            return False
        if chunk_hash(data) != manifest.hash_of(part):
            raise RemoteProtocolError("chunk", f"{part} isn't what the manifest names")
        for asked in self._asked_like(fetch, part):
            for holding in fetch.settled(asked):
                holding.source.cancel(holding, asked)
        self.landing.take(fetch, part, data, now, durable)
        return True

    def _asked_like(self, fetch: Fetch, chunk: int) -> list[int]:
        """The chunks that were asked for and that come with this one: its twins."""
        asked = fetch.asked_chunks & fetch.twins.of(chunk)
        return members(asked)

    def _take_of_manifest(self, fetch: Fetch, part: int, data: bytes, now: float) -> bool:
        if part == ROOT:
            if fetch.root is not None:
                return False
            fetch.know_root(data)
        elif fetch.root is None:
            return False
        else:
            fetch.know_page(part - PAGE0, data)
        for holding in fetch.settled(part):
            holding.source.cancel(holding, part)
        if fetch.size != fetch.row.size >= 0:
            why = f"it has {fetch.size} bytes, not {fetch.row.size} as was said"
            self.fail(fetch, why)
        elif fetch.manifest:
            self.landing.begin(fetch, now)
            self.tell_tag(fetch.tag)
        self.wake_fetch(fetch)
        return True

    def _came(self, fetch: Fetch, chunks: int) -> None:
        """These chunks lie in the partial file."""
        self.moved[fetch] = None
        self._news[fetch] = self._news.get(fetch, 0) | chunks
        if fetch.watched:
            self.events += [ChunkCame(fetch.file, chunk) for chunk in members(chunks)]

    def ban(self, fetch: Fetch, source: "Source", why: str) -> None:
        """It gave what the file's id doesn't name: ask it for this file no more."""
        if source.peer in fetch.banned:
            return
        fetch.banned.add(source.peer)
        self.counters["banned"] += 1
        source.forget(fetch)
        fetch.count_again()
        self.events.append(HolderBanned(fetch.file, source.peer, why))
        self.wake_fetch(fetch)

    def fail(self, fetch: Fetch, why: str) -> None:
        """The file can't be had as it was asked for."""
        fetch.row = fetch.row._replace(state="failed", why=why)
        self.landing.drop(fetch)
        self.journal.add(fetch.row)
        self.stop_looking(fetch)
        failed = FetchFailed(fetch.file, why)
        self.journal.then(lambda _: self.events.append(failed))

    def _complete(self, fetch: Fetch, now: float) -> None:
        self.forget_news(fetch)
        if self.wanted.get(fetch.file) is fetch:
            self.stop_looking(fetch)
        self.events.append(FileComplete(fetch.file, fetch.size))
        if fetch.manifest:
            self.keep_manifest(fetch.file, fetch.manifest)
        self.missing.pop(fetch.file, None)
        self.tell_tag(fetch.tag)

    # -- what is here

    def here(self, tag: bytes) -> Here | None:
        """What of a file can be given."""
        fetch = self.by_tag.get(tag)
        if fetch is not None:
            if fetch.manifest is None or fetch.manifest.size <= SMALL:
                return None
            coming = fetch.asked_chunks | fetch.arriving
            return Here(fetch.file, fetch.here, coming)
        held = self.shelf.held(tag)
        if held is None or not held.complete or held.file in self.missing:
            return None
        return Here(held.file, None)

    def manifest(self, here: Here) -> Manifest | None:
        """The manifest of a file that is here."""
        fetch = self.fetch(here.file)
        if fetch is not None:
            return fetch.manifest
        manifest = self._manifests.get(here.file)
        if manifest is not None:
            self._manifests.move_to_end(here.file)
            return manifest
        stored = self.shelf.manifest(here.file)
        if stored is None:
            return None
        try:
            manifest = Manifest.from_bytes(here.file, stored)
        except RemoteProtocolError:
            self.counters["manifest"] += 1
            return None
        self.keep_manifest(here.file, manifest)
        return manifest

    def keep_manifest(self, file: bytes, manifest: Manifest) -> None:
        """It is likely to be asked for again."""
        if file not in self._manifests:
            self._manifests[file] = manifest
            self._manifest_bytes += len(manifest.hashes)
        while self._manifest_bytes > MANIFESTS_BYTES and len(self._manifests) > 1:
            _, oldest = self._manifests.popitem(last=False)
            self._manifest_bytes -= len(oldest.hashes)

    def known(self, file: bytes) -> None:
        """A file is held whole now."""
        self.missing.pop(file, None)
        self.tell_tag(want_tag(file))

    def gone(self, file: bytes) -> None:
        """A file can't be given any more."""
        self.missing[file] = None
        if len(self.missing) > MISSING_LIMIT:
            del self.missing[next(iter(self.missing))]
        manifest = self._manifests.pop(file, None)
        if manifest:
            self._manifest_bytes -= len(manifest.hashes)
        self.tell_tag(want_tag(file))

    def tell_tag(self, tag: bytes) -> None:
        """Tell those who look for this what is here of it now."""
        for giving, handle in self.seekers.get(tag, {}).items():
            giving.tell(handle, tag)

    # -- giving

    def may_give(self, link: LinkLike) -> bool:
        """Whether the owner lets anything be given over this link now."""
        limits = self.limits
        return limits.serve and limits.open_at(self.wall()) and not limits.metered(link)

    def waits(self, giving: "Giving") -> None:
        """It waits for parts."""
        self.turns.setdefault(giving)

    def read(self, request: ReadChunk, giving: "Giving", handle: int) -> None:
        """Have a chunk read for a neighbour."""
        self._readers[request] = giving, handle
        self.landing.requests.append(request)

    def was_read(
        self, request: ReadChunk, result: bytes | StoreError | None, now: float
    ) -> None:
        """The library gave a chunk, or can't."""
        giving, handle = self._readers.pop(request)
        giving.was_read(request, handle, result, now)
        self.touch(giving.peer)
        if result is None:
            fetch = self.fetch(request.file)
            if fetch is None:
                self.gone(request.file)
            else:
                self.landing.lost(fetch, request.index)
                self.wake_fetch(fetch)

    def give(self, now: float) -> None:
        """Give the neighbours in turn what they wait for, as far as links and limits allow."""
        room = AHEAD_IN_ALL // max(len(self.turns), 1)
        moved = True
        self.give_at = None
        while moved and self.turns:
            moved = False
            for giving in list(self.turns):
                if not self.pace.open(now):
                    self.give_at = self.pace.due
                    return
                if giving.give(room, now):
                    moved = True
                    self.touch(giving.peer)
                    del self.turns[giving]
                    self.turns[giving] = None
                if not giving.waiting:
                    del self.turns[giving]

    # -- announcing

    @property
    def has_news(self) -> bool:
        """Something is to be announced."""
        return bool(self._news or self._coming)

    def announce(self) -> None:
        """Tell those who look for a file what came of it, and what is on its way."""
        news, coming = self._news, self._coming
        self._news, self._coming = {}, {}
        for kind, chunks_of in ((Have, news), (Coming, coming)):
            for fetch, chunks in chunks_of.items():
                for giving, handle in self.seekers.get(fetch.tag, {}).items():
                    theirs = fetch.holdings.get(giving.peer)
                    had = fetch.reach(theirs) if theirs else 0
                    giving.tell_chunks(kind, handle, chunks & ~had)

    def forget_news(self, fetch: Fetch) -> None:
        """Nobody has to be told of its chunks any more."""
        self._news.pop(fetch, None)
        self._coming.pop(fetch, None)
