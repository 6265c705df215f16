"""A folder is kept equal to a collection, and nothing that is its owner's is lost or left."""

import asyncio
import os
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.manifest import CHUNK
from meshpeer.errors import MeshpeerError, RemoteProtocolError, UsageError
from meshpeer.node.library import mirror_folder, staging
from meshpeer.node.library.library import Goal
from tests.node.library.shelf import manifest_of, peer

ANN = bytes(31) + b"a"
DAY = 86_400


class Author:
    """Somebody whose collection is mirrored: a tree, and its listing at any time."""

    def __init__(self, tree):
        self.tree = tree
        self.number = 0

    def files(self):
        return {manifest_of(data).id: data for data, _ in self.tree.values()}

    def listing(self):
        return Listing.of(
            Entry(path, len(data), manifest_of(data).id, executable, 1_600_000_000)
            for path, (data, executable) in self.tree.items()
        ).to_bytes()

    def publish(self, here):
        """The newest record reaches a peer."""
        self.number += 1
        data = self.listing()
        goal = Goal(self.number.to_bytes(32), manifest_of(data).id, len(data))
        here.library.mirrors.collection(ANN, "docs", goal)
        return goal

    async def bring(self, here, mirror, goal):
        """Everything that is asked for comes, as from neighbours."""
        contents = {goal.listing: self.listing(), **self.files()}

        def give():
            for row in here.files.fetches():
                if row.file in contents:
                    here.bring(contents.pop(row.file))
            return mirror.block == goal.block

        await here.until(give, f"the mirror is current; {mirror.why}")


def plain(**tree):
    return {path.replace("__", "/"): (data, False) for path, data in tree.items()}


def tree_of(folder):
    """What a person sees in a mirror."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".meshpeer" not in path.parts
    }


def contents(author):
    return {path: data for path, (data, _) in author.tree.items()}


async def mirrored(here, folder, author, grace=DAY):
    mirror = await here.library.mirrors.add(str(folder), ANN, "docs", grace)
    await author.bring(here, mirror, author.publish(here))
    return mirror


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


# ---- attacks


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


HOSTILE = ["../x", "/etc/x", "a/../../x", ".meshpeer/incoming/x", "a//b", "nul", "a\\b"]


@given(
    st.lists(
        st.sampled_from(HOSTILE) | st.text(max_size=8) | st.sampled_from(["a", "A", "a/b"]),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=50)
def test_a_listing_of_any_names_is_put_whole_or_refused_whole(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("hostile")
    entries = sorted(
        {name: Entry(name, 1, manifest_of(b"x").id) for name in names}.values()
    )
    data = Listing(tuple(entries)).to_bytes() if all(map(_encodes, names)) else b""
    try:
        listing = Listing.parse(data)
    except RemoteProtocolError:
        listing = None

    async def story():
        async with peer(root / "peer") as here:
            folder = root / "mirror"
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            goal = Goal(bytes(32), manifest_of(data).id, len(data))
            here.library.mirrors.collection(ANN, "docs", goal)
            mine = {goal.listing: data, manifest_of(b"x").id: b"x"}

            def give():
                for row in here.files.fetches():
                    if row.file in mine:
                        here.bring(mine.pop(row.file))
                return mirror.current or "can't be mirrored" in mirror.why

            await here.until(give, "an end")
            assert mirror.current == (listing is not None)
            wanted = {entry.path for entry in listing.entries} if listing else set()
            assert set(tree_of(folder)) == wanted

    asyncio.run(story())
    assert {path.name for path in root.iterdir()} <= {"peer", "mirror"}


def _encodes(name):
    with suppress(UnicodeEncodeError):
        return name.encode() is not None
    return False


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
