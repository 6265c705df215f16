"""What comes goes into a partial file, gets its name when it is whole, and survives any end."""

import asyncio
import os
import subprocess

import pytest

from meshpeer.core.files.requests import Damaged
from meshpeer.core.formats.manifest import CHUNK
from meshpeer.core.formats.sealed_file import seal_chunk, sealed_size
from meshpeer.errors import NotFoundError, StoreError, StoreFullError
from meshpeer.node.library import kernel
from meshpeer.node.library import partials as partials_module
from meshpeer.node.library.naming import MAX_BYTES, aside, candidates, safe_name
from meshpeer.node.library.partials import Partials
from tests.namespaces import run
from tests.node.library.shelf import manifest_of, peer

DATA = os.urandom(3 * CHUNK + 77)


def fetched(here, data, **options):
    """Ask for a file and have it come whole."""
    file = manifest_of(data).id
    here.library.fetch(file, **options)
    here.bring(data)
    return file


def test_a_file_that_came_has_its_name_and_its_place_and_no_partial_file(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            file = fetched(here, DATA, name="film.mkv")
            await here.until(lambda: file in here.complete, "the file")
            path = here.root / "files" / "film.mkv"
            assert path.read_bytes() == DATA
            assert [place.path for place in here.store.places(file)] == [str(path)]
            assert await here.content(file) == DATA
            partial = here.root / "files" / ".partial"
            await here.until(lambda: not list(partial.iterdir()), "no partial file")

    asyncio.run(story())


def test_a_file_goes_where_it_was_asked_to_go(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "downloads"
            folder.mkdir()
            one = fetched(here, DATA, name="one.bin", target=str(folder))
            other = DATA[::-1]
            two = fetched(here, other, name="x", target=str(folder / "called.bin"))
            await here.until(lambda: {one, two} <= here.complete, "both files")
            assert (folder / "one.bin").read_bytes() == DATA
            assert (folder / "called.bin").read_bytes() == other

    asyncio.run(story())


def test_a_fetch_that_failed_is_cancelled_and_leaves_nothing(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            file = manifest_of(DATA).id
            here.library.fetch(file, size=len(DATA) + 1, name="notes.txt")
            here.bring_manifest(manifest_of(DATA))
            here.soon()

            def state():
                row = here.store.fetch(file)
                return row.state if row else None

            await here.until(lambda: state() == "failed", "the failure")
            here.library.cancel(file)
            await here.until(lambda: state() is None, "its end")
            assert here.store.file(file) is None
            with pytest.raises(NotFoundError):
                here.library.cancel(file)

    asyncio.run(story())


def test_what_has_the_name_already_is_left_alone(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            (here.root / "files").mkdir()
            (here.root / "files" / "notes.txt").write_bytes(b"mine")
            (here.root / "files" / "notes (2).txt").symlink_to("/nowhere")
            file = fetched(here, DATA, name="notes.txt")
            await here.until(lambda: file in here.complete, "the file")
            assert (here.root / "files" / "notes.txt").read_bytes() == b"mine"
            assert (here.root / "files" / "notes (3).txt").read_bytes() == DATA

    asyncio.run(story())


def test_small_files_lie_in_the_database_first_and_then_in_a_folder(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            contents = [os.urandom(1_000 + number) for number in range(50)]
            files = [
                fetched(here, data, name=f"{number}.txt")
                for number, data in enumerate(contents)
            ]
            await here.until(lambda: set(files) <= here.complete, "all files")
            assert await here.content(files[0]) == contents[0]
            await here.until(
                lambda: all(here.store.blob(file) is None for file in files), "no blobs"
            )
            for number, (file, data) in enumerate(zip(files, contents, strict=True)):
                assert (here.root / "files" / f"{number}.txt").read_bytes() == data
                assert await here.content(file) == data

    asyncio.run(story())


def test_small_files_get_their_folder_after_a_restart(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            file = fetched(here, b"small", name="small.txt")
            await here.until(lambda: file in here.complete, "the file")
        async with peer(tmp_path / "peer") as here:
            await here.until(lambda: here.store.blob(file) is None, "no blob")
            assert (here.root / "files" / "small.txt").read_bytes() == b"small"

    asyncio.run(story())


@pytest.mark.parametrize("size", [100, 3 * CHUNK])
def test_a_sealed_file_is_opened_into_its_place_and_still_given_sealed(tmp_path, size):
    async def story():
        plain, key = os.urandom(size), os.urandom(32)
        step = CHUNK - 16
        ends = list(range(0, size, step))
        sealed = b"".join(
            seal_chunk(key, index, last=at == ends[-1], data=plain[at : at + step])
            for index, at in enumerate(ends)
        )
        assert len(sealed) == sealed_size(size)
        async with peer(tmp_path / "peer") as here:
            file = fetched(here, sealed, name="letter.pdf", key=key)
            path = here.root / "files" / "letter.pdf"
            await here.until(
                lambda: bool(here.store.places(file)) and here.store.blob(file) is None,
                "its place",
            )
            assert path.read_bytes() == plain
            assert await here.content(file) == sealed

    asyncio.run(story())


def test_a_fetch_goes_on_after_a_restart_where_it_was(tmp_path):
    async def story():
        manifest = manifest_of(DATA)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(manifest.id, name="file")
            here.bring(DATA, only=[0, 2])
            await here.until(lambda: here.files.has(manifest.id, 2), "two chunks")
            await here.until(
                lambda: (row := here.store.file(manifest.id)) and any(row.have), "a bitmap"
            )
        async with peer(tmp_path / "peer") as here:
            assert here.files.lacking(manifest.id) == ((1, 1), (3, 1))
            here.bring(DATA, only=[1, 3])
            await here.until(lambda: manifest.id in here.complete, "the file")
            assert (here.root / "files" / "file").read_bytes() == DATA

    asyncio.run(story())


def test_a_partial_file_that_somebody_emptied_comes_again(tmp_path):
    async def story():
        manifest = manifest_of(DATA)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(manifest.id, name="file")
            here.bring(DATA, only=[0, 2])
            await here.until(
                lambda: (row := here.store.file(manifest.id)) and any(row.have), "a bitmap"
            )
        (tmp_path / "peer" / "files" / ".partial" / manifest.id.hex()).unlink()
        async with peer(tmp_path / "peer") as here:
            here.bring(DATA, only=[1, 3])
            await here.until(
                lambda: here.files.lacking(manifest.id) == ((0, 1), (2, 1)), "what was lost"
            )
            here.bring(DATA, only=[0, 2])
            await here.until(lambda: manifest.id in here.complete, "the file")
            assert (here.root / "files" / "file").read_bytes() == DATA

    asyncio.run(story())


def test_a_cancelled_fetch_leaves_nothing(tmp_path):
    async def story():
        manifest = manifest_of(DATA)
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(manifest.id, name="file")
            here.bring(DATA, only=[0])
            partial = here.root / "files" / ".partial"
            await here.until(partial.exists, "a partial file")
            here.library.cancel(manifest.id)
            await here.until(lambda: not list(partial.iterdir()), "no partial file")
            await here.library.durable()
            assert here.store.file(manifest.id) is None

    asyncio.run(story())


def test_equal_chunks_are_taken_from_the_disk(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            old = tmp_path / "old.bin"
            old.write_bytes(DATA)
            await here.library.publish(str(old))
            await here.library.durable()
            new = DATA[: 2 * CHUNK] + os.urandom(CHUNK)
            manifest = manifest_of(new)
            here.library.fetch(manifest.id, name="new.bin")
            here.bring(new, only=[])
            await here.until(
                lambda: here.files.lacking(manifest.id) == ((2, 1),), "two equal chunks"
            )
            here.bring(new, only=[2])
            await here.until(lambda: manifest.id in here.complete, "the file")
            assert (here.root / "files" / "new.bin").read_bytes() == new

    asyncio.run(story())


# ---- a crash between any two steps


class Crash(Exception):
    """The power goes."""


STEPS = {
    "before the data is durable": (os, "fsync"),
    "before it has its name": (os, "link"),
    "before its name is durable": (partials_module, "sync_folder"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_before_each_step_of_the_end_leaves_a_file_that_ends_right(
    tmp_path, monkeypatch, step
):
    manifest = manifest_of(DATA)
    place, name = STEPS[step]
    before = Partials(tmp_path, begun=lambda _: False, keep_free=0)
    for index in range(manifest.count):
        before.write(manifest.id, index * CHUNK, DATA[index * CHUNK :][:CHUNK])
    before.flush(manifest.id)

    def crash(*_, **__):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(place, name, crash)
        with pytest.raises(Crash):
            before.finish(manifest, "file")
    before.close()
    after = Partials(tmp_path, begun=lambda _: True, keep_free=0)
    whole = after.finish(manifest, "file")
    after.clear(manifest.id)
    after.close()
    assert whole.path == str(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial", "file"]


def test_a_crash_after_the_name_and_before_the_row_finds_the_very_file(tmp_path):
    manifest = manifest_of(DATA)
    before = Partials(tmp_path, begun=lambda _: False, keep_free=0)
    for index in range(manifest.count):
        before.write(manifest.id, index * CHUNK, DATA[index * CHUNK :][:CHUNK])
    first = before.finish(manifest, "file")
    before.close()
    after = Partials(tmp_path, begun=lambda _: True, keep_free=0)
    assert after.finish(manifest, "file") == first
    after.close()


def no_links(*_, **__):
    raise PermissionError(1, "no hard links here")


def test_a_stick_without_hard_links_gets_a_rename_that_replaces_nothing(
    tmp_path, monkeypatch
):
    manifest = manifest_of(DATA)
    (tmp_path / "file").write_bytes(b"mine")
    monkeypatch.setattr(os, "link", no_links)
    partials = Partials(tmp_path, begun=lambda _: False, keep_free=0)
    for index in range(manifest.count):
        partials.write(manifest.id, index * CHUNK, DATA[index * CHUNK :][:CHUNK])
    first = partials.finish(manifest, "file")
    assert first.path == str(tmp_path / "file (2)")
    partials.close()
    after = Partials(tmp_path, begun=lambda _: True, keep_free=0)
    assert after.finish(manifest, "file") == first
    after.close()
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_what_was_damaged_in_a_resumed_file_is_named(tmp_path):
    manifest = manifest_of(DATA)
    partials = Partials(tmp_path, begun=lambda _: True, keep_free=0)
    partials.write(manifest.id, 0, DATA[:CHUNK])
    partials.write(manifest.id, 2 * CHUNK, DATA[2 * CHUNK :])
    with pytest.raises(Damaged) as error:
        partials.finish(manifest, "file")
    assert error.value.chunks == [1]
    partials.close()


# ---- disks


def test_a_disk_keeps_room_for_others(tmp_path):
    partials = Partials(tmp_path, begun=lambda _: False, keep_free=1 << 60)
    with pytest.raises(StoreFullError, match="make room"):
        partials.write(bytes(32), 0, b"data")
    partials.close()


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr}")
    yield folder
    run("umount", "--lazy", str(folder))


def test_a_fetch_waits_on_a_full_disk_and_goes_on_when_there_is_room(tmp_path, small_disk):
    async def story():
        data = os.urandom(2 << 20)
        manifest = manifest_of(data)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(3 << 20))
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(manifest.id, name="big", target=str(small_disk / "big"))
            here.bring(data)
            await here.until(
                lambda: (
                    "room" in (p.why if (p := here.files.progress(manifest.id)) else "")
                ),
                "the reason",
            )
            ballast.unlink()
            await here.until(lambda: manifest.id in here.complete, "the file")
            assert (small_disk / "big").read_bytes() == data
            left = [path.name for path in small_disk.iterdir() if path.name != "big"]
            await here.until(
                lambda: not left or len(list(small_disk.iterdir())) == 1, "tidy"
            )

    asyncio.run(story())


def test_an_error_of_the_disk_is_one_of_ours_with_the_path(tmp_path):
    (tmp_path / "files").write_bytes(b"a file where a folder should be")
    partials = Partials(tmp_path / "files", begun=lambda _: False, keep_free=0)
    with pytest.raises(StoreError, match=r"can't be written"):
        partials.write(bytes(32), 0, b"data")
    partials.close()


# ---- names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("film.mkv", "film.mkv"),
        (".bashrc", "_bashrc"),
        ("..", "otherwise"),
        ("a/b", "a_b"),
        ("what? <now>", "what_ _now_"),
        ("ends. . ", "ends"),
        ("", "otherwise"),
        ("ü" * 300 + ".txt", "ü" * 117 + ".txt"),
    ],
)
def test_a_strangers_name_becomes_one_that_any_disk_takes(name, safe):
    assert safe_name(name, "otherwise") == safe


def test_further_names_keep_their_suffix_and_fit():
    names = candidates(safe_name("x" * 400 + ".tar", "y"))
    first, second, third = next(names), next(names), next(names)
    assert second.endswith(" (2).tar")
    assert third.endswith(" (3).tar")
    assert all(len(each.encode()) <= MAX_BYTES for each in (first, second, third))
    assert next(aside("n" * 255)).endswith(".mine-1")
    assert len(next(aside("ü" * 127)).encode()) <= MAX_BYTES


def test_a_new_name_never_replaces(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileExistsError):
        kernel.rename_new("one", "two", folder, folder)
    assert kernel.exchange("one", "two", folder, folder)
    os.close(folder)
    assert (tmp_path / "one").read_bytes() == b"2"


def test_a_file_that_is_here_is_copied_to_where_it_is_asked_for(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            old = tmp_path / "old.bin"
            old.write_bytes(DATA)
            published = await here.library.publish(str(old))
            await here.library.durable()
            target = tmp_path / "new.bin"
            here.library.fetch(published.file, name="old.bin", target=str(target))
            await here.until(target.exists, "the copy")
            assert target.read_bytes() == DATA
            await here.until(lambda: len(here.store.places(published.file)) == 2, "places")

    asyncio.run(story())
