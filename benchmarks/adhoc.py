"""64 MiB over one link through a cell, and what a frame of 1,200 bytes costs.

Two processes, each in a namespace whose only interface is a TAP device; a third moves frames
between them as fast as it can, in plain Python. Speed counts from the first write to the last
byte read and confirmed by one byte back, sealed and acknowledged. What a frame costs is the
processor's time, the kernel's included: the whole transport, from a batch to a batch; and beside
it, where scapy is installed, scapy's way to build and send, to receive and dissect.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection

from benchmarks.bulk import GIVE_UP, Receiver, Sender
from meshpeer.core.link.path import Datagram, Path
from tests.namespaces import inside
from tests.transports.ether import Ether, Station
from transports.adhoc.address import path_of
from transports.adhoc.adhoc import Adhoc

SIZE = 64 << 20
FRAME = 1_200
FRAMES = 20_000
BATCH = 64
SCAPY_FRAMES = 300


def path_to(station: Station) -> Path:
    """The path by which others reach a station."""
    return path_of(station.interface, station.address)


def receive(pipe: Connection, namespace: str) -> None:
    """The other process."""
    with inside(namespace):
        asyncio.run(_receive(pipe))


async def _receive(pipe: Connection) -> None:
    peer = Receiver(Adhoc(interfaces=["mesh0"]), SIZE)
    peer.start()
    pipe.send(peer.endpoint.peer_id)
    await asyncio.wait_for(peer.done.wait(), GIVE_UP)
    await peer.close()


async def _send(pipe: Connection, path: Path) -> Sender:
    peer = Sender(Adhoc(interfaces=["mesh0"]), SIZE)
    peer.start()
    peer.endpoint.connect(pipe.recv(), path, time.monotonic())
    peer.pump()
    await asyncio.wait_for(peer.done.wait(), GIVE_UP)
    await peer.close()
    return peer


def link(ether: Ether) -> tuple[float, int]:
    """Give MB (10^6 bytes) a second of a whole link, and the packets lost on it."""
    ann, bob = ether.stations
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=receive, args=(theirs, bob.namespace))
    child.start()
    with inside(ann.namespace):
        peer = asyncio.run(_send(ours, path_to(bob)))
    child.join()
    return SIZE / peer.seconds / 1e6, peer.lost


async def _frames(ether: Ether) -> tuple[float, float]:
    """Give the processor's seconds for each frame, to send and to receive it."""
    ends = []
    arrived = 0
    changed = asyncio.Event()

    def deliver(batch: Sequence[Datagram]) -> None:
        nonlocal arrived
        arrived += len(batch)
        changed.set()

    for station in ether.stations:
        with inside(station.namespace):
            ends.append(Adhoc(interfaces=["mesh0"]))
            ends[-1].start(deliver, lambda event: None)
    batch = [Datagram(path_to(ether.stations[1]), os.urandom(FRAME))] * BATCH
    start, sending, sent = time.thread_time(), 0.0, 0
    while sent < FRAMES:
        before = time.thread_time()
        sent += ends[0].send(batch)
        sending += time.thread_time() - before
        while arrived < sent:
            changed.clear()
            await asyncio.wait_for(changed.wait(), GIVE_UP)
    receiving = time.thread_time() - start - sending
    for end in ends:
        await end.close()
    return sending / sent, receiving / arrived


def _scapy(ether: Ether) -> tuple[float, float]:
    """The same by scapy."""
    from scapy.arch.linux import L2Socket
    from scapy.config import conf
    from scapy.layers.l2 import Ether as Frame
    from scapy.packet import Raw

    from transports.adhoc.frame import ETHERTYPE

    ends = []
    for station in ether.stations:
        with inside(station.namespace):
            conf.ifaces.reload()
            ends.append(L2Socket(iface=station.interface, type=ETHERTYPE))
    source, destination = (each.address.hex(":") for each in ether.stations)
    payload = os.urandom(FRAME)
    sending = receiving = 0.0
    for _ in range(SCAPY_FRAMES):
        before = time.thread_time()
        ends[0].send(Frame(dst=destination, src=source, type=ETHERTYPE) / Raw(payload))
        between = time.thread_time()
        frame = ends[1].recv()
        receiving += time.thread_time() - between
        sending += between - before
        assert frame is not None
        assert bytes(frame[Raw]) == payload
    for end in ends:
        end.close()
    return sending / SCAPY_FRAMES, receiving / SCAPY_FRAMES


def main() -> dict[str, float]:
    """Measure both; microseconds a frame."""
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes network namespaces: run it as root")
    ether = Ether(2)
    try:
        rate, lost = link(ether)
        ways = {"adhoc": asyncio.run(_frames(ether))}
        if find_spec("scapy"):
            ways["scapy"] = _scapy(ether)
    finally:
        ether.close()
    print(f"{'link':>10} {rate:8.1f} MB/s   {lost} packets lost")
    print(f"{'us a frame':>10} {'send':>8} {'receive':>8}")
    for name, (send, get) in ways.items():
        print(f"{name:>10} {send * 1e6:8.2f} {get * 1e6:8.2f}")
    figures = {"mb_per_s": round(rate, 1)}
    for name, (send, get) in ways.items():
        prefix = "" if name == "adhoc" else f"{name}_"
        figures[f"{prefix}us_per_frame_send"] = round(send * 1e6, 2)
        figures[f"{prefix}us_per_frame_receive"] = round(get * 1e6, 2)
    return figures
