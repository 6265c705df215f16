"""Links move: to the other cable when one is cut, and to a peer that was restarted."""

import pytest

pytestmark = pytest.mark.system
CABLES = {"eth0": "192.0.2", "eth1": "198.51.100"}


@pytest.fixture
def friends(daemon):
    """Starts Ann and Bob in two hosts that see each other, and makes them contacts."""

    def start(*hosts):
        ann, bob = (
            daemon(name, namespace=host).start()
            for name, host in zip(("ann", "bob"), hosts, strict=True)
        )
        for one, other in ((ann, bob), (bob, ann)):
            one.linked_with(other)
            one.knows(other)
        return ann, bob

    return start


def join(network, hosts, cable):
    """Lay a cable between two hosts, with its subnet."""
    network.add_cable(hosts[0], cable, hosts[1], cable)
    for number, host in enumerate(hosts, 1):
        address = f"{CABLES[cable]}.{number}/24"
        network.ip(host, "address", "add", address, "dev", cable)
        network.ip(host, "link", "set", cable, "up")


@pytest.fixture
def pair(network, friends):
    """Ann and Bob, joined by two cables."""
    hosts = [network.add_namespace(name, ipv6=False) for name in ("ann", "bob")]
    for cable in CABLES:
        join(network, hosts, cable)
    return friends(*hosts)


def cable_used(one, other):
    address = one.path_to(other)
    return next((cable for cable in CABLES if address.startswith(CABLES[cable])), None)


def test_messages_go_on_by_the_other_cable(pair, network):
    ann, bob = pair
    for _ in range(3):
        talk(ann, bob)
        used = cable_used(ann, bob)
        network.ip(ann.namespace, "link", "set", used, "down")
        talk(ann, bob)
        assert cable_used(ann, bob) == cable_used(bob, ann) != used
        network.ip(ann.namespace, "link", "set", used, "up")


def test_a_way_that_swallows_everything_is_left(bridge, friends):
    """Eth0 leads through a bridge that stops forwarding: no carrier is lost, nobody is told."""
    addresses = [f"{CABLES['eth0']}.{number}/24" for number in (1, 2)]
    hosts = [bridge.add_host(address, ipv6=False) for address in addresses]
    ann, bob = friends(*hosts)
    join(bridge, hosts, "eth1")
    talk(ann, bob)
    assert cable_used(ann, bob) == "eth0", "of two equals the one in use stays"
    bridge.ip(bridge.hub, "link", "set", "br0", "down")
    talk(ann, bob)
    assert cable_used(ann, bob) == cable_used(bob, ann) == "eth1"


def test_a_peer_that_was_killed_is_linked_again_when_it_is_back(pair):
    ann, bob = pair
    for one in (bob, ann):
        one.kill()
        one.start()
        ann.linked_with(bob)
        bob.linked_with(ann)
        talk(ann, bob)


def talk(ann, bob):
    """A message each way, with its receipt."""
    for one, other in ((ann, bob), (bob, ann)):
        (message,) = one.send(other, "are you there?")
        one.hear("state", id=message, state="arrived")
