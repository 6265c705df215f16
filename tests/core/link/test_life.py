"""What a link survives, and how it ends: moves, new keys, silence, goodbyes."""

import pytest

from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.path import Path, Traits
from tests.core.link.pair import Network, Wire, linked


def test_an_idle_link_sends_two_packets_a_minute_and_lives():
    network = Network()
    alice, bob = linked(network)
    network.run(60)
    before = alice.sent_packets, bob.sent_packets
    network.run(600)
    assert alice.sent_packets - before[0] <= 21
    assert bob.sent_packets - before[1] <= 21
    assert alice.downs == bob.downs == []


def test_the_side_that_waits_notices_too():
    network = Network()
    alice, bob = linked(network)
    network.nodes.remove(alice)
    network.run(89)
    assert [reason for _, reason in bob.downs] == ["no answer"]


def test_unanswered_bytes_end_the_link_in_ten_seconds():
    network = Network()
    alice, _ = linked(network)
    network.run(1)
    network.wire("alice", "bob").cut = network.wire("bob", "alice").cut = True
    alice.ups[0].write(1, b"anybody there?")
    start = network.now
    assert network.run(12, lambda: bool(alice.downs))
    assert 9 < network.now - start < 11
    assert alice.sent_packets < 60
    alice.ups[0].write(1, b"goes nowhere")
    assert alice.ups[0].buffered(1) == 0


def test_a_clock_that_jumps_ahead_ends_the_link_and_nothing_else():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    network.now += 50 * 365 * 86_400
    network.run(1)
    assert alice.downs
    assert bob.downs
    alice.connect(bob)
    assert network.run(1, lambda: len(alice.ups) == len(bob.ups) == 2)


def test_a_goodbye_tells_its_reason_even_if_the_first_is_lost():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    network.wire("alice", "bob").cut = True
    alice.ups[0].close("going home")
    network.run(0.1)
    network.wire("alice", "bob").cut = False
    bob.ups[0].write(1, b"still there?")
    network.run(1)
    assert alice.downs == [(alice.ups[0], "going home")]
    assert bob.downs == [(bob.ups[0], "closed by the other side: going home")]


def test_a_peer_that_moves_keeps_its_link():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    alice.address = "alice elsewhere"
    alice.ups[0].write(1, b"I moved")
    bob.ups[0].write(1, bytes(200_000))
    assert network.run(5, lambda: len(alice.text(alice.ups[0], 1)) == 200_000)
    assert bob.text(bob.ups[0], 1) == b"I moved"
    assert bob.ups[0].path == alice.path
    assert alice.downs == bob.downs == []


def test_a_copied_packet_from_elsewhere_moves_nothing_and_is_not_amplified():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    to_mallory = []
    mallory = Path("sim", "mallory")

    def watch(sender, to, data):
        if sender is alice and to == bob.path:
            network.inject(network.now, mallory, bob, data)
            spoofed.append(len(data))
        if to == mallory:
            to_mallory.append(len(data))

    spoofed: list[int] = []
    network.watch = watch
    alice.ups[0].write(1, bytes(500_000))
    bob.ups[0].write(1, bytes(500_000))
    network.run(10)
    assert len(bob.text(bob.ups[0], 1)) == len(alice.text(alice.ups[0], 1)) == 500_000
    assert bob.ups[0].path == alice.path
    assert 0 < sum(to_mallory) <= 3 * sum(spoofed)
    assert sum(to_mallory) < 1_000


def test_a_cheaper_path_is_proved_and_then_used():
    network = Network()
    alice, bob = linked(network)
    network.run(1)
    link = alice.ups[0]
    costs = {"dear": Traits(cost=5), "cheap": Traits(cost=-1)}
    alice.endpoint.traits_of = lambda path: costs.get(path.transport, Traits())
    alice.endpoint.connect(bob.endpoint.peer_id, Path("dear", "bob"), network.now)
    alice.flush()
    network.run(1)
    assert link.path == bob.path
    assert len(link.paths) == 2
    alice.endpoint.connect(bob.endpoint.peer_id, Path("cheap", "bob"), network.now)
    alice.flush()
    network.run(1)
    assert link.path == Path("cheap", "bob")


def test_a_lost_path_is_replaced_at_once_by_another():
    network = Network()
    alice, bob = linked(network)
    link = alice.ups[0]
    other = Path("other", "bob")
    alice.endpoint.connect(bob.endpoint.peer_id, other, network.now)
    alice.flush()
    network.run(1)
    link.write(1, bytes(300_000))
    alice.endpoint.path_lost(bob.path, network.now)
    assert link.path == other
    network.run(5)
    assert len(bob.text(bob.ups[0], 1)) == 300_000


def test_a_link_without_another_path_goes_down_with_its_path_at_once():
    network = Network()
    alice, bob = linked(network)
    alice.endpoint.path_lost(bob.path, network.now)
    alice.flush()
    assert alice.downs == [(alice.ups[0], "path lost")]


def test_a_path_that_dies_silently_is_replaced_by_another():
    network = Network()
    alice, bob = linked(network)
    bob_again = network.node("bob's cable")
    network.nodes.remove(bob_again)
    real_send = network.send

    def send(sender, datagram):
        if datagram.path.address == "bob's cable":
            datagram = datagram._replace(path=bob.path)
        elif sender is alice and dead:
            return
        real_send(sender, datagram)

    dead = False
    network.send = send
    alice.endpoint.connect(bob.endpoint.peer_id, Path("sim", "bob's cable"), network.now)
    alice.flush()
    network.run(1)
    dead = True
    alice.ups[0].write(1, b"by the other way")
    assert network.run(3, lambda: bob.text(bob.ups[0], 1) == b"by the other way")
    assert alice.ups[0].path == Path("sim", "bob's cable")


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_keys_are_renewed_by_volume_from_both_sides(loss):
    network = Network(5)
    network.default = Wire(latency=0.005, loss=loss, jitter=0.003)
    config = LinkConfig(renew_packets=100)
    alice, bob = network.node("alice", config), network.node("bob", config)
    alice.connect(bob)
    assert network.run(5, lambda: bool(alice.ups and bob.ups))
    data = network.random.randbytes(2_000_000)
    alice.ups[0].write(3, data)
    bob.ups[0].write(3, data)
    assert network.run(120, lambda: len(alice.text(alice.ups[0], 3)) == len(data))
    assert network.run(120, lambda: len(bob.text(bob.ups[0], 3)) == len(data))
    assert alice.text(alice.ups[0], 3) == bob.text(bob.ups[0], 3) == data
    assert alice.endpoint.counters["renewed"] + bob.endpoint.counters["renewed"] >= 10


def test_keys_are_renewed_by_time_while_anything_is_sent():
    network = Network()
    alice, bob = linked(network)
    network.run(3_600)
    renewed = alice.endpoint.counters["renewed"] + bob.endpoint.counters["renewed"]
    assert 5 <= renewed <= 14
    assert alice.endpoint.counters["unopened"] == bob.endpoint.counters["unopened"] == 0
