"""Links move: to the other cable when one is cut, and to a peer that was restarted."""

import pytest

pytestmark = pytest.mark.system
CABLES = {"eth0": "192.0.2", "eth1": "198.51.100"}


@pytest.fixture
def pair(network, daemon):
    """Ann and Bob, joined by two cables and linked, each the other's contact."""
    hosts = [network.add_namespace(name, ipv6=False) for name in ("ann", "bob")]
    for cable, subnet in CABLES.items():
        network.add_cable(hosts[0], cable, hosts[1], cable)
        for number, host in enumerate(hosts, 1):
            network.ip(host, "address", "add", f"{subnet}.{number}/24", "dev", cable)
            network.ip(host, "link", "set", cable, "up")
    ann, bob = (
        daemon(name, namespace=host)
        for name, host in zip(("ann", "bob"), hosts, strict=True)
    )
    ann.start()
    bob.start()
    ann.linked_with(bob)
    bob.linked_with(ann)
    ann.knows(bob)
    bob.knows(ann)
    return ann, bob


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
