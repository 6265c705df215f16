"""Killed, full, broken underneath, from the future: nothing acknowledged is lost."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest
from sqlite_utils import Database

from meshpeer.core.chain_writes import DropLog, PutLog
from meshpeer.core.file_writes import DropFile, PutBlob, PutFile
from meshpeer.core.formats.bundle import HEADER_SIZE
from meshpeer.core.writes import DropBundle, PutBundle, PutOver, PutSetting
from meshpeer.errors import StoreError, StoreFullError, StoreTooNewError
from store import reserve, schema
from store.store import Store
from tests.store.author import Author

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMITTER = ROOT / "tests/store/committer.py"
KILLS = int(os.environ.get("MESHPEER_KILLS", "5"))


def bundle(number: int, size: int = 20_000) -> PutBundle:
    wire = bytes(HEADER_SIZE) + os.urandom(size)
    return PutBundle(number.to_bytes(32, "big"), wire, "stranger:x", 1.0, 1.0, False)


def held(store: Store) -> list[int]:
    return [int.from_bytes(row.id, "big") for row in store.queue_index()]


def test_kill_9_at_random_moments_loses_nothing_acknowledged(tmp_path):
    database, rng, number = tmp_path / "meshpeer.db", Random(3), 1
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, COMMITTER, database, "100000", "FULL", str(number)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        )
        first = child.stdout.readline()
        threading.Timer(rng.uniform(0.0, 0.3), child.kill).start()
        lines = [first, *child.stdout]
        child.wait()
        child.stdout.close()
        acknowledged = int(next(line for line in reversed(lines) if line.endswith(b"\n")))
        store = Store(database)
        assert set(range(1, acknowledged + 1)) <= set(held(store))
        assert store.event_range()[1] == len(held(store)), "a batch is there whole or not"
        number = len(held(store)) + 1
        store.close()


def fill(store: Store) -> int:
    """Commit until the disk says no; give how many bundles were acknowledged."""
    for number in range(1, 10_000):
        try:
            store.commit([bundle(number)])
        except StoreFullError:
            return number - 1
    raise AssertionError("the disk is endless")


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    made = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", tmp_path]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("no mounts here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_keeps_what_is_held_and_goes_on_when_there_is_room(
    small_disk, monkeypatch
):
    monkeypatch.setattr(reserve, "RESERVE", 0)
    store = Store(small_disk / "meshpeer.db")
    count = fill(store)
    assert count > 20
    assert held(store) == list(range(1, count + 1))
    with pytest.raises(StoreFullError):
        store.commit([bundle(count + 1)])
    subprocess.run(["mount", "-o", "remount,size=32m", small_disk], check=True)
    store.commit([bundle(count + 1), DropBundle(bundle(1).id)])
    store.close()
    store = Store(small_disk / "meshpeer.db")
    assert held(store) == list(range(2, count + 2))
    store.close()


def test_the_last_room_of_a_disk_is_kept_for_forgetting(small_disk):
    store = Store(small_disk / "meshpeer.db")
    count = fill(store)
    dropped = [DropBundle(bundle(n).id) for n in range(1, 4)]
    store.commit([PutOver(drop.id, 9.0, "stranger:x") for drop in dropped])
    with pytest.raises(StoreFullError):
        store.commit([*dropped, *(bundle(count + n) for n in range(1, 5))])
    store.commit([*dropped, *(bundle(count + n, 15_000) for n in range(1, 4))])
    assert held(store) == list(range(4, count + 4))
    for number in range(4, count + 4):
        store.commit([DropBundle(bundle(number).id)])
    assert fill(store) > 0.8 * count, "what was dropped made room"
    store.close()


def test_blocks_and_small_files_leave_the_last_room_of_a_disk_too(small_disk):
    store, author = Store(small_disk / "meshpeer.db"), Author(1)
    small = PutFile(b"f" * 32, b"t" * 16, 30_000, b"m", None)
    store.commit([author.posts("first"), small, PutBlob(small.id, bytes(30_000))])
    fill(store)
    with pytest.raises(StoreFullError):
        store.commit([author.posts("x" * 16_000), author.posts("y" * 16_000)])
    with pytest.raises(StoreFullError):
        store.commit([PutBlob(small.id, bytes(30_000))])
    forgotten = [DropFile(small.id), DropLog(author.device, author.log)]
    store.commit([PutLog(author.device, author.log, author.person, 1, b""), *forgotten])
    assert (store.files(), store.timeline()) == ([], [])
    store.commit([author.posts("z" * 8_000)])
    store.close()


def test_a_database_at_its_limit_is_full_and_room_made_is_used(tmp_path):
    store = Store(tmp_path / "meshpeer.db")
    store._db.execute("PRAGMA max_page_count = 300")
    count = fill(store)
    assert held(store) == list(range(1, count + 1))
    store.commit([DropBundle(bundle(1).id), bundle(count + 1)])
    assert held(store) == list(range(2, count + 2))
    store.close()


FAILING_WRITES = """
import resource, sys
from tests.store.test_failures import bundle, held
from meshpeer.errors import StoreError, StoreFullError
from store.store import Store
store = Store(sys.argv[1])
store.commit([bundle(1)])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
for number in range(2, 100):
    try:
        store.commit([bundle(number)])
    except StoreFullError:
        sys.exit("not full")
    except StoreError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert held(store) == list(range(1, number)), held(store)
        store.commit([bundle(number)])
        print("refused", number, error)
        break
