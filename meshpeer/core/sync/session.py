"""What two neighbours say to each other over one link, from its first byte to its end.

Stream 0 carries control messages, streams 1 to 3 bundles. This is the one place where malformed
input from a neighbour is caught: it is counted, and when it happens again and again, or where the
next message starts can't be known, this link is closed, and no other.
"""

from collections.abc import Iterable
from typing import Final

from meshpeer.core.broadcast.sessions import Announced, Missing
from meshpeer.core.bucket import Bucket
from meshpeer.core.formats.receipt import ValueEntry
from meshpeer.core.link.slow import is_slow
from meshpeer.core.sync import messages
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.airing import Airing
from meshpeer.core.sync.depot import LASTING, Batch, Depot
from meshpeer.core.sync.intake import CHUNK, Intake
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.sync.messages import (
    BROADCASTS,
    BY_BROADCAST,
    PREFIX_SIZE,
    Code,
    Coming,
    Ended,
    Hello,
    Lack,
    Message,
    Offer,
    Pause,
    Recon,
    Result,
    Resume,
    Set,
    Values,
    Want,
    WantValues,
)
from meshpeer.core.sync.reconciling import Reconciling
from meshpeer.core.sync.sending import Sending
from meshpeer.core.sync.tags import hello
from meshpeer.errors import RemoteProtocolError

STRIKES: Final = 8
"""Malformed messages after which the link is closed."""
VALUES_BURST: Final = 65_536
VALUES_PER_S: Final = 1_000.0
"""Values taken from a neighbour; what is above waits for the next reconciliation."""
SLOW_VALUES: Final = 32
"""Exchanged in one round by a slow link: bundles come after, and the next round brings more."""
HELLOS_BURST: Final = 16
HELLOS_PER_S: Final = 1 / 60
GREETINGS: Final = HELLOS_BURST // 2
"""Hellos that we say on a link: one-time tags come and go, and more would be taken for noise."""
"""Hellos taken from a neighbour: each ranks anew all that waits for it."""
UNREAD_LIMIT: Final = 4 << 20
"""Bytes of stream 0 that may wait for a neighbour that reads nothing; an honest one leaves
less, and a quarter is left to what it didn't ask for."""


