"""The monitor medium on TAP devices that count as monitor interfaces, in a namespace of their own."""

import asyncio
import fcntl
import os
import struct
import subprocess

import pytest
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.l2 import LLC, SNAP
from scapy.packet import Raw

from meshpeer.errors import ConfigError, TransportError
from tests.namespaces import Network, inside, need_namespaces
from transports.adhoc import dot11
from transports.adhoc.monitor import OVERHEAD, STATIONS_KEPT, Monitor
from transports.adhoc.packet_socket import ARPHRD_RADIOTAP

TUNSETIFF, TUNSETLINK = 0x400454CA, 0x400454CD
IFF_TAP, IFF_NO_PI = 2, 0x1000
PATIENCE = 10.0
BSSID = dot11.bssid_of("meshpeer")


class Radio:
    """A monitor interface, and what passes its antenna."""

    def __init__(self, host, name, kind=ARPHRD_RADIOTAP):
        self.host, self.name = host, name
        with inside(host):
            self.antenna = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            wanted = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
            fcntl.ioctl(self.antenna, TUNSETIFF, wanted)
            if kind is not None:
                fcntl.ioctl(self.antenna, TUNSETLINK, kind)

    def hears(self, packet):
        """Something comes out of the air."""
        os.write(self.antenna, packet)

    async def sends(self):
        """Wait for what goes into the air, and give it."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.antenna, ready.set)
        await asyncio.wait_for(ready.wait(), PATIENCE)
        loop.remove_reader(self.antenna)
        return os.read(self.antenna, 4_096)


class Ears:
    """Keeps what a medium says, and lets a test wait for it."""

    def __init__(self, medium, host):
        self.medium = medium
        self.heard, self.failures, self.room = [], [], 0
        self._changed = asyncio.Event()
        with inside(host):
            medium.start(self._hear, self._fail, self._writable)

    def _hear(self, batch):
        self.heard += batch
        self._changed.set()

    def _fail(self, reason):
        self.failures.append(reason)
        self._changed.set()

    def _writable(self):
        self.room += 1
        self._changed.set()

    async def until(self, condition):
        """Wait for something to be so."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def host():
    need_namespaces()
    network = Network()
    try:
        yield network.add_namespace("air", ipv6=False)
    finally:
        network.close()


def ip(host, *command):
    subprocess.run(["ip", "-n", host, *command], check=True)


@pytest.fixture
def radios(host):
    made = [Radio(host, name) for name in ("mon0", "mon1")]
    for radio in made:
        ip(host, "link", "set", radio.name, "up")
    yield made
    for radio in made:
        os.close(radio.antenna)


async def crossing(radios):
    ears = [Ears(Monitor(radio.name), radio.host) for radio in radios]
    ann, bob = (each.medium for each in ears)
    big = os.urandom(ann.traits.payload_limit)
    frames = [(bob.station, b"to bob"), (ann.everybody, big)]
    assert ann.send(frames) == 2
    flown = [await radios[0].sends() for _ in frames]
    assert [len(each) for each in flown] == [OVERHEAD + 6, 1_500]
    seen = RadioTap(flown[0])
    assert seen[Dot11].addr1 == bob.station.hex(":")
    assert seen[Dot11].addr2 == ann.station.hex(":")
    assert seen[Dot11].addr3 == BSSID.hex(":")
    assert (seen[LLC].dsap, seen[SNAP].code) == (0xAA, 0x88B5)
    for packet in flown:
        radios[1].hears(packet)
    await ears[1].until(lambda ears: len(ears.heard) == 2)
    assert ears[1].heard == [(ann.station, b"to bob"), (ann.station, big)]
    assert ann.counters["sent"] == 2
    assert ann.counters["bytes sent"] == sum(map(len, flown))
    assert bob.counters["bytes received"] == sum(map(len, flown))
    for each in ears:
        each.medium.close()


def test_a_frame_crosses_the_air(radios):
    asyncio.run(crossing(radios))


def from_ann(payload, **fields):
    """A packet as a driver hands it up."""
    tap = RadioTap(present="Flags+Rate+dBm_AntSignal", dBm_AntSignal=-70, Rate=6)
    addresses = {"addr1": "ff:ff:ff:ff:ff:ff", "addr2": "02:00:00:00:00:07"}
    head = Dot11(type=2, **{**addresses, "addr3": BSSID.hex(":"), **fields})
    snap = LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x88B5)
    return bytes(tap / head / snap / Raw(len(payload).to_bytes(2) + payload))


async def foreign(radio):
    ears = Ears(Monitor(radio.name), radio.host)
    radio.hears(from_ann(b"1", addr3="02:aa:aa:aa:aa:aa"))
    radio.hears(from_ann(b"2", addr2=ears.medium.station.hex(":")))
    radio.hears(from_ann(b"3", addr1="02:00:00:00:00:09"))
    radio.hears(bytes(RadioTap() / Dot11(type=0, subtype=8)))
    radio.hears(from_ann(b"4")[:-1])
    radio.hears(from_ann(b"5"))
    await ears.until(lambda ears: ears.heard)
    assert ears.heard == [(bytes.fromhex("020000000007"), b"5")]
    assert ears.medium.counters["dropped: 802.11"] == 1
    assert ears.medium.counters["dropped: foreign"] == 0, "the kernel let foreign frames up"
    assert ears.medium.signals == {bytes.fromhex("020000000007"): -70}
    ears.medium.close()


