"""Equal files of a collection come once, and each lies in its place, also after a restart."""

import asyncio
import os

from meshpeer.core.formats.manifest import CHUNK
from meshpeer.core.journal import Journal
from meshpeer.node.library.further_places import (
    SETTING,
    WRITE_AFTER,
    FurtherPlace,
    FurtherPlaces,
)
from tests.node.library.shelf import manifest_of, peer

DATA = os.urandom(3 * CHUNK + 77)
FILE = manifest_of(DATA).id


def kept(journal, before):
    """What a restart would read."""
    writes = journal.take() or []
    if writes:
        journal.committed(0.0)
    return before | {write.name: write.value for write in writes}


def ask(here, folder):
    here.library.fetch(FILE, name="a.bin", target=str(folder / "a.bin"))
    names = ("b.bin", "c.bin")
    here.library.bring_too(FurtherPlace(FILE, name, str(folder / name)) for name in names)


def lie(folder):
    paths = [folder / name for name in ("a.bin", "b.bin", "c.bin")]
    return all(path.exists() and path.read_bytes() == DATA for path in paths)


def test_copies_are_made_when_the_file_comes_after_a_restart(tmp_path):
    async def story():
        folder = tmp_path / "got"
        folder.mkdir()
        async with peer(tmp_path / "peer") as here:
            ask(here, folder)
            await here.library.durable()
        async with peer(tmp_path / "peer") as here:
            here.bring(DATA)
            await here.until(lambda: lie(folder), "all three")
        async with peer(tmp_path / "peer") as here:
            assert not here.library._further.files()

    asyncio.run(story())


def test_a_stop_between_two_copies_loses_none_and_makes_none_twice(tmp_path):
    async def story():
        folder = tmp_path / "got"
        folder.mkdir()
        async with peer(tmp_path / "peer") as here:
            ask(here, folder)
            here.bring(DATA)
            await here.until((folder / "a.bin").exists, "the first")
        async with peer(tmp_path / "peer") as here:
            await here.until(lambda: lie(folder), "the others")
            await here.until(lambda: not here.library._further.files(), "the end")
        assert sorted(path.name for path in folder.iterdir()) == ["a.bin", "b.bin", "c.bin"]

    asyncio.run(story())


def test_a_cancelled_file_is_not_copied_after_a_restart(tmp_path):
    async def story():
        folder = tmp_path / "got"
        folder.mkdir()
        async with peer(tmp_path / "peer") as here:
            ask(here, folder)
            here.library.cancel(FILE)
            await here.library.durable()
        async with peer(tmp_path / "peer") as here:
            assert not here.library._further.files()

    asyncio.run(story())


def test_copies_are_remembered_in_order_until_they_are_made():
    journal = Journal()
    copies = FurtherPlaces(dict, journal)
    copies.add(FurtherPlace(FILE, str(n), f"/to/{n}\udcff") for n in range(2 * WRITE_AFTER))
    disk = kept(journal, {})
    again = FurtherPlaces(disk.copy, journal)
    made = []
    while (copy := again.next(FILE)) is not None:
        made.append(copy)
        disk = kept(journal, disk)
        assert made[-1] in FurtherPlaces(disk.copy, Journal())._waiting[FILE]
    assert len(set(made)) == 2 * WRITE_AFTER
    disk = kept(journal, disk)
    assert not FurtherPlaces(disk.copy, Journal()).files()


def test_a_collection_of_equal_files_does_not_wear_the_disk_out():
    journal, count = Journal(), 20_000
    copies = FurtherPlaces(dict, journal)
    copies.add(FurtherPlace(FILE, f"{n}.bin", f"/somewhere/{n}.bin") for n in range(count))
    once = written = len(kept(journal, {})[SETTING])
    while copies.next(FILE) is not None:
        written += sum(map(len, kept(journal, {}).values()))
    assert written < 4 * once
