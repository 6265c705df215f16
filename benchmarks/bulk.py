"""256 MiB over one link: two processes, loopback UDP, datagrams of at most 1,452 bytes.

Beside it, in the same run, plain UDP: the same transport with the same batches and nothing in
them, counted where they arrive. Speed counts from the first write to the last byte read and
confirmed by one byte back.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.events import LinkUp, Readable
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path
from transports.interface import PathFound, PathLost, Transport
from transports.udp import Udp, path_to

SIZE = 256 << 20
CHUNK = 1 << 20
STREAM = 3
PLAIN_SIZE = 128 << 20
GIVE_UP = 45.0


class Peer:
    """One endpoint on one transport: as little of a node as will carry bulk."""

    def __init__(self, transport: Transport, size: int = SIZE) -> None:
        self.endpoint = Endpoint(
            static=KeyPair.generate(os.urandom), now=time.monotonic(), rng=os.urandom
        )
        self.endpoint.traits_of = transport.traits_of
        self.transport = transport
        self.done = asyncio.Event()
        self.left = size
        self._unsent: list[Datagram] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        self.transport.start(self.deliver, self.on_path, self.pump)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.transport.close()

    def deliver(self, batch: Sequence[Datagram]) -> None:
        self.endpoint.receive(batch, time.monotonic())
        self.pump()

    def on_path(self, found: PathFound | PathLost) -> None:
        pass

    def pump(self) -> None:
        """Let events have their effect, send what may go, and set the timer for the rest."""
        for event in self.endpoint.events():
            match event:
                case LinkUp(link):
                    self.linked(link)
                case Readable(link, stream):
                    self.readable(link, stream)
                case _:
                    self.writable(event.link)
        self._send()
        due = self.endpoint.next_wakeup()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self.wake)

    def wake(self) -> None:
        self.endpoint.wake(time.monotonic())
        self.pump()

    def _send(self) -> None:
        out = self._unsent
        if not out:
            out = self.endpoint.outgoing(time.monotonic())
        if out:
            self._unsent = out[self.transport.send(out) :]

    def linked(self, link: Link) -> None:
        pass

    def readable(self, link: Link, stream: int) -> None:
        pass

    def writable(self, link: Link) -> None:
        pass


class Sender(Peer):
    """Writes `size` bytes and waits for one."""

    def linked(self, link: Link) -> None:
        self.started = time.monotonic()
        self.block = os.urandom(CHUNK)
        self.writable(link)

    def writable(self, link: Link) -> None:
        while self.left and link.buffered(STREAM) <= CHUNK:
            link.write(STREAM, self.block)
            self.left -= CHUNK

    def readable(self, link: Link, stream: int) -> None:
        link.read(stream)
        self.seconds = time.monotonic() - self.started
        self.lost = link.lost_packets
        self.done.set()


class Receiver(Peer):
    """Reads `size` bytes and writes one."""

    def readable(self, link: Link, stream: int) -> None:
        self.left -= len(link.read(stream))
        if not self.left:
            link.write(0, b"!")
            self._loop.call_later(0.3, self.done.set)


def receive(pipe: Connection) -> None:
    """The other process: first the link's receiver, then plain UDP's."""
    asyncio.run(_receive(pipe))


async def _receive(pipe: Connection) -> None:
    udp = Udp(0, ["127.0.0.1"])
    peer = Receiver(udp)
    peer.start()
    pipe.send((udp.port, peer.endpoint.peer_id))
    await asyncio.wait_for(peer.done.wait(), GIVE_UP)
    await peer.close()
    pipe.send(await _receive_plain(pipe))


async def _receive_plain(pipe: Connection) -> float:
    """Count what arrives of a flood of datagrams; bytes per second from the first to the last."""
    first = last = 0.0
    total = 0
    loop, silent = asyncio.get_running_loop(), asyncio.Event()
    timer = loop.call_later(GIVE_UP, silent.set)

    def deliver(batch: Sequence[Datagram]) -> None:
        nonlocal first, last, total, timer
        last = time.monotonic()
        first = first or last
        total += sum([len(datagram.data) for datagram in batch])
        timer.cancel()
        timer = loop.call_later(0.5, silent.set)

    udp = Udp(0, ["127.0.0.1"])
    udp.start(deliver, lambda found: None)
    pipe.send(udp.port)
    await silent.wait()
    await udp.close()
    return total / (last - first)


async def _send(pipe: Connection) -> Sender:
    peer = Sender(Udp(0, ["127.0.0.1"]))
    peer.start()
    port, peer_id = pipe.recv()
    peer.endpoint.connect(peer_id, path_to("127.0.0.1", port), time.monotonic())
    peer.pump()
    await asyncio.wait_for(peer.done.wait(), GIVE_UP)
    await peer.close()
    return peer


async def _send_plain(pipe: Connection) -> float:
    udp = Udp(0, ["127.0.0.1"])
    path: Path = path_to("127.0.0.1", pipe.recv())
    room = asyncio.Event()
    udp.start(lambda batch: None, lambda found: None, room.set)
    batch = [Datagram(path, os.urandom(1_452)) for _ in range(40)]
    for _ in range(PLAIN_SIZE // (1_452 * 40)):
        while not udp.send(batch):
            room.clear()
            await room.wait()
    await udp.close()
    return await asyncio.to_thread(pipe.recv)


def main() -> dict[str, float]:
    """Measure both and give MB (10^6 bytes) a second of payload, and their ratio."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs,))
    child.start()
    peer = asyncio.run(_send(ours))
    rate = SIZE / peer.seconds / 1e6
    plain = asyncio.run(_send_plain(ours)) / 1e6
    child.join()
    print(f"{'':>10} {'MB/s':>8}")
    print(f"{'link':>10} {rate:8.1f}   {peer.lost} packets lost")
    print(f"{'plain UDP':>10} {plain:8.1f}")
    return {
        "mb_per_s": round(rate, 1),
        "ratio_to_plain_udp": round(rate / plain, 3),
        "plain_udp_mb_per_s": round(plain, 1),
    }
