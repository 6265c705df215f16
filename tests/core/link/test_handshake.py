"""How a link comes up: crossing, lost, repeated, replayed and forged handshakes."""

from random import Random

import pytest

from meshpeer.core.link import packet
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.path import Datagram, Path
from tests.core.link.pair import Network, Node, Wire, linked


def one_usable_link(network: Network, alice: Node, bob: Node) -> bool:
    """Whether both have exactly one link, the same, and bytes cross it both ways."""
    if not (alice.endpoint.links and bob.endpoint.links):
        return False
    ours, theirs = alice.link_to(bob), bob.link_to(alice)
    if ours.binding != theirs.binding:
        return False
    ours.write(1, b"to bob")
    theirs.write(1, b"to alice")
    return network.run(
        5,
        lambda: (
            bob.text(theirs, 1).endswith(b"to bob")
            and alice.text(ours, 1).endswith(b"to alice")
        ),
    )


@pytest.mark.parametrize("seed", range(40))
def test_peers_that_begin_at_the_same_time_get_one_link(seed):
    network = Network(seed)
    random = Random(seed)
    network.default = Wire(
        latency=random.choice([0.0, 0.001, 0.05, 0.4]),
        loss=random.choice([0, 0, 0.2]),
        jitter=random.choice([0, 0.03]),
        duplicate=random.choice([0, 0.3]),
    )
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob)
    network.run(random.choice([0, 0.001, 0.02, 0.5]))
    bob.connect(alice)
    assert network.run(10, lambda: bool(alice.endpoint.links and bob.endpoint.links))
    network.run(3)
    assert one_usable_link(network, alice, bob)
    assert len(alice.ups) - len(alice.downs) == len(bob.ups) - len(bob.downs) == 1


def test_peers_that_begin_at_the_same_time_on_a_clean_path_see_one_up_each():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob)
    bob.connect(alice)
    network.run(5)
    assert one_usable_link(network, alice, bob)
    assert (len(alice.ups), len(bob.ups), alice.downs, bob.downs) == (1, 1, [], [])


def test_a_peer_that_restarted_is_linked_again_at_once():
    for restarted in (0, 1):
        network = Network()
        nodes = linked(network)
        gone, other = nodes[restarted], nodes[1 - restarted]
        gone.restart()
        gone.address = "elsewhere"
        gone.connect(other)
        assert network.run(0.2, lambda other=other: len(other.ups) == 2)
        assert one_usable_link(network, *nodes)


def test_a_silent_peer_is_given_up_and_costs_little():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    network.wire("alice", "bob").cut = True
    alice.connect(bob)
    network.run(60)
    assert alice.sent_packets <= 8
    assert alice.endpoint.next_wakeup() is None


def test_early_data_waits_for_the_confirmation():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob, early=b"early ")
    network.run(1)
    alice.ups[0].write(0, b"and late")
    network.run(1)
    assert bob.text(bob.ups[0], 0) == b"early and late"


def record_first_packet(network: Network) -> list[bytes]:
    firsts: list[bytes] = []

    def watch(sender: Node, to: Path, data: bytes) -> None:
        if data[0] == packet.INITIATION:
            firsts.append(data)

    network.watch = watch
    return firsts


def test_a_replayed_first_packet_takes_no_effect():
    network = Network()
    firsts = record_first_packet(network)
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob, early=b"pay me")
    network.run(1)
    link = bob.link_to(alice)
    assert bob.text(link, 0) == b"pay me"
    for attempt in range(20):
        network.inject(network.now + attempt * 0.1, Path("sim", "mallory"), bob, firsts[0])
    network.run(30)
    assert bob.link_to(alice) is link
    assert link.path == alice.path
    assert link.paths == [alice.path]
    assert bob.text(link, 0) == b"pay me"
    assert len(bob.ups) == 1
    assert one_usable_link(network, alice, bob)


