"""Ordinary files and folders become files that can be asked for, and stay where they are."""

import asyncio
import os
import threading
from contextlib import closing

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.file_writes import PutBlob
from meshpeer.core.formats.listing import Listing
from meshpeer.core.formats.manifest import CHUNK, Manifest
from meshpeer.core.formats.sealed_file import open_chunk
from meshpeer.errors import MeshpeerError, NotFoundError, UsageError
from meshpeer.node.library.confined import Confined
from meshpeer.node.library.hashing import Hasher
from meshpeer.node.library.publishing import Publishing
from meshpeer.node.library.walking import walk
from store.store import Store
from tests.node.library.shelf import manifest_of, peer

SIZES = [0, 1, 4_096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_named_by_the_hashes_of_its_chunks(tmp_path, size):
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    hashed = Hasher().file(str(path))
    chunks = [data[at : at + CHUNK] for at in range(0, size, CHUNK)]
    assert hashed.manifest == Manifest(size, b"".join(blake3(c).digest() for c in chunks))
    assert hashed.look.size == size


def test_progress_is_told_while_a_long_file_is_hashed(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(40 << 20))
    told = []
    Hasher().file(str(path), lambda done, size: told.append((done, size)))
    assert told[-1] == (40 << 20, 40 << 20)
    assert len(told) == 3


def test_of_two_names_that_some_file_systems_take_for_one_only_the_first_is_published(
    tmp_path,
):
    maps = tmp_path / "maps"
    (maps / "North").mkdir(parents=True)
    for name in ("Legend.txt", "legend.txt", "other.txt", "North/a", "north"):
        (maps / name).write_bytes(name.encode())
    with closing(Store(tmp_path / "db")) as store:
        folder, changes = Publishing(store).folder(str(maps))
    assert folder.files == 3
    assert {each.path for each in folder.skipped} == {"legend.txt", "north"}
    assert "the same as 'Legend.txt'" in folder.skipped[0].why
    (blob,) = [write.data for write in changes.writes if isinstance(write, PutBlob)]
    names = [entry.path for entry in Listing.parse(blob).entries]
    assert names == ["Legend.txt", "North/a", "other.txt"]


def test_progress_in_a_folder_counts_the_bytes_of_all_its_files(tmp_path):
    (tmp_path / "maps").mkdir()
    for name in ("a", "b"):
        (tmp_path / "maps" / name).write_bytes(bytes(20 << 20))
    told = []
    with closing(Store(tmp_path / "db")) as store:
        Publishing(store).folder(str(tmp_path / "maps"), progress=lambda *p: told.append(p))
    assert [total for _, total in told] == [40 << 20] * len(told)
    done = [done for done, _ in told]
    assert done == sorted(done)
    assert {0, 16 << 20, 20 << 20, 36 << 20, 40 << 20} <= set(done)


def test_a_folder_that_is_called_off_is_not_published_with_what_was_read(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in "abc":
        (maps / name).write_bytes(bytes(20 << 20))

    async def story():
        async with peer(tmp_path / "peer") as here:
            publishing = asyncio.create_task(here.library.publish_folder(str(maps)))
            await asyncio.sleep(0)  # it begins
            here.library.underway.call_off(str(maps))
            with pytest.raises(UsageError, match="called off"):
                await publishing
            assert not list(here.library.underway)
            assert list(here.store.files(0, 10)) == []
            with pytest.raises(NotFoundError):
                here.library.underway.call_off(str(maps))

    asyncio.run(story())


@pytest.mark.parametrize("change", ["append", "cut", "overwrite"])
def test_a_file_that_changes_while_it_is_hashed_is_refused(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(bytes(40 << 20))

    def meddle(done, size):
        if done < size and change == "append":
            with path.open("ab") as file:
                file.write(b"more")
        elif done < size and change == "cut":
            os.truncate(path, 20 << 20)
        elif done < size:
            with path.open("r+b") as file:
                file.write(b"other")

    with pytest.raises(UsageError, match="changed while it was read"):
        Hasher().file(str(path), meddle)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "nothing"])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    with pytest.raises((UsageError, NotFoundError)):
        Hasher().file(str(path))


def test_a_file_written_in_this_tick_of_the_clock_is_waited_for(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    hashed = Hasher().file(str(path))
    path.write_bytes(b"two")
    assert path.stat().st_mtime_ns != hashed.look.mtime_ns


async def _publish_twice(root, path):
    async with peer(root) as here:
        first = await here.library.publish(str(path))
        await here.library.durable()
        again = await here.library.publish(str(path))
        await here.library.durable()
        return first, again, await here.content(first.file), here.store.places(first.file)


def test_a_published_file_is_read_from_where_it_lies_and_known_again(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(os.urandom(CHUNK + 5))
    first, again, content, places = asyncio.run(_publish_twice(tmp_path / "peer", path))
    assert (first.size, first.hashed, first.media_type) == (
        CHUNK + 5,
        CHUNK + 5,
        "image/png",
    )
    assert again.file == first.file
    assert again.hashed == 0
    assert content == path.read_bytes()
    assert [place.path for place in places] == [str(path)]
    assert not list((tmp_path / "peer").glob("files/*"))


def test_a_file_that_was_changed_afterwards_is_given_no_more(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            path = tmp_path / "file"
            path.write_bytes(b"one" * 1_000)
            first = await here.library.publish(str(path))
            await here.library.durable()
            path.write_bytes(b"two" * 1_000)
            assert await here.content(first.file) is None
            await here.library.durable()
            assert here.store.file(first.file) is None
            second = await here.library.publish(str(path))
            await here.library.durable()
            assert await here.content(second.file) == b"two" * 1_000

    asyncio.run(story())


def test_a_file_that_was_changed_and_made_to_look_as_before_is_not_given(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            path = tmp_path / "file"
            path.write_bytes(b"one" * 1_000)
            times = path.stat()
            first = await here.library.publish(str(path))
            await here.library.durable()
            with path.open("r+b") as file:
                file.write(b"two")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert await here.content(first.file) is None

    asyncio.run(story())


def test_republished_bytes_that_lie_twice_stay_when_one_place_goes(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            one, two = tmp_path / "one", tmp_path / "two"
            one.write_bytes(b"same" * 100)
            two.write_bytes(b"same" * 100)
            first = await here.library.publish(str(one))
            second = await here.library.publish(str(two))
            await here.library.durable()
            assert first.file == second.file
            one.unlink()
            assert await here.content(first.file) == b"same" * 100

    asyncio.run(story())


def test_a_sealed_file_is_sealed_on_the_fly_beside_its_plain_form(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            path = tmp_path / "secret.txt"
            path.write_bytes(os.urandom(CHUNK + 100))
            key, other = os.urandom(32), os.urandom(32)
            plain = await here.library.publish(str(path))
            sealed = await here.library.publish(str(path), key=key)
            for_other = await here.library.publish(str(path), key=other)
            await here.library.durable()
            assert len({plain.file, sealed.file, for_other.file}) == 3
            assert await here.content(plain.file) == path.read_bytes()
            data = await here.content(sealed.file)
            assert len(data) == sealed.size
            opened = open_chunk(key, 0, False, data[:CHUNK])
            opened += open_chunk(key, 1, True, data[CHUNK:])
            assert opened == path.read_bytes()
            assert await here.content(for_other.file) is not None

    asyncio.run(story())


def test_a_folder_becomes_a_listing_without_what_leads_out_of_it(tmp_path):
    async def story():
        folder = tmp_path / "photos"
        (folder / "inner").mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"a")
        (folder / "inner" / "run.sh").write_bytes(b"#!/bin/sh")
        (folder / "inner" / "run.sh").chmod(0o755)
        (folder / ".hidden").write_bytes(b"h")
        (folder / "nul").write_bytes(b"n")
        (folder / "out").symlink_to("/etc")
        os.mkfifo(folder / "pipe")
        async with peer(tmp_path / "peer") as here:
            published = await here.library.publish_folder(str(folder))
            await here.library.durable()
            listing = Listing.parse(await here.content(published.listing))
            again = await here.library.publish_folder(str(folder), hidden=True)
            assert again.hashed == 1
        assert [entry.path for entry in listing.entries] == ["a.jpg", "inner/run.sh"]
        assert [entry.executable for entry in listing.entries] == [False, True]
        assert (published.files, published.total, published.name) == (2, 10, "photos")
        assert sorted(each.path for each in published.skipped) == ["nul", "out", "pipe"]
        assert all(each.why for each in published.skipped)

    asyncio.run(story())


def test_of_two_thousand_published_files_the_changed_one_alone_is_read_again(tmp_path):
    async def story():
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(2_000):
            (folder / f"{number}.txt").write_bytes(os.urandom(4_096))
        async with peer(tmp_path / "peer") as here:
            published = await here.library.publish_folder(str(folder))
            await here.library.durable()
            assert published.files == 2_000
            (folder / "7.txt").write_bytes(b"new")
            again = await here.library.publish_folder(str(folder))
            assert again.hashed == 3

    asyncio.run(story())


def test_an_old_version_of_a_file_is_forgotten_with_its_place(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "text").write_bytes(b"one")
        (folder / "gone").write_bytes(b"gone")
        async with peer(tmp_path / "peer") as here:
            await here.library.publish_folder(str(folder))
            await here.library.durable()
            (folder / "text").write_bytes(b"other")
            (folder / "gone").unlink()
            await here.library.publish_folder(str(folder))
            await here.library.durable()
            assert here.store.file(manifest_of(b"one").id) is None
            assert here.store.file(manifest_of(b"gone").id) is None
            assert [place.path for place in here.store.places_in(str(folder))] == [
                str(folder / "text")
            ]

    asyncio.run(story())


NAMES = st.text(
    alphabet=st.characters(exclude_characters="/\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."} and len(name.encode()) <= 255)


@given(st.sets(NAMES, max_size=6))
def test_whatever_files_are_called_the_others_are_published(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("odd")
    for name in names:
        (folder / name).write_bytes(b"x")
    (folder / "fine.txt").write_bytes(b"y")
    with Confined(folder) as confined:
        found = walk(confined, hidden=True)
    paths = {each.path for each in found.files}
    assert "fine.txt" in paths or "fine.txt" in names
    assert paths | {each.path for each in found.skipped} | {".meshpeer"} >= names


def test_a_folder_in_which_links_appear_while_it_is_walked_is_never_left(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    stop = threading.Event()

    def plant():
        while not stop.is_set():
            (folder / "inner").mkdir()
            (folder / "inner").rmdir()
            (folder / "inner").symlink_to(secret)
            (folder / "inner").unlink()

    planter = threading.Thread(target=plant)
    planter.start()
    try:
        for _ in range(300):
            with Confined(folder) as confined:
                assert walk(confined).files == []
                with pytest.raises(OSError, match=r"."):
                    confined.open_file("inner/key")
    finally:
        stop.set()
        planter.join()


def test_an_error_says_what_to_do():
    with pytest.raises(MeshpeerError, match="make it first"):
        Confined("/nowhere/at/all")