class Session:
    """The protocol over one link, which is up when this is made."""

    def __init__(
        self, depot: Depot, airing: Airing, link: LinkLike, account: Account, now: float
    ) -> None:
        self.peer = link.peer_id
        self.link = link
        self._depot, self._broadcast = depot, airing.broadcast
        self._up = True
        self._frames = messages.Frames()
        self._said: list[bytes] = []
        self._said_bytes = 0
        self._strikes = 0
        self._values = Bucket(rate=VALUES_PER_S, burst=VALUES_BURST, now=now)
        self._hellos = Bucket(rate=HELLOS_PER_S, burst=HELLOS_BURST, now=now)
        self._behind = False
        self._greetings = GREETINGS
        self._sending = Sending(depot, airing, link, self.say)
        self._intake = Intake(
            depot, airing.broadcast, link, account, self.say, self.say_durable
        )
        self._reconciling = Reconciling(
            depot.queue,
            self.say,
            initiator=link.initiator,
            now=now,
            rate=lambda: link.rate,
        )

    # -- what the peer does

    def start(self, now: float) -> None:
        """Greet, and compare what both sides hold."""
        self.greet()
        if self._depot.journal.blocked:
            self.say(Pause())
        self._reconciling.start(now)
        self.flush()

    def greet(self) -> None:
        """Show whose bundles are wanted here; changes beyond some wait for the next link."""
        if not self._greetings:
            return
        self._greetings -= 1
        self.say(hello(self._depot.tags, self.link.binding, self._depot.rng))

    def readable(self, now: float) -> None:
        """Bytes came, or may be read again: a part of them, for others wait for their turn."""
        if not self.up:
            return
        batch = Batch()
        try:
            data = self.link.read(0, CHUNK)
            for number, body in list(self._frames.feed(data)):
                self._hear(number, body, now)
            self._take_transfers(batch, now)
            self._behind = len(data) == CHUNK or self._intake.behind
        except RemoteProtocolError as error:
            self._count(error)
            self.link.close("malformed stream")
        self._settle(batch, now)
        self._go_on(now)

    def writable(self, now: float) -> None:
        """The link has room again."""
        if self.up:
            self._go_on(now)

    def wake(self, now: float) -> None:
        """Do what is due; early or late does no harm."""
        if self.up:
            self._reconciling.check(now)
            self._intake.ask(now)
            self._go_on(now)
        if self._behind:
            self.readable(now)

    def next_wakeup(self) -> float | None:
        """When `wake` has something to do."""
        if self._behind and self.up:
            return 0.0
        return self._reconciling.next_check()

    @property
    def up(self) -> bool:
        """Something may still be said."""
        return self._up and self.link.closed is None

    @property
    def _unread(self) -> int:
        """Bytes of stream 0 that wait here because the neighbour doesn't read."""
        return self.link.buffered(0) + self._said_bytes

    @property
    def waiting(self) -> bool:
        """Something is to be asked for once another neighbour fails to bring it."""
        return self._intake.waiting

    def close(self) -> None:
        """The link is down."""
        self._up = False
        self._intake.close()

    def charge_to(self, account: Account) -> None:
        """What comes from now on is charged to another account."""
        self._intake.account = account

    def say(self, message: Message) -> None:
        """Put a control message behind the others."""
        said = messages.pack(message)
        self._said.append(said)
        self._said_bytes += len(said)

    def say_durable(self, message: Message) -> None:
        """Say it once everything journalled so far is durable."""

        def durable(now: float) -> None:
            self.say(message)
            self.flush()

        self._depot.journal.then(durable)

    def flush(self) -> None:
        """Give the link what was said and framed."""
        if not self.up:
            self._said.clear()
            return
        if self._said:
            self.link.write(0, b"".join(self._said))
            self._said.clear()
            self._said_bytes = 0
        self._sending.flush()

    # -- what broadcasts cause

    def offered(self, id: bytes) -> bool:
        """The neighbour may yet ask for this bundle."""
        return self._sending.offered(id)

    def announce(self, announced: Announced) -> None:
        """A bundle that the neighbour asked for is broadcast."""
        if self.up:
            self._sending.announce(announced)
            self.flush()

    def ended(self, transfer: bytes) -> None:
        """No more of it is broadcast."""
        self.say(Ended(transfer))
        self.flush()

    def say_missing(self, missing: Missing) -> None:
        """Ask for more symbols."""
        self.say(missing)
        self.flush()

    def alone(self, id: bytes, now: float) -> None:
        """A bundle that the neighbour asked for goes over the link."""
        if self.up:
            self._sending.alone(id, now)
            self._go_on(now)

    # -- what other sessions cause

    def pass_on(self, ids: Iterable[bytes], now: float) -> None:
        """These are held now: send them in their turn."""
        if self.up:
            for id in ids:
                self._sending.push(id, now)
            self._go_on(now)

    def tell_values(self, values: Iterable[bytes], now: float) -> None:
        """Send these receipts and recalls; to who doesn't read, when it reconciles again."""
        if self._unread > UNREAD_LIMIT // 4:
            self._reconciling.moved = True
        else:
            self._tell_values(values, now)
            self.flush()

    def _tell_values(self, values: Iterable[bytes], now: float) -> None:
        entries = [self._depot.queue.values.entry(value, now) for value in values]
        self._say_values([entry for entry in entries if entry])

    def tell_coming(self, ids: Iterable[bytes]) -> None:
        """These are on their way to our disk, if the neighbour is likely to send them too."""
        if not (self._sending.overlaps and self.up) or self._unread > UNREAD_LIMIT // 4:
            return
        has = self._depot.queue.carried.has
        for prefixes in messages.chunks(
            [id[:PREFIX_SIZE] for id in ids if not has(id, self.peer)]
        ):
            self.say(Coming(prefixes))
        self.flush()

    def tell_disk(self, blocked: bool) -> None:
        """Our disk stopped taking bundles, or goes on."""
        self.say(Pause() if blocked else Resume())

    def loaded(self, id: bytes, wire: bytes | None, now: float) -> None:
        """The disk gave a wire that was asked for."""
        if self.up:
            self._sending.loaded(id, wire, now)
            self._go_on(now)

    def say_result(self, id: bytes, stream: int, number: int, code: Code) -> None:
        """Say now what became of a transfer that could not be answered with the others."""
        if self.up:
            if code not in LASTING:
                self._intake.decline(id, code)
            self._say_results([(stream, number, code)])
            self.flush()

    def ask(self, now: float) -> None:
        """Another neighbour went or failed: ask here for what it was to bring."""
        if self.up:
            self._intake.ask(now)
            self.flush()

    def ask_again(self, now: float) -> None:
        """The persons here have room for what was put off."""
        if self.up:
            self._intake.ask_again(now)
            self.flush()

    # -- what the neighbour says

    def _hear(self, number: int, body: bytes, now: float) -> None:
        try:
            if self._unread > UNREAD_LIMIT:
                raise RemoteProtocolError("unread", f"{UNREAD_LIMIT} bytes are not read")
            message = messages.unpack(number, body)
            if message is not None:
                self._handle(message, now)
        except RemoteProtocolError as error:
            self._count(error)
            self._strikes += 1
            if self._strikes >= STRIKES:
                raise

    def _handle(self, message: Message, now: float) -> None:
        match message:
            case Hello() if not self._hellos.take(now):
                raise RemoteProtocolError("hello", f"more than {HELLOS_BURST} at once")
            case Hello():
                self._sending.broadcasts = bool(message.capabilities & BROADCASTS)
                self._sending.know_tags(message.tags, now)
            case Recon() if self.link.initiator:
                self._reconciled(message, now)
            case Recon():
                self._reconciling.answer(message, now)
            case Want():
                self._sending.want(message.bundles, now)
            case Offer():
                self._reconciling.moved = True
                self._intake.offer(message, now)
            case Result():
                self._reconciling.moved = True
                self._sending.results(message.runs, now)
            case Values() if self._values.take(now, len(message.entries)):
                self._depot.take_values(message.entries, self._intake.account, self, now)
            case WantValues():
                self._tell_values(message.values, now)
            case Lack():
                if self._intake.lack(message.ids, now):
                    self._depot.ask_others(self, now)
            case Coming():
                self._sending.coming(message.prefixes)
            case Values():
                self._reconciling.moved = True
            case Announced():
                self._intake.announced(message, now)
            case Missing():
                self._broadcast.givings.lacks(self.peer, message)
            case Ended():
                self._broadcast.takings.ended(self.peer, message.transfer)
            case Pause() | Resume():
                self._sending.paused = isinstance(message, Pause)

    def _reconciled(self, recon: Recon, now: float) -> None:
        reply = self._reconciling.resume(recon)
        if recon.set is Set.VALUES:
            values = self._depot.queue.values
            have = reply.have
            need = [value for value in reply.need if not values.superfluous(value)]
            if is_slow(self.link.rate) and max(len(have), len(need)) > SLOW_VALUES:
                have, need = have[:SLOW_VALUES], need[:SLOW_VALUES]
                self._reconciling.moved = True
            self._tell_values(have, now)
            for wanted in messages.chunks(need):
                self.say(WantValues(wanted))
        else:
            for id in reply.have:
                self._sending.push(id, now)
            self._intake.need(reply.need, now)
        self._reconciling.go_on(recon, reply, now)

    # -- bundles

    def _take_transfers(self, batch: Batch, now: float) -> None:
        for stream, number, transfer in self._intake.transfers(now):
            try:
                code = self._intake.take(transfer, stream, number, batch, now)
            except RemoteProtocolError as error:
                self._count(error)
                code = Code.INVALID
            if code is not None:
                batch.answers.append((stream, number, code))
        for number, code in self._intake.broadcasts(batch, now):
            batch.answers.append((BY_BROADCAST, number, code))

    def _settle(self, batch: Batch, now: float) -> None:
        """Answer now what is no promise, and the rest when it is durable."""
        if not batch.answers:
            self._intake.ask(now)
            return
        self._reconciling.moved = True
        passing = [answer for answer in batch.answers if answer[2] not in LASTING]
        if passing:
            self._say_results(passing)
            batch.answers = [answer for answer in batch.answers if answer[2] in LASTING]
        self._depot.collect_gone()
        self._intake.ask(now)
        if batch.fresh:
            self._depot.announce(batch.fresh, self)
        self._depot.land(batch, self, self._answer)

    def _answer(self, batch: Batch) -> None:
        self._say_results(batch.answers)
        self.flush()

    def _go_on(self, now: float) -> None:
        """Send what may be sent, and look for more when nothing is left to send or ask."""
        if self.up:
            self._sending.pump(now)
            if self._overflowed and self._sending.idle and not self._intake.waiting:
                self._sending.overflow = self._intake.overflow = False
                self._reconciling.start(now)
        self.flush()

    @property
    def _overflowed(self) -> bool:
        return self._sending.overflow or self._intake.overflow

    def _say_results(self, answers: list[tuple[int, int, Code]]) -> None:
        for runs in messages.chunks(messages.runs(answers)):
            self.say(Result(runs))

    def _say_values(self, entries: list[ValueEntry]) -> None:
        for told in messages.chunks(entries):
            self.say(Values(told))

    def _count(self, error: RemoteProtocolError) -> None:
        self._depot.counters[error.field] += 1