def test_a_replay_to_a_peer_that_restarted_stores_nothing_and_links_nobody():
    network = Network()
    firsts = record_first_packet(network)
    alice, bob = network.node("alice"), network.node("bob")
    alice.connect(bob, early=b"pay me")
    network.run(1)
    bob.restart()
    bob.ups.clear()
    bob.received.clear()
    network.nodes.remove(alice)
    bob.sent_bytes = 0
    network.inject(network.now, Path("sim", "mallory"), bob, firsts[0])
    network.run(60)
    assert (bob.ups, bob.received, dict(bob.endpoint.links)) == ([], {}, {})
    assert bob.sent_bytes <= 3 * len(firsts[0])
    assert bob.endpoint.next_wakeup() is None


def test_a_flood_of_strangers_is_held_off_by_cookies_in_bounded_memory():
    network = Network()
    target = network.node("target")
    friend = network.node("friend")
    firsts = record_first_packet(network)
    for number in range(300):
        stranger = network.node(f"stranger {number}")
        stranger.connect(target)
        network.nodes.remove(stranger)
    for round_ in range(4):
        for first in firsts:
            network.inject(
                network.now + round_ * 0.2, Path("sim", "spoofed"), target, first
            )
    network.run(0.5)
    config = LinkConfig()
    assert target.endpoint.counters["cookies"] > 500
    assert target.endpoint.pending <= config.pending_limit
    assert target.sent_bytes <= 3 * sum(map(len, firsts)) * 4
    friend.connect(target)
    assert network.run(3, lambda: bool(friend.ups and target.ups))
    network.run(20)
    assert target.endpoint.pending == 0


def test_who_does_not_know_the_peer_id_gets_no_answer():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    firsts = record_first_packet(network)
    alice.endpoint.connect(bytes(31) + b"\x09", bob.path, network.now)
    alice.flush()
    network.run(5)
    assert firsts
    assert bob.sent_packets == 0
    assert bob.endpoint.counters["refused initiation"] == len(firsts)


def test_another_version_is_answered_with_ours():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    noise = bytes(packet.INITIATION_NOISE)
    first = packet.initiation(b"abcd", noise, packet.mac1_key(bob.endpoint.peer_id), None)
    signed = bytes((packet.INITIATION, 9)) + first[2:-32]
    data = signed + packet.mac(packet.mac1_key(bob.endpoint.peer_id), signed) + bytes(16)
    bob.endpoint.receive([Datagram(alice.path, data)], network.now)
    (answer,) = bob.endpoint.outgoing(network.now)
    assert packet.parse_versions(bytes(answer.data)) == (b"abcd", b"\x01")


def test_a_handshake_goes_by_whichever_path_works():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    alice.endpoint.connect(bob.endpoint.peer_id, Path("sim", "nowhere"), network.now)
    alice.flush()
    network.run(1)
    alice.connect(bob)
    assert network.run(0.1, lambda: bool(bob.ups))
    network.run(5)
    assert alice.link_to(bob).paths == [bob.path]


def test_two_handshakes_that_both_succeed_leave_the_lower_peers_link():
    network = Network()
    low, high = sorted(
        (network.node("alice"), network.node("bob")), key=lambda node: node.endpoint.peer_id
    )

    def pass_on(sender: Node, receiver: Node, packets: list[Datagram]) -> list[Datagram]:
        batch = [Datagram(sender.path, packet.data) for packet in packets]
        receiver.endpoint.receive(batch, network.now)
        return receiver.endpoint.outgoing(network.now)

    high.endpoint.connect(low.endpoint.peer_id, low.path, network.now)
    stale = high.endpoint.outgoing(network.now)
    low.endpoint.connect(high.endpoint.peer_id, high.path, network.now)
    answer = pass_on(low, high, low.endpoint.outgoing(network.now))
    confirmation = pass_on(high, low, answer)
    right = low.link_to(high)
    late_answer = pass_on(high, low, stale)
    late_confirmation = pass_on(low, high, late_answer)
    assert high.link_to(low).binding != right.binding
    for datagram in pass_on(low, high, confirmation):
        network.send(high, datagram)
    assert high.link_to(low).binding == right.binding
    for datagram in pass_on(high, low, late_confirmation):
        network.send(low, datagram)
    network.run(5)
    assert low.link_to(high) is right
    assert one_usable_link(network, low, high)
    assert len(low.ups) == 1
