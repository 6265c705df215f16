"""What strangers can do with packets whose header tells of link and counter only the end."""

import os
from collections import Counter

import pytest

from meshpeer.core.link import packet
from meshpeer.core.link.endpoint import SHORT_TRIALS
from meshpeer.core.link.path import Datagram, Path, Traits
from tests.core.link.pair import Network, linked

MUTATIONS = int(os.environ.get("MESHPEER_MUTATIONS", "2000"))
SLOW = Traits(payload_limit=499, rate=1_200.0, cost=1_000)


def is_short(data):
    return data[0] & ~3 == packet.SHORT


def pair(traits=SLOW):
    """Two with a link by a path that declares a low rate, and all short packets that went."""
    network = Network()
    network.short = []
    network.watch = lambda sender, to, data: (
        network.short.append((sender, data)) if is_short(data) else None
    )
    make = network.node

    def node(*args):
        made = make(*args)
        made.endpoint.traits_of = lambda path: traits
        return made

    network.node = node
    alice, bob = linked(network)
    network.run(30)
    return network, alice, bob


def say(network, sender, receiver, text):
    """Send a text over the link, and give the packet that carried it."""
    before = len(network.short)
    sender.link_to(receiver).write(1, text)
    sender.flush()
    link = receiver.link_to(sender)
    assert network.run(30, lambda: receiver.text(link, 1).endswith(text))
    network.run(5)
    return next(data for who, data in network.short[before:] if who is sender)


def throw(network, receiver, data, source="alice"):
    """Let a packet arrive as if it came from there."""
    path = Path("sim", source)
    receiver.endpoint.receive([Datagram(path, data)], network.now)
    receiver.flush()


def test_a_copy_is_counted_and_changes_nothing():
    network, alice, bob = pair()
    copied = say(network, alice, bob, b"pay me once")
    sent = bob.sent_packets
    for source in ("alice", "elsewhere"):
        throw(network, bob, copied, source)
    assert bob.endpoint.counters["repeated"] == 2
    assert bob.sent_packets == sent
    assert bob.text(bob.link_to(alice), 1) == b"pay me once"
    assert bob.link_to(alice).path == alice.path


def test_every_bit_of_it_is_sealed():
    network, alice, bob = pair()
    fresh = say(network, alice, bob, b"first")
    network.wire("alice", "bob").cut = True
    before = len(network.short)
    alice.link_to(bob).write(1, b"second")
    alice.flush()
    (_, held), *_ = network.short[before:]
    assert held != fresh
    for bit in range(8 * len(held)):
        changed = bytearray(held)
        changed[bit // 8] ^= 1 << bit % 8
        throw(network, bob, bytes(changed))
    assert bob.text(bob.link_to(alice), 1) == b"first"
    throw(network, bob, held)
    assert bob.text(bob.link_to(alice), 1) == b"firstsecond"


def test_noise_is_counted_and_answered_by_nothing():
    network, alice, bob = pair()
    sent, link = bob.sent_packets, bob.link_to(alice)
    random = network.random
    for _ in range(MUTATIONS):
        head = bytes((packet.SHORT | random.randrange(4), link.local_id[0]))
        throw(network, bob, head + random.randbytes(random.randrange(60)))
    assert bob.sent_packets == sent
    assert bob.link_to(alice) is link
    refused = (
        bob.endpoint.counters["refused short"] + bob.endpoint.counters["refused packet"]
    )
    assert refused == MUTATIONS
    assert say(network, alice, bob, b"still here")


@pytest.mark.parametrize("rate", [None, 10e6])
def test_by_a_path_that_is_not_slow_none_is_taken(rate):
    network, alice, bob = pair()
    network.wire("alice", "bob").cut = True
    alice.link_to(bob).write(1, b"held")
    alice.flush()
    held = network.short[-1][1]
    bob.endpoint.traits_of = lambda path: Traits(rate=rate)
    throw(network, bob, held)
    assert bob.endpoint.counters["refused packet"] == 1
    assert bob.endpoint.counters["unopened"] == 0


def test_few_links_are_tried_however_many_share_the_first_byte():
    """And those that do are told apart: each gets its own packets."""
    network, _, bob = pair()
    others = [network.node(f"peer {number}") for number in range(60)]
    for other in others:
        other.connect(bob)
    assert network.run(60, lambda: len(bob.endpoint.links) == 61)
    shared = Counter(link.local_id[0] for link in bob.endpoint.links.values())
    byte, most = shared.most_common(1)[0]
    assert most >= 2
    meant = [one for one in others if bob.link_to(one).local_id[0] == byte]
    for one in meant:
        assert say(network, one, bob, one.name.encode())[1] == byte
    for link in bob.endpoint._by_id.values():
        link.local_id = bytes((byte,)) + link.local_id[1:]
    before = bob.endpoint.counters["unopened"]
    throw(network, bob, bytes((packet.SHORT, byte)) + b"x" * 40, "stranger")
    assert bob.endpoint.counters["unopened"] - before <= SHORT_TRIALS
