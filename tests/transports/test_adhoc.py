"""The transport `adhoc` on cells: strangers, mediums that come and go, beacons, settings."""

import asyncio
import gc
import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path as FilePath
from random import Random

import pytest

from meshpeer.core.formats.beacon import Beacon
from meshpeer.core.link.path import Datagram, Path
from meshpeer.errors import ConfigError, TransportError
from tests.namespaces import inside
from transports.adhoc.address import path_of
from transports.adhoc.adhoc import UNKNOWN, Adhoc
from transports.adhoc.attached import STATIONS
from transports.adhoc.cell import encapsulate
from transports.adhoc.frame import ETHERTYPE, EVERYBODY, HEADS, Kind
from transports.beaconing import REMEMBERED
from transports.interface import Introduced, PathFound, PathLost, Reporting

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "20000"))
PATIENCE = 10.0
ROOT = FilePath(__file__).parents[2]
GROWTH = 256 << 10
"""Bytes by which tables that were full before may differ."""

FOUND = PathFound(path_of("mesh0", EVERYBODY))


class End:
    """An `Adhoc` on one station, and what it called back."""

    def __init__(self, station, *, peer_id=b"", hidden=False, interfaces=None) -> None:
        self.adhoc = Adhoc(interfaces=interfaces or [station.interface])
        self.station = station
        self.path = path_of(station.interface, station.address)
        self.heard, self.events, self.found = [], [], []
        self.changed = asyncio.Event()
        if peer_id:
            self.adhoc.introduce(peer_id, hidden=hidden, found=self._take(self.found))
        with inside(station.namespace):
            self.adhoc.start(self._deliver, self._take(self.events))

    def _take(self, into):
        def take(what):
            into.append(what)
            self.changed.set()

        return take

    def _deliver(self, batch):
        self.heard += batch
        self.changed.set()

    async def until(self, happened):
        async with asyncio.timeout(PATIENCE):
            while not happened():
                self.changed.clear()
                await self.changed.wait()

    async def hears(self, data: bytes):
        await self.until(lambda: any(each.data == data for each in self.heard))


def story(told, stations=(), **options):
    """Run `told(*ends)` with an end on each of these stations."""

    async def run():
        ends = [End(station, **options) for station in stations]
        try:
            await told(*ends)
        finally:
            for end in ends:
                await end.adhoc.close()

    asyncio.run(run())


