"""One simulated machine: a real peer, a real store in memory, and clocks that may lie.

It does what the node's shell does: carries datagrams, commits batches, reads payloads, wakes the
peer. A commit takes some virtual time, so a crash may lose the batch that was under way, and
with it whatever was not yet acknowledged, as a power cut does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

from meshpeer.core.chains.serving import ReadBlocks
from meshpeer.core.dialer import Dialer
from meshpeer.core.formats.block import Block
from meshpeer.core.formats.card import Card
from meshpeer.core.formats.record import Record
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.path import Datagram
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.people import Own
from meshpeer.core.peer import LinkDown, LinkUp
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import Write
from meshpeer.errors import UsageError
from meshpeer.sim.clocks import Clocks
from meshpeer.sim.loop import Alarm, Loop
from meshpeer.sim.medium import Medium, path_to
from store.database import MEMORY
from store.restore import restore_peer
from store.store import Store

DISK_S = 0.004
"""One commit with its fsync, or one read: an SD card in good health."""

GATHER_S = 0.005
"""How long a machine takes to come round to its sockets."""


class Keys(NamedTuple):
    """What a machine is known by: its peer, and the one person who lives there."""

    static: KeyPair
    own: Own

    @classmethod
    def make(cls, name: str, rng: Callable[[int], bytes]) -> "Keys":
        """Make all keys and sign the card."""
        person, device = PersonKey.generate(rng), DeviceKey.generate(rng)
        static, sealing = KeyPair.generate(rng), KeyPair.generate(rng)
        certificate = Certificate(device.public, sealing.public, static.public)
        card = Card.sign(person, number=1, nickname=name, devices=[certificate])
        return cls(static, Own(card, device, sealing))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all machines of one simulation share."""

    loop: Loop
    medium: Medium
    queue_bytes: int
    durable: Callable[[int, Sequence[Write]], None]
    """Told which machine's batch is on its disk now."""


@dataclass(slots=True)
class _Hearing:
    """Another machine in contact."""

    peer: bytes
    calling: bool
    """One of the two calls, the other answers, as when one hears the other's beacon first."""


