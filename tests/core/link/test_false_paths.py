"""Bulk goes nowhere that a neighbour only pretends to be: a false address is a third person's."""

import pytest

from meshpeer.core.link import frames
from meshpeer.core.link.path import Path
from meshpeer.core.link.paths import AMPLIFICATION
from tests.core.link.pair import Network, Node, Wire, linked

VICTIM = Path("sim", "victim")
FEW = 1_000
"""Bytes that go somewhere before anything came from there: challenges."""


class Mallory:
    """Links to bob, and says that it lives where the victim does; acknowledges what it never saw."""

    def __init__(self) -> None:
        self.network = Network()
        self.bob = self.network.node("bob")
        self.node = self.network.node("mallory")
        self.source = VICTIM
        self.got = self.pretended = 0
        self.network.wire("mallory", "bob").cut = True
        self.network.watch = self._watch

    def _watch(self, sender: Node, to: Path, data: bytes) -> None:
        if to == VICTIM:
            self.got += len(data)
        if sender is self.node:
            self._pretend(data)
            if data[0] == 1:  # the initiation once more, to read the answer
                self.network.inject(
                    self.network.now + 0.002, self.node.path, self.bob, data
                )

    def _pretend(self, data: bytes) -> None:
        self.pretended += len(data)
        self.network.inject(self.network.now + 0.001, self.source, self.bob, data)

    @property
    def gained(self) -> int:
        """Bytes that the victim got above what is allowed for those that seem to be its own."""
        return self.got - AMPLIFICATION * self.pretended

    def takes(self, size: int) -> None:
        """Have bob send so much, and say that all of it came."""
        assert self.network.run(5, lambda: bool(self.bob.ups and self.node.ups))
        link, ours = self.bob.ups[0], self.node.ups[0]
        link.write(6, bytes(size))
        for _ in range(100):
            self.bob.flush()
            sent = link._sealer.next_counter
            said = frames.ack([(max(sent - 60_000, 0), sent)], 0.0)
            self._pretend(ours._sealer.seal(said))
            self.network.run(0.02)


def test_who_calls_from_an_address_of_somebody_else_brings_no_bulk_there():
    mallory = Mallory()
    mallory.node.connect(mallory.bob)
    mallory.takes(5_000_000)
    assert mallory.gained < FEW


@pytest.mark.parametrize("source", ["victim", "elsewhere"])
@pytest.mark.parametrize("first", [True, False])
def test_who_is_called_at_several_addresses_brings_no_bulk_to_a_false_one(source, first):
    mallory = Mallory()
    mallory.source = Path("sim", source)
    bob, peer_id = mallory.bob, mallory.node.endpoint.peer_id
    paths = [VICTIM, mallory.node.path]
    for path in paths if first else reversed(paths):
        bob.endpoint.connect(peer_id, path, mallory.network.now)
    bob.flush()
    mallory.takes(5_000_000)
    assert mallory.gained < FEW


def test_who_lives_at_one_of_several_addresses_is_reached_there():
    network = Network()
    alice, bob = network.node("alice"), network.node("bob")
    for path in (VICTIM, bob.path):
        alice.endpoint.connect(bob.endpoint.peer_id, path, network.now)
    alice.flush()
    assert network.run(5, lambda: bool(alice.ups and bob.ups))
    alice.ups[0].write(1, bytes(100_000))
    bob.ups[0].write(1, bytes(100_000))
    assert network.run(5, lambda: len(alice.text(alice.ups[0], 1)) == 100_000)
    assert network.run(5, lambda: len(bob.text(bob.ups[0], 1)) == 100_000)
    assert alice.ups[0].path == bob.path


def test_who_copies_packets_faster_than_they_come_draws_no_link_to_itself():
    network = Network()
    network.default = Wire(latency=0.02)
    alice, bob = linked(network)
    mallory, swallowed = Path("sim", "mallory"), []

    def race(sender: Node, to: Path, data: bytes) -> None:
        other = bob if sender is alice else alice
        if to == mallory and len(data) > 100:
            swallowed.append(data)
            return
        at = network.now + 0.005
        network.inject(at, mallory, other, data)
        network.inject(at, sender.path, other, data)

    network.watch = race
    alice.ups[0].write(6, bytes(200_000))
    bob.ups[0].write(1, b"hello")
    assert network.run(5, lambda: len(bob.text(bob.ups[0], 6)) == 200_000)
    network.run(2)
    assert (alice.ups[0].path, bob.ups[0].path) == (bob.path, alice.path)
    swallowed.clear()
    alice.ups[0].write(6, bytes(200_000))
    assert network.run(1, lambda: len(bob.text(bob.ups[0], 6)) == 400_000)
    assert not swallowed
