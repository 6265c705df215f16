"""A folder is kept equal to a collection, and nothing that is its owner's is lost or left."""

import asyncio
import os
from contextlib import suppress

import pytest

from meshpeer.core.formats.manifest import CHUNK
from meshpeer.errors import MeshpeerError, UsageError
from meshpeer.node.library import mirror_folder, staging
from tests.node.library.author import ANN, DAY, Author, contents, mirrored, plain, tree_of
from tests.node.library.shelf import manifest_of, peer


def test_a_mirror_gets_files_large_and_small_with_their_folders_and_modes(tmp_path):
    async def story():
        large = os.urandom(2 * CHUNK + 5)
        author = Author(
            {"a.txt": (b"a", False), "bin/tool": (b"#!", True), "bin/big": (large, False)}
            | {"copy/big": (large, False), "empty": (b"", False)}
        )
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            assert tree_of(folder) == contents(author)
            assert os.access(folder / "bin/tool", os.X_OK)
            assert not os.access(folder / "a.txt", os.X_OK)
            assert (folder / "a.txt").stat().st_mtime == 1_600_000_000
            assert mirror.current
            assert (mirror.files, mirror.missing, mirror.why) == (5, 0, "")
            for data in author.files().values():
                assert await here.content(manifest_of(data).id) == data
                assert here.store.blob(manifest_of(data).id) is None
            assert len(here.store.places(manifest_of(large).id)) == 2
            assert list((folder / ".meshpeer" / "incoming").iterdir()) == []
            assert not list((here.root / "files").glob("*.txt"))
            assert here.store.fetch(manifest_of(large).id) is None

    asyncio.run(story())


