"""What another user of the machine plants where files are to go leads nowhere."""

import asyncio
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from meshpeer.core.formats.manifest import CHUNK
from tests.core.mail.carriers import sealed
from tests.node.library.author import ANN, DAY, Author, mirrored, plain
from tests.node.library.shelf import manifest_of, peer
from tests.node.library.test_watching import Seen, watched


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system, where what is under way lies beside its place."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is but one file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    path.write_bytes(b"dear diary")
    return path


@pytest.mark.parametrize("linked", [1, 2], ids=["one name", "two names"])
def test_a_link_in_the_way_of_a_small_file_is_not_followed(
    tmp_path, elsewhere, diary, linked
):
    async def story():
        data = b"for the diary?"
        file = manifest_of(data).id
        if linked == 2:
            os.link(diary, tmp_path / "second")
        planted = elsewhere / f".{file.hex()}.partial"
        planted.symlink_to(diary)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(file, name="got", target=str(elsewhere / "got"))
            here.bring(data)
            await here.until(lambda: not here.library.is_settling(file), "it has its place")
        assert diary.read_bytes() == b"dear diary"
        assert not (elsewhere / "got").is_symlink()
        assert (elsewhere / "got").read_bytes() == data

    asyncio.run(story())


@pytest.mark.parametrize("size", [50, CHUNK + 50])
def test_a_link_in_the_way_of_what_is_opened_is_not_followed(
    tmp_path, elsewhere, diary, size
):
    async def story():
        plain, key = os.urandom(size), bytes(32)
        data = sealed(plain, key)
        file = manifest_of(data).id
        planted = elsewhere / f".{file.hex()}.partial.opened"
        planted.symlink_to(diary)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(file, name="got", target=str(elsewhere / "got"), key=key)
            here.bring(data)
            await here.until((elsewhere / "got").exists, "it has its place")
        assert diary.read_bytes() == b"dear diary"
        assert (elsewhere / "got").read_bytes() == plain

    asyncio.run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_written_into(tmp_path, elsewhere):
    """They could change it later, and nobody would look again."""

    async def story():
        data = os.urandom(CHUNK + 50)
        file = manifest_of(data).id
        planted = elsewhere / f".{file.hex()}.partial"
        planted.write_bytes(b"")
        os.chown(planted, 12_345, 12_345)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(file, name="got", target=str(elsewhere / "got"))
            here.bring(data)
            await here.until(lambda: here.files.progress(file).why, "it says why it waits")
            assert planted.read_bytes() == b""
        assert not (elsewhere / "got").exists()

    asyncio.run(story())


def swapped(folder, private):
    """Somebody who may write where the folder lies puts a link to another in its place."""
    folder.rename(folder.with_name("before"))
    folder.symlink_to(private)


@pytest.fixture
def private(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "secret").write_bytes(b"my secret")
    return folder


def test_a_watched_folder_that_becomes_a_link_publishes_nothing_of_where_it_leads(
    tmp_path, private
):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:
            swapped(folder, private)
            seen.watch.look_again()
            await seen.here.until(lambda: seen.watch.why, "it says what is wrong")
            assert len(seen.published) == 1
            secret = manifest_of(b"my secret").id
            await seen.here.library.durable()
            assert seen.here.store.file(secret) is None

    asyncio.run(story())


@pytest.mark.parametrize("level", [0, 1], ids=["itself", "the folder above"])
def test_a_mirror_that_becomes_a_link_touches_nothing_where_it_leads(
    tmp_path, private, level
):
    async def story():
        author = Author(plain(secret=b"one", gone=b"gone"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "above" / "mirror"
            folder.parent.mkdir()
            mirror = await mirrored(here, folder, author)
            moved = [folder, folder.parent][level]
            target = [private, tmp_path / "theirs"][level]
            if level:
                target.mkdir()
                private.rename(target / "mirror")
            swapped(moved, target)
            inside = folder / ".meshpeer" / "incoming"
            inside.mkdir(parents=True)
            author.tree = plain(secret=b"two")
            author.publish(here)
            await here.until(lambda: mirror.why, "it says what is wrong")
            assert (folder / "secret").read_bytes() == b"my secret"
            assert list(inside.iterdir()) == []

    asyncio.run(story())


def test_a_watched_folder_that_was_swapped_while_the_peer_rested_is_not_followed(
    tmp_path, private
):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder):
            pass
        swapped(folder, private)
        async with peer(tmp_path / "peer") as here:
            watch = here.library.watches.begin(str(folder), Seen(here).on_change)
            await here.until(lambda: watch.why, "it says what is wrong")
            assert here.store.file(manifest_of(b"my secret").id) is None
            await here.library.watches.end(str(folder))

    asyncio.run(story())


# ---- links in a mirror


def test_a_link_planted_in_the_way_leads_nowhere(tmp_path):
    async def story():
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(b"not theirs")
        author = Author(plain(inner__file=b"one", file=b"two"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            folder.mkdir()
            (folder / "inner").symlink_to(outside)
            (folder / "file").symlink_to(outside / "file")
            await mirrored(here, folder, author)
            assert (outside / "file").read_bytes() == b"not theirs"
            assert list(outside.iterdir()) == [outside / "file"]
            assert (folder / "inner" / "file").read_bytes() == b"one"
            assert not (folder / "inner").is_symlink()
            assert not (folder / "file").is_symlink()
            assert (folder / "inner.mine-1").is_symlink()
            assert (folder / "file.mine-1").is_symlink()

    asyncio.run(story())


def test_a_link_planted_later_is_not_followed_to_delete(tmp_path):
    async def story():
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "gone").write_bytes(b"not theirs")
        author = Author(plain(inner__gone=b"gone", keep=b"keep"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            (folder / "inner" / "gone").unlink()
            (folder / "inner").rmdir()
            (folder / "inner").symlink_to(outside)
            author.tree = plain(keep=b"keep")
            await author.bring(here, mirror, author.publish(here))
            assert (outside / "gone").read_bytes() == b"not theirs"

    asyncio.run(story())


@pytest.mark.parametrize("name", [".meshpeer", ".meshpeer/incoming"])
def test_our_own_folder_may_be_no_link(tmp_path, name):
    async def story():
        outside = tmp_path / "outside"
        outside.mkdir()
        author = Author(plain(file=b"file", big=bytes(CHUNK)))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            (folder / name).parent.mkdir(parents=True)
            (folder / name).symlink_to(outside)
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            author.publish(here)
            await here.until(lambda: "move away" in mirror.why, "the reason")
            assert list(outside.iterdir()) == []

    asyncio.run(story())


def test_links_that_come_and_go_while_files_are_put_never_lead_out(tmp_path):
    async def story():
        outside = tmp_path / "outside"
        outside.mkdir()
        author = Author({f"inner/{n}": (b"%d" % n, False) for n in range(200)})
        stop = threading.Event()
        folder = tmp_path / "mirror"
        folder.mkdir()

        def plant():
            while not stop.is_set():
                with suppress(OSError):
                    (folder / "inner").rename(folder / f"moved-{time.monotonic_ns()}")
                with suppress(OSError):
                    (folder / "inner").symlink_to(outside)
                with suppress(OSError):
                    (folder / "inner").unlink()
                time.sleep(0.001)

        planter = threading.Thread(target=plant)
        async with peer(tmp_path / "peer") as here:
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            planter.start()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(3):
                        await author.bring(here, mirror, author.publish(here))
            finally:
                stop.set()
                planter.join()
        assert list(outside.iterdir()) == []

    asyncio.run(story())
