"""What comes in over one link: transfers, offers, and what reconciling showed to be missing.

A bundle that several neighbours could bring is asked of one of them; it waits here as one to ask
for later, in case that neighbour goes, or lacks it. Of what is offered only so many bytes are
asked for at once, and each is judged again just before: else all would be promised the same room,
and cross the link to be refused (a fifth of all bytes on a recorded trace of buses).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from meshpeer.core.broadcast.broadcast import Broadcast
from meshpeer.core.broadcast.sessions import Announced, Taken
from meshpeer.core.broadcast.symbol import OVERHEAD
from meshpeer.core.formats.bundle import Bundle, rewrite
from meshpeer.core.link.slow import LONG_S, airtime, is_slow
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.depot import LASTING, Batch, Depot
from meshpeer.core.sync.link_like import LinkLike
from meshpeer.core.sync.messages import (
    BY_BROADCAST,
    Code,
    Message,
    Offer,
    Result,
    Run,
    Want,
)
from meshpeer.core.sync.transfer import Transfer, Transfers
from meshpeer.errors import RemoteProtocolError

CHUNK: Final = 64 * 1024
"""Bytes read of a stream in one turn."""
MAX_ASKED: Final = 1_024
"""Bundles asked for and not yet here."""
ASKED_BYTES: Final = 256 * 1024
"""Offered bytes asked for and not yet here: more than any link of ours has under way in an echo."""
SLOW_ASKED: Final = 8
"""By a link of which each request takes a second."""
MAX_OFFERED: Final = 256
"""Offers that wait to be asked for; a neighbour of ours makes 64."""
SCAN: Final = 512
"""Bundles looked at in one turn, whether they may be asked for."""
MAX_LATER: Final = 8_192
"""Bundles to ask for later; what more differs is found by reconciling again."""


class Offered(NamedTuple):
    """An offer that waits to be asked for, with its place in the order of offers."""

    number: int
    offer: Offer


class Intake:
    """The incoming half of a session."""

    def __init__(
        self,
        depot: Depot,
        broadcast: Broadcast,
        link: LinkLike,
        account: Account,
        say: Callable[[Message], None],
        say_durable: Callable[[Message], None],
    ) -> None:
        self._depot, self._broadcast = depot, broadcast
        self._link = link
        self._peer = link.peer_id
        self.account = account
        self._say = say
        self._say_durable = say_durable
        self._transfers = {stream: Transfers() for stream in (1, 2, 3)}
        self._next = {1: 0, 2: 0, 3: 0}
        self._next_offer = 0
        self._next_announced = 0
        self._asked: dict[bytes, int] = {}
        self._asked_bytes = 0
        self._later: dict[bytes, Offered | None] = {}
        self._offered = 0
        self._declined: dict[bytes, Code] = {}
        self.overflow = False
        """Something missing was left out."""
        self.behind = False
        """The last turn left something to read."""

    @property
    def waiting(self) -> bool:
        """Something is to be asked for later."""
        return bool(self._later)

    def transfers(self, now: float) -> Iterator[tuple[int, int, Transfer]]:
        """Read a part of each stream if the disk keeps up: stream, number and transfer."""
        self.behind = False
        for stream, transfers in self._transfers.items():
            if self._may_read() and (data := self._link.read(stream, CHUNK)):
                self.behind |= len(data) == CHUNK
                for transfer in list(transfers.feed(data, now)):
                    number = self._next[stream]
                    self._next[stream] += 1
                    yield stream, number, transfer

    def take(
        self, transfer: Transfer, stream: int, number: int, batch: Batch, now: float
    ) -> Code | None:
        """What becomes of a transfer, or RemoteProtocolError if it holds no bundle.

        None: the depot answers it later."""
        if transfer.id is not None:
            self._came(transfer.id)
        whole = self._depot.partials.complete(transfer)
        if whole is None:
            return Code.DAMAGED
        bundle = self._parse(transfer, whole.data)
        if bundle is None:
            return Code.DAMAGED
        self._came(bundle.id)
        bundle, wire = _aged(bundle, whole.data, int(now - whole.since))
        code = self._depot.take(bundle, wire, self.account, batch, now)
        if code is None:
            self._depot.answer_later(bundle.id, self._peer, stream, number)
            return None
        if code not in LASTING:
            self.decline(bundle.id, code)
        if code in (Code.DURABLE, Code.DUPLICATE) and bundle.id in self._depot.queue:
            self._depot.queue.carried.add(bundle.id, self._peer)
        return code

    def announced(self, announced: Announced, now: float) -> None:
        """The neighbour broadcasts a bundle: take part, if it was asked for and there is room."""
        number, self._next_announced = self._next_announced, self._next_announced + 1
        id = announced.id
        takings = self._broadcast.takings
        pace = airtime(self._link.rate, announced.symbol_size + OVERHEAD)
        if id in self._asked and takings.announced(
            self._peer, number, announced, now, pace
        ):
            return
        self._by_link_instead(id, number, Code.LATER, now)

    def broadcasts(self, batch: Batch, now: float) -> Iterator[tuple[int, Code]]:
        """What became of transfers by broadcast: number and answer, where there is one now."""
        if self._peer in self._broadcast.finished() and self._may_read():
            for taken in self._broadcast.takings.collect(self._peer):
                code = self._take_broadcast(taken, batch, now)
                if code is not None:
                    yield taken.number, code

    def _take_broadcast(self, taken: Taken, batch: Batch, now: float) -> Code | None:
        """As `take`. Whoever was given the key may have sent false symbols, so what isn't the
        bundle is no fault of the neighbour's: it has to come by the link."""
        id, number, wire, since, ended = taken
        if wire is not None and _is_bundle(wire, id):
            transfer = Transfer(wire, id, 0, since)
            return self.take(transfer, BY_BROADCAST, number, batch, now)
        if wire is not None:
            self._broadcast.counters["broadcast poisoned"] += 1
        self._by_link_instead(id, number, Code.LATER if ended else Code.DAMAGED, now)
        return None

    def _by_link_instead(self, id: bytes, number: int, code: Code, now: float) -> None:
        """Say that it didn't come by broadcast; then ask for it again if it is wanted, of others
        first: a neighbour that announces and never sends must not hold it up for ever."""
        self._say(Result((Run(BY_BROADCAST, number, 1, code),)))
        if id in self._asked:
            self._came(id)
            self._depot.ask_others(self._depot.parties[self._peer], now)
            self._ask_anew(id)
            self.ask(now)

    def offer(self, offer: Offer, now: float) -> None:
        """Ask for what is offered, or refuse it with the reason."""
        number, self._next_offer = self._next_offer, self._next_offer + 1
        id, size, header = offer
        code = self._depot.refusal(id, header, size, self.account, now)
        if code is None and airtime(self._link.rate, size) > LONG_S:
            code = Code.LATER
        full = len(self._later) >= MAX_LATER or self._offered >= MAX_OFFERED
        if code is None and full and id not in self._later:
            code = Code.LATER
        if code is not None:
            self._came(id)
            self._answer_offer(id, number, code)
            return
        self._put_off(id, Offered(number, offer))
        self._ask_for([id], now)

    def _answer_offer(self, id: bytes, number: int, code: Code) -> None:
        answer = Result((Run(0, number, 1, code),))
        if code in LASTING:
            self._say_durable(answer)
        else:
            self.decline(id, code)
            self._say(answer)

    def _put_off(self, id: bytes, offered: Offered | None) -> None:
        self._taken_up(id)
        self._later[id] = offered
        self._offered += offered is not None

    def _taken_up(self, id: bytes) -> Offered | None:
        """It waits no longer."""
        offered = self._later.pop(id, None)
        self._offered -= offered is not None
        return offered

    def need(self, ids: Iterable[bytes], now: float) -> None:
        """Only the neighbour has these."""
        queue = self._depot.queue
        for id in ids:
            if id in queue or id in self._asked or id in self._declined:
                continue
            if queue.overs.has(id, now):
                continue
            if len(self._later) >= MAX_LATER:
                self.overflow = True
                break
            self._later.setdefault(id, None)
        self.ask(now)

    def lack(self, ids: Iterable[bytes], now: float) -> bool:
        """The neighbour can't send these after all; True if another may be asked."""
        freed = False
        for id in ids:
            if id in self._asked:
                self._asked_bytes -= self._asked.pop(id)
                self._depot.stop_expecting(id, self._peer)
                freed = True
                if self._depot.partials.offset(id):
                    self._depot.partials.forget(id)
                    self._ask_anew(id)
        self.ask(now)
        return freed

    def ask(self, now: float) -> None:
        """Ask for what waits, as far as nobody else is bringing it."""
        if self._later:
            self._ask_for(list(islice(self._later, SCAN)), now)

    def ask_again(self, now: float) -> None:
        """Ask for what was put off: the persons here have room for it now."""
        for id in [id for id, code in self._declined.items() if code is Code.LATER]:
            if len(self._later) >= MAX_LATER:
                break
            del self._declined[id]
            self._later.setdefault(id, None)
        self.ask(now)

    def _ask_for(self, ids: list[bytes], now: float) -> None:
        wanted: list[tuple[bytes, int]] = []
        most = SLOW_ASKED if is_slow(self._link.rate) else MAX_ASKED
        for id in ids:
            if len(self._asked) >= most or self._asked_bytes >= ASKED_BYTES:
                break
            if self._settled(id, now):
                continue
            if self._depot.expect(id, self._peer, now):
                offered = self._taken_up(id)
                self._asked[id] = offered.offer.size if offered else 0
                self._asked_bytes += self._asked[id]
                wanted.append((id, self._depot.partials.offset(id)))
            else:
                self._later[id] = self._later.pop(id)
        if wanted:
            self._say(Want(tuple(wanted)))

    def close(self) -> None:
        """The link is gone: keep what was cut, and let others be asked."""
        for transfers in self._transfers.values():
            cut = transfers.cut()
            if cut:
                self._depot.partials.keep(cut)
        for id in self._asked:
            self._depot.stop_expecting(id, self._peer)

    def _parse(self, transfer: Transfer, wire: bytes) -> Bundle | None:
        """The bundle, None if it isn't what the name says, or RemoteProtocolError.

        Where the start came by another link, that may be false, and nothing is this one's fault."""
        try:
            bundle = Bundle.parse(wire)
            if transfer.id in (None, bundle.id):
                return bundle
        except RemoteProtocolError:
            if not transfer.offset:
                raise
        if transfer.id and transfer.offset:
            self._ask_anew(transfer.id)
        return None

    def _ask_anew(self, id: bytes) -> None:
        """The start that another link left here may be false: ask for the whole."""
        if len(self._later) < MAX_LATER:
            self._later.setdefault(id, None)

    def decline(self, id: bytes, code: Code) -> None:
        """Don't ask for it again in this contact time, unless it was only put off."""
        self._declined[id] = code
        if len(self._declined) > MAX_LATER:
            del self._declined[next(iter(self._declined))]

    def _came(self, id: bytes) -> None:
        self._asked_bytes -= self._asked.pop(id, 0)
        self._depot.stop_expecting(id)

    def _settled(self, id: bytes, now: float) -> bool:
        """Whether it needs no asking any more: it came from elsewhere, or lost its room."""
        offered = self._later[id]
        if offered is not None:
            _, size, header = offered.offer
            code = self._depot.refusal(id, header, size, self.account, now)
            if code is not None:
                self._taken_up(id)
                self._answer_offer(id, offered.number, code)
            return code is not None
        queue = self._depot.queue
        if id in queue or queue.overs.has(id, now):
            self._taken_up(id)
            return True
        return False

    def _may_read(self) -> bool:
        if not self._depot.open:
            self._depot.stalled = True
        return self._depot.open


def _is_bundle(wire: bytes, id: bytes) -> bool:
    try:
        return Bundle.parse(wire).id == id
    except RemoteProtocolError:
        return False


def _aged(bundle: Bundle, wire: bytes, seconds: int) -> tuple[Bundle, bytes]:
    """The bundle as it is so many seconds after its header came."""
    if not seconds:
        return bundle, wire
    hops, age = bundle.header.hops, bundle.header.age + seconds
    header = bundle.header.with_hops_and_age(hops, age)
    return bundle._replace(header=header), rewrite(wire, hops, age)
