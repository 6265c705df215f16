"""What our own faults may cost: one turn and a line in the log, never the peer's work."""

import asyncio
import logging

import pytest

from meshpeer.core.journal import Journal
from meshpeer.core.writes import PutBundle, PutSetting
from meshpeer.errors import StoreError
from meshpeer.node.config import parse
from meshpeer.node.node import Node
from meshpeer.node.state import State
from meshpeer.node.writer import Writer
from store.store import Store
from tests.core.sync.village import bundle
from tests.store.test_check import damage, pages

QUIET = """
nickname = "ann"
[lan]
on = false
[udp]
port = 0
listen = ["127.0.0.1"]
"""


@pytest.fixture
def node(tmp_path):
    state = State(tmp_path / "ann")
    state.create()
    return lambda: Node(state, parse(QUIET, "quiet"))


def test_a_fault_in_a_turn_is_logged_and_the_timer_goes_on(node, caplog):
    async def story():
        ann = node()
        await ann.start()
        woken, wake = asyncio.Event(), ann.peer.wake

        def faulty(now):
            ann.peer.wake = lambda now: (wake(now), woken.set())
            raise KeyError("whatever")

        ann.peer.wake, ann.peer.next_wakeup = faulty, lambda: ann.now() + 0.01
        ann.soon()
        async with asyncio.timeout(5):
            await woken.wait()
        await ann.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("meshpeer.node", "a fault; the peer goes on")
    ]


def test_a_fault_in_the_store_is_told_and_tried_again(monkeypatch):
    async def story():
        store, journal, errors = Store(":memory:"), Journal(), []
        done = asyncio.Event()

        def failed(error):
            errors.append(error)
            journal.failed()
            done.set()

        writer = Writer(store, journal, committed=lambda batch: None, failed=failed)
        monkeypatch.setattr(store, "commit", lambda batch: [][0])
        journal.add(PutSetting("name", b"value"))
        writer.turn()
        async with asyncio.timeout(5):
            await done.wait()
        assert [type(error) for error in errors] == [StoreError]
        assert len(journal) == 1
        monkeypatch.undo()
        writer._committed = lambda batch: journal.committed(0.0)
        await writer.close()
        assert len(journal) == 0

    asyncio.run(story())


class Waiting:
    """Who asked the disk for bundles."""

    def __init__(self):
        self.wires, self.done = {}, asyncio.Event()

    def loaded(self, id, wire, now):
        self.wires[id] = wire
        if len(self.wires) == 100:
            self.done.set()


def test_a_broken_page_keeps_back_only_the_bundles_on_it(tmp_path, node, caplog):
    database = tmp_path / "ann" / "meshpeer.db"

    async def story():
        ann, waiting = node(), Waiting()
        letters = [bundle(n, size=2_000) for n in range(100)]
        puts = [PutBundle(b.id, b.wire, "contact:x", 0.0, 0.0, False) for b in letters]
        ann.store.commit(puts)
        ann.store.close()
        damage(database, pages(database, "payload")[3])
        ann = node()
        await ann.start()
        for b in letters:
            ann.peer.sync._depot.load(b.id, waiting)
        ann.soon()
        async with asyncio.timeout(5):
            await waiting.done.wait()
        await ann.close()
        missing = [b for b in letters if waiting.wires[b.id] is None]
        assert 0 < len(missing) <= 2
        assert all(waiting.wires[b.id] == b.wire for b in letters if b not in missing)

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    assert {record.getMessage() for record in caplog.records} == {"the disk can't be read"}


def test_a_fault_in_what_came_in_costs_no_turn(node):
    async def story():
        ann = node()
        await ann.start()
        turned = asyncio.Event()

        def faulty(batch, now):
            ann.turn = turned.set
            raise KeyError("whatever")

        ann.peer.receive = faulty
        with pytest.raises(KeyError):
            ann._receive([])
        async with asyncio.timeout(5):
            await turned.wait()
        del ann.turn
        await ann.close()

    asyncio.run(story())