def test_a_new_version_replaces_files_and_takes_deleted_ones_away_for_a_while(tmp_path):
    async def story():
        author = Author(plain(keep=b"keep", change=b"one", inner__gone=b"gone"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            author.tree = plain(keep=b"keep", change=b"two", new=b"new")
            await author.bring(here, mirror, author.publish(here))
            assert tree_of(folder) == contents(author)
            assert not (folder / "inner").exists()
            (removed,) = (folder / ".meshpeer" / "removed").iterdir()
            assert (removed / "inner" / "gone").read_bytes() == b"gone"

    asyncio.run(story())


def test_what_was_taken_away_is_erased_after_its_grace(tmp_path):
    async def story():
        author = Author(plain(one=b"one", two=b"two"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            old = folder / ".meshpeer" / "removed" / "2020-01-01"
            old.mkdir(parents=True)
            (old / "file").write_bytes(b"old")
            author.tree = plain(two=b"two")
            await author.bring(here, mirror, author.publish(here))
            assert not old.exists()
            assert len(list((folder / ".meshpeer" / "removed").iterdir())) == 1

    asyncio.run(story())


def test_what_the_owner_changed_is_kept_beside(tmp_path):
    async def story():
        author = Author(plain(notes=b"one", inner__other=b"other", gone=b"gone"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            (folder / "notes").write_bytes(b"my own words")
            (folder / "gone").write_bytes(b"still needed")
            (folder / "own.txt").write_bytes(b"own")
            author.tree = plain(notes=b"two", inner__other=b"other")
            await author.bring(here, mirror, author.publish(here))
            assert tree_of(folder) == contents(author) | {
                "notes.mine-1": b"my own words",
                "gone": b"still needed",
                "own.txt": b"own",
            }
            (folder / "notes").write_bytes(b"again")
            author.tree = plain(notes=b"three", inner__other=b"other")
            await author.bring(here, mirror, author.publish(here))
            assert (folder / "notes.mine-2").read_bytes() == b"again"
            assert (folder / "notes.mine-1").read_bytes() == b"my own words"

    asyncio.run(story())


def test_files_become_folders_and_folders_files(tmp_path):
    async def story():
        author = Author(plain(a=b"file", b__inner=b"inner", c__inner=b"c"))
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            (folder / "c" / "mine").write_bytes(b"mine")
            author.tree = plain(a__inner=b"now a folder", b=b"now a file", c=b"this too")
            await author.bring(here, mirror, author.publish(here))
            seen = tree_of(folder)
            assert {path: seen[path] for path in author.tree} == contents(author)
            assert b"mine" in seen.values()

    asyncio.run(story())


def test_equal_files_are_taken_from_the_disk(tmp_path):
    async def story():
        data = os.urandom(2 * CHUNK)
        author = Author({"big": (data, False), "small": (b"small", False)})
        async with peer(tmp_path / "peer") as here:
            mine = tmp_path / "mine.bin"
            mine.write_bytes(data)
            await here.library.publish(str(mine))
            folder = tmp_path / "mirror"
            folder.mkdir()
            (folder / "small").write_bytes(b"small")
            goal = author.publish(here)
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            here.library.mirrors.collection(ANN, "docs", goal)
            await here.until(
                lambda: goal.listing in {row.file for row in here.files.fetches()},
                "the listing is asked for",
            )
            here.bring(author.listing())
            await here.until(lambda: mirror.current, "the mirror is current")
            assert tree_of(folder) == contents(author)
            assert mine.read_bytes() == data

    asyncio.run(story())


def test_after_a_restart_only_what_lacks_is_asked_for(tmp_path):
    async def story():
        author = Author(plain(one=b"one", two=b"two"))
        folder = tmp_path / "mirror"
        async with peer(tmp_path / "peer") as here:
            await mirrored(here, folder, author)
        (folder / "one").unlink()
        async with peer(tmp_path / "peer") as here:
            goal = author.publish(here)
            (mirror,) = here.library.mirrors
            await author.bring(here, mirror, goal)
            assert tree_of(folder) == contents(author)

    asyncio.run(story())


# ---- crashes


class Crash(BaseException):
    """The power goes."""


CALLS = ["sync_file_system", "rename_new", "exchange", "check_room", "place_of"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_crash_at_any_step_leaves_whole_files_and_ends_right(
    tmp_path, monkeypatch, call, after
):
    first = Author(plain(a=b"one", b=b"one b", c=b"one c", gone=b"gone"))
    second = Author(plain(a=b"two", b=b"two b", c=b"two c", new=b"new"))
    second.number = 1
    folder = tmp_path / "mirror"

    async def before():
        async with peer(tmp_path / "peer") as here:
            mirror = await mirrored(here, folder, first)
            (folder / "b").write_bytes(b"the owner's")
            module = mirror_folder if hasattr(mirror_folder, call) else staging
            real, count = getattr(module, call), 0

            def crash(*arguments, **options):
                nonlocal count
                count += 1
                if count > after:
                    raise Crash
                return real(*arguments, **options)

            monkeypatch.setattr(module, call, crash)
            goal = second.publish(here)
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await second.bring(here, mirror, goal)
            mirror.task.cancel()
            with suppress(Crash, asyncio.CancelledError):
                await mirror.task

    with suppress(Crash):
        asyncio.run(before())
    monkeypatch.undo()
    whole = {b"one", b"two", b"one b", b"two b", b"one c", b"two c", b"gone", b"new"}
    assert set(tree_of(folder).values()) <= whole | {b"the owner's"}

    async def afterwards():
        async with peer(tmp_path / "peer") as here:
            (mirror,) = here.library.mirrors
            second.number -= 1
            await second.bring(here, mirror, second.publish(here))
            seen = tree_of(folder)
            assert {path: seen[path] for path in second.tree} == contents(second)
            everywhere = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
            assert b"the owner's" in everywhere
            assert "gone" not in seen

    asyncio.run(afterwards())


# ---- disks and mistakes


def test_a_mirror_whose_disk_is_not_mounted_is_not_filled_anew(tmp_path):
    async def story():
        author = Author(plain(one=b"one"))
        folder = tmp_path / "stick"
        async with peer(tmp_path / "peer") as here:
            mirror = await mirrored(here, folder, author)
            folder.rename(tmp_path / "elsewhere")
            folder.mkdir()
            author.tree = plain(one=b"two")
            author.publish(here)
            await here.until(lambda: "mount its disk" in mirror.why, "the reason")
            assert list(folder.iterdir()) == []

    asyncio.run(story())


def test_two_mirrors_in_one_another_are_refused(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            await here.library.mirrors.add(str(tmp_path / "m"), ANN, "docs", DAY)
            for other in ("m", "m/inner", ""):
                with pytest.raises(UsageError):
                    await here.library.mirrors.add(str(tmp_path / other), ANN, "b", DAY)

    asyncio.run(story())


def test_a_mirror_that_ended_leaves_its_files(tmp_path):
    async def story():
        author = Author(plain(one=b"one"))
        async with peer(tmp_path / "peer") as here:
            await mirrored(here, tmp_path / "m", author)
            await here.library.mirrors.remove(str(tmp_path / "m"))
            assert tree_of(tmp_path / "m") == {"one": b"one"}
            assert here.store.mirrors() == []
            with pytest.raises(MeshpeerError, match="is no mirror"):
                await here.library.mirrors.remove(str(tmp_path / "m"))

    asyncio.run(story())


def test_two_thousand_small_files_all_come_to_their_places(tmp_path):
    async def story():
        author = Author(
            {f"d{n % 20}/{n}.txt": (os.urandom(4_096), False) for n in range(2_000)}
        )
        contents_of, listing = author.files(), author.listing()
        async with peer(tmp_path / "peer") as here:
            mirror = await here.library.mirrors.add(str(tmp_path / "m"), ANN, "docs", DAY)
            goal = author.publish(here)
            mine = {goal.listing: listing, **contents_of}

            def give():
                for row in here.files.fetches():
                    if row.file in mine:
                        here.bring(mine.pop(row.file))
                return mirror.current

            await here.until(give, "the mirror is current")
            assert len(tree_of(tmp_path / "m")) == 2_000

    asyncio.run(story())


def test_a_file_that_a_person_and_two_mirrors_want_goes_to_all_of_them(tmp_path):
    async def story():
        data = os.urandom(CHUNK + 1)
        author = Author({"big": (data, False), "small": (b"small", False)})
        file, small = manifest_of(data).id, manifest_of(b"small").id
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(file, name="big", target=str(tmp_path / "mine.bin"))
            here.library.fetch(small, name="small", target=str(tmp_path / "mine.txt"))
            one = await here.library.mirrors.add(str(tmp_path / "one"), ANN, "docs", DAY)
            two = await here.library.mirrors.add(str(tmp_path / "two"), ANN, "docs", DAY)
            goal = author.publish(here)
            await author.bring(here, one, goal)
            await here.until(lambda: two.current, "the other mirror")
            await here.until((tmp_path / "mine.bin").exists, "the person's file")
            await here.until((tmp_path / "mine.txt").exists, "the person's small file")
            assert tree_of(tmp_path / "one") == contents(author)
            assert tree_of(tmp_path / "two") == contents(author)
            assert (tmp_path / "mine.bin").read_bytes() == data
            assert (tmp_path / "mine.txt").read_bytes() == b"small"

    asyncio.run(story())


def test_lists_that_are_not_the_newest_any_more_go(tmp_path):
    async def story():
        author = Author({f"{n:04}-{'x' * 60}": (b"same", False) for n in range(700)})
        async with peer(tmp_path / "peer") as here:
            mirror = await mirrored(here, tmp_path / "m", author)
            lists = [manifest_of(author.listing()).id]
            for tree in (dict(list(author.tree.items())[:690]), plain(few=b"few")):
                author.tree = tree
                await author.bring(here, mirror, author.publish(here))
                lists.append(manifest_of(author.listing()).id)
            await here.library.durable()
            assert [here.store.file(each) is not None for each in lists] == [0, 0, 1]
            assert list((tmp_path / "m" / ".meshpeer" / "incoming").iterdir()) == []

    asyncio.run(story())
