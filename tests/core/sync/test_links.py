"""Sync over the real link: loss, reordering, duplication, flow control, a link that dies."""

import pytest

from meshpeer.core.link.events import LinkDown, LinkUp, Readable, Writable
from meshpeer.core.sync.account import Account, Kind
from tests.core.link.pair import Network, Wire
from tests.core.sync.village import Peer, Village, bundle, receipt


class Neighbourhood:
    """Peers whose links are endpoints on the simulated network."""

    def __init__(self, wire):
        self.network, self.village = Network(seed=7), Village()
        self.network.default = wire

    def peer(self, name):
        node, peer = self.network.node(name), Peer(name)
        peer.id = node.endpoint.peer_id
        peer.node = node
        node.reads = False
        node.on_event = lambda event: self.happened(peer, event)
        return peer

    def happened(self, peer, event):
        self.village.now = now = self.network.now
        match event:
            case LinkUp(link):
                peer.sync.link_up(link, Account(Kind.CONTACT, link.peer_id.hex()), now)
            case LinkDown(link):
                peer.sync.link_down(link, now)
            case Readable(link):
                peer.sync.readable(link, now)
            case Writable(link):
                peer.sync.writable(link, now)
        while self.village.work(peer):
            pass

    def submit(self, peer, b):
        peer.sync.submit(b, self.network.now)
        while self.village.work(peer):
            pass


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_thousand_bundles_each_way_over_a_bad_road(loss):
    town = Neighbourhood(Wire(latency=0.02, loss=loss, duplicate=loss, jitter=loss / 10))
    ann, bob = town.peer("ann"), town.peer("bob")
    for n in range(500):
        town.submit(ann, bundle(n))
        town.submit(bob, bundle(1_000 + n))
        ann.sync.add_value(receipt(10_000 + n), 24, 0.0)
    for n in range(5):
        town.submit(ann, bundle(2_000 + n, size=250_000))
    ann.node.connect(bob.node)
    network = town.network
    assert network.run(120, lambda: len(ann.queue) == len(bob.queue) == 1_005)
    assert bob.queue.values.order.sum(0, 500) == ann.queue.values.order.sum(0, 500)
    network.run(5)
    assert all(bob.queue.carried.has(id, ann.id) for id in bob.queue)
    assert sum(ann.queue.carried.has(id, bob.id) for id in ann.queue) == 1_005


def test_what_a_lost_link_cut_goes_on_over_the_next():
    town = Neighbourhood(Wire(latency=0.01, rate=2_000_000))
    ann, bob = town.peer("ann"), town.peer("bob")
    big = bundle(1, size=320_000)
    town.submit(ann, big)
    ann.node.connect(bob.node)
    network = town.network
    network.run(1.0)
    for node in (ann.node, bob.node):
        other = bob.node if node is ann.node else ann.node
        node.endpoint.path_lost(other.path, network.now)
        node.flush()
    before = ann.node.sent_bytes
    assert 100_000 < before < 320_000
    network.run(1.0)
    ann.node.connect(bob.node)
    assert network.run(5, lambda: bob.holds(big))
    assert ann.node.sent_bytes - before < 320_000 - before + 60_000


def test_what_a_full_disk_cannot_take_waits_at_the_neighbour():
    town = Neighbourhood(Wire(latency=0.001))
    ann, bob = town.peer("ann"), town.peer("bob")
    for n in range(40):
        town.submit(ann, bundle(n, size=300_000))
    bob.full = True
    ann.node.connect(bob.node)
    town.network.run(5)
    assert not bob.disk.bundles
    assert bob.queue.shares.used < 1_000_000
    assert not any(ann.queue.carried.has(id, bob.id) for id in ann.queue)
    bob.full = False
    bob.sync.wake(town.network.now)
    while town.village.work(bob):
        pass
    assert town.network.run(5, lambda: len(bob.disk.bundles) == 40)
