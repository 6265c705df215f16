"""One peer, sans-IO: links, sync, chains, files and mail wired together.

The shell gives datagrams, times and what the disk says; it takes datagrams, batches of writes
and wake-up times. It calls, after anything it gave:

    outgoing(now)        datagrams to send
    journal.take()       a batch to commit, answered by committed(now) or failed(now)
    loads()              ids of bundles whose bytes are wanted, answered by loaded(...)
    chains.reads()       blocks that are wanted, answered by blocks_read(...)
    files.requests()     what the library is to do, answered by file_done(...)
    next_wakeup()        when to call wake(now), at the latest
    events()             links that came up or went down, and what chains and files tell

Nothing here raises because of what another peer sent.

Streams of a link: 0 to 3 are sync's, 4 the chains', 5 and 6 the files'. What a lower one has to
say goes first.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from meshpeer.core.chains.archive import ChainArchive, RestoredChains
from meshpeer.core.chains.chains import STREAM as CHAINS
from meshpeer.core.chains.chains import Chains
from meshpeer.core.chains.events import CardHeard, KeyHeard
from meshpeer.core.chains.events import Event as ChainEvent
from meshpeer.core.chains.interest import Level
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.serving import ReadBlocks
from meshpeer.core.files.events import Event as FileEvent
from meshpeer.core.files.events import FileComplete
from meshpeer.core.files.exchange import Exchange, RestoredExchange
from meshpeer.core.files.files import Files
from meshpeer.core.files.messages import CONTROL, PARTS
from meshpeer.core.files.requests import ReadChunk, Request
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.record import Record
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.events import Event, LinkDown, LinkUp, Readable, Writable
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.mail import mail
from meshpeer.core.mail.attachments import Wanted
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.mail import Mail, Restored
from meshpeer.core.mail.people import Contact, Own, People
from meshpeer.core.mail.sealing_keys import KeyRing
from meshpeer.core.record_news import FileWithdrawn, RecordNews
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.depot import WRITES_LIMIT
from meshpeer.core.sync.events import (
    CarriedBy,
    Evicted,
    Expired,
    Refused,
    ValueSeen,
    WantCame,
    WantGone,
)
from meshpeer.core.sync.events import Event as SyncEvent
from meshpeer.core.sync.queue import Queue
from meshpeer.core.sync.sync import Sync
from meshpeer.core.sync.verdict import Verdict
from meshpeer.core.writes import PutContactTime, Write
from meshpeer.errors import StoreError, UsageError

__all__ = ["FileWithdrawn", "LinkDown", "LinkUp", "Peer"]

Happened = TypeVar("Happened")

SYNC: Final = range(4)
FILES: Final = (CONTROL, PARTS)


PeerEvent: TypeAlias = LinkUp | LinkDown | FileWithdrawn | ChainEvent | FileEvent


class Disk(mail.Archive, mail.Shelf, ChainArchive, Protocol):
    """All that the core looks up; the store is one."""


class Remembered(NamedTuple):
    """What the disk held when the peer started, besides the queue and the people."""

    mail: Restored = Restored()
    chains: RestoredChains = RestoredChains()
    files: RestoredExchange = RestoredExchange()


class Neighbour(NamedTuple):
    """A link that is up, since when, and who pays for what it brings."""

    link: Link
    since: float
    account: Account


class Peer:
    """All that one running peer knows and does, but for clocks, sockets and disk."""

    def __init__(
        self,
        *,
        static: KeyPair,
        people: People,
        queue: Queue,
        journal: Journal,
        disk: Disk,
        remembered: Remembered,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
        prefix: Callable[[Path], str],
        chain_limits: ChainLimits | None = None,
        ring: KeyRing | None = None,
    ) -> None:
        self.journal = journal
        self.endpoint = Endpoint(static=static, now=now, rng=rng)
        self.endpoint.group = lambda peer, path: "/".join(
            self.account_of(peer, path).nest[:2]
        )
        self.sync = Sync(
            queue=queue, journal=journal, rng=rng, deliver=self._deliver, now=now
        )
        self.endpoint.on_broadcast = self.sync.broadcast.receive
        self.sync.broadcast.traits_of = self._traits_of
        self.sync.broadcast.traits_at = lambda path: self.endpoint.traits_of(path)
        self.sync.broadcast.free_at = self.endpoint.free_at
        self._events: list[PeerEvent] = []
        self.record_news = RecordNews(
            disk,
            journal,
            self._events.append,
            lambda person: self.chains.level(person) is Level.SOME,
        )
        self.chains = Chains(
            people=people,
            journal=journal,
            rng=rng,
            wall=wall,
            archive=disk,
            restored=remembered.chains,
            limits=chain_limits,
            also=self.record_news.beside_block,
            now=now,
        )
        self.mail = Mail(
            people=people,
            journal=journal,
            rng=rng,
            wall=wall,
            archive=disk,
            restored=remembered.mail,
            ring=ring,
            heard=self.chains,
            now=now,
        )
        self.exchange = Exchange(
            sync=self.sync,
            journal=journal,
            rng=rng,
            wall=wall,
            shelf=disk,
            restored=remembered.files,
            now=now,
        )
        self.files = self.exchange.files
        self._by_stream: dict[int, Sync | Chains | Files] = {
            **dict.fromkeys(SYNC, self.sync),
            CHAINS: self.chains,
            **dict.fromkeys(FILES, self.files),
        }
        for receipt_hash, bundle in self.mail.outbox.watched():
            self.sync.watch(receipt_hash, bundle, now)
        self.mail.open(post=self.sync, shelf=disk, parts=self.exchange.parts, now=now)
        self._tags_seen = (-1, -1, -1)
        self._announce_tags()
        self.neighbours: dict[bytes, Neighbour] = {}
        self._prefix = prefix
        self._mail_reads: set[ReadChunk] = set()
        self._people_seen = people.changes

    @property
    def id(self) -> bytes:
        """The peer id."""
        return self.endpoint.peer_id

    # ---- the network

    def connect(self, peer: bytes, path: Path, now: float) -> None:
        """Try to reach a peer by a path; a live link may move to it if it is better."""
        if peer != self.id:
            self.endpoint.connect(peer, path, now)
            self._turn(now)

    def receive(self, batch: Sequence[Datagram], now: float) -> None:
        """Take datagrams; never raises because of what is in them."""
        self.endpoint.receive(batch, now)
        self._turn(now)

    def path_lost(self, path: Path, now: float) -> None:
        """Nothing passes by this path any more."""
        self.endpoint.path_lost(path, now)
        self._turn(now)

    def disconnect(self, peer: bytes, now: float, reason: str = "") -> None:
        """Close the link to a peer, if there is one."""
        if link := self.endpoint.links.get(peer):
            link.close(reason)
            self._turn(now)

    def outgoing(self, now: float) -> list[Datagram]:
        """Give what is to be sent now."""
        urgent = self.endpoint.urgent(now)
        broadcasts = self.sync.broadcast.outgoing(now)
        self.endpoint.beside(broadcasts, now)
        return urgent + self.endpoint.outgoing(now) + broadcasts

    def wake(self, now: float) -> None:
        """Do what time brings; early or late does no harm."""
        self.endpoint.wake(now)
        self.sync.wake(now)
        for own, key in self.mail.wake(now):
            with suppress(UsageError):  # it has all logs there can be: the card's key holds
                self.chains.publish(own, key, now)
        self.chains.wake(now)
        self.exchange.wake(now)
        self.journal.wake(now)
        self._turn(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        times = (
            self.endpoint.next_wakeup(),
            self.sync.next_wakeup(),
            self.mail.next_wakeup(),
            self.chains.next_wakeup(),
            self.exchange.next_wakeup(),
            self.journal.next_wakeup(),
        )
        return min((time for time in times if time is not None), default=None)

    def events(self) -> list[PeerEvent]:
        """Give what happened since the last call."""
        events = self._events[:]
        self._events.clear()
        return events

    # ---- the disk

    def committed(self, now: float) -> None:
        """The batch that was taken is durable."""
        self.journal.committed(now)
        self._turn(now)

    def failed(self, now: float) -> None:
        """The batch that was taken could not be written; nothing was."""
        self.journal.failed()
        self.sync.wake(now)
        self._turn(now)

    def note(self, write: Write) -> None:
        """Journal what nobody waits for, unless the disk is far behind: anybody may cause many."""
        if len(self.journal) < WRITES_LIMIT:
            self.journal.add(write)

    def aside(self, write: Write, now: float) -> None:
        """Journal what a crash may lose, as `note` does, but with the next commit."""
        if len(self.journal) < WRITES_LIMIT:
            self.journal.aside(write, now)

    def loads(self) -> list[bytes]:
        """Give ids of bundles whose bytes are wanted from the disk."""
        return self.sync.loads()

    def loaded(self, wires: Mapping[bytes, bytes | None], now: float) -> None:
        """Here are the bytes that were asked for, None for what is gone."""
        self.sync.loaded(wires, now)
        self._turn(now)

    def blocks_read(
        self, request: ReadBlocks, rows: Sequence[tuple[bytes, bytes | None]], now: float
    ) -> None:
        """Here are the blocks that chains asked for."""
        self.chains.blocks_read(request, rows, now)
        self._turn(now)

    def file_requests(self) -> list[Request]:
        """Give what the library is to do, for files and for mail."""
        reads = self.mail.requests()
        self._mail_reads |= set(reads)
        return [*self.exchange.requests(), *reads]

    def file_done(
        self, request: Request, result: bytes | StoreError | None, now: float
    ) -> None:
        """The library did this, or says why it can't."""
        if isinstance(request, ReadChunk) and request in self._mail_reads:
            self._mail_reads.discard(request)
            self.mail.done(request, result, now)
        else:
            self.exchange.done(request, result, now)
        self._turn(now)

    # ---- the people

    def publish(self, own: Own, record: Record, now: float) -> Block:
        """Append a record to this person's chain; neighbours hear of it once it is durable."""
        block = self.chains.publish(own, record, now)
        self._turn(now)
        return block

    def send(self, own: Own, contact: Contact, draft: Draft, now: float) -> bytes:
        """Write a message; give its id. It goes out once it is durable."""
        message_id = self.mail.send(own, contact, draft, now)
        self._turn(now)
        return message_id

    def recall(self, message_id: bytes, now: float) -> None:
        """Ask every carrier to drop a message; UsageError if it is not under way."""
        self.mail.recall(message_id, now)
        self._turn(now)

    def wanted_files(self) -> list[Wanted]:
        """Give the files of messages that are to be fetched, each once."""
        return self.mail.wanted()

    def wants_travel(self, file: bytes) -> bool:
        """Whether a want for this file is under way."""
        return self.exchange.wants.travels(file)

    def made_room(self, now: float) -> None:
        """A person here answered a request or erased something: take what had to wait."""
        self.sync.ask_again(now)
        self._turn(now)

    def account_of(self, peer: bytes, path: Path) -> Account:
        """Say who pays for what this neighbour brings."""
        if self.mail.people.own_at(peer):
            return Account(Kind.CONTACT, peer.hex())
        contacts = self.mail.people.contacts_at(peer)
        if len(contacts) == 1:
            return Account(Kind.CONTACT, contacts[0].person.hex())
        if contacts:
            # one may only claim to live there: its junk must not push out the other's bundles
            return Account(Kind.CONTACT, peer.hex())
        return Account(Kind.STRANGER, f"{self._prefix(path)}/{peer.hex()}")

    # ---- inside

    def _turn(self, now: float) -> None:
        """Pass on what the parts have to say to each other, until they are quiet.

        A fault of our own in one event costs that event only: it is raised after all others.
        """
        faults: list[Exception] = []
        while events := self.endpoint.events():
            faults += _faults(self._link_event, events, now)
        self.sync.take_broadcasts(now)
        faults += _faults(self._sync_event, self.sync.events(), now)
        faults += _faults(self._chain_event, self.chains.events(), now)
        self._events += self._file_events(now)
        if self._people_seen != self.mail.people.changes:
            self._people_seen = self.mail.people.changes
            self._charge_anew()
            self.mail.people_changed(now)
        self._announce_tags()
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise ExceptionGroup("faults in one turn", faults)

    def _deliver(self, bundle: Bundle, account: Account, now: float) -> Verdict:
        """Open a bundle for somebody here: an answer to a want, or mail."""
        if bundle.header.tag in self.exchange.wants.tags:
            return self.exchange.wants.receive(bundle, account, now)
        return self.mail.inbox.receive(bundle, account, now)

    def _traits_of(self, peer: bytes) -> Traits | None:
        """What is known of the path on which the link to a neighbour is."""
        link = self.endpoint.links.get(peer)
        return self.endpoint.traits_of(link.path) if link else None

    def _announce_tags(self) -> None:
        """Tell sync whose bundles are for somebody here, if that changed."""
        seen = (
            self.mail.people.changes,
            self.mail.keys.changes,
            self.exchange.wants.changes,
        )
        if seen != self._tags_seen:
            self._tags_seen = seen
            tags = self.mail.keys.tags | self.exchange.wants.tags
            if tags != self.sync.tags:
                self.sync.tags = tags

    def _file_events(self, now: float) -> list[FileEvent]:
        events = self.exchange.events(now)
        for event in events:
            if isinstance(event, FileComplete):
                self.mail.file_complete(event.file, now)
        return events

    def _charge_anew(self) -> None:
        """A neighbour may have become a contact, or is none any more."""
        for peer, neighbour in self.neighbours.items():
            account = self.account_of(peer, neighbour.link.path)
            if account != neighbour.account:
                self.neighbours[peer] = neighbour._replace(account=account)
                self.sync.charge_to(peer, account)

    def _sync_event(self, event: SyncEvent, now: float) -> None:
        match event:
            case ValueSeen(value=value):
                self.mail.value_seen(value, now)
            case CarriedBy(bundle=bundle, peer=peer):
                self.mail.outbox.carried(bundle, peer, now)
                self.exchange.carried(bundle, peer)
            case Evicted(bundle=bundle):
                self.mail.dropped(bundle, now)
            case WantCame(bundle=bundle, account=account):
                self.exchange.answers.came(bundle, account, now)
            case WantGone(bundle=bundle, tag=tag, satisfied=satisfied):
                self.exchange.answers.gone(bundle, tag, satisfied, now)
            case Expired() | Refused():
                pass  # the mail has its own clock, and a neighbour's no may change

    def _chain_event(self, event: ChainEvent, now: float) -> None:
        if isinstance(event, CardHeard):
            self.journal.add(*self.mail.people.take(event.card))
        elif isinstance(event, KeyHeard):
            self.mail.key_heard(event.person)
        self._events.append(event)

    def _link_event(self, event: Event, now: float) -> None:
        match event:
            case Readable(link=link, stream=stream):
                if part := self._by_stream.get(stream):
                    part.readable(link, now)
                else:  # a newer peer's, or a hostile one's: nobody else reads it
                    link.read(stream)
            case Writable(link=link, stream=stream):
                if part := self._by_stream.get(stream):
                    part.writable(link, now)
            case LinkUp(link=link):
                account = self.account_of(link.peer_id, link.path)
                self.neighbours[link.peer_id] = Neighbour(link, now, account)
                self.sync.link_up(link, account, now)
                self.chains.link_up(link, account, now)
                self.exchange.link_up(link, now)
                self._events.append(event)
            case LinkDown(link=link):
                self.sync.link_down(link, now)
                self.chains.link_down(link, now)
                self.exchange.link_down(link, now)
                if neighbour := self.neighbours.pop(link.peer_id, None):
                    transport = link.path.transport
                    self.aside(
                        PutContactTime(link.peer_id, neighbour.since, now, transport), now
                    )
                self._events.append(event)


def _faults(
    handle: Callable[[Happened, float], None], events: Sequence[Happened], now: float
) -> list[Exception]:
    """Handle all events; give what that raised."""
    faults = []
    for event in events:
        try:
            handle(event, now)
        except Exception as fault:
            faults.append(fault)
    return faults
