"""What all sessions of a peer share: the queue, the disk's pace, and who brings what.

Nothing is acknowledged or passed on before the commit that holds it: what one read brought is a
Batch, which lands when the journal says so. While too many bytes wait for the disk, or it takes
none at all, sessions read no bundles, and flow control makes the neighbours wait.

A part of a file doesn't go through the journal, so its bundle is answered only when whoever
writes it says that it is on the disk; so long it is neither held nor over.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Protocol, TypeAlias

from meshpeer.core.formats.bundle import Bundle, Header
from meshpeer.core.formats.receipt import MAX_HOURS, Meaning, value_hashes
from meshpeer.core.formats.want import SUITE_WANT
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import OWN, Account
from meshpeer.core.sync.events import (
    Event,
    Evicted,
    Expired,
    ValueSeen,
    WantCame,
    WantGone,
)
from meshpeer.core.sync.messages import Code
from meshpeer.core.sync.queue import Queue, Refusal, Why
from meshpeer.core.sync.transfer import Partials
from meshpeer.core.sync.values import HOUR
from meshpeer.core.sync.verdict import Deferred, Opened, Rejected, Verdict, Writing
from meshpeer.core.sync.wires import RecentWires

INTAKE_LIMIT: Final = 4 << 20
"""Bytes of bundles that may wait for the disk."""
WRITES_LIMIT: Final = 100_000
"""Rows of anything that may wait; values beyond are left to the next reconciliation."""
VALUE_EXTRA_HOURS: Final = 48
"""A value outlives its bundle by so much: some hours are rounded away on each hop."""
PATIENCE_S: Final = 30.0
"""Another neighbour is asked for a bundle that the first didn't bring for so long."""

Deliver: TypeAlias = Callable[[Bundle, Account, float], Verdict]

_CODES: Final = {
    Refusal.HELD: Code.DUPLICATE,
    Refusal.OVER: Code.OVER,
    Refusal.EXPIRED: Code.EXPIRED,
    Refusal.HOPS: Code.HOPS,
    Refusal.ROOM: Code.ROOM,
}
LASTING: Final = frozenset({Code.DURABLE, Code.DUPLICATE, Code.OVER, Code.INVALID})
"""Codes that are a promise, so they wait for the disk; the others hold for this contact time."""


@dataclass(slots=True)
class Batch:
    """What one read of a link brought, and what is to be done once it is durable."""

    size: int = 0
    answers: list[tuple[int, int, Code]] = field(default_factory=list)
    fresh: list[bytes] = field(default_factory=list)
    values: list[tuple[bytes, int]] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """A bundle whose bytes are on their way to a file, and who waits to hear of it."""

    header: Header
    account: Account
    size: int
    """Bytes that wait for the disk."""
    held: bool
    """It is one of our own and lies in the queue, until its receipt purges it."""
    answers: list[tuple["Party", int, int]] = field(default_factory=list)


class Reads(Protocol):
    """Whoever waits for a wire from the disk."""

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None: ...


class Party(Reads, Protocol):
    """A session, as the others see it."""

    @property
    def peer(self) -> bytes: ...
    def pass_on(self, ids: Iterable[bytes], now: float) -> None: ...
    def tell_values(self, values: Iterable[bytes], now: float) -> None: ...
    def tell_coming(self, ids: Iterable[bytes]) -> None: ...
    def tell_disk(self, blocked: bool) -> None: ...
    def say_result(self, id: bytes, stream: int, number: int, code: Code) -> None: ...
    def readable(self, now: float) -> None: ...
    def ask(self, now: float) -> None: ...
    def flush(self) -> None: ...


