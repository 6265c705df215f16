"""The disk's side of the journal: in order, one batch at a time, and patient with a full disk."""

import asyncio

import pytest

from meshpeer.core.journal import Journal
from meshpeer.core.writes import PutSetting
from meshpeer.errors import StoreFullError
from meshpeer.node import writer
from meshpeer.node.writer import Writer
from store.store import Store


class Desk:
    """A journal, a store that can be kept from growing, and the writer between them."""

    def __init__(self, path):
        self.store, self.journal = Store(path), Journal()
        self.batches, self.errors = [], []
        self.happened = asyncio.Event()
        self.writer = Writer(
            self.store, self.journal, committed=self._committed, failed=self._failed
        )

    def _committed(self, batch):
        self.batches.append(batch)
        self.journal.committed(0.0)
        self.writer.turn()
        self.happened.set()

    def _failed(self, error):
        self.errors.append(error)
        self.journal.failed()
        self.happened.set()

    async def until(self, holds):
        async with asyncio.timeout(10):
            while not holds():
                self.happened.clear()
                await self.happened.wait()

    def fill(self):
        """Let the database have no page more than it has."""
        db = self.store._db.conn
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self):
        self.store._db.conn.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Runs a story with a desk, whose pauses after failures are short."""
    monkeypatch.setattr(writer, "RETRY", 0.01)

    def run(tell):
        async def told():
            desk = Desk(tmp_path / "meshpeer.db")
            try:
                await tell(desk)
            finally:
                await desk.writer.close()
                desk.store.close()

        asyncio.run(told())

    return run


def setting(number, size=10):
    return PutSetting(f"name {number}", bytes(size))


def test_what_comes_while_the_disk_is_busy_is_one_batch(story):
    async def tell(desk):
        desk.journal.add(setting(1))
        desk.writer.turn()
        desk.journal.add(setting(2))
        desk.writer.turn()
        desk.journal.add(setting(3))
        desk.writer.turn()
        await desk.until(lambda: len(desk.batches) == 2)
        assert desk.batches == [[setting(1)], [setting(2), setting(3)]]

    story(tell)


def test_a_full_disk_is_asked_again_and_nothing_is_lost_or_overtaken(story):
    async def tell(desk):
        desk.fill()
        big, durable = setting(1, 50_000), []
        desk.journal.add(big)
        desk.journal.then(durable.append)
        desk.writer.turn()
        await desk.until(lambda: len(desk.errors) >= 2)
        desk.journal.add(setting(2))
        desk.writer.turn()
        assert not desk.batches
        assert not durable
        assert all(isinstance(error, StoreFullError) for error in desk.errors)
        desk.make_room()
        await desk.until(lambda: len(desk.journal) == 0)
        assert [write for batch in desk.batches for write in batch] == [big, setting(2)]
        assert durable
        assert set(desk.store.settings()) >= {"name 1", "name 2"}

    story(tell)


def test_the_end_commits_what_waits(story, tmp_path):
    async def tell(desk):
        desk.journal.add(setting(1))
        desk.writer.turn()
        desk.journal.add(setting(2))

    story(tell)
    store = Store(tmp_path / "meshpeer.db")
    assert set(store.settings()) >= {"name 1", "name 2"}
    store.close()


def test_the_end_commits_what_would_have_waited_for_a_minute(story, tmp_path):
    async def tell(desk):
        desk.journal.aside(setting(1), 0.0)
        desk.writer.turn()
        assert len(desk.journal) == 1
        assert not desk.batches

    story(tell)
    store = Store(tmp_path / "meshpeer.db")
    assert "name 1" in set(store.settings())
    store.close()
