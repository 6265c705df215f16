"""One peer, sans-IO: links, sync and mail wired together.

The shell gives datagrams, times and what the disk says; it takes datagrams, batches of writes
and wake-up times. It calls, after anything it gave:

    outgoing(now)        datagrams to send
    journal.take()       a batch to commit, answered by committed(now) or failed(now)
    loads()              ids of bundles whose bytes are wanted, answered by loaded(...)
    next_wakeup()        when to call wake(now), at the latest
    events()             links that came up or went down

Nothing here raises because of what another peer sent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.events import Event, LinkDown, LinkUp, Readable, Writable
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path
from meshpeer.core.mail.inbox import Archive
from meshpeer.core.mail.mail import Mail, Restored
from meshpeer.core.mail.outbox import Draft
from meshpeer.core.mail.people import Contact, Own, People
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
from meshpeer.core.writes import PutContactTime, Write

__all__ = ["LinkDown", "LinkUp", "Peer"]

Happened = TypeVar("Happened")

STREAMS: Final = range(4)
"""Those that sync reads."""


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
        archive: Archive,
        restored: Restored,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
        prefix: Callable[[Path], str],
    ) -> None:
        self.journal = journal
        self.endpoint = Endpoint(static=static, now=now, rng=rng)
        self.endpoint.group = lambda peer, path: "/".join(
            self.account_of(peer, path).nest[:2]
        )
        self.mail = Mail(
            people=people,
            journal=journal,
            rng=rng,
            wall=wall,
            archive=archive,
            restored=restored,
        )
        self.sync = Sync(
            queue=queue,
            journal=journal,
            rng=rng,
            deliver=self.mail.inbox.receive,
            now=now,
        )
        self.sync.tags = people.tags
        for receipt_hash, bundle in self.mail.outbox.watched():
            self.sync.watch(receipt_hash, bundle, now)
        self.neighbours: dict[bytes, Neighbour] = {}
        self._prefix = prefix
        self._events: list[LinkUp | LinkDown] = []
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
        return self.endpoint.outgoing(now)

    def wake(self, now: float) -> None:
        """Do what time brings; early or late does no harm."""
        self.endpoint.wake(now)
        self.sync.wake(now)
        for receipt_hash in self.mail.outbox.wake(now):
            self.sync.unwatch(receipt_hash)
        if self.mail.inbox.wake(now):
            self.sync.ask_again(now)
        self._turn(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest."""
        times = (
            self.endpoint.next_wakeup(),
            self.sync.next_wakeup(),
            self.mail.outbox.next_wakeup(),
            self.mail.inbox.next_wakeup(),
        )
        return min((time for time in times if time is not None), default=None)

    def events(self) -> list[LinkUp | LinkDown]:
        """Give the links that came up or went down since the last call."""
        events, self._events = self._events, []
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

    def loads(self) -> list[bytes]:
        """Give ids of bundles whose bytes are wanted from the disk."""
        return self.sync.loads()

    def loaded(self, wires: Mapping[bytes, bytes | None], now: float) -> None:
        """Here are the bytes that were asked for, None for what is gone."""
        self.sync.loaded(wires, now)
        self._turn(now)

    # ---- the people

    def send(self, own: Own, contact: Contact, draft: Draft, now: float) -> bytes:
        """Write a message; give its id. It goes out once it is durable."""
        message_id, bundles = self.mail.outbox.compose(own, contact, draft, now)
        for bundle in bundles:
            if self.sync.submit(bundle, now) is not None:
                self.mail.outbox.dropped(bundle.id, now)
        self._turn(now)
        return message_id

    def recall(self, message_id: bytes, now: float) -> None:
        """Ask every carrier to drop a message; UsageError if it is not under way."""
        for value, hours in self.mail.outbox.recall(message_id, now):
            self.sync.add_value(value, hours, now)
        self._turn(now)

    def made_room(self, now: float) -> None:
        """A person here answered a request or erased something: take what had to wait."""
        self.sync.ask_again(now)
        self._turn(now)

    def account_of(self, peer: bytes, path: Path) -> Account:
        """Say who pays for what this neighbour brings."""
        contacts = self.mail.people.contacts_at(peer)
        if len(contacts) == 1:
            return Account(Kind.CONTACT, contacts[0].person.hex())
        if (
            contacts
        ):  # one may only claim it, and would pay with his junk for the other's bundles
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
        faults += _faults(self._sync_event, self.sync.events(), now)
        if self._people_seen != self.mail.people.changes:
            self._people_seen = self.mail.people.changes
            self._charge_anew()
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise ExceptionGroup("faults in one turn", faults)

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
                self.mail.outbox.value_seen(value, now)
            case CarriedBy(bundle=bundle, peer=peer):
                self.mail.outbox.carried(bundle, peer, now)
            case Evicted(bundle=bundle):
                self.mail.outbox.dropped(bundle, now)
            case Expired() | Refused():
                pass  # the mail has its own clock, and a neighbour's no may change
            case WantCame() | WantGone():
                pass

    def _link_event(self, event: Event, now: float) -> None:
        match event:
            case Readable(link=link, stream=stream) if stream not in STREAMS:
                # a newer peer's, or a hostile one's: nobody else reads it
                link.read(stream)
            case Readable(link=link):
                self.sync.readable(link, now)
            case Writable(link=link):
                self.sync.writable(link, now)
            case LinkUp(link=link):
                account = self.account_of(link.peer_id, link.path)
                self.neighbours[link.peer_id] = Neighbour(link, now, account)
                self.sync.link_up(link, account, now)
                self._events.append(event)
            case LinkDown(link=link):
                self.sync.link_down(link, now)
                if neighbour := self.neighbours.pop(link.peer_id, None):
                    self.note(
                        PutContactTime(
                            link.peer_id, neighbour.since, now, link.path.transport
                        )
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
