"""Files: what is looked for here meets what the neighbours hold, and the other way round.

The face of the package. The peer says which links are up and readable; the node's library does
what `requests` gives and answers with `done`; what has to be remembered goes into the journal.
The order of things in one turn: what came is taken in; what changed by it is noted; at the end of
the call each neighbour that may have to be told or asked something goes on once.

While nothing is fetched and nothing given, nothing is due.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from meshpeer.core.file_writes import DropFetch, DropFile, PutFetch
from meshpeer.core.files.events import (
    Event,
    FetchBegun,
    FetchCancelled,
    FileComplete,
    Progress,
)
from meshpeer.core.files.fetch import Fetch
from meshpeer.core.files.limits import Limits, Pace
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.probing import Probing
from meshpeer.core.files.reporting import Reporting
from meshpeer.core.files.requests import ReadChunk, Request
from meshpeer.core.files.runs import to_runs
from meshpeer.core.files.session import Session
from meshpeer.core.files.shelf import RestoredFiles, Shelf
from meshpeer.core.files.swarm import ANNOUNCE_S, Here, Swarm
from meshpeer.core.formats.manifest import Manifest, want_tag
from meshpeer.core.journal import Action, Journal
from meshpeer.errors import NotFoundError, RemoteProtocolError, StoreError

TICK_S: Final = 0.25
"""While something was asked for, how often to look at what takes long."""
HOURS_S: Final = 60.0
"""How often to look at the clock where the owner set hours."""


class Files:
    """All fetches and all giving of one peer."""

    def __init__(
        self,
        *,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        shelf: Shelf,
        restored: RestoredFiles | None = None,
        now: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        self._journal = journal
        self._swarm = Swarm(
            journal=journal,
            rng=rng,
            wall=wall,
            shelf=shelf,
            limits=limits or Limits(),
            now=now,
        )
        self._landing = self._swarm.landing
        self._sessions: dict[bytes, Session] = {}
        self._behind: dict[bytes, Session] = {}
        """Those of which something may lie unread."""
        self._count = 0
        self._tick_at = now
        self._hours_at = now
        self._reporting = Reporting(self._swarm, journal, now)
        self._probing = Probing(self._swarm)
        restored = restored or RestoredFiles()
        for row in sorted(restored.fetches, key=lambda row: row.added):
            self._take_up(row, restored, now)

    def _take_up(self, row: PutFetch, restored: RestoredFiles, now: float) -> None:
        if row.state in ("done", "failed"):
            return
        if row.state == "waiting":
            row = row._replace(state="fetching", why="")
        known = restored.files.get(row.file)
        if known is not None and known.have is None:
            self._is_here(row, known.size)
            return
        fetch = self._new_fetch(row)
        if known is not None and known.manifest:
            try:
                fetch.restore(known)
            except RemoteProtocolError:
                self._swarm.counters["manifest"] += 1
            else:
                self._landing.begin(fetch, now)

    # -- what somebody here asks for

    def fetch(
        self,
        file: bytes,
        *,
        size: int = -1,
        priority: int = 0,
        in_order: bool = False,
        name: str = "",
        target: str = "",
        key: bytes | None = None,
        slow: bool = False,
        now: float,
    ) -> None:
        """Have this file come, from whoever holds it; FileComplete tells when it is here.

        A higher priority goes first; `slow` says that it may keep a slow link busy for long. Asked again, it takes these settings and goes on. The
        neighbours hear of it at the next wake, which is due at once: of many files together.
        """
        added = int(self._swarm.wall())
        row = PutFetch(
            file, name, target, size, "fetching", "", priority, in_order, added, key, slow
        )
        before = self._swarm.fetch(file)
        if before is not None:
            # they are hints: of two that differ neither may end what the other began
            agreed = size < 0 or size == before.row.size
            before.row = row._replace(
                size=before.row.size if agreed else -1, added=before.row.added
            )
            self._journal.add(before.row)
            self._landing.go_on(before)
            self._renew(before)
        else:
            held = self._swarm.shelf.held(want_tag(file))
            if held is not None and held.complete and file not in self._swarm.missing:
                self._is_here(row, held.size)
            else:
                self._journal.add(row)
                self._probing.drop(file)
                self._new_fetch(row)
                self._swarm.events.append(FetchBegun(file))

    def _is_here(self, row: PutFetch, size: int) -> None:
        self._journal.add(row._replace(size=size, state="done"))
        done = FileComplete(row.file, size)
        self._journal.then(lambda _: self._swarm.events.append(done))

    def _new_fetch(self, row: PutFetch) -> Fetch:
        self._count += 1
        fetch = Fetch(row, self._count)
        self._swarm.look_for(fetch)
        return fetch

    def pause(self, file: bytes, now: float) -> None:
        """Ask for nothing of it until it is resumed; what is here is still given to others."""
        fetch = self._fetch(file)
        fetch.row = fetch.row._replace(state="paused")
        self._journal.add(fetch.row)
        for holding in fetch.holdings.values():
            holding.source.stop_asking(holding)
        self._settle(now)

    def resume(self, file: bytes, now: float) -> None:
        """Go on."""
        fetch = self._fetch(file)
        fetch.row = fetch.row._replace(state="fetching", why="")
        self._landing.go_on(fetch)
        self._journal.add(fetch.row)
        self._renew(fetch)
        self._settle(now)

    def prioritise(self, file: bytes, priority: int, now: float) -> None:
        """Ask for it before files with a lower priority."""
        fetch = self._fetch(file)
        fetch.row = fetch.row._replace(priority=priority)
        self._journal.add(fetch.row)
        self._renew(fetch)
        self._settle(now)

    def cancel(self, file: bytes, now: float) -> None:
        """Have it come no more; what came of it is forgotten."""
        fetch = self._fetch(file)
        self._landing.drop(fetch)
        self._swarm.forget_news(fetch)
        self._swarm.stop_looking(fetch)
        self._journal.add(DropFetch(file), DropFile(file))
        self._reporting.forget(file)
        self._swarm.tell_tag(fetch.tag)
        self._swarm.events.append(FetchCancelled(file))
        self._settle(now)

    def watch_from(self, file: bytes, offset: int, now: float) -> None:
        """Somebody reads it from here on: bring it in order, and report each ChunkCame."""
        fetch = self._fetch(file)
        fetch.watched = True
        fetch.row = fetch.row._replace(in_order=True)
        fetch.watch(offset)
        self._swarm.wake_fetch(fetch)
        self._settle(now)

    @property
    def fetching(self) -> bool:
        """Whether anything is being fetched."""
        return any(isinstance(one, Fetch) for one in self._swarm.wanted.values())

    def fetches(self) -> list[PutFetch]:
        """Every fetch that is neither done nor failed."""
        wanted = self._swarm.wanted.values()
        return [fetch.row for fetch in wanted if isinstance(fetch, Fetch)]

    def progress(self, file: bytes) -> Progress | None:
        """How far a fetch has come; None if nobody fetches this."""
        fetch = self._swarm.fetch(file)
        return self._reporting.progress(fetch) if fetch else None

    def manifest(self, file: bytes) -> Manifest | None:
        """The manifest of a file that is fetched, as soon as it is known."""
        fetch = self._swarm.fetch(file)
        return fetch.manifest if fetch else None

    def has(self, file: bytes, chunk: int) -> bool:
        """Whether this chunk of a file that is fetched can be read."""
        fetch = self._swarm.fetch(file)
        return fetch is not None and bool(fetch.here >> chunk & 1)

    def _fetch(self, file: bytes) -> Fetch:
        fetch = self._swarm.fetch(file)
        if fetch is None:
            raise NotFoundError("nobody fetches that file; `meshpeer fetches` lists them")
        return fetch

    def _renew(self, fetch: Fetch) -> None:
        for holding in fetch.holdings.values():
            holding.source.renew(holding)

    # -- what comes otherwise than over a link

    def lacking(self, file: bytes) -> tuple[tuple[int, int], ...] | None:
        """Runs of chunks that lack of a fetched file; None if not even its root is known."""
        fetch = self._swarm.fetch(file)
        if fetch is None or fetch.manifest is None:
            return None
        return tuple(to_runs(fetch.lacking))

    def take(
        self, file: bytes, part: int, data: bytes, now: float, durable: Action | None = None
    ) -> bool:
        """Take a part that came in a bundle; whether it was news.

        RemoteProtocolError if it isn't that part of the file. `durable(now)` runs when a chunk
        that was news is on the disk.
        """
        fetch = self._swarm.fetch(file)
        if fetch is None:
            return False
        try:
            return self._swarm.take_part(fetch, part, data, now, durable)
        finally:
            self._settle(now)

    def is_durable(self, file: bytes, chunk: int) -> bool:
        """Whether a chunk of a fetched file will outlive a crash once the journal is written."""
        fetch = self._swarm.fetch(file)
        return fetch is not None and self._landing.is_durable(fetch, chunk)

    def here(self, tag: bytes) -> Here | None:
        """What can be given of the file that goes by this want tag."""
        return self._swarm.here(tag)

    # -- what is held here

    def known(self, manifest: Manifest, now: float) -> None:
        """A file is held whole here, and may be given once its rows, now in the journal, are
        durable."""
        fetch = self._swarm.fetch(manifest.id)
        self._swarm.keep_manifest(manifest.id, manifest)
        if fetch is not None and not fetch.landing:
            self._landing.drop(fetch)
            self._swarm.forget_news(fetch)
            self._swarm.stop_looking(fetch)
            self._is_here(fetch.row, manifest.size)
        self._journal.then(lambda _: self._swarm.known(manifest.id))
        self._settle(now)

    def forget(self, file: bytes, now: float) -> None:
        """A file is held no more, or isn't to be given any more."""
        self._swarm.gone(file)
        self._settle(now)

    @property
    def limits(self) -> Limits:
        """What may be given; may be set at any time, and is told to the neighbours by the next
        wake, which is due at once."""
        return self._swarm.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if limits.rate != self._swarm.pace.rate:
            self._swarm.pace = Pace(limits.rate, self._hours_at - HOURS_S)
        self._swarm.limits = limits
        self._hours_at = 0.0

    def answers_at(self, now: float) -> float | None:
        """When the owner lets the next part go to who asks from afar; None if not today."""
        if not self.limits.serve or not self.limits.open_at(self._swarm.wall()):
            return None
        pace = self._swarm.pace
        return now if pace.open(now) else pace.due

    def gave(self, size: int, now: float) -> None:
        """So many bytes were given to who asks from afar."""
        self._swarm.pace.spend(size, now)

    # -- who holds what

    def holders(self, files: Iterable[bytes], now: float) -> Mapping[bytes, int]:
        """How many neighbours hold each, as far as is known; HoldersCounted tells of changes."""
        found = {file: self._probing.holders(file, now) for file in files}
        self._settle(now)
        return found

    # -- links

    def link_up(self, link: LinkLike, now: float) -> None:
        """A neighbour is here: see what it holds of what is wanted."""
        if before := self._sessions.get(link.peer_id):
            self.link_down(before.link, now)
        session = Session(self._swarm, link, now)
        self._sessions[link.peer_id] = session
        self._swarm.sources[link.peer_id] = session.source
        for wanted in list(self._swarm.wanted.values()):
            session.source.seek(wanted)
        self._swarm.touch(link.peer_id)
        self._settle(now)

    def link_down(self, link: LinkLike, now: float) -> None:
        """The link is gone; what it was to bring is asked of others."""
        session = self._sessions.get(link.peer_id)
        if session is None or session.link is not link:
            return
        del self._sessions[link.peer_id], self._swarm.sources[link.peer_id]
        self._behind.pop(link.peer_id, None)
        session.close()
        self._settle(now)

    def readable(self, link: LinkLike, now: float) -> None:
        """Bytes came on stream 5 or 6."""
        session = self._sessions.get(link.peer_id)
        if session and session.link is link:
            self._read(session, now)
            self._settle(now)

    def writable(self, link: LinkLike, now: float) -> None:
        """A stream that had much waiting has little now, or the link's rate is another."""
        self._swarm.touch(link.peer_id)
        self._settle(now)

    # -- the disk

    def requests(self) -> list[Request]:
        """Give what the library is to do; each is to be answered by `done`."""
        requests, self._landing.requests = self._landing.requests, []
        return requests

    def done(self, request: Request, result: bytes | StoreError | None, now: float) -> None:
        """The library did this, or says why it can't: see requests.py for the results."""
        if isinstance(request, ReadChunk):
            self._swarm.was_read(request, result, now)
        else:
            fetch = self._swarm.fetch(request.file)
            error = result if isinstance(result, StoreError) else None
            self._landing.done(fetch, request, error, now)
        self._read_on(now)
        self._settle(now)

    # -- time

    def wake(self, now: float) -> None:
        """Do what is due; early or late does no harm."""
        self._check_hours(now)
        self._probing.wake(now)
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            for session in self._sessions.values():
                session.source.tick(now)
        self._landing.wake(now)
        self._reporting.wake(now)
        self._read_on(now)
        self._settle(now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        swarm = self._swarm
        if swarm.touched or (self._behind and swarm.open):
            return 0.0
        times = [
            swarm.announce_at,
            swarm.give_at,
            self._landing.next_wakeup(),
            self._reporting.next_wakeup(),
            self._probing.next_wakeup(),
        ]
        if swarm.wanted and any(source.busy for source in swarm.sources.values()):
            times.append(self._tick_at)
        if self._sessions and (swarm.limits.hours or not self._hours_at):
            times.append(self._hours_at)
        return min((time for time in times if time is not None), default=None)

    def _check_hours(self, now: float) -> None:
        if now < self._hours_at:
            return
        self._hours_at = now + HOURS_S
        for session in self._sessions.values():
            if session.giving.open != self._swarm.may_give(session.link):
                session.giving.tell_all()

    # -- inside

    def events(self) -> list[Event]:
        """Give what happened since the last call."""
        events, self._swarm.events = self._swarm.events, []
        for event in events:
            if isinstance(event, FileComplete):
                self._reporting.forget(event.file)
        return events

    @property
    def counters(self) -> Mapping[str, int]:
        """Malformed input by field, and neighbours that lied."""
        return self._swarm.counters

    @property
    def given(self) -> int:
        """Bytes of files given to neighbours since the start."""
        return self._swarm.given

    def _read_on(self, now: float) -> None:
        """Read what had to wait for the disk."""
        for session in list(self._behind.values()):
            if self._swarm.open:
                self._read(session, now)

    def _read(self, session: Session, now: float) -> None:
        session.readable(now)
        if session.behind:
            self._behind[session.peer] = session
        else:
            self._behind.pop(session.peer, None)

    def _settle(self, now: float) -> None:
        """Let each neighbour that something changed for go on, until nothing changes."""
        swarm = self._swarm
        swarm.give(now)
        while swarm.touched:
            touched, swarm.touched = swarm.touched, {}
            for peer in touched:
                if session := self._sessions.get(peer):
                    session.go_on(now)
        if swarm.announce_at is not None and now >= swarm.announce_at:
            swarm.announce_at = None
            swarm.announce()
            self._settle(now)
        elif swarm.announce_at is None and swarm.has_news:
            swarm.announce_at = now + ANNOUNCE_S
