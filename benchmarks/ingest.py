"""Blocks a second that one follower takes in: received, verified, stored, indexed for search.

A publisher, in a process of its own, holds the chains of ten persons, prepared and on its disk
before the clock starts; the follower holds nothing and follows them all. Between them is a socket
that loses nothing, and what chains say over a link. The follower commits in its writer's thread
to a new file with synchronous=FULL, the full text and its trigrams in the same transaction. The
clock runs from the moment when the link is up until all blocks are durable.
"""

import asyncio
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._chains import Text, person, publish
from meshpeer.core.chain_writes import PutAuthor, PutFollow
from meshpeer.core.chains.chains import Chains
from meshpeer.core.chains.events import Held
from meshpeer.core.journal import Journal
from meshpeer.core.mail.people import Own, People
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.writes import Write
from meshpeer.errors import StoreError
from meshpeer.node.writer import Writer
from store.restore import restore_chains
from store.store import Store

PERSONS = 10
BLOCKS = 2_000
"""Of each person."""
ROUNDS = 3
UNREAD = 1 << 20
"""Bytes that wait for the session before the socket is read no more, as a stream's window."""
GIVE_UP = 120.0


class Side(asyncio.Protocol):
    """One peer's chains, its disk, and its end of the link."""

    def __init__(self, path: Path, own: Own, *, peer: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.peer_id, self.initiator, self.binding = peer, peer == b"p" * 32, bytes(32)
        self.closed: str | None = None
        self.rate: float | None = None
        self.held = 0
        self.done = asyncio.Event()
        self.journal = Journal()
        self.store = Store(path)
        self.chains = Chains(
            people=People([own]),
            journal=self.journal,
            rng=os.urandom,
            wall=time.time,
            archive=self.store,
            restored=restore_chains(self.store),
            now=loop.time(),
        )
        self._writer = Writer(
            self.store, self.journal, committed=self._committed, failed=self._failed
        )
        self._loop = loop
        self._unread = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    # -- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.act(self.chains.link_up, self, Account(Kind.CONTACT, self.peer_id.hex()))

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) >= UNREAD:
            self._transport.pause_reading()
        self.act(self.chains.readable, self)

    def resume_writing(self) -> None:
        self.act(self.chains.writable, self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = "gone"
        self.done.set()

    # -- the link

    def write(self, stream: int, data: bytes) -> None:
        self._transport.write(data)

    def read(self, stream: int, limit: int) -> bytes:
        data = bytes(self._unread[:limit])
        del self._unread[:limit]
        if len(self._unread) < UNREAD:
            self._transport.resume_reading()
        return data

    def buffered(self, stream: int) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, reason: str) -> None:
        raise SystemExit(f"the link was closed: {reason}")

    # -- turns

    def act(self, do: Callable[..., None], *what: object) -> None:
        """Let something happen, and then what follows from it."""
        do(*what, self._loop.time())
        while reads := self.chains.reads():
            for request in reads:
                rows = self.store.log_blocks(*request[1:])
                self.chains.blocks_read(request, rows, self._loop.time())
        self._writer.turn()
        self.held += sum(isinstance(event, Held) for event in self.chains.events())
        if self.held >= PERSONS * BLOCKS:
            self.done.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.chains.next_wakeup()
        if due is not None:
            self._timer = self._loop.call_at(due, self.act, self.chains.wake)

    def _committed(self, batch: Sequence[Write]) -> None:
        self.act(self.journal.committed)

    def _failed(self, error: StoreError) -> None:
        raise SystemExit(f"the disk refused: {error}")

    async def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        await self._writer.close()
        self.store.close()


def main() -> dict[str, float]:
    """Give the median and the worst of some rounds, each with a new follower."""
    rates = []
    with TemporaryDirectory(prefix="meshpeer-") as folder:
        published = Path(folder) / "publisher.db"
        authors = _prepare(published)
        for number in range(ROUNDS):
            followed = Path(folder) / f"follower-{number}.db"
            _follow(followed, authors)
            rates.append(_round(published, followed))
            print(f"round {number + 1}: {rates[-1]:,.0f} blocks a second", flush=True)
            _check(followed)
    return {
        "blocks_per_s": round(sorted(rates)[ROUNDS // 2]),
        "blocks_per_s_worst": round(min(rates)),
    }


def _prepare(path: Path) -> list[Own]:
    store, text = Store(path), Text(1)
    authors = [person(number) for number in range(PERSONS)]
    for author in authors:
        publish(store, author, text, BLOCKS)
    _follows(store, authors)
    store.close()
    return authors


def _follow(path: Path, authors: Sequence[Own]) -> None:
    store = Store(path)
    _follows(store, authors)
    store.close()


def _follows(store: Store, authors: Sequence[Own]) -> None:
    for author in authors:
        card = PutAuthor(author.person, author.card.to_bytes())
        store.commit([card, PutFollow(author.person, "follow", 0)])


def _round(published: Path, followed: Path) -> float:
    here, there = socket.socketpair()
    ready = multiprocessing.Event()
    publisher = multiprocessing.Process(target=_serve, args=(published, there, ready))
    publisher.start()
    there.close()
    try:
        ready.wait()
        seconds = asyncio.run(_take(followed, here))
    finally:
        publisher.terminate()
        publisher.join()
    return PERSONS * BLOCKS / seconds


def _serve(path: Path, link: socket.socket, ready: Event) -> None:
    async def serve() -> None:
        side = Side(path, person(1_000), peer=b"f" * 32)
        await asyncio.get_running_loop().create_connection(lambda: side, sock=link)
        ready.set()
        await asyncio.Event().wait()

    asyncio.run(serve())


async def _take(path: Path, link: socket.socket) -> float:
    side = Side(path, person(2_000), peer=b"p" * 32)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await loop.create_connection(lambda: side, sock=link)
    with suppress(TimeoutError):
        await asyncio.wait_for(side.done.wait(), GIVE_UP)
    seconds = loop.time() - begin
    if side.held < PERSONS * BLOCKS:
        raise SystemExit(f"only {side.held} blocks came: {side.chains.counters}")
    await side.end()
    return seconds


def _check(path: Path) -> None:
    """All of it must be there, and the commonest word be found."""
    store = Store(path)
    counted = store._one("SELECT count(*), (SELECT count(*) FROM item) FROM block")
    store.close()
    assert counted == (PERSONS * BLOCKS,) * 2, counted
