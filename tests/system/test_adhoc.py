"""Whole peers on an ether: interfaces with no IP at all, told apart by nothing but beacons."""

import os
from contextlib import ExitStack

import pytest

from meshpeer.node.crowd import STRANGERS
from tests.namespaces import need_namespaces
from tests.system.daemon import Daemon
from tests.transports.ether import Ether

pytestmark = pytest.mark.system
ADHOC = """
[transports.adhoc]
interfaces = ["mesh0"]
"""


@pytest.fixture
def make_ether():
    need_namespaces()
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there are no TAP devices here")
    with ExitStack() as stack:

        def make(stations: int, **options) -> Ether:
            ether = Ether(stations, **options)
            stack.callback(ether.close)
            return ether

        yield make


@pytest.fixture
def peers_on(daemon):
    """Makes a peer on each station of an ether, running."""

    def make(ether: Ether, *names: str, more: str = "") -> list[Daemon]:
        made = [
            daemon(name, namespace=station.namespace, settings=more + ADHOC)
            for name, station in zip(names, ether.stations, strict=True)
        ]
        for each in made:
            each.begin()
        for each in made:
            each.ready()
        return made

    return make


def arrives(one: Daemon, other: Daemon, text: str) -> None:
    (message,) = one.send(other, text)
    one.hear("state", id=message, state="arrived")
    assert text in other.texts()


@pytest.mark.parametrize("visible", ["true", "false"])
def test_a_message_crosses_a_cell_that_has_no_ip(make_ether, peers_on, visible):
    ether = make_ether(2)
    ann, bob = peers_on(ether, "ann", "bob", more=f"visible = {visible}\n")
    ann.knows(bob)
    bob.knows(ann)
    if visible == "false":  # a beacon from before the cards says nothing; the next one does
        for number in (0, 1):
            ether.ip(ether.stations[number].namespace, "link", "set", "mesh0", "down")
            ether.ip(ether.stations[number].namespace, "link", "set", "mesh0", "up")
    arrives(ann, bob, "is anybody there?")
    assert ann.path_to(bob) == "mesh0/02:ca:fe:00:00:01"
    assert bob.path_to(ann) == "mesh0/02:ca:fe:00:00:00"
    assert "adhoc mesh0/02:ca:fe:00:00:00 (cell)" in ann.status()["listening"]
    assert ann.status()["counters"]["adhoc.mesh0.sent"] > 0
    ann.stop()
    bob.stop()


@pytest.mark.parametrize("rate", [None, 6e6])
def test_a_message_passes_a_neighbour_to_one_who_is_out_of_range(
    make_ether, peers_on, rate
):
    ether = make_ether(3, hears=[(0, 1), (1, 2)], loss=0.1, rate=rate)
    ann, bob, carla = peers_on(ether, "ann", "bob", "carla")
    ann.knows(carla)
    carla.knows(ann)
    ann.linked_with(bob)
    carla.linked_with(bob)
    arrives(ann, carla, "through the village")
    assert ann.neighbours() == {bob.peer}


def test_what_three_neighbours_lack_is_broadcast_to_them(make_ether, peers_on, daemon):
    ether = make_ether(4, loss=0.1, rate=6e6)
    absent = daemon("absent")
    absent.start()
    ann, *others = peers_on(ether, "ann", "bob", "carla", "dora")
    ann.knows(absent)
    absent.stop()
    ann.linked_with(*others)
    text = "".join(map(str, range(20_000)))
    for _ in range(5):  # where all is slow, a neighbour may ask too late to take part
        (message,) = ann.send(absent, text)
        ann.until_asked(lambda sent=message: len(ann.delivery(sent)["carriers"]) == 3)
        if ann.status()["counters"].get("broadcast.broadcasts"):
            return
    raise AssertionError("all went by links")


def test_in_a_crowd_all_are_linked_and_a_contact_is_called(make_ether, peers_on):
    ether = make_ether(10)
    peers = peers_on(ether, *(f"peer{number}" for number in range(10)))
    first, *_, last = peers
    for each in peers:
        each.until_asked(lambda each=each: len(each.neighbours()) >= STRANGERS)
    first.knows(last)
    last.knows(first)
    arrives(first, last, "in the crowd")


def test_a_stick_that_is_pulled_and_plugged_again(make_ether, peers_on):
    ether = make_ether(2)
    ann, bob = peers_on(ether, "ann", "bob")
    ann.knows(bob)
    bob.knows(ann)
    arrives(ann, bob, "before")
    ether.unplug(0)
    (message,) = ann.send(bob, "meanwhile")
    ann.until_asked(lambda: "mesh0" in " ".join(ann.status()["warnings"]))
    ether.plug(0)
    ann.hear("state", id=message, state="arrived")
    assert not [each for each in ann.status()["warnings"] if "mesh0" in each]


def test_a_peer_that_is_named_in_the_settings_by_its_station(make_ether, daemon):
    ether = make_ether(2)
    stations = ether.stations
    bob = daemon(
        "bob", namespace=stations[1].namespace, settings="visible = false\n" + ADHOC
    )
    bob.start()
    named = f'[[peers]]\nid = "{bob.peer}"\ntransport = "adhoc"\n'
    address = 'address = "mesh0/02:CA:FE:00:00:01"\n'
    ann = daemon(
        "ann",
        namespace=stations[0].namespace,
        settings="visible = false\n" + ADHOC + named + address,
    )
    ann.start()
    ann.linked_with(bob)
    assert ann.path_to(bob) == "mesh0/02:ca:fe:00:00:01"


def test_where_there_is_ip_too_it_is_taken_and_losing_it_costs_no_link(bridge, daemon):
    hosts = [bridge.add_host(f"192.0.2.{number}/24", ipv6=False) for number in (1, 2)]
    ann, bob = (
        daemon(name, namespace=host, settings=ADHOC.replace("mesh0", "eth0"))
        for name, host in zip(("ann", "bob"), hosts, strict=True)
    )
    ann.start()
    bob.start()
    ann.knows(bob)
    bob.knows(ann)
    ann.until_asked(lambda: ann.path_to(bob) == "192.0.2.2:6374")
    ann.until_asked(lambda: bob.path_to(ann) == "192.0.2.1:6374")
    for number in (0, 1):
        bridge.ip(hosts[number], "address", "flush", "dev", "eth0")
    arrives(ann, bob, "no address left")
    assert ann.path_to(bob).startswith("eth0/")
    ups = [each for each in ann.history() if each.kind == "link"]
    assert [each.body["up"] for each in ups] == [True]