store.close()
"""


def test_an_input_output_error_writes_nothing_and_the_next_try_may_work(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", FAILING_WRITES, tmp_path / "meshpeer.db"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.startswith("refused"), run.stderr


def test_only_the_owner_may_read_the_files(tmp_path):
    store = Store(tmp_path / "meshpeer.db")
    store.commit([bundle(1)])
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    store.close()


@contextlib.contextmanager
def another_migration(name, make):
    """The same code, one release later."""
    schema.MIGRATIONS(name=name)(make)
    try:
        yield
    finally:
        schema.MIGRATIONS._migrations.pop()


def test_a_migration_leaves_a_copy_of_what_was(tmp_path):
    database = tmp_path / "meshpeer.db"
    store = Store(database)
    store.commit([PutSetting("lamport", b"5"), bundle(1)])
    store.close()
    newest = schema.MIGRATIONS.pending(Database(memory=True))[-1].name
    with another_migration("9998_wipe", lambda db: db.execute("DELETE FROM setting")):
        store = Store(database)
        assert store.settings() == {}
        store.close()
    (copy,) = tmp_path.glob("meshpeer.db.before-leaving-*")
    assert copy.name == f"meshpeer.db.before-leaving-{newest}"
    assert copy.stat().st_mode & 0o777 == 0o600
    before = Store(copy)
    assert (before.settings(), held(before)) == ({"lamport": b"5"}, [1])
    before.close()


def test_a_migration_that_fails_changes_nothing(tmp_path):
    database = tmp_path / "meshpeer.db"
    store = Store(database)
    store.commit([PutSetting("lamport", b"5")])
    store.close()

    def breaks(db):
        db.execute("DELETE FROM setting")
        db.execute("DELETE FROM nowhere")

    with another_migration("9998_breaks", breaks), pytest.raises(StoreError):
        Store(database)
    store = Store(database)
    assert store.settings() == {"lamport": b"5"}
    store.close()


def test_a_database_of_a_newer_release_is_refused_untouched(tmp_path):
    database = tmp_path / "meshpeer.db"
    with another_migration("9998_future", lambda db: None):
        Store(database).close()
    before = database.read_bytes()
    with pytest.raises(StoreTooNewError, match="9998_future"):
        Store(database)
    assert database.read_bytes() == before


def test_what_is_no_database_of_ours_is_refused_untouched(tmp_path):
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"something else " * 1_000)
    with pytest.raises(StoreError):
        Store(noise)
    assert noise.read_bytes() == b"something else " * 1_000
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")
    with pytest.raises(StoreError, match="not a meshpeer database"):
        Store(other)
    with pytest.raises(StoreError, match="No such file"):
        Store(tmp_path / "nowhere" / "meshpeer.db")


def test_a_copy_of_the_files_while_running_is_whole(tmp_path):
    store = Store(tmp_path / "meshpeer.db")
    store.commit([bundle(1)])
    shutil.copytree(tmp_path, tmp_path / "copy")
    copy = Store(tmp_path / "copy" / "meshpeer.db")
    assert held(copy) == [1]
    copy.close()
    store.close()
