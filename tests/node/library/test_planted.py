"""What another user of the machine plants where files are to go leads nowhere."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from meshpeer.core.formats.manifest import CHUNK
from tests.core.mail.carriers import sealed
from tests.node.library.shelf import manifest_of, peer


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
