"""A way that is full holds up itself and no other."""

import asyncio
from math import inf

import pytest

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.node.config import parse
from meshpeer.node.node import Node
from meshpeer.node.state import State
from meshpeer.node.unsent import UNSENT_LIMIT, Unsent
from transports.memory import Hub, Memory

QUIET = """
[lan]
on = false
[udp]
port = 0
listen = ["127.0.0.1"]
"""


class Modem(Memory):
    """Takes nothing till there is room, as a modem that is sending does."""

    name = "modem"
    room = False
    taken = 0

    def send(self, batch):
        if not self.room:
            return 0
        self.taken += len(batch)
        return len(batch)


@pytest.fixture
def make_node(tmp_path, monkeypatch):
    hub = Hub()

    def make(name, *more):
        transports = [Memory(hub, name), *more]
        loaded = {each.name: each for each in transports}
        monkeypatch.setattr("meshpeer.node.node.load_transports", lambda _: loaded)
        state = State(tmp_path / name)
        state.create()
        return Node(state, parse(QUIET, name))

    return make


async def linked(node, other):
    async with asyncio.timeout(5):
        while other.peer.id not in node.peer.neighbours:
            await node.next_news().wait()


def test_a_full_modem_does_not_hold_up_the_radio(make_node):
    async def story():
        modem = Modem(Hub(), "tnc", traits=Traits(rate=300.0, medium="tnc"))
        ann, bob = make_node("ann", modem), make_node("bob")
        await ann.start()
        await bob.start()
        ann.dialer.learn(
            b"\xff" * 31 + b"\x09", Path("modem", "far"), ann.now(), configured=True
        )
        ann.turn()
        assert ann._unsent.waiting == 1
        ann.dialer.learn(bob.peer.id, Path("memory", "bob"), ann.now(), configured=True)
        ann.turn()
        await linked(ann, bob)
        modem.room = True
        modem._writable()
        assert modem.taken > 0
        assert ann._unsent.waiting == 0
        await ann.close()
        await bob.close()

    asyncio.run(story())


def test_what_waits_for_a_full_modem_has_a_limit():
    unsent = Unsent({"modem": Modem(Hub(), "tnc", traits=Traits(rate=300.0, medium="tnc"))})
    for _ in range(20):
        unsent.send([Datagram(Path("modem", "far"), b"?")] * 100, now=0.0)
    assert unsent.waiting == UNSENT_LIMIT
    assert not unsent.held_up(0.0)


def test_the_core_keeps_what_it_has_for_a_modem_that_is_full(make_node):
    """A link that would send by it waits, where what is urgent may still overtake."""
    far = Path("modem", "far")
    modem = Modem(Hub(), "tnc", traits=Traits(rate=300.0, medium="tnc"))

    async def story():
        ann = make_node("ann", modem)
        await ann.start()
        free_at = ann.peer.endpoint.free_at
        assert free_at(far) < inf
        ann._unsent.send([Datagram(far, b"?")], ann.now())
        assert free_at(far) == inf
        assert free_at(Path("memory", "near")) < inf
        modem.room = True
        ann._writable()
        assert free_at(far) < inf
        modem.room = False
        ann._unsent.send([Datagram(far, b"?")], ann.now())
        modem.room = True
        ann.set_online(False)
        ann.set_online(True)
        assert free_at(far) < inf
        await ann.close()

    asyncio.run(story())
