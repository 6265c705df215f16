"""Equal chunks on a real disk: zeros take no room, blocks are shared where the disk can."""

import asyncio
import errno
import os
import subprocess

import pytest

from meshpeer.core.files.requests import Damaged, RepeatChunk
from meshpeer.core.formats.manifest import CHUNK, chunk_hash
from meshpeer.errors import StoreFullError
from meshpeer.node.library import kernel
from meshpeer.node.library.partials import Partials
from tests.namespaces import run
from tests.node.library.shelf import manifest_of, peer

FILE = bytes(range(32))
ONE = os.urandom(CHUNK)
MIB = 1 << 20


def room_of(path):
    """Bytes of the disk that a file takes."""
    return os.stat(path).st_blocks * 512


def repeat(index, *indices, data=ONE):
    return RepeatChunk(FILE, index, indices, CHUNK, len(data), chunk_hash(data))


@pytest.fixture
def partials(tmp_path):
    made = Partials(tmp_path / "files", begun=lambda file: False, keep_free=0)
    yield made
    made.close()


@pytest.fixture(params=["btrfs", "xfs"])
def sharing_disk(request, tmp_path):
    """A folder on a file system that lets files share blocks."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    try:
        subprocess.run(
            [f"mkfs.{request.param}", str(image)], check=True, capture_output=True
        )
        subprocess.run(
            ["mount", "-o", "loop", str(image), str(folder)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no {request.param} can be made here: {error}")
    yield folder
    run("umount", "--lazy", str(folder))


def taken(folder):
    os.sync()
    disk = os.statvfs(folder)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def test_a_file_of_zeros_takes_no_room(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            data = bytes(40 * MIB + 7)
            file = manifest_of(data).id
            here.library.fetch(file, name="zeros.bin")
            here.bring(data, only=[0, 160])
            await here.until(lambda: file in here.complete, "the file")
            path = here.root / "files" / "zeros.bin"
            assert path.read_bytes() == data
            assert room_of(path) < MIB
            assert await here.content(file) == data

    asyncio.run(story())


def test_zeros_over_something_else_are_zeros(partials):
    partials.write(FILE, 0, ONE * 2)
    partials.write(FILE, CHUNK // 2, bytes(CHUNK))
    half = CHUNK // 2
    assert partials.read(FILE, 0, 2 * CHUNK) == ONE[:half] + bytes(CHUNK) + ONE[half:]
    partials.write(FILE, 3 * CHUNK, bytes(77))
    assert partials.path(FILE).stat().st_size == 3 * CHUNK + 77


def test_zeros_are_written_where_a_disk_has_no_holes(partials, monkeypatch):
    def unable(*_):
        raise OSError(errno.EOPNOTSUPP, "no holes")

    partials.write(FILE, 0, ONE)
    monkeypatch.setattr(kernel, "_punch", lambda *_: False)
    partials.write(FILE, 0, bytes(CHUNK))
    assert partials.read(FILE, 0, CHUNK) == bytes(CHUNK)


@pytest.mark.parametrize("data", [ONE, bytes(CHUNK)], ids=["bytes", "zeros"])
def test_a_chunk_is_repeated_where_its_twins_are(partials, data):
    partials.write(FILE, 2 * CHUNK, data)
    partials.repeat(repeat(2, 0, 5, data=data))
    assert partials.read(FILE, 0, CHUNK) == data
    assert partials.read(FILE, CHUNK, CHUNK) == bytes(CHUNK)
    assert partials.read(FILE, 5 * CHUNK, CHUNK) == data


def test_what_is_not_that_chunk_is_not_repeated(partials):
    partials.write(FILE, 0, ONE[::-1])
    for number in (0, 3):
        with pytest.raises(Damaged) as damaged:
            partials.repeat(repeat(number, 1))
        assert damaged.value.chunks == [number]


def test_twins_leave_others_their_room(tmp_path):
    partials = Partials(tmp_path, begun=lambda file: False, keep_free=0)
    partials.write(FILE, 0, ONE)
    partials.keep_free = 1 << 60
    with pytest.raises(StoreFullError, match="no room"):
        partials.repeat(repeat(0, 1))
    partials.close()


def test_zeros_leave_others_their_room_for_not_every_disk_has_holes(tmp_path):
    partials = Partials(tmp_path, begun=lambda file: False, keep_free=0)
    zeros = bytes(CHUNK)
    partials.write(FILE, 0, zeros)
    partials.keep_free = 1 << 60
    with pytest.raises(StoreFullError, match="no room"):
        partials.write(FILE, CHUNK, zeros)
    with pytest.raises(StoreFullError, match="no room"):
        partials.repeat(repeat(0, 1, data=zeros))
    assert partials.path(FILE).stat().st_size == CHUNK
    partials.close()


def test_equal_chunks_take_room_once_where_the_disk_shares_blocks(sharing_disk):
    partials = Partials(sharing_disk, begun=lambda file: False, keep_free=0)
    partials.write(FILE, 0, ONE)
    partials.flush(FILE)
    before = taken(sharing_disk)
    partials.repeat(repeat(0, *range(1, 201)))
    partials.flush(FILE)
    assert taken(sharing_disk) - before < 10 * MIB, "of 50 MiB"
    assert partials.read(FILE, 200 * CHUNK, CHUNK) == ONE
    partials.close()


def test_chunks_of_a_file_held_are_shared_with_one_that_comes(sharing_disk):
    async def story():
        data = os.urandom(40 * MIB)
        (sharing_disk / "old.bin").write_bytes(data)
        async with peer(sharing_disk / "peer") as here:
            await here.library.publish(str(sharing_disk / "old.bin"))
            await here.library.durable()
            before = taken(sharing_disk)
            longer = data + os.urandom(CHUNK)
            file = manifest_of(longer).id
            here.library.fetch(file, name="new.bin")
            here.bring(longer, only=[160])
            await here.until(lambda: file in here.complete, "the file")
            assert (here.root / "files" / "new.bin").read_bytes() == longer
            assert taken(sharing_disk) - before < 10 * MIB

    asyncio.run(story())


def test_of_two_places_on_a_disk_without_sharing_each_has_the_bytes(tmp_path):
    async def story():
        data = ONE * 40 + os.urandom(100)
        async with peer(tmp_path / "peer") as here:
            file = manifest_of(data).id
            here.library.fetch(file, name="equal.bin")
            here.bring(data, only=[0, 40])
            await here.until(lambda: file in here.complete, "the file")
            assert (here.root / "files" / "equal.bin").read_bytes() == data

    asyncio.run(story())


def test_a_file_that_is_copied_to_another_place_holds_up_no_other(tmp_path):
    """The copy has three hundred steps, and the other file is asked for after it began."""

    async def story():
        async with peer(tmp_path / "peer") as here:
            old = tmp_path / "old.bin"
            with old.open("wb") as file:
                file.truncate(1200 * MIB)
            published = await here.library.publish(str(old))
            await here.library.durable()
            target = tmp_path / "new.bin"
            here.library.fetch(published.file, name="old.bin", target=str(target))
            partial = here.root / "files" / ".partial" / published.file.hex()
            await here.until(partial.exists, "the copy's beginning")
            other = os.urandom(MIB)
            small = manifest_of(other).id
            here.library.fetch(small, name="other.bin")
            here.bring(other)
            await here.until(lambda: small in here.complete, "the other")
            assert not target.exists()
            await here.until(target.exists, "the copy")
            assert target.stat().st_size == 1200 * MIB
            assert room_of(target) < MIB

    asyncio.run(story())


def test_a_fetch_cancelled_among_twins_and_asked_for_again_ends_right(tmp_path):
    async def story():
        data = ONE * 400
        async with peer(tmp_path / "peer") as here:
            file = manifest_of(data).id
            for _ in range(3):
                here.library.fetch(file, name="equal.bin")
                here.bring(data, only=[0])
                await here.until(lambda: here.files.progress(file).have, "some twins")
                here.library.cancel(file)
            here.library.fetch(file, name="equal.bin")
            here.bring(data, only=[0])
            await here.until(lambda: file in here.complete, "the file")
            assert (here.root / "files" / "equal.bin").read_bytes() == data
            partial = here.root / "files" / ".partial"
            await here.until(lambda: not list(partial.iterdir()), "no partial file")

    asyncio.run(story())
