"""The bundles that this peer holds: what is taken in, for how long, and what goes.

The wires lie on the disk; in memory is an index: a packed record by id, and four orders over it
(what may travel on and is reconciled, deadlines, receipt hashes, each account's order of going).
Every change is added to the journal here and nowhere else. Rules:

    a duplicate with lower age or hops lowers ours; it never extends the lifetime from first sight
    expired after its whole lifetime here: over; by reported age only: gone, but may come again
    a receipt or recall purges, whether it came before the bundle or after; a receipt outranks
    for want of room the shares decide who goes; what went is over, or copies would go in circles
    age and hops are hints; only the id, and what it hashes, can be relied on

Held for an own person counts as own: it goes last, and each loss is told by an event.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from math import ceil
from typing import Final, NamedTuple

from meshpeer.core.formats.bundle import Header
from meshpeer.core.formats.receipt import Meaning, value_hashes
from meshpeer.core.formats.want import SUITE_WANT
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.carried import Carried
from meshpeer.core.sync.entry import Entry
from meshpeer.core.sync.over import Overs
from meshpeer.core.sync.policy import Policy
from meshpeer.core.sync.shares import Limits, Shares
from meshpeer.core.sync.sorted_set import SortedSet
from meshpeer.core.sync.values import Values
from meshpeer.core.writes import (
    DropBundle,
    PutBundle,
    PutCarried,
    PutOver,
    PutValue,
    TouchBundle,
)

AT_ONCE: Final = 1_000
"""Bundles that go in one turn, a few hundredths of a second: the links must not wait."""
_PREFIX: Final = 8
_MS: Final = 1_000


class Refusal(Enum):
    """Why a bundle is not taken."""

    HELD = "it is held here"
    OVER = "it was here before, or is known to have arrived or to be recalled"
    EXPIRED = "its age is above its lifetime"
    HOPS = "it is past its hop limit"
    ROOM = "there is no room, and nothing here is worth less"


class Why(Enum):
    """Why a bundle is no longer held."""

    EXPIRED = "expired"
    EVICTED = "evicted"
    RECEIPT = "receipt"
    RECALL = "recall"


class Gone(NamedTuple):
    """A bundle left the queue."""

    entry: Entry
    why: Why


class Held(NamedTuple):
    """A bundle as the disk holds it, without its payload."""

    id: bytes
    header: bytes
    size: int
    """Bytes of the wire."""
    account: str
    first_seen: float
    received: float
    own: bool


class Queue:
    """The index of held bundles, with what is over, the values, and who has what."""

    def __init__(
        self, *, journal: Journal, policy: Policy, limits: Limits | None = None
    ) -> None:
        self._journal = journal
        self.policy = policy
        self.shares = Shares(limits or Limits(), policy.keep_key)
        self.overs = Overs(journal)
        self.values = Values(journal)
        self.carried = Carried()
        self.order = SortedSet()
        self._records: dict[bytes, bytes] = {}
        self._deadlines = SortedSet()
        self._by_hash = SortedSet()
        self._gone: list[Gone] = []
        self._to_purge: deque[tuple[bytes, Why]] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: bytes) -> bool:
        return id in self._records

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._records)

    def get(self, id: bytes) -> Entry | None:
        """What is known of a held bundle."""
        record = self._records.get(id)
        return Entry.unpack(id, record, self.carried.count(id)) if record else None

    def wants(self) -> Iterator[tuple[bytes, bytes, Account]]:
        """Id, tag and account of each want that is held; goes through everything."""
        for id in self._records:
            entry = self.get(id)
            if entry is not None and entry.suite == SUITE_WANT:
                yield id, entry.tag, self.shares.account(entry.payer)

    def fate(self, receipt_hash: bytes) -> bytes | Meaning | None:
        """What is known of a bundle with this hash: its id if it is held, or what a value says."""
        held = self._with_hash(receipt_hash)
        return held[0] if held else self.values.meaning(receipt_hash)

    def gone(self) -> list[Gone]:
        """What left since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def refusal(
        self,
        id: bytes,
        header: Header,
        size: int,
        account: Account,
        now: float,
        *,
        here: bool = False,
    ) -> Refusal | None:
        """Why this bundle would not be taken; asked for an offer, before its bytes come.

        `here`: it is for a person of this peer, so it needs no room in the queue."""
        return self._refusal_of(id, header, now) or (
            None
            if here or self._room(id, header, size, account, now) is not None
            else Refusal.ROOM
        )

    def admit(
        self,
        id: bytes,
        header: Header,
        wire: bytes,
        account: Account,
        now: float,
        *,
        own: bool = False,
    ) -> Refusal | None:
        """Hold the bundle, or say why not. A duplicate makes ours younger where it is."""
        refusal = self._refusal_of(id, header, now)
        if refusal is Refusal.HELD:
            self.touch(id, header, now)
        if refusal:
            return refusal
        going = self._room(id, header, len(wire), account, now)
        if going is None:
            return Refusal.ROOM
        for other in going:
            self._finish(other, Why.EVICTED)
        entry = self._entry(id, header, len(wire), account, now, own=own)
        self._hold(entry)
        self._journal.add(PutBundle(id, wire, str(account), entry.first_seen, now, own))
        return None

    def finish(self, id: bytes, header: Header, account: Account, now: float) -> None:
        """A bundle that is not held is over: it was delivered here, or is invalid."""
        self.overs.add(id, now + 2 * header.lifetime, account)

    def add_value(self, value: bytes, hours: int, account: Account, now: float) -> bool:
        """Keep a receipt or recall and purge what it speaks of; True if it is news here."""
        if not self.values.add(value, hours, account, now):
            return False
        once, twice = value_hashes(value)
        for receipt_hash, why in ((twice, Why.RECEIPT), (once, Why.RECALL)):
            self._to_purge += ((id, why) for id in self._with_hash(receipt_hash))
        self._purge()
        return True

    def expire(self, now: float) -> None:
        """Drop what is past its time, so many at once; early or late does no harm."""
        self._purge()
        for _ in range(AT_ONCE):
            if not self._deadlines or self._deadlines[0].number / _MS > now:
                break
            self._expire(self._deadlines[0].id, now)
        self.overs.expire(now)
        self.values.expire(now)

    def next_expiry(self) -> float | None:
        """When `expire` has something to do, at the latest."""
        if self._to_purge:
            return 0.0
        first = self._deadlines[0].number / _MS if self._deadlines else None
        times = [time for time in (first, self.values.next_expiry()) if time is not None]
        return min(times, default=None)

    def acknowledged(self, id: bytes, peer: bytes, now: float) -> bool:
        """A neighbour has it for good; True if that is news of a bundle held here."""
        if id not in self._records or not self.carried.add(id, peer):
            return False
        self._journal.add(PutCarried(id, peer, now))
        return True

    def restore(self, row: Held) -> None:
        """Take up a held bundle from the disk; its account needs no room.

        It goes if a value speaks of it: a crash may have come between the two."""
        payer = self.shares.payer(Account.parse(row.account))
        header = Header.parse(row.header)
        if meaning := self.values.meaning(header.receipt_hash):
            self._to_purge.append((row.id, Why[meaning.name]))
        self._hold(
            Entry.of(
                row.id, header, row.size, payer, row.first_seen, row.received, own=row.own
            )
        )

    def restore_memory(self, row: PutOver | PutValue | PutCarried) -> None:
        """Take up what is remembered beside the bundles: values before them, the rest after."""
        if isinstance(row, PutOver):
            self.overs.restore(row)
        elif isinstance(row, PutValue):
            self.values.restore(row)
        elif row.bundle in self._records:
            self.carried.add(row.bundle, row.peer)

    def _refusal_of(self, id: bytes, header: Header, now: float) -> Refusal | None:
        if id in self._records:
            return Refusal.HELD
        if self.overs.has(id, now):
            return Refusal.OVER
        if self.values.meaning(header.receipt_hash):
            return Refusal.OVER
        if header.hops > header.hop_limit:
            return Refusal.HOPS
        first_seen = self.overs.first_seen(id, now)
        if header.age >= header.lifetime or now >= first_seen + header.lifetime:
            return Refusal.EXPIRED
        return None

    def _room(
        self, id: bytes, header: Header, size: int, account: Account, now: float
    ) -> list[bytes] | None:
        entry = self._entry(id, header, size, account, now, own=False)
        going = self.shares.room_for(entry, self._size)
        self.shares.release(entry.payer)
        return going

    def _entry(
        self,
        id: bytes,
        header: Header,
        size: int,
        account: Account,
        now: float,
        *,
        own: bool,
    ) -> Entry:
        payer = self.shares.payer(account)
        first_seen = self.overs.first_seen(id, now)
        return Entry.of(id, header, size, payer, first_seen, now, own=own)

    def _size(self, id: bytes) -> int:
        return Entry.unpack(id, self._records[id], 0).size

    def _hold(self, entry: Entry) -> None:
        self._records[entry.id] = entry.pack()
        self._reconcile(entry)
        self._deadlines.add(_milliseconds(entry.deadline), entry.id)
        self._by_hash.add(_prefix(entry.receipt_hash), entry.id)
        self.shares.add(entry)

    def _reconcile(self, entry: Entry) -> None:
        """What may not travel on is nobody's to ask for, and most copies end that way."""
        if not entry.exhausted:
            self.order.add(entry.hour, entry.id)

    def _release(self, entry: Entry) -> None:
        del self._records[entry.id]
        self.order.discard(entry.hour, entry.id)
        self._deadlines.discard(_milliseconds(entry.deadline), entry.id)
        self._by_hash.discard(_prefix(entry.receipt_hash), entry.id)
        self.shares.remove(entry)
        self.carried.forget(entry.id)

    def touch(self, id: bytes, header: Header, now: float) -> None:
        """A copy of a held bundle came, or is offered: lower hints hold."""
        entry = Entry.unpack(id, self._records[id], 0)
        born = min(max(entry.born, now - header.age), entry.first_seen)
        hops = min(entry.hops, header.hops)
        if hops == entry.hops and born < entry.born + 1:
            return
        younger = entry._replace(born=born, hops=hops)
        self._records[id] = younger.pack()
        self._deadlines.discard(_milliseconds(entry.deadline), id)
        self._deadlines.add(_milliseconds(younger.deadline), id)
        self.shares.replace(entry, younger)
        self._reconcile(younger)
        # an offer's header may be false in all but hops and age, which are hints anyway
        self._journal.add(TouchBundle(id, younger.header(hops, now).wire, now))

    def _expire(self, id: bytes, now: float) -> None:
        entry = Entry.unpack(id, self._records[id], 0)
        if entry.own or now >= entry.first_seen + entry.lifetime:
            self._finish(id, Why.EXPIRED)
        else:
            self._drop(entry, Why.EXPIRED)
            self.overs.note_sight(id, entry.first_seen)

    def _purge(self) -> None:
        """Drop what values speak of; many only where somebody made them with one hash."""
        for _ in range(min(AT_ONCE, len(self._to_purge))):
            id, why = self._to_purge.popleft()
            if id in self._records:
                self._finish(id, why)

    def _finish(self, id: bytes, why: Why) -> None:
        """Drop a bundle and remember it as over."""
        entry = Entry.unpack(id, self._records[id], 0)
        account = self.shares.account(entry.payer)
        self._drop(entry, why)
        self.overs.add(id, entry.first_seen + 2 * entry.lifetime, account)

    def _drop(self, entry: Entry, why: Why) -> None:
        self._release(entry)
        self._journal.add(DropBundle(entry.id))
        self._gone.append(Gone(entry, why))

    def _with_hash(self, receipt_hash: bytes) -> list[bytes]:
        prefix = _prefix(receipt_hash)
        start = self._by_hash.index(prefix, b"")
        end = self._by_hash.index(prefix + 1, b"")
        ids = self._by_hash.ids(start, end)
        return [
            id
            for id in ids
            if Entry.unpack(id, self._records[id], 0).receipt_hash == receipt_hash
        ]


def _prefix(receipt_hash: bytes) -> int:
    return int.from_bytes(receipt_hash[:_PREFIX]) >> 1


def _milliseconds(deadline: float) -> int:
    return max(0, ceil(deadline * _MS))
