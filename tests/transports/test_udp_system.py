"""Udp on interfaces that loopback can't stand for: narrow ones, slow ones."""

import asyncio
import shutil

import pytest

from meshpeer.core.link.path import Datagram
from transports.udp import Udp, path_to

pytestmark = pytest.mark.system
BURST = 40


class Receiver:
    """Counts what comes to one address."""

    def __init__(self) -> None:
        self.udp = Udp(port=0)
        self.heard: list[bytes] = []
        self.changed = asyncio.Event()
        self.udp.start(self.deliver, print)

    def deliver(self, batch):
        self.heard += [datagram.data for datagram in batch]
        self.changed.set()

    async def until(self, count: int):
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()


def between(lan, inside_namespace, told):
    """Run `told(sender, writable, receiver, path)` from 192.0.2.1 to 192.0.2.2."""
    first, second = lan.hosts

    async def run():
        writable = asyncio.Event()
        with inside_namespace(second):
            receiver = Receiver()
        with inside_namespace(first):
            sender = Udp(port=0)
            sender.start(print, print, writable.set)
        try:
            await told(sender, writable, receiver, path_to("192.0.2.2", receiver.udp.port))
        finally:
            await sender.close()
            await receiver.udp.close()

    asyncio.run(run())


def test_a_path_too_narrow_for_runs_gets_each_datagram_by_itself(lan, inside_namespace):
    for number in (1, 2):
        host = lan.add_host(f"192.0.2.{number}/24", ipv6=False)
        lan.ip(host, "link", "set", "eth0", "mtu", "1280")

    async def told(sender, writable, receiver, path):
        burst = [bytes([turn]) * 1_452 for turn in range(BURST)]
        assert sender.send([Datagram(path, data) for data in burst]) == BURST
        await receiver.until(BURST)
        assert sorted(receiver.heard) == burst
        assert sender.counters["gso refused"] == 1
        sender.send([Datagram(path, data) for data in burst])
        assert sender.counters["gso refused"] == 1

    between(lan, inside_namespace, told)


def test_a_slow_interface_says_that_it_is_full_and_loses_nothing(lan, inside_namespace):
    for number in (1, 2):
        lan.add_host(f"192.0.2.{number}/24", ipv6=False)
    if shutil.which("tc") is None:
        pytest.skip("slowing an interface down needs tc")
    slow = "qdisc add dev eth0 root tbf rate 200mbit burst 64kb limit 64mb"
    try:
        lan.run_in(lan.hosts[0], "tc", *slow.split())
    except AssertionError as error:
        pytest.skip(f"this kernel can't slow an interface down: {error}")

    async def told(sender, writable, receiver, path):
        batch = [Datagram(path, bytes(1_200))] * 8_000
        sent = full = 0
        while sent < len(batch):
            writable.clear()
            sent += sender.send(batch[sent:])
            if sent < len(batch):
                full += 1
                async with asyncio.timeout(10):
                    await writable.wait()
        await receiver.until(len(batch))
        assert full

    between(lan, inside_namespace, told)
