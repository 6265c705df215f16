"""A crash before and behind each commit of each of three peers: what was promised must hold.

Alice writes to bob, and carol carries between them. Two messages arrive, one is asked back. Each
run crashes one peer at one of its commits, once before it and once right behind it, when nothing
that waited for it was done yet; then everybody goes on from the disk.
"""

import itertools
from random import Random

import pytest

from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.identity.preimage import one_way
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.people import Own
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import Box, DeliveryState
from store.restore import restore_peer
from store.store import Store
from tests.core.sync.village import Village

NOW = 100.0
LONG, SHORT, REGRETTED = "long" * 3_000, "short", "regretted"


class Crash(Exception):
    """The machine of this peer lost its power."""


class Node:
    """A peer whose disk outlives it."""

    def __init__(self, name):
        self.name, self.store = name, Store(":memory:")
        rng = Random(name).randbytes
        self.rng, self.static = rng, KeyPair.generate(rng)
        self.person = PersonKey.generate(rng)
        device, sealing = DeviceKey.generate(rng), KeyPair.generate(rng)
        certificate = Certificate(device.public, sealing.public, self.static.public)
        card = Card.sign(self.person, number=1, nickname=name, devices=[certificate])
        self.own = Own(card, device, sealing)
        self.crash_at, self.before, self.commits = 0, False, 0
        self.start()

    def start(self):
        self.peer = restore_peer(
            self.store,
            static=self.static,
            own=[self.own],
            limits=Limits(),
            rng=self.rng,
            wall=lambda: 0.0,
            now=NOW,
            prefix=lambda path: path.transport,
        )
        self.id, self.sync, self.events = self.peer.id, self.peer.sync, []

    def commit(self, now):
        batch = self.peer.journal.take()
        if batch is None:
            return False
        self.commits += 1
        crashes = self.commits == self.crash_at
        if crashes and self.before:
            raise Crash(self)
        self.store.commit(batch)
        if crashes:
            raise Crash(self)
        self.peer.committed(now)
        return True

    def knows(self, other):
        self.peer.journal.add(
            self.peer.mail.people.accept(other.own.card, None, wall=0),
            self.peer.mail.people.introduce(other.person.public),
        )
        self.store.commit(self.peer.journal.take())
        self.peer.committed(NOW)

    def written(self):
        return {row.text: row for row in self.store.messages(Box.OUTBOX)}

    def state(self, text):
        (delivery,) = self.store.deliveries([self.written()[text].number])
        return delivery.state

    def shown(self):
        return sorted(row.text for row in self.store.messages(Box.INBOX))

    def held(self):
        return [row.id for row in self.store.queue_index()]


class World(Village):
    """Alice, bob and carol, who meet in turns."""

    def __init__(self):
        super().__init__(NOW)
        self.alice, self.bob, self.carol = map(Node, ("alice", "bob", "carol"))
        self.everybody = self.alice, self.bob, self.carol
        self.alice.knows(self.bob)
        self.bob.knows(self.alice)

    def work(self, node):
        node.peer.wake(self.now)
        ids = node.peer.loads()
        if ids:
            found = node.store.wires(ids)
            node.peer.loaded({id: found.get(id) for id in ids}, self.now)
        moved = node.commit(self.now)
        self.check()
        return moved or bool(ids)

    def live(self):
        """All that was to happen, from wherever the disks are."""
        for text in (LONG, SHORT, REGRETTED):
            if text not in self.alice.written():
                self.alice.peer.send(
                    self.alice.own,
                    self.alice.peer.mail.people.get(self.bob.person.public),
                    Draft(text),
                    self.now,
                )
                self.settle(self.alice)
        self.meet(self.alice, self.carol)
        if self.alice.state(REGRETTED) < DeliveryState.RECALL_ASKED:
            self.alice.peer.recall(self.alice.written()[REGRETTED].message_id, self.now)
            self.settle(self.alice)
        self.meet(self.alice, self.carol)
        self.meet(self.carol, self.bob)
        self.meet(self.bob, self.carol)
        self.meet(self.carol, self.alice)

    def settle(self, node):
        while self.work(node):
            pass

    def crash(self, node):
        for pipe in list(self.pipes):
            if pipe.near is not node:
                pipe.closed = "gone"
                pipe.near.sync.link_down(pipe, self.now)
        self.pipes.clear()
        node.start()

    def check(self):
        """What holds at each moment."""
        received = [row.message_id for row in self.bob.store.messages(Box.INBOX)]
        assert len(received) == len(set(received))
        values = {row.value for node in self.everybody for row in node.store.values()}
        values |= {
            value.id
            for node in self.everybody
            for value in node.peer.sync.queue.values.order
        }
        for row in self.alice.written().values():
            (delivery,) = self.alice.store.deliveries([row.number])
            if delivery.receipt in values or delivery.state is DeliveryState.ARRIVED:
                assert row.message_id in received
            if one_way(delivery.receipt) in values:
                assert delivery.state >= DeliveryState.RECALL_ASKED
            if self.alice.store.carriers([row.number]):
                over = {one.id for one in self.carol.store.overs()}
                assert delivery.bundle in {*self.carol.held(), *over}
        for held in self.alice.store.queue_index():
            assert self.alice.store.delivery(held.id) is not None


def lives(name, at, *, before):
    """Whether there was such a commit, in a world where all ends well."""
    world = World()
    node = getattr(world, name)
    node.crash_at, node.before, node.commits = at, before, 0
    try:
        world.live()
    except Crash:
        world.crash(node)
        world.live()
    for node in world.everybody:
        world.settle(node)
        assert node.held() == []
    assert world.bob.shown() == sorted([LONG, SHORT])
    assert world.alice.state(LONG) is DeliveryState.ARRIVED
    assert world.alice.state(SHORT) is DeliveryState.ARRIVED
    assert world.alice.state(REGRETTED) is DeliveryState.RECALL_ASKED
    return any(node.commits >= at for node in world.everybody if node.name == name)


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_a_crash_at_any_commit_breaks_no_promise(name, before):
    for at in itertools.count(1):
        if not lives(name, at, before=before):
            assert at > 4
            return
