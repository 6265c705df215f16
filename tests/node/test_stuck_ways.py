"""A radio that is jammed never gets room again: that must not stop the cable beside it."""

import asyncio

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.node.unsent import HELD_UP_S, WAITING_LEAST, WAITING_S, Unsent
from tests.node.test_full_ways import Modem, linked, make_node
from transports.memory import Hub

__all__ = ["make_node"]

JAMMED = Path("modem", "far")


class Cells(Modem):
    """Two cells in one transport: the first is jammed, and declares no rate."""

    def traits_of(self, path):
        return Traits(medium=str(path.address).partition("/")[0])

    def send(self, batch):
        for number, datagram in enumerate(batch):
            if str(datagram.path.address).startswith("jammed"):
                return number
            self.taken += 1
        return len(batch)


def test_a_jammed_radio_does_not_stop_the_cable(make_node):
    async def story():
        ann = make_node("ann", Modem(Hub(), "cell", traits=Traits(medium="cell")))
        bob = make_node("bob")
        await ann.start()
        await bob.start()
        ann.dialer.learn(bytes(31) + b"\x09", JAMMED, ann.now(), configured=True)
        ann.turn()
        assert ann._unsent.waiting == 1
        ann.dialer.learn(bob.peer.id, Path("memory", "bob"), ann.now(), configured=True)
        ann.turn()
        await linked(ann, bob)
        assert ann._unsent.waiting
        await ann.close()
        await bob.close()

    asyncio.run(story())


def test_a_jammed_cell_does_not_stop_the_cell_beside_it():
    cells = Cells(Hub(), "cells")
    unsent = Unsent({"modem": cells})
    unsent.send([Datagram(Path("modem", "jammed/1"), b"?")], now=0.0)
    unsent.send([Datagram(Path("modem", "free/1"), b"!")], now=0.0)
    assert cells.taken == 1
    assert unsent.waiting == 1


def test_a_full_way_holds_up_the_core_for_a_moment_only():
    modem = Modem(Hub(), "tnc")
    unsent = Unsent({"modem": modem})
    unsent.send([Datagram(JAMMED, b"?")] * 3, now=10.0)
    assert unsent.held_up(10.0)
    assert unsent.next_wakeup(10.0) == 10.0 + HELD_UP_S
    unsent.send([Datagram(JAMMED, b"?")], now=10.0 + HELD_UP_S / 2)
    assert not unsent.held_up(10.0 + HELD_UP_S)
    assert unsent.next_wakeup(10.0 + HELD_UP_S) is None
    modem.room = True
    unsent.retry(now=20.0)
    assert modem.taken == 4
    modem.room = False
    unsent.send([Datagram(JAMMED, b"?")], now=20.0)
    assert unsent.held_up(20.0)


def test_nor_does_one_that_crawls():
    class OneByOne(Modem):
        def send(self, batch):
            return 1

    unsent = Unsent({"modem": OneByOne(Hub(), "tnc")})
    unsent.send([Datagram(JAMMED, b"?")] * 9, now=0.0)
    unsent.retry(now=HELD_UP_S / 2)
    assert unsent.held_up(HELD_UP_S / 2)
    unsent.retry(now=HELD_UP_S)
    assert not unsent.held_up(HELD_UP_S)


def test_what_waits_for_a_slow_medium_is_gone_in_half_a_minute():
    traits = Traits(payload_limit=500, rate=9_600.0, medium="tnc")
    unsent = Unsent({"modem": Modem(Hub(), "tnc", traits=traits)})
    for _ in range(300):
        unsent.send([Datagram(JAMMED, bytes(200))], now=0.0)
    assert unsent.waiting * 200 <= 9_600 / 8 * WAITING_S
    slowest = traits._replace(rate=300.0)
    unsent = Unsent({"modem": Modem(Hub(), "tnc", traits=slowest)})
    unsent.send([Datagram(JAMMED, bytes(500))] * 99, now=0.0)
    assert unsent.waiting == WAITING_LEAST
