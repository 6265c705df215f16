"""The promises of `transports.interface.Transport`, kept by every transport.

A new transport adds one function to PAIRS: an async context manager that gives two unopened
transports, and for each the path by which it is reached once both are started.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from meshpeer.core.link.path import Datagram, Path
from meshpeer.errors import TransportError
from tests.namespaces import inside
from tests.transports.ether import RADIOTAP
from transports.adhoc.adhoc import Adhoc
from transports.interface import PathLost, Transport
from transports.memory import Hub, Memory
from transports.udp import Udp, path_to

PATIENCE = 5.0


@dataclass
class End:
    """One transport, and all that it called back."""

    transport: Transport
    find_path: Callable[[], Path]
    batches: list[list[Datagram]] = field(default_factory=list)
    path_events: list[object] = field(default_factory=list)
    writable: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self):
        self.transport.start(self.deliver, self.on_path, self.on_writable)

    @property
    def path(self) -> Path:
        return self.find_path()

    @property
    def received(self) -> list[Datagram]:
        return [datagram for batch in self.batches for datagram in batch]

    def deliver(self, batch):
        assert batch
        self.batches.append(list(batch))
        self.changed.set()

    def on_path(self, event):
        self.path_events.append(event)
        self.changed.set()

    def on_writable(self):
        self.writable += 1
        self.changed.set()

    async def until(self, true: Callable[[], object]):
        async with asyncio.timeout(PATIENCE):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def send_all(self, batch):
        sent = 0
        while sent < len(batch):
            turn = self.writable
            sent += self.transport.send(batch[sent:])
            if sent < len(batch):
                await self.until(lambda turn=turn: self.writable > turn)


def udp_pair(host: str, **options) -> Callable[[], tuple[End, End]]:
    def make():
        first, second = (Udp(port=0, listen=(host,), **options) for _ in range(2))
        return (
            End(first, lambda: path_to(host, first.port)),
            End(second, lambda: path_to(host, second.port)),
        )

    return make


def memory_pair() -> tuple[End, End]:
    hub = Hub()
    first, second = Memory(hub, "first"), Memory(hub, "second")
    return End(first, lambda: first.path), End(second, lambda: second.path)


PAIRS = {
    "udp4": udp_pair("127.0.0.1"),
    "udp6": udp_pair("::1"),
    "udp4 without offload": udp_pair("127.0.0.1", offload=False),
    "memory": memory_pair,
}


class Inside(Adhoc):
    """The transport of a peer in a namespace of its own."""

    def __init__(self, namespace: str, **settings) -> None:
        super().__init__(**settings)
        self._namespace = namespace

    def start(self, *arguments) -> None:
        with inside(self._namespace):
            super().start(*arguments)


def adhoc_pair(ether) -> Callable[[], tuple[End, End]]:
    def end(station) -> End:
        adhoc = Inside(station.namespace, interfaces=[station.interface])
        return End(adhoc, lambda: Path("adhoc", adhoc.listening()[0].split()[1]))

    return lambda: tuple(map(end, ether.stations))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ETHERS = {"adhoc cell": {}, "adhoc monitor": {"link_type": RADIOTAP}}


@pytest.fixture(params=[*PAIRS, *ETHERS])
def make_pair(request):
    if (options := ETHERS.get(request.param)) is not None:
        return adhoc_pair(request.getfixturevalue("make_ether")(2, **options))
    if request.param == "udp6" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    return PAIRS[request.param]


def story(make_pair, told):
    """Run `told(first, second)` with both ends started, and close both whatever happens."""

    async def run():
        first, second = make_pair()
        first.start()
        second.start()
        try:
            await told(first, second)
        finally:
            await first.transport.close()
            await second.transport.close()

    asyncio.run(run())


def test_a_datagram_arrives_unaltered_and_its_path_leads_back(make_pair):
    async def told(first, second):
        assert first.transport.send([Datagram(second.path, b"hello")]) == 1
        await second.until(lambda: second.received)
        assert second.received == [Datagram(first.path, b"hello")]
        assert second.transport.send([Datagram(second.received[0].path, b"well met")]) == 1
        await first.until(lambda: first.received)
        assert first.received == [Datagram(second.path, b"well met")]

    story(make_pair, told)


def test_a_mixed_batch_keeps_every_datagram_apart(make_pair):
    sizes = [1_452] * 70 + [3, 3, 3, 1_200, 1_452, 1, 1_452, 900, 900, 899, 900]

    async def told(first, second):
        sent = [bytes([turn]) * size for turn, size in enumerate(sizes)]
        await first.send_all([Datagram(second.path, memoryview(data)) for data in sent])
        await second.until(lambda: len(second.received) == len(sent))
        assert sorted(bytes(data) for _, data in second.received) == sorted(sent)
        assert {path for path, _ in second.received} == {first.path}

    story(make_pair, told)


def test_a_batch_may_mix_paths(make_pair):
    async def told(first, second):
        if isinstance(first.transport, Adhoc):
            pytest.skip("a radio does not hear itself")
        await first.send_all(
            [
                Datagram(each.path, bytes([turn]))
                for turn in range(9)
                for each in (first, second)
            ]
        )
        await second.until(lambda: len(second.received) == 9)
        await first.until(lambda: len(first.received) == 9)

    story(make_pair, told)


def test_an_empty_batch_is_nothing(make_pair):
    async def told(first, second):
        assert first.transport.send([]) == 0

    story(make_pair, told)


def test_a_datagram_that_is_too_long_harms_no_other(make_pair):
    async def told(first, second):
        batch = [
            Datagram(second.path, b"before"),
            Datagram(second.path, bytes(70_000)),
            Datagram(second.path, b"after"),
        ]
        assert first.transport.send(batch) == 3
        await second.until(lambda: len(second.received) == 2)
        assert {data for _, data in second.received} == {b"before", b"after"}

    story(make_pair, told)


def test_the_payload_limit_passes(make_pair):
    async def told(first, second):
        whole = bytes(first.transport.traits_of(second.path).payload_limit)
        assert first.transport.send([Datagram(second.path, whole)]) == 1
        await second.until(lambda: second.received)
        assert second.received[0].data == whole

    story(make_pair, told)


def test_a_full_way_says_so_and_calls_when_there_is_room(make_pair):
    flood = 20_000

    async def told(first, second):
        batch = [Datagram(second.path, bytes(1_200))] * flood
        taken = first.transport.send(batch)
        if taken < flood:
            await first.until(lambda: first.writable)
            assert first.transport.send(batch[:1]) == 1

    story(make_pair, told)


def test_after_close_nothing_is_sent_or_called_back(make_pair):
    async def told(first, second):
        first.transport.send([Datagram(second.path, b"late")])
        await second.transport.close()
        await second.transport.close()
        await asyncio.sleep(0)
        assert second.received == []
        with pytest.raises(TransportError):
            second.transport.send([Datagram(first.path, b"too late")])

    story(make_pair, told)


def test_an_address_that_is_taken_is_refused(make_pair):
    async def told(first, second):
        if isinstance(first.transport, Udp):
            host, port = first.path.address
            rival = Udp(port=port, listen=(host,))
        elif isinstance(first.transport, Adhoc):
            pytest.skip("nobody can take the address of an interface")
        else:
            rival = Memory(first.transport._hub, first.path.address)
        with pytest.raises(TransportError, match=r"taken|in use; .* udp.port 0"):
            rival.start(first.deliver, first.on_path)

    story(make_pair, told)


def test_a_dead_path_is_reported_and_harms_no_other():
    async def told(first, second):
        nowhere = Path("memory", "nowhere")
        batch = [Datagram(nowhere, b"?"), Datagram(second.path, b"!")]
        assert first.transport.send(batch) == 2
        await second.until(lambda: second.received)
        await first.until(lambda: first.path_events)
        assert first.path_events == [PathLost(nowhere, "nobody is there")]

    story(memory_pair, told)