class Machine:
    """A peer with its disk and clocks, on the simulated network under its number."""

    def __init__(
        self, number: int, around: Surroundings, keys: Keys, random: Random
    ) -> None:
        self.number = number
        self.keys = keys
        self.disk_s = DISK_S
        """Seconds that a commit or a read takes; may be set at any time."""
        self.clocks = Clocks(around.loop)
        self.store = Store(MEMORY, clock=self.clocks.reading)
        self._around = around
        self._random = random
        self._alarm = Alarm(around.loop, self._wake)
        self._hearing: dict[int, _Hearing] = {}
        self._heard: list[Datagram] = []
        self._life = 0
        self._start()

    def __repr__(self) -> str:
        return f"Machine({self.number})"

    @property
    def now(self) -> float:
        """The peer's running seconds."""
        return self.clocks.now()

    # ---- what happens to it

    def introduce(self, card: Card) -> None:
        """The person here holds this card, and its person holds ours."""
        people = self.peer.mail.people
        if people.get(card.person) is None:
            self.peer.journal.add(
                people.accept(card, None, wall=0),
                people.introduce(card.person),
            )
            self._settle()

    def hear(self, batch: Sequence[Datagram]) -> None:
        """Datagrams come in; the peer takes what gathers in GATHER_S at once."""
        if not self._heard:
            self._around.loop.at(self._around.loop.now + GATHER_S, self._take_heard)
        self._heard += batch

    def writable(self) -> None:
        """A slow medium has room again."""
        self.peer.endpoint.writable(self.now)
        self._settle()

    def meet(self, number: int, peer: bytes, *, calling: bool) -> None:
        """Another machine comes within range."""
        self._hearing[number] = _Hearing(peer, calling)
        if calling:
            self._dialer.learn(peer, path_to(number), self.now, configured=True)
            self._settle()

    def part(self, number: int) -> None:
        """The other machine is out of range."""
        hearing = self._hearing.pop(number)
        self._dialer.forget(hearing.peer)
        self.peer.path_lost(path_to(number), self.now)
        self._settle()

    def write(self, to: Card, text: str, lifetime: int) -> bytes | None:
        """The person here writes; None if the peer doesn't take it."""
        contact = self.peer.mail.people.get(to.person)
        if contact is None:
            return None
        try:
            message_id = self.peer.send(
                self.keys.own, contact, Draft(text, lifetime=lifetime), self.now
            )
        except UsageError:
            return None
        self._settle()
        return message_id

    def follow(self, card: Card) -> None:
        """The person here follows another."""
        self.peer.chains.follow(card.person, self.now, card)
        self._settle()

    def publish(self, record: Record) -> Block:
        """The person here publishes."""
        block = self.peer.publish(self.keys.own, record, self.now)
        self._settle()
        return block

    def crash(self, *, reboot: bool = False) -> None:
        """Lose all but the disk, and start again at once."""
        if reboot:
            self.clocks.reboot()
        self._heard = []
        self._start()

    # ---- the shell

    def _start(self) -> None:
        self._life += 1
        self.clocks.resume(self.store.saved_clock())
        self._dialer = Dialer(self._random.randbytes)
        self.peer = restore_peer(
            self.store,
            static=self.keys.static,
            own=[self.keys.own],
            limits=Limits(capacity=self._around.queue_bytes),
            rng=self._random.randbytes,
            wall=self.clocks.wall,
            now=self.now,
            prefix=lambda path: path.transport,
        )
        self.peer.endpoint.traits_of = self._around.medium.traits_of
        for number, hearing in self._hearing.items():
            if hearing.calling:
                path = path_to(number)
                self._dialer.learn(hearing.peer, path, self.now, configured=True)
        self._settle()

    def _take_heard(self) -> None:
        heard, self._heard = self._heard, []
        self.peer.receive(heard, self.now)
        self._settle()

    def _wake(self) -> None:
        for peer, path in self._dialer.due(self.now):
            self.peer.connect(peer, path, self.now)
        self.peer.wake(self.now)
        self._settle()

    def _settle(self) -> None:
        """Do what the peer asks for, and set its alarm."""
        now, peer = self.now, self.peer
        for event in peer.events():
            match event:
                case LinkUp(link=link):
                    self._dialer.came_up(link.peer_id)
                case LinkDown(link=link):
                    self._dialer.went_down(link.peer_id, now)
                case _:
                    pass
        self._around.medium.send(self.number, peer.outgoing(now))
        if (batch := peer.journal.take()) is not None:
            self._after_disk(partial(self._commit, batch))
        if ids := peer.loads():
            self._after_disk(partial(self._load, ids))
        for request in peer.chains.reads():
            self._after_disk(partial(self._read_blocks, request))
        if not self._heard:  # else it settles again in a moment
            self._set_alarm()

    def _set_alarm(self) -> None:
        due = [
            t
            for t in (self.peer.next_wakeup(), self._dialer.next_wakeup())
            if t is not None
        ]
        self._alarm.set(self.clocks.virtual(min(due)) if due else None)

    def _after_disk(self, action: Callable[[], None]) -> None:
        loop, life = self._around.loop, self._life

        def act() -> None:
            if life == self._life:
                action()
                self._settle()

        loop.at(loop.now + self.disk_s, act)

    def _commit(self, batch: list[Write]) -> None:
        self.store.commit(batch)
        self._around.durable(self.number, batch)
        self.peer.committed(self.now)

    def _load(self, ids: list[bytes]) -> None:
        wires = self.store.wires(ids)
        self.peer.loaded({id: wires.get(id) for id in ids}, self.now)

    def _read_blocks(self, request: ReadBlocks) -> None:
        rows = self.store.log_blocks(*request[1:])
        self.peer.blocks_read(request, rows, self.now)
