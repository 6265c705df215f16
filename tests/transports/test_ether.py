"""The ether that other tests stand on does what it says: hidden stations, loss, air time."""

import select
import socket
from random import Random

import pytest

from tests.namespaces import inside
from tests.transports.air import Air
from tests.transports.ether import RADIOTAP
from transports.adhoc.cell import encapsulate
from transports.adhoc.frame import ETHERTYPE, EVERYBODY

RATE = 6e6
PATIENCE = 10.0


def chain(listener: int, source: int) -> bool:
    """Who stands next to whom hears, and nobody else."""
    return abs(listener - source) == 1


def run(air: Air, until: float = 1e9) -> list[tuple[int, int, bytes]]:
    """Let all happen that is to happen."""
    arrived = []
    while (at := air.next_wakeup()) is not None and at <= until:
        arrived += air.advance(at)
    return arrived


def test_who_hears_whom_take_turns_and_lose_nothing():
    air = Air(3, rate=RATE)
    for turn in range(50):
        for source in (0, 1):
            air.offer(source, bytes((source, turn)), to=2, now=0.0)
    arrived = [(source, data) for listener, source, data in run(air) if listener == 2]
    assert {data for _, data in arrived} == {
        bytes((s, t)) for s in (0, 1) for t in range(50)
    }
    assert [data[1] for source, data in arrived if source == 0] == sorted(range(50))


def test_hidden_stations_spoil_each_others_frames_in_the_middle():
    air = Air(3, rate=RATE, hears=chain, rng=Random(4))
    for source in (0, 2):
        air.offer(source, bytes(1_200), to=None, now=0.0)
    assert run(air) == []
    assert air.counters["collisions"] == 2


def test_a_unicast_is_repeated_till_hidden_stations_miss_each_other():
    air = Air(3, rate=RATE, hears=chain, rng=Random(4), retries=6)
    for source in (0, 2):
        air.offer(source, bytes(200), to=1, now=0.0)
    assert sorted(source for _, source, _ in run(air)) == [0, 2]
    assert air.counters["frames"] > 2


def test_what_is_lost_by_chance_is_lost_in_one_direction_only():
    air = Air(2, rate=RATE, loss=lambda listener, source: float(source == 0), retries=0)
    air.offer(0, b"lost", to=None, now=0.0)
    air.offer(1, b"heard", to=None, now=0.0)
    assert [data for _, _, data in run(air)] == [b"heard"]


def test_frames_take_the_time_that_the_rate_says():
    air = Air(2, rate=RATE)
    for _ in range(100):
        air.offer(0, bytes(1_500), to=1, now=0.0)
    run(air)
    assert air.busy_s == pytest.approx(100 * (40e-6 + 8 * 1_500 / RATE))
    assert air.next_wakeup() is None


def test_a_station_keeps_so_many_frames_and_no_more():
    air = Air(2, rate=RATE)
    for _ in range(1_000):
        air.offer(0, b"?", to=1, now=0.0)
    assert air.waiting(0) + air.counters["queue full"] == 1_000
    assert air.waiting(0) == len(run(air))


class Ears:
    """Raw sockets on all stations of an ether."""

    def __init__(self, ether) -> None:
        self.stations = ether.stations
        self.sockets = []
        for each in ether.stations:
            with inside(each.namespace):
                sock = socket.socket(
                    socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)
                )
                sock.bind((each.interface, ETHERTYPE))
                sock.settimeout(PATIENCE)
                self.sockets.append(sock)

    def say(self, source: int, to: int | None, data: bytes) -> None:
        address = EVERYBODY if to is None else self.stations[to].address
        self.sockets[source].send(encapsulate(address, self.stations[source].address, data))

    def hear(self, listener: int) -> bytes:
        return self.sockets[listener].recv(2_048)[16:]

    def nothing(self, listener: int) -> bool:
        return not select.select([self.sockets[listener]], [], [], 0)[0]

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def ears(make_ether):
    made = []

    def make(*arguments, **options):
        ether = make_ether(*arguments, **options)
        made.append(Ears(ether))
        return ether, made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("rate", [None, 54e6])
def test_on_real_interfaces_only_neighbours_in_a_line_hear_each_other(ears, rate):
    _, ear = ears(3, hears=[(0, 1), (1, 2)], rate=rate)
    ear.say(0, None, b"from the end")
    assert ear.hear(1) == b"from the end"
    ear.say(1, None, b"from the middle")
    assert ear.hear(0) == ear.hear(2) == b"from the middle"
    assert ear.nothing(1)


def test_on_real_interfaces_loss_has_a_direction_and_can_change(ears):
    ether, ear = ears(2, loss={(0, 1): 1.0})
    ear.say(0, 1, b"lost")
    ear.say(1, 0, b"heard")
    assert ear.hear(0) == b"heard"
    assert ether.counted()["lost"] == 7  # a frame to one is repeated
    ether.change(loss={(0, 1): 0.0})
    ear.say(0, 1, b"now")
    assert ear.hear(1) == b"now"


def test_an_interface_can_count_as_monitor(make_ether):
    ether = make_ether(1, link_type=RADIOTAP)
    (station,) = ether.stations
    shown = ether.ip(station.namespace, "link", "show", station.interface)
    assert "ieee802.11/radiotap" in shown