class Depot:
    """Shared state; sessions come and go."""

    def __init__(
        self,
        *,
        queue: Queue,
        journal: Journal,
        rng: Callable[[int], bytes],
        deliver: Deliver,
    ) -> None:
        self.queue = queue
        self.journal = journal
        self.rng = rng
        self.wires = RecentWires()
        self.partials = Partials()
        self.tags: frozenset[bytes] = frozenset()
        self.parties: dict[bytes, Party] = {}
        self.events: list[Event] = []
        self.counters: Counter[str] = Counter()
        self.expected: dict[bytes, tuple[bytes, float]] = {}
        self.watched: dict[bytes, bytes] = {}
        self.on_gone: Callable[[bytes], None] = lambda id: None
        """Told of each bundle that left the queue."""
        self.to_load: list[bytes] = []
        self.unsaved: set[bytes] = set()
        """Bundles of our own that no neighbour may get yet: a crash would forget who wrote them."""
        self.made_here: set[bytes] = set()
        """Bundles held that were made here for others, such as answers to wants."""
        self.stalled = False
        """Something may lie unread since the disk didn't keep up."""
        self.writing: dict[bytes, Part] = {}
        """Bundles that hold parts of files, until those are on the disk."""
        self._deliver = deliver
        self._loading: dict[bytes, list[Reads]] = {}
        self._waiting_bytes = 0
        self._blocked = False

    # -- taking in

    @property
    def open(self) -> bool:
        """Bundles may be read."""
        return (
            not self.journal.blocked
            and self._waiting_bytes < INTAKE_LIMIT
            and len(self.journal) < WRITES_LIMIT
        )

    def refusal(
        self, id: bytes, header: Header, size: int, account: Account, now: float
    ) -> Code | None:
        """Why an offered bundle isn't wanted, or None."""
        if id in self.writing:
            return Code.LATER
        here = header.tag in self.tags
        refusal = self.queue.refusal(id, header, size, account, now, here=here)
        if refusal is Refusal.HELD and self.open:
            self.queue.touch(id, header, now)
        return _CODES[refusal] if refusal else None

    def take(
        self, bundle: Bundle, wire: bytes, account: Account, batch: Batch, now: float
    ) -> Code | None:
        """Deliver or hold a bundle that came, or refuse it; None: it is answered later."""
        header, _, id = bundle
        if header.tag in self.tags:
            return self._deliver_here(bundle, len(wire), account, batch, now)
        refusal = self.queue.admit(id, header, wire, account, now)
        if refusal:
            return _CODES[refusal]
        self.wires.put(id, wire)
        batch.fresh.append(id)
        batch.size += len(wire)
        if header.suite == SUITE_WANT:
            self.events.append(WantCame(bundle, account))
        return Code.DURABLE

    def _deliver_here(
        self, bundle: Bundle, size: int, account: Account, batch: Batch, now: float
    ) -> Code | None:
        header, _, id = bundle
        if id in self.writing:
            return Code.LATER
        refusal = self.queue.refusal(id, header, size, account, now, here=True)
        if refusal:
            return _CODES[refusal]
        match self._deliver(bundle, account, now):
            case Opened(value):
                hours = _hours(header)
                self.queue.finish(id, header, account, now)
                self.queue.values.promise(value, hours, OWN, now)
                batch.values.append((value, hours))
                batch.size += size
                return Code.DURABLE
            case Writing(waits):
                self._write(bundle, account, 0 if waits else size, held=False)
                return None
            case Rejected():
                self.queue.finish(id, header, account, now)
                return Code.INVALID
            case Deferred():
                return Code.LATER

    def deliver_own(self, bundle: Bundle, batch: Batch, now: float) -> None:
        """A bundle of our own is for another person here: it needs no road."""
        match self._deliver(bundle, OWN, now):
            case Opened(value):
                hours = _hours(bundle.header)
                self.queue.values.promise(value, hours, OWN, now)
                batch.values.append((value, hours))
            case Writing(waits):
                size = 0 if waits else len(bundle.payload)
                self._write(bundle, OWN, size, held=True)
            case Rejected() | Deferred():
                pass

    # -- parts of files

    def _write(self, bundle: Bundle, account: Account, size: int, *, held: bool) -> None:
        self.writing[bundle.id] = Part(bundle.header, account, size, held)
        self._waiting_bytes += size

    def answer_later(self, id: bytes, peer: bytes, stream: int, number: int) -> None:
        """This neighbour is told what becomes of that part, if this link is still up then."""
        self.writing[id].answers.append((self.parties[peer], stream, number))

    def written(self, id: bytes, value: bytes, now: float) -> None:
        """The part is on the disk: its receipt goes out, once that is durable too."""
        part = self._end_writing(id)
        if part is None:
            return
        hours = _hours(part.header)
        if not part.held:
            self.queue.finish(id, part.header, part.account, now)
        self.queue.values.promise(value, hours, OWN, now)
        batch = Batch(values=[(value, hours)])
        self.land(batch, None, lambda _: self._answer(id, part, Code.DURABLE))

    def not_written(self, id: bytes, code: Code, now: float) -> None:
        """The part could not be written (LATER), or is none after all (INVALID)."""
        part = self._end_writing(id)
        if part is None:
            return
        if code is Code.INVALID and not part.held:
            self.queue.finish(id, part.header, part.account, now)
        self.land(Batch(), None, lambda _: self._answer(id, part, code))

    def _end_writing(self, id: bytes) -> Part | None:
        part = self.writing.pop(id, None)
        if part is not None:
            self._waiting_bytes -= part.size
        return part

    @staticmethod
    def _answer(id: bytes, part: Part, code: Code) -> None:
        for party, stream, number in part.answers:
            party.say_result(id, stream, number, code)

    def land(
        self, batch: Batch, source: Party | None, answer: Callable[[Batch], None]
    ) -> None:
        """Once all this is durable: answer, tell our own receipts, pass on."""
        self._waiting_bytes += batch.size

        def landed(now: float) -> None:
            self._waiting_bytes -= batch.size
            answer(batch)
            for value, hours in batch.values:
                self.publish(value, hours, now)
            self.pass_on(batch.fresh, source, now)
            self.check_disk(now)

        self.journal.then(landed)

    def check_disk(self, now: float) -> None:
        """Tell the neighbours when the disk stops or goes on, and read what had to wait."""
        if self.journal.blocked != self._blocked:
            self._blocked = self.journal.blocked
            for party in list(self.parties.values()):
                party.tell_disk(self._blocked)
                party.flush()
        if self.stalled and self.open:
            self.stalled = False
            for party in list(self.parties.values()):
                party.readable(now)

    # -- passing on

    def pass_on(self, ids: list[bytes], source: Party | None, now: float) -> None:
        """Push what is new to every neighbour that it didn't come from."""
        if not ids:
            return
        for party in list(self.parties.values()):
            if party is not source:
                party.pass_on(ids, now)

    def announce(self, ids: list[bytes], source: Party) -> None:
        """Keep the other neighbours from sending what is on its way to the disk."""
        for party in list(self.parties.values()):
            if party is not source:
                party.tell_coming(ids)

    def publish(self, value: bytes, hours: int, now: float) -> None:
        """A durable value of our own becomes visible, and floods."""
        self.take_values([(value, hours)], OWN, None, now)

    def take_values(
        self,
        entries: Iterable[tuple[bytes, int]],
        account: Account,
        source: Party | None,
        now: float,
    ) -> None:
        """Keep values, purge what they speak of, and flood those that are news."""
        if source and len(self.journal) >= WRITES_LIMIT:
            return
        news = [
            value
            for value, hours in entries
            if self.queue.add_value(value, hours, account, now)
        ]
        for value in news:
            self._match(value, now)
        self.collect_gone()
        if news:
            for party in list(self.parties.values()):
                if party is not source:
                    party.tell_values(news, now)

    def watch(self, receipt_hash: bytes, bundle: bytes, now: float) -> None:
        """Report the values of this bundle of our own, also one that is here already."""
        self.watched[receipt_hash] = bundle
        for value in self.queue.values.of(receipt_hash):
            self._match(value, now)

    def _match(self, value: bytes, now: float) -> None:
        once, twice = value_hashes(value)
        for receipt_hash, meaning in ((twice, Meaning.RECEIPT), (once, Meaning.RECALL)):
            bundle = self.watched.get(receipt_hash)
            if bundle is not None:
                self.events.append(ValueSeen(bundle, value, meaning, now))
            if meaning is Meaning.RECEIPT:
                self.watched.pop(receipt_hash, None)

    def collect_gone(self) -> None:
        """Forget what left the queue, and report what was our own."""
        for entry, why in self.queue.gone():
            self.wires.drop(entry.id)
            self.on_gone(entry.id)
            self.made_here.discard(entry.id)
            if entry.suite == SUITE_WANT:
                satisfied = why is Why.RECEIPT
                self.events.append(WantGone(entry.id, entry.tag, satisfied))
            if entry.own and why is Why.EXPIRED:
                self.events.append(Expired(entry.id))
            elif entry.own and why is Why.EVICTED:
                self.events.append(Evicted(entry.id))

    # -- the disk

    def load(self, id: bytes, party: Reads) -> None:
        """Have a wire read; `loaded` of whoever asks gets it."""
        waiting = self._loading.setdefault(id, [])
        if not waiting:
            self.to_load.append(id)
        waiting.append(party)

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        """What the disk gave."""
        for party in self._loading.pop(id, ()):
            party.loaded(id, wire, now)

    # -- who brings what

    def expect(self, id: bytes, peer: bytes, now: float) -> bool:
        """May this neighbour be asked for it? False while another one is bringing it.

        Once the first was too slow all are asked: a row of silent ones must not each be waited for."""
        held = self.expected.get(id)
        if (
            held
            and held[0] != peer
            and held[0] in self.parties
            and now < held[1] + PATIENCE_S
        ):
            return False
        self.expected[id] = peer, held[1] if held else now
        return True

    def ask_others(self, than: Party, now: float) -> None:
        """What this neighbour was to bring may be asked of the others."""
        for party in list(self.parties.values()):
            if party is not than:
                party.ask(now)

    def stop_expecting(self, id: bytes, peer: bytes | None = None) -> None:
        """It came, or that neighbour can't bring it (None: whoever)."""
        held = self.expected.get(id)
        if held and peer in (None, held[0]):
            del self.expected[id]


def _hours(header: Header) -> int:
    return min(MAX_HOURS, ceil(header.lifetime / HOUR) + VALUE_EXTRA_HOURS)