def test_foreign_frames_never_come_up(radios):
    asyncio.run(foreign(radios[0]))


async def crowd(radio):
    ears = Ears(Monitor(radio.name), radio.host)
    for number in range(STATIONS_KEPT + 50):
        station = (0x020000000100 + number).to_bytes(6).hex(":")
        radio.hears(from_ann(b"x", addr2=station))
        await ears.until(lambda ears, number=number: len(ears.heard) > number)
    assert len(ears.medium.signals) == STATIONS_KEPT
    assert min(ears.medium.signals) == (0x020000000100 + 50).to_bytes(6)
    ears.medium.close()


def test_signals_of_a_crowd_take_bounded_room(radios):
    asyncio.run(crowd(radios[0]))


async def vanishing(radio):
    ears = Ears(Monitor(radio.name), radio.host)
    ip(radio.host, "link", "set", radio.name, "down")
    await ears.until(lambda ears: ears.failures)
    assert ears.failures == [f"{radio.name}: Network is down"]
    assert ears.medium.send([(ears.medium.everybody, b"lost")]) == 1
    ip(radio.host, "link", "set", radio.name, "up")
    with inside(radio.host):
        ears.medium.start(ears._hear, ears._fail, ears._writable)
    radio.hears(from_ann(b"again"))
    await ears.until(lambda ears: ears.heard)
    ears.medium.close()
    ears.medium.close()
    assert len(ears.failures) == 1


def test_an_interface_that_goes_down_fails_and_can_be_started_again(radios):
    asyncio.run(vanishing(radios[0]))


async def gone_under_load(radio):
    ears = Ears(Monitor(radio.name), radio.host)
    batch = [(ears.medium.everybody, bytes(1_000))] * 50
    ears.medium.send(batch)
    os.close(radio.antenna)
    while not ears.failures:
        assert ears.medium.send(batch) == len(batch)
        await asyncio.sleep(0)
    assert len(ears.failures) == 1
    radio.antenna = os.open("/dev/null", os.O_RDONLY)


def test_an_interface_that_vanishes_under_load_fails_once(radios):
    asyncio.run(asyncio.wait_for(gone_under_load(radios[0]), PATIENCE))


def slow_down(radio, limit):
    slow = ("rate", "800kbit", "burst", "2kb", "limit", limit)
    device = ("qdisc", "add", "dev", radio.name, "root", "tbf")
    subprocess.run(["tc", "-n", radio.host, *device, *slow], check=True)


async def crowded(radio):
    ears = Ears(Monitor(radio.name), radio.host)
    batch = [(ears.medium.everybody, bytes(1_400))] * 400
    taken = ears.medium.send(batch)
    assert 0 < taken < len(batch)
    assert ears.medium.send(batch) == 0
    await ears.until(lambda ears: ears.room)
    assert ears.medium.counters["full"] == 1
    assert ears.medium.send(batch[:1]) in (0, 1)
    ears.medium.close()


@pytest.mark.parametrize("limit", ["5kb", "5mb"], ids=["device", "socket"])
def test_where_there_is_no_room_it_says_when_there_is(radios, limit):
    slow_down(radios[0], limit)
    asyncio.run(crowded(radios[0]))


async def opened(radio):
    Ears(Monitor(radio.name), radio.host)


@pytest.mark.parametrize(("kind", "words"), [(None, "type monitor"), (801, "type monitor")])
def test_only_monitor_interfaces_with_radiotap_will_do(host, kind, words):
    radio = Radio(host, "wlan0", kind)
    with pytest.raises(TransportError, match=words):
        asyncio.run(opened(radio))
    os.close(radio.antenna)


def test_an_interface_that_is_not_there_is_an_error_that_says_so(radios):
    radios[0].name = "none0"
    with pytest.raises(TransportError, match="none0: No such device"):
        asyncio.run(opened(radios[0]))


def test_who_may_not_is_told_what_it_takes(radios):
    ours = os.geteuid()
    os.seteuid(65_534)
    try:
        with pytest.raises(TransportError, match="CAP_NET_RAW"):
            asyncio.run(unprivileged(radios[0]))
    finally:
        os.seteuid(ours)


async def unprivileged(radio):
    Monitor(radio.name).start(lambda batch: None, lambda reason: None, lambda: None)


@pytest.mark.parametrize(
    "options", [{"rate": 7}, {"rate": "6"}, {"network": ""}, {"network": 3}]
)
def test_settings_that_cannot_be_are_refused_at_once(options):
    with pytest.raises(ConfigError):
        Monitor("mon0", **options)
