"""The shell: clock, sockets and disk meet the core. asyncio lives here.

Everything that happens (datagrams, a timer, a commit, a call of the API) ends in `turn`: give the
disk what waits, take out what may be sent, and set the one timer. Many happenings in one round of
the loop share one turn.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.clock import ClockReading
from meshpeer.core.dialer import Dialer
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.idtext import encode
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.peer import LinkDown, LinkUp
from meshpeer.core.sync.account import Kind
from meshpeer.core.sync.allowance import NEWS_BURST, NEWS_PER_S, Allowance
from meshpeer.core.writes import PutEvent, PutPeer, Write
from meshpeer.errors import StoreError
from meshpeer.node.addresses import hints_to, is_on, is_writable, path_text, prefix
from meshpeer.node.clock import Clock
from meshpeer.node.config import Config
from meshpeer.node.disk_reader import DiskReader
from meshpeer.node.giving import giving_limits
from meshpeer.node.happenings import Happenings
from meshpeer.node.heeding import Heeding
from meshpeer.node.known_peers import KnownPeers
from meshpeer.node.library.library import Library
from meshpeer.node.loading import load_peer
from meshpeer.node.near import Near
from meshpeer.node.plugins import load_transports
from meshpeer.node.publications import Publications
from meshpeer.node.standing_searches import StandingSearches
from meshpeer.node.state import State
from meshpeer.node.unsent import Unsent
from meshpeer.node.writer import Writer
from store.store import Store
from transports.interface import (
    Introduced,
    PathFound,
    PathLost,
    PeerFound,
    Reporting,
    Transport,
)
from transports.lan import Lan
from transports.netlink import Interfaces, Local
from transports.udp import Udp

log = logging.getLogger("meshpeer.node")

UNSPECIFIED: Final = {"0.0.0.0", "::"}
SOONEST: Final = 0.001
"""Timers closer than this are one."""


class Node:
    """A running peer. `start` opens everything, `close` ends it in good order."""

    def __init__(
        self,
        state: State,
        config: Config,
        clock: Callable[[ClockReading | None], Clock] = Clock,
    ) -> None:
        self.state = state
        self.config = config
        self.store = Store(state.database)
        self.clock = clock(self.store.saved_clock())
        self.store.clock = self.clock.reading
        self.peer = load_peer(
            state,
            self.store,
            nickname=config.nickname,
            queue_bytes=config.queue.bytes,
            chain_limits=ChainLimits(
                person=config.chains.person_bytes,
                nearby=config.chains.near_bytes,
                nearby_persons=config.chains.near_persons,
                pass_on=config.chains.pass_questions,
            ),
            prefix=prefix,
            wall=self.clock.wall,
            now=self.now(),
        )
        self.dialer = Dialer(os.urandom)
        self._known = KnownPeers(self.peer, self.dialer, self.now())
        self._stranger_news = Allowance(rate=NEWS_PER_S, burst=NEWS_BURST)
        self._links_told: set[bytes] = set()
        """Links that the history knows of: strangers can make more than it holds."""
        self.started = self.now()
        self.online = True
        self.trouble: StoreError | None = None
        """Why the disk takes nothing now."""
        self.udp = Udp(port=config.udp.port, listen=config.udp.listen)
        further = load_transports(config.transports).values()
        self._transports: dict[str, Transport] = {
            transport.name: transport for transport in (self.udp, *further)
        }
        self._unsent = Unsent(self._transports)
        self.peer.endpoint.airs.full = self._unsent.full
        self._interfaces = Interfaces()
        self._usable: frozenset[Local] = frozenset()
        self._lan: Lan | None = None
        self.peer.files.limits = giving_limits(
            config.files, lambda: self._interfaces.usable
        )
        self.happenings = Happenings(self)
        self.library = Library(
            self.store,
            self.peer.journal,
            self.peer.files,
            FilePath(config.files.folder).expanduser()
            if config.files.folder
            else state.files,
            now=self.now,
            soon=self.soon,
            keep_free=config.files.keep_free,
            asked=self.peer.file_requests,
            done=self.peer.file_done,
            came_whole=lambda file: self.peer.exchange.known(file, self.now()),
            fetched=self.happenings.fetched,
            mirrored=self.happenings.mirrored,
            settings=self.store.settings,
        )
        self.publications = Publications(self)
        self.standing = StandingSearches(self.store)
        self.heeding = Heeding(self.store)
        self.near = Near(self.store)
        self.searching = asyncio.Lock()
        self._reader = DiskReader(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def now(self) -> float:
        """Give the peer's running seconds."""
        return self.clock.now()

    def wall(self) -> int:
        """Give wall seconds, a hint."""
        return int(self.clock.wall())

    def listening(self) -> list[str]:
        """Give the addresses where datagrams are taken, for people."""
        hosts = (f"[{host}]" if ":" in host else host for host in self.config.udp.listen)
        return [f"udp {host}:{self.udp.port}" for host in hosts] + [
            place for transport in self._reporting() for place in transport.listening()
        ]

    def transport_warnings(self) -> list[str]:
        """Give what the transports can't use now, for people."""
        return [each for transport in self._reporting() for each in transport.warnings()]

    def _reporting(self) -> list[Reporting]:
        return [each for each in self._transports.values() if isinstance(each, Reporting)]

    def counters(self) -> dict[str, Mapping[str, int]]:
        """Give what was counted, by part."""
        parts: dict[str, Mapping[str, int]] = {
            "link": self.peer.endpoint.counters,
            "sync": self.peer.sync.counters,
            "broadcast": self.peer.sync.broadcast.counters,
            "chains": self.peer.chains.counters,
            "files": self.peer.files.counters,
            "udp": self.udp.counters,
        }
        parts |= {
            name: each.counters
            for name, each in self._transports.items()
            if isinstance(each, Reporting)
        }
        return parts | ({"lan": self._lan.counters} if self._lan else {})

    # ---- from start to end

    async def start(self) -> None:
        """Open transports and discovery, and begin to try known peers."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_fault)
        self._writer = Writer(
            self.store, self.peer.journal, committed=self._committed, failed=self._failed
        )
        for transport in self._transports.values():
            if isinstance(transport, Introduced):
                hidden = not self.config.visible
                transport.introduce(self.peer.id, hidden=hidden, found=self._found)
            transport.start(self._receive, self._on_path, self._writable)
        self.peer.endpoint.traits_of = self._traits_of
        self._known.load(self.store, self.config.peers, self._transports, self.now())
        self._interfaces.follow(self._addresses_changed)
        self._interfaces.start()
        if self.config.lan.on:
            self._start_lan()
        self.library.start()
        self.publications.start()
        self.turn()

    def _start_lan(self) -> None:
        self._lan = Lan(
            self.peer.id,
            self.udp.port,
            rng=os.urandom,
            hidden=not self.config.visible,
            named=self.config.lan.interfaces,
            interfaces=self._interfaces,
        )
        self._lan.start(self._found)

    async def close(self) -> None:
        """Close links, commit what waits, and let everything go."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        if self._lan:
            await self._lan.close()
        self._go_offline()
        self._interfaces.close()
        for transport in self._transports.values():
            await transport.close()
        for task in self._tasks:
            task.cancel()
        await self.library.close()
        await self._writer.close()
        self._reader.close()
        self.store.close()

    # ---- the turn

    def soon(self) -> None:
        """Take a turn in this round of the loop, once."""
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self.turn)

    def turn(self) -> None:
        """Give the disk and the network what the core has for them, and set the timer."""
        self._turn_due = False
        now = self.now()
        try:
            if self.online and not self._closed:
                self._known.wake(now)
                for peer, path in self.dialer.due(now):
                    self.peer.connect(peer, path, now)
            self.happenings.take()
            self.happenings.fetch_attachments()
            self.library.turn()
            self._writer.turn()
            self._reader.turn()
            self._send(now)
        finally:
            self._set_timer(now)

    def _send(self, now: float) -> None:
        if self._unsent.held_up(now):
            return
        out = self.peer.outgoing(now)
        if self.online:
            self._unsent.send(out, now)

    def _writable(self) -> None:
        if self.online:
            self._unsent.retry(self.now())
            self.peer.endpoint.writable(self.now())
        self.soon()

    def _set_timer(self, now: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        times = [
            self.peer.next_wakeup(),
            self.dialer.next_wakeup() if self.online else None,
            self._known.next_wakeup() if self.online else None,
            self._unsent.next_wakeup(now),
        ]
        due = min((time for time in times if time is not None), default=None)
        if due is not None and not self._closed:
            self._timer = self._loop.call_later(max(due - now, SOONEST), self._wake)

    def _wake(self) -> None:
        self._timer = None
        try:
            self.peer.wake(self.now())
        finally:
            self.turn()

    # ---- the network

    def _traits_of(self, path: Path) -> Traits:
        transport = self._transports.get(path.transport)
        return transport.traits_of(path) if transport else Traits()

    def _receive(self, batch: Sequence[Datagram]) -> None:
        if not self.online:
            return
        try:
            self.peer.receive(batch, self.now())
        finally:
            self.soon()

    def _on_path(self, event: PathFound | PathLost) -> None:
        if isinstance(event, PathLost):
            self.peer.path_lost(event.path, self.now())
            self.soon()
        elif event.peer_id is not None:
            self._found(PeerFound(event.peer_id, event.path))
        else:
            self.dialer.everything_changed(self.now())
            self.soon()

    def _found(self, found: PeerFound) -> None:
        if self.online and self._known.found(found, self.now()):
            self.soon()

    def _addresses_changed(self, usable: frozenset[Local]) -> None:
        log.info("addresses changed", extra={"addresses": len(usable)})
        self.udp.addresses_changed()
        self._lose_paths(self._usable - usable, usable)
        if usable - self._usable:
            for peer in self.peer.neighbours:
                self._known.offer(peer, self.now())
        self._usable = usable
        self.dialer.everything_changed(self.now())
        self.soon()

    def _lose_paths(self, gone: frozenset[Local], left: frozenset[Local]) -> None:
        """Say at once that what was on a subnet that we left can't be reached by it."""
        for neighbour in list(self.peer.neighbours.values()):
            for path in neighbour.link.paths:
                if path.transport != self.udp.name:
                    continue
                held = any(is_on(path, local) for local in gone)
                if held and not any(is_on(path, local) for local in left):
                    self.peer.path_lost(path, self.now())

    def link_changed(self, event: LinkUp | LinkDown) -> None:
        """A link came up or went down: tell the dialer and the history."""
        link, now = event.link, self.now()
        body: dict[str, object] = {"peer": encode(link.peer_id)}
        if isinstance(event, LinkUp):
            self.dialer.came_up(link.peer_id)
            self._known.linked(link.peer_id)
            self._known.offer(link.peer_id, now)
            address = path_text(link.path)
            body |= {"up": True, "transport": link.path.transport, "address": address}
            account = self.peer.account_of(link.peer_id, link.path)
            known = account.kind is not Kind.STRANGER
            if known or self._stranger_news.take("link", now):
                self._links_told.add(link.peer_id)
            if link.initiator and is_writable(link.path):
                self.peer.aside(
                    PutPeer(link.peer_id, link.path.transport, address, False, now), now
                )
        else:
            self.dialer.went_down(link.peer_id, now)
            body |= {"up": False}
        log.info("link", extra=body)
        if link.peer_id in self._links_told:
            self.peer.note(PutEvent.of("link", **body))
        if isinstance(event, LinkDown):
            self._links_told.discard(link.peer_id)

    def set_online(self, online: bool) -> None:
        """False closes every link and sends nothing until True."""
        if online and not self.online:
            self.online = True
            self._writable()
            self.dialer.everything_changed(self.now())
        elif not online:
            self._go_offline()
        self.soon()

    def _go_offline(self) -> None:
        now = self.now()
        for peer in list(self.peer.neighbours):
            self.peer.disconnect(peer, now, "going offline")
        self.happenings.take()
        self._send(now)
        self.online = False

    # ---- the disk

    async def durable(self) -> None:
        """Return once everything that was journalled so far is on the disk.

        StoreFullError or StoreError if the disk refuses; it stays in memory and goes to the
        disk as soon as that takes it.
        """
        future = self._loop.create_future()
        self._waiting.append(future)
        self.peer.journal.then(lambda _: _settle(future))
        self.soon()
        await future

    def check_disk(self) -> None:
        """Raise what the disk said last, if it takes nothing now."""
        if self.trouble:
            raise type(self.trouble)(f"{self.trouble}; make room first, nothing was sent")

    def _committed(self, batch: Sequence[Write]) -> None:
        if self.trouble and batch:
            log.warning("the disk takes writes again")
            self.trouble = None
        self.peer.committed(self.now())
        self._waiting = [future for future in self._waiting if not future.done()]
        if any(type(write) is PutEvent for write in batch):
            self._news.set()
            self._news = asyncio.Event()
        self.soon()

    def _failed(self, error: StoreError) -> None:
        log.error("the disk refuses", extra={"reason": str(error)})
        self.trouble = error
        self.peer.failed(self.now())
        waits = f"{error}; it waits in memory until there is room: don't send it again"
        for future in self._waiting:
            if not future.done():
                future.set_exception(type(error)(waits))
        self._waiting.clear()
        self.soon()

    def next_news(self) -> asyncio.Event:
        """Give what will be set by the next commit that holds an event."""
        return self._news

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end; what it raises is logged."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failed)

    # ---- hints

    def learn_hints(self, card: Card) -> None:
        """Try the addresses that a card hints at, for the peers that it names."""
        self._known.hinted(card, self.now())
        self.soon()

    def hints(self) -> list[str]:
        """Give where this peer may be found, for its cards: addresses that others can use."""
        local = {local.host for local in self._interfaces.usable}
        listen = set(self.config.udp.listen)
        return hints_to(local if listen & UNSPECIFIED else local & listen, self.udp.port)


def _log_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a fault in the background", exc_info=error)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say in our own log what a call-back raised, without quoting what it choked on."""
    log.error("a fault; the peer goes on", exc_info=context.get("exception"))