def raw_socket(station) -> socket.socket:
    """A stranger's socket, which may send what it likes."""
    with inside(station.namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind((station.interface, 0))
    return sock


# ---- what a path is like


def test_it_is_a_transport_that_introduces_and_reports(make_ether):
    adhoc = Adhoc(interfaces=["mesh0"])
    assert isinstance(adhoc, Introduced)
    assert isinstance(adhoc, Reporting)


def test_a_path_has_the_traits_of_its_medium(make_ether):
    ether = make_ether(2, mtu=1_400)

    async def told(ann, bob):
        traits = ann.adhoc.traits_of(bob.path)
        assert traits.payload_limit == 1_400 - 3
        assert traits.medium == ("adhoc", "mesh0")
        assert traits.broadcast == path_of("mesh0", EVERYBODY)
        assert traits.cost > 0
        assert ann.adhoc.traits_of(traits.broadcast) == traits
        for text in ("mesh1/02:ca:fe:00:00:01", "mesh0/1a2b", "nonsense"):
            assert ann.adhoc.traits_of(Path("adhoc", text)) == UNKNOWN

    story(told, ether.stations)


def test_a_datagram_to_everybody_reaches_all_from_the_senders_path(make_ether):
    ether = make_ether(3)

    async def told(ann, bob, carla):
        everybody = ann.adhoc.traits_of(bob.path).broadcast
        batch = [Datagram(everybody, b"all"), Datagram(bob.path, b"one")]
        assert ann.adhoc.send(batch) == 2
        await bob.hears(b"one")
        await carla.hears(b"all")
        assert set(bob.heard) == {Datagram(ann.path, b"all"), Datagram(ann.path, b"one")}
        assert carla.heard == [Datagram(ann.path, b"all")]
        assert ann.heard == []

    story(told, ether.stations)


def test_a_path_of_no_medium_is_lost_and_harms_no_other(make_ether):
    ether = make_ether(2)
    nowhere = Path("adhoc", "mesh7/02:00:00:00:00:01")

    async def told(ann, bob):
        batch = [Datagram(nowhere, b"?"), Datagram(bob.path, b"!")]
        assert ann.adhoc.send(batch) == 2
        await bob.hears(b"!")
        await ann.until(lambda: PathLost(nowhere, "its medium is not there") in ann.events)

    story(told, ether.stations)


# ---- strangers


def strange(random: Random, to: bytes) -> bytes:
    """A frame that a stranger might send: noise, ours with flipped bytes, false senders."""
    source = random.randbytes(6)
    kind = random.choice([*HEADS.values(), random.randbytes(1)])
    beacon = Beacon(random.randbytes(8), peer_id=random.randbytes(32)).encode_frame()
    payload = random.choice([random.randbytes(random.randrange(1_400)), beacon])
    sent = bytearray(encapsulate(random.choice([to, EVERYBODY]), source, kind + payload))
    for _ in range(random.randrange(4)):
        sent[random.randrange(12, len(sent))] ^= 1 << random.randrange(8)
    sent[12:14] = ETHERTYPE.to_bytes(2)
    return bytes(sent[: random.choice([len(sent), random.randrange(14, len(sent) + 1)])])


def test_frames_from_strangers_raise_nothing_and_take_no_room(make_ether):
    ether = make_ether(2)
    random = Random(11)
    bob, stranger = ether.stations

    async def told(end):
        faults = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, what: faults.append(what)
        )
        sock = raw_socket(stranger)
        mark = encapsulate(bob.address, stranger.address, HEADS[Kind.DATAGRAM] + b"mark")

        def a_beacon(number):
            payload = Beacon(number.to_bytes(8, "big"), peer_id=b"S" * 32).encode_frame()
            source = b"\x02" + number.to_bytes(5, "big")
            return encapsulate(EVERYBODY, source, HEADS[Kind.BEACON] + payload)

        async def flood(count, frame=lambda number: strange(random, bob.address)):
            for number in range(count):
                sock.send(frame(number))
                if number % 100 == 99:
                    sock.send(mark)
                    await end.hears(b"mark")
                    end.heard.clear()
                    end.found.clear()

        tracemalloc.start()
        await flood(REMEMBERED, a_beacon)  # fills what is bounded
        await flood(MUTATIONS // 2)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await flood(MUTATIONS - MUTATIONS // 2)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sock.close()
        assert faults == []
        assert after - before < GROWTH
        counters = end.adhoc.counters
        assert counters["mesh0.dropped: length"] > 0
        assert counters["dropped: frame"] > 0
        assert counters["dropped: false station"] > 0
        assert len(end.adhoc._attached["mesh0"].paths) <= STATIONS

    story(told, [bob], peer_id=bytes(32))


def test_frames_to_another_station_and_from_a_group_are_not_heard(make_ether):
    ether = make_ether(2)
    bob, stranger = ether.stations

    async def told(end):
        ether.ip(bob.namespace, "link", "set", "mesh0", "promisc", "on")
        sock = raw_socket(stranger)
        head = HEADS[Kind.DATAGRAM]
        elsewhere, group = b"\x02\xca\xfe\x00\x00\x63", b"\x01\x00\x5e\x00\x00\x01"
        sock.send(encapsulate(elsewhere, stranger.address, head + b"to another"))
        sock.send(encapsulate(group, stranger.address, head + b"to a group"))
        sock.send(encapsulate(bob.address, group, head + b"from a group"))
        sock.send(encapsulate(bob.address, EVERYBODY, head + b"from all"))
        sock.send(encapsulate(bob.address, bob.address, head + b"from yourself"))
        sock.send(encapsulate(bob.address, stranger.address, head + b"to you"))
        await end.hears(b"to you")
        sock.close()
        assert len(end.heard) == 1
        assert end.adhoc.counters["dropped: false station"] == 3

    story(told, [bob])


# ---- mediums that come and go


def test_an_interface_that_vanishes_under_load_comes_back(make_ether):
    ether = make_ether(2)
    here, there = ether.stations

    async def told(ann, bob):
        batch = [Datagram(bob.path, bytes(1_200))] * 50
        for turn in range(3):
            ann.adhoc.send([Datagram(bob.path, bytes((turn,)))])
            bob.adhoc.send([Datagram(ann.path, bytes((turn,)))])
            await bob.hears(bytes((turn,)))
            await ann.hears(bytes((turn,)))
            ann.events.clear()
            ann.adhoc.send(batch)
            ether.unplug(0)
            while not ann.events:
                ann.adhoc.send(batch)
                await asyncio.sleep(0)
            await ann.until(lambda: bob.path in {each.path for each in ann.events})
            assert all(isinstance(each, PathLost) for each in ann.events)
            assert "mesh0" in ann.adhoc.warnings()[0]
            assert ann.adhoc.listening() == []
            ann.events.clear()
            ether.plug(0)
            await ann.until(lambda: FOUND in ann.events)
            assert ann.adhoc.warnings() == []
            ann.heard.clear()
            bob.heard.clear()

    with inside(here.namespace):  # it opens new sockets as it goes
        story(told, [here, there])


def test_an_interface_that_goes_down_and_up_is_lost_and_found(make_ether):
    ether = make_ether(2)
    here, _ = ether.stations

    async def told(ann, bob):
        for _ in range(3):
            ann.events.clear()
            ether.ip(here.namespace, "link", "set", "mesh0", "down")
            await ann.until(lambda: ann.adhoc.listening() == [])
            ether.ip(here.namespace, "link", "set", "mesh0", "up")
            await ann.until(lambda: ann.adhoc.listening() and bob.adhoc.send([]) == 0)
            bob.adhoc.send([Datagram(ann.path, b"up again")])
            await ann.hears(b"up again")
            ann.heard.clear()

    with inside(here.namespace):
        story(told, ether.stations)


@pytest.mark.parametrize("change", ["address 02:ca:fe:00:00:77", "mtu 1300"])
def test_an_interface_that_changes_is_used_as_it_is_now(make_ether, change):
    ether = make_ether(2)
    here, _ = ether.stations

    async def told(ann, bob):
        interfaces = ann.adhoc._interfaces
        interfaces.follow_links(ann.changed.set)
        await ann.until(lambda: FOUND in ann.events and "mesh0" in interfaces.up)
        ann.events.clear()
        ether.ip(here.namespace, "link", "set", "mesh0", *change.split())
        await ann.until(lambda: FOUND in ann.events)
        (shown,) = ann.adhoc.listening()
        limit = ann.adhoc.traits_of(bob.path).payload_limit
        assert shown.split()[1].endswith("77") or limit == 1_300 - 3
        ann.adhoc.send([Datagram(bob.path, b"it is me")])
        await bob.hears(b"it is me")
        bob.adhoc.send([Datagram(bob.heard[0].path, b"I see")])
        await ann.hears(b"I see")

    with inside(here.namespace):
        story(told, ether.stations)


def test_an_interface_that_is_not_there_at_the_start_is_used_when_it_comes(make_ether):
    ether = make_ether(2)
    here, _ = ether.stations
    ether.unplug(0)

    async def told(ann, bob):
        assert "there is no interface mesh0" in ann.adhoc.warnings()[0]
        ether.plug(0)
        await ann.until(lambda: ann.events)
        assert ann.events == [FOUND]
        assert ann.adhoc.listening() == ["adhoc mesh0/02:ca:fe:00:00:00 (cell)"]
        ann.adhoc.send([Datagram(bob.path, b"here I am")])
        await bob.hears(b"here I am")

    with inside(here.namespace):
        story(told, ether.stations)


def test_one_medium_that_fails_leaves_the_other_alone(make_ether):
    ether = make_ether(2)
    here, there = ether.stations
    ether.add_cable(here.namespace, "wire0", there.namespace, "wire0")
    for each in ether.stations:
        ether.ip(each.namespace, "link", "set", "wire0", "up")

    async def told(ann, bob):
        shown = next(each for each in bob.adhoc.listening() if "wire0" in each)
        by_wire = Path("adhoc", shown.split()[1])
        ether.unplug(0)
        await ann.until(lambda: any(isinstance(each, PathLost) for each in ann.events))
        ann.adhoc.send([Datagram(bob.path, b"lost"), Datagram(by_wire, b"by wire")])
        await bob.hears(b"by wire")
        assert len(ann.adhoc.listening()) == 1

    with inside(here.namespace):
        story(told, ether.stations, interfaces=["mesh0", "wire0"])


def test_a_serial_port_that_comes_late_or_goes_is_used_when_it_is_there(tmp_path):
    port = tmp_path / "by-id" / "tnc"

    async def run():
        adhoc = Adhoc(serial=[{"port": str(port)}])
        events = asyncio.Queue()
        adhoc.start(print, events.put_nowait)
        assert "tnc" in adhoc.warnings()[0]
        for _ in range(2):
            modem, line = os.openpty()
            port.parent.mkdir(exist_ok=True)
            port.symlink_to(os.ttyname(line))
            async with asyncio.timeout(PATIENCE):
                assert isinstance(await events.get(), PathFound)
            assert len(adhoc.listening()) == 1
            os.close(modem)
            os.close(line)
            port.unlink()
            async with asyncio.timeout(PATIENCE):
                assert isinstance(await events.get(), PathLost)
            assert adhoc.listening() == []
        await adhoc.close()

    asyncio.run(run())


# ---- beacons


@pytest.mark.parametrize("hidden", [False, True])
def test_peers_on_a_cell_find_each_other(make_ether, hidden):
    ether = make_ether(2)
    ann_id, bob_id = b"A" * 32, b"B" * 32

    async def run():
        bob = End(ether.stations[1], peer_id=bob_id, hidden=hidden)
        ann = End(ether.stations[0], peer_id=ann_id, hidden=hidden)
        await ann.until(lambda: ann.found)
        await bob.until(lambda: bob.found)
        for end, other, other_id in ((ann, bob, bob_id), (bob, ann, ann_id)):
            found = end.found[0]
            assert found.path == other.path
            assert found.peer_id == (None if hidden else other_id)
            assert Beacon(found.nonce, 0, found.peer_id, found.mark).is_of(other_id)
        for end in (ann, bob):
            assert end.heard == []
            await end.adhoc.close()

    asyncio.run(run())


# ---- settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "name interfaces"),
        ({"interfaces": "mesh0"}, "lists"),
        ({"interfaces": ["mesh0", "mesh0"]}, "twice"),
        ({"interfaces": [7]}, "interface"),
        ({"interfaces": ["a/b"]}, "no interface"),
        ({"interfaces": ["a-name-that-is-too-long"]}, "15 bytes"),
        ({"interfaces": [{"name": "mon0", "colour": "red"}]}, "'colour'; .*network"),
        ({"serial": [{}]}, "port"),
        ({"serial": [{"port": "/dev/ttyUSB0", "colour": "red"}]}, "'colour'; .*baud"),
    ],
)
def test_nonsense_in_the_settings_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        Adhoc(**settings)


def test_an_interface_that_carries_no_ethernet_frames_is_a_warning(make_ether):
    ether = make_ether(1)

    async def told(end):
        (warning,) = end.adhoc.warnings()
        assert "lo carries no Ethernet frames" in warning

    story(told, ether.stations, interfaces=["lo"])


WITHOUT = """
import asyncio
from transports.adhoc.adhoc import Adhoc
async def start():
    Adhoc(interfaces=["lo"]).start(print, print)
asyncio.run(start())
"""


def test_without_the_capability_it_says_what_helps():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("dropping a capability needs root and setpriv")
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_raw", sys.executable, "-c", WITHOUT],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode != 0
    assert TransportError.__name__ in done.stderr
    assert "CAP_NET_RAW" in done.stderr
    assert "AmbientCapabilities" in done.stderr
    assert 'HOME="$HOME" $(which meshpeer) run' in done.stderr, "sudo changes both"
