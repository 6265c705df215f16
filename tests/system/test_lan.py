"""Whole peers with the default configuration find each other on a LAN by themselves."""

import pytest

from tests.system.daemon import Daemon

pytestmark = pytest.mark.system
PEERS = 30
AT_ONCE = 5
"""Peers that start at the same time; what a small machine can bear."""


@pytest.fixture
def pair(bridge, daemon):
    """Makes two hosts with these options, and a peer on each, not started."""

    def make(*hosts: dict):
        names = [bridge.add_host(*host.pop("addresses", ()), **host) for host in hosts]
        return [
            daemon(name, namespace=host)
            for name, host in zip(("ann", "bob"), names, strict=True)
        ]

    return make


def linked(one: Daemon, other: Daemon) -> None:
    one.linked_with(other)
    other.linked_with(one)


def test_ipv4_only(pair):
    ann, bob = pair(
        {"addresses": ["192.0.2.1/24"], "ipv6": False},
        {"addresses": ["192.0.2.2/24"], "ipv6": False},
    )
    ann.start()
    bob.start()
    linked(ann, bob)
    assert ann.path_to(bob) == "192.0.2.2:6374"
    assert bob.path_to(ann) == "192.0.2.1:6374"


def test_ipv6_link_local_only(pair):
    ann, bob = pair({}, {})
    ann.start()
    bob.start()
    linked(ann, bob)
    assert ann.path_to(bob).startswith("[fe80:")
    assert ann.path_to(bob).endswith("%eth0]:6374")


def test_an_interface_that_comes_later(pair, bridge):
    ann, bob = pair(
        {"addresses": ["192.0.2.1/24"]}, {"addresses": ["192.0.2.2/24"], "up": False}
    )
    ann.start()
    bob.start()
    bridge.ip(bridge.hosts[1], "link", "set", "eth0", "up")
    linked(ann, bob)


def test_an_address_that_changes(pair, bridge):
    ann, bob = pair(
        {"addresses": ["192.0.2.1/24"], "ipv6": False},
        {"addresses": ["192.0.2.2/24"], "ipv6": False},
    )
    ann.start()
    bob.start()
    linked(ann, bob)
    ann.knows(bob)
    bob.knows(ann)
    bridge.ip(bridge.hosts[1], "address", "del", "192.0.2.2/24", "dev", "eth0")
    bridge.ip(bridge.hosts[1], "address", "add", "192.0.2.77/24", "dev", "eth0")
    for one, other in ((ann, bob), (bob, ann)):
        (message,) = one.send(other, "still there?")
        one.hear("state", id=message, state="arrived")
    assert ann.path_to(bob) == "192.0.2.77:6374"


def test_thirty_peers_on_one_bridge_are_all_linked(bridge, daemon):
    peers = [
        daemon(
            f"peer{n}", namespace=bridge.add_host(f"192.0.2.{n + 1}/24", ipv6=n % 2 == 0)
        )
        for n in range(PEERS)
    ]
    for start in range(0, PEERS, AT_ONCE):
        group = peers[start : start + AT_ONCE]
        for peer in group:
            peer.begin()
        for peer in group:
            peer.ready()
    for peer in peers:
        peer.until(lambda p=peer: p.status()["neighbours"] == PEERS - 1, "29 links")
    for peer in peers:
        assert peer.neighbours() == {other.peer for other in peers if other is not peer}
