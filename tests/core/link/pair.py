"""Two endpoints on a simulated network: latency, rate, queue, loss, reordering, duplication.

Time jumps from one thing that happens to the next; nothing sleeps. The same seed gives the same run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.events import Event, LinkDown, LinkUp, Readable, Writable
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path


@dataclass
class Wire:
    """What happens to datagrams in one direction."""

    latency: float = 0.001
    rate: float | None = None
    queue: int = 100_000
    loss: float = 0.0
    duplicate: float = 0.0
    jitter: float = 0.0
    mtu: int = 65_535
    cut: bool = False
    free_at: float = 0.0
    carried: int = 0

    def arrivals(self, size: int, now: float, random: Random) -> list[float]:
        """When the datagram arrives, once for each copy."""
        if self.cut or size > self.mtu:
            return []
        leaves = now
        if self.rate is not None:
            start = max(self.free_at, now)
            if (start - now) * self.rate / 8 > self.queue:
                return []
            leaves = self.free_at = start + size * 8 / self.rate
        if random.random() < self.loss:
            return []
        copies = 2 if random.random() < self.duplicate else 1
        return [
            leaves + self.latency + random.random() * self.jitter for _ in range(copies)
        ]


class Node:
    """One endpoint with its addresses, and all that its links delivered."""

    def __init__(self, network: "Network", name: str, config: LinkConfig | None) -> None:
        random = Random(f"{network.seed} {name}")
        self.name = name
        self.random = random
        self.static = KeyPair.generate(random.randbytes)
        self.config = config
        self.network = network
        self.address = name
        self.cables: dict[str, str] = {}
        """Further addresses, by the cable that leads there."""
        self.restart()
        self.received: dict[tuple[Link, int], bytearray] = {}
        self.ups: list[Link] = []
        self.downs: list[tuple[Link, str]] = []
        self.sent_packets = self.sent_bytes = 0
        self.on_event: Callable[[Event], None] = lambda event: None
        self.reads = True

    def restart(self) -> None:
        """Forget everything but the key."""
        self.endpoint = Endpoint(
            static=self.static,
            now=self.network.now,
            rng=self.random.randbytes,
            config=self.config,
        )

    @property
    def path(self) -> Path:
        return Path("sim", self.address)

    @property
    def addresses(self) -> list[str]:
        return [self.address, *self.cables.values()]

    def source(self, to: str) -> str:
        """The address from which a datagram to there leaves."""
        return self.cables.get(to.rpartition("@")[2], self.address)

    def plug(self, cable: str) -> Path:
        """Get an address on a cable; give the path to it."""
        self.cables[cable] = f"{self.name}@{cable}"
        return Path("sim", self.cables[cable])

    def link_to(self, other: "Node") -> Link:
        return self.endpoint.links[other.endpoint.peer_id]

    def connect(self, other: "Node", early: bytes = b"") -> None:
        self.endpoint.connect(other.endpoint.peer_id, other.path, self.network.now, early)
        self.flush()

    def text(self, link: Link, stream: int = 0) -> bytes:
        return bytes(self.received.get((link, stream), b""))

    def flush(self) -> None:
        """Read what came, and send what may go."""
        while True:
            events = self.endpoint.events()
            for event in events:
                self._take(event)
            out = self.endpoint.outgoing(self.network.now)
            for datagram in out:
                self.network.send(self, datagram)
            if not events and not out:
                return

    def _take(self, event: Event) -> None:
        match event:
            case LinkUp(link):
                self.ups.append(link)
            case LinkDown(link, reason):
                self.downs.append((link, reason))
            case Readable(link, stream) if self.reads:
                self.received.setdefault((link, stream), bytearray()).extend(
                    link.read(stream)
                )
            case Readable() | Writable():
                pass
        self.on_event(event)


class Network:
    """Nodes and the wires between their addresses, under one virtual clock."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.now = 1_000.0
        self.random = Random(seed)
        self.nodes: list[Node] = []
        self.wires: dict[tuple[str, str], Wire] = {}
        self.default = Wire()
        self.watch: Callable[[Node, Path, bytes], None] = lambda sender, to, data: None
        self._flying: list[tuple[float, int, Path, Node, bytes]] = []
        self._order = 0

    def node(self, name: str, config: LinkConfig | None = None) -> Node:
        node = Node(self, name, config)
        self.nodes.append(node)
        return node

    def wire(self, sender: str, receiver: str) -> Wire:
        key = sender, receiver
        if key not in self.wires:
            self.wires[key] = Wire(**vars(self.default))
        return self.wires[key]

    def send(self, sender: Node, datagram: Datagram) -> None:
        data = bytes(datagram.data)
        sender.sent_packets += 1
        sender.sent_bytes += len(data)
        self.watch(sender, datagram.path, data)
        to = str(datagram.path.address)
        receiver = next((node for node in self.nodes if to in node.addresses), None)
        if receiver is None:
            return
        source = sender.source(to)
        wire = self.wire(source, to)
        for at in wire.arrivals(len(data), self.now, self.random):
            wire.carried += len(data)
            self.inject(at, Path("sim", source), receiver, data)

    def inject(self, at: float, source: Path, receiver: Node, data: bytes) -> None:
        """Let a datagram arrive, from wherever it pretends to come."""
        self._order += 1
        heappush(self._flying, (at, self._order, source, receiver, data))

    def run(
        self,
        seconds: float,
        until: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Let time pass until something holds; False if it did not within `seconds`."""
        end = self.now + seconds
        for node in self.nodes:
            node.flush()
        while not until():
            wakeups = [node.endpoint.next_wakeup() for node in self.nodes]
            due = [at for at in wakeups if at is not None]
            if self._flying:
                due.append(self._flying[0][0])
            at = max(self.now, min(due, default=float("inf")))
            if at > end:
                self.now = end
                return until()
            self._step(at)
        return True

    def _step(self, at: float) -> None:
        stuck = at == self.now
        self.now = at
        touched = set()
        batches: dict[Node, list[Datagram]] = {}
        while self._flying and self._flying[0][0] <= at:
            _, _, source, receiver, data = heappop(self._flying)
            batches.setdefault(receiver, []).append(Datagram(source, data))
        for receiver, batch in batches.items():
            receiver.endpoint.receive(batch, at)
            touched.add(receiver)
        for node in self.nodes:
            wakeup = node.endpoint.next_wakeup()
            if wakeup is not None and wakeup <= at:
                node.endpoint.wake(at)
                touched.add(node)
        for node in touched:
            node.flush()
        self._spins = self._spins + 1 if stuck else 0
        assert self._spins < 10_000, "time stands still"

    _spins = 0


def linked(network: Network) -> tuple[Node, Node]:
    """Two nodes with a link up between them."""
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob)
    assert network.run(5, lambda: bool(alice.ups and bob.ups))
    return alice, bob
