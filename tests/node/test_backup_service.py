"""A backup as programs ask for it: begun, followed, called off, one at a time."""

import asyncio
import threading

import pytest

from meshpeer.errors import UsageError
from meshpeer.node import backup
from meshpeer.node.backup_service import BackupService
from meshpeer.node.config import parse
from meshpeer.node.device_facade import NewBackup
from meshpeer.node.node import Node
from meshpeer.node.restoring import restore
from meshpeer.node.state import State
from tests.node.machines import WORDS
from tests.node.test_faults import QUIET

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def run(tmp_path):
    """Runs a story with the service of a running peer."""
    state = State(tmp_path / "ann")
    state.create()

    def run(story):
        async def told():
            node = Node(state, parse(QUIET, "quiet"))
            await node.start()
            try:
                return await story(BackupService(node))
            finally:
                await node.close()

        return asyncio.run(told())

    return run


async def ended(service):
    await asyncio.to_thread(service._job.ended.wait)
    return await service.backup()


def test_a_running_peer_is_backed_up_and_comes_back(run, tmp_path):
    async def story(service):
        assert (await service.backup()).state == "none"
        begun = await service.begin_backup(NewBackup(str(tmp_path / "b"), WORDS))
        assert begun.path == str(tmp_path / "b")
        return await ended(service)

    told = run(story)
    assert (told.state, told.bytes) == ("done", (tmp_path / "b").stat().st_size)
    assert told.done == told.total > 0
    assert restore(tmp_path / "b", State(tmp_path / "back"), WORDS).nickname == "ann"


def test_what_can_be_refused_at_once_is(run, tmp_path):
    (tmp_path / "photo").write_bytes(b"photo")

    async def story(service):
        for path, words in (("photo", WORDS), ("b", "short"), ("no/such", WORDS)):
            with pytest.raises(UsageError):
                await service.begin_backup(NewBackup(str(tmp_path / path), words))
        return await service.backup()

    assert run(story).state == "none"


@pytest.fixture
def slow(monkeypatch):
    """A disk that takes nothing until it is let go."""
    reached, go = threading.Event(), threading.Event()

    def waits(state, path, passphrase, *, nickname, progress):
        reached.set()
        go.wait(60)
        progress(1, 2)
        return 0

    monkeypatch.setattr(backup, "make_backup", waits)
    return reached, go


def test_one_backup_at_a_time_and_it_can_be_called_off(run, tmp_path, slow):
    reached, go = slow

    async def story(service):
        await service.begin_backup(NewBackup(str(tmp_path / "b"), WORDS))
        await asyncio.to_thread(reached.wait)
        with pytest.raises(UsageError, match="being made already"):
            await service.begin_backup(NewBackup(str(tmp_path / "c"), WORDS))
        ending = asyncio.create_task(service.cancel_backup())
        await asyncio.sleep(0)
        go.set()
        return await ending

    told = run(story)
    assert (told.state, told.error) == ("failed", "UsageError")
    assert "called off" in told.why


def test_a_peer_that_is_told_to_stop_does_not_wait_for_its_backup(run, tmp_path, slow):
    reached, go = slow

    async def story(service):
        await service.begin_backup(NewBackup(str(tmp_path / "b"), WORDS))
        await asyncio.to_thread(reached.wait)

    run(story)
    go.set()


@pytest.mark.parametrize(
    ("fault", "error"),
    [(OSError(28, "No space left"), "StoreError"), (ValueError(), "MeshpeerError")],
)
def test_whatever_goes_wrong_is_told_and_the_next_may_begin(
    run, tmp_path, monkeypatch, fault, error
):
    def fails(*given, **named):
        raise fault

    monkeypatch.setattr(backup, "make_backup", fails)

    async def story(service):
        for _ in range(2):
            await service.begin_backup(NewBackup(str(tmp_path / "b"), WORDS))
            told = await ended(service)
        return told

    told = run(story)
    assert (told.state, told.error) == ("failed", error)
    assert told.why
