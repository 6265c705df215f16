"""A watched folder is published again when something in it changes, soon and only what changed."""

import asyncio
import os
from contextlib import asynccontextmanager

from meshpeer.core.formats.listing import Listing
from meshpeer.node.library import watching
from tests.node.library.shelf import peer


class Seen:
    """What a watch published, and when."""

    def __init__(self, here):
        self.here = here
        self.published = []

    async def on_change(self, published):
        self.published.append(published)

    async def paths(self):
        """Read the newest listing as others would."""
        await self.here.library.durable()
        data = await self.here.content(self.published[-1].listing)
        return [entry.path for entry in Listing.parse(data).entries]

    async def next(self, count):
        await self.here.until(lambda: len(self.published) >= count, f"{count} changes")


@asynccontextmanager
async def watched(tmp_path, folder):
    folder.mkdir(exist_ok=True)
    async with peer(tmp_path / "peer") as here:
        seen = Seen(here)
        seen.watch = here.library.watches.begin(str(folder), seen.on_change)
        await seen.next(1)
        yield seen


def test_a_file_is_published_each_time_it_is_saved(tmp_path):
    async def story():
        async with watched(tmp_path, tmp_path / "docs") as seen:
            for number in range(5):
                (tmp_path / "docs" / "note").write_bytes(os.urandom(1_000))
                await seen.next(number + 2)
                assert await seen.paths() == ["note"]
                assert seen.published[-1].hashed == 1_000

    asyncio.run(story())


def test_files_come_go_and_move_and_folders_with_them(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:

            async def becomes(*paths):
                for _ in range(100):
                    if await seen.paths() == sorted(paths):
                        return
                    await seen.next(len(seen.published) + 1)
                raise AssertionError(f"{await seen.paths()} is not {paths}")

            (folder / "a").write_bytes(b"a")
            await becomes("a")
            (folder / "inner" / "deep").mkdir(parents=True)
            (folder / "inner" / "deep" / "b").write_bytes(b"b")
            await becomes("a", "inner/deep/b")
            (folder / "inner" / "deep" / "c").write_bytes(b"c")
            await becomes("a", "inner/deep/b", "inner/deep/c")
            (folder / "inner").rename(folder / "outer")
            await becomes("a", "outer/deep/b", "outer/deep/c")
            (folder / "outer" / "deep" / "d").write_bytes(b"d")
            await becomes("a", "outer/deep/b", "outer/deep/c", "outer/deep/d")
            (folder / "a").rename(folder / "z")
            await becomes("z", "outer/deep/b", "outer/deep/c", "outer/deep/d")
            (folder / "z").unlink()
            await becomes("outer/deep/b", "outer/deep/c", "outer/deep/d")
            assert seen.watch.why == ""

    asyncio.run(story())


def test_a_thousand_files_saved_at_once_are_few_publications(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:
            for number in range(1_000):
                (folder / f"{number}").write_bytes(b"%d" % number)
            await seen.here.until(
                lambda: seen.published[-1].files == 1_000, "all files are published"
            )
            assert len(seen.published) < 20

    asyncio.run(story())


def test_what_changed_while_nobody_watched_is_found_at_the_start_and_only_that_is_read(
    tmp_path,
):
    async def story():
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "same").write_bytes(b"same" * 100)
        (folder / "other").write_bytes(b"other")
        async with watched(tmp_path, folder) as seen:
            await seen.here.library.durable()
        (folder / "other").write_bytes(b"new")
        async with watched(tmp_path, folder) as seen:
            assert seen.published[0].hashed == 3

    asyncio.run(story())


def test_hidden_files_and_links_are_no_news(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:
            (folder / ".note.swp").write_bytes(b"x")
            (folder / "link").symlink_to("/etc/passwd")
            (folder / "real").write_bytes(b"real")
            await seen.next(2)
            assert await seen.paths() == ["real"]

    asyncio.run(story())


def test_a_queue_that_ran_over_means_to_look_at_everything(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:
            (folder / "unheard").write_bytes(b"x")
            seen.watch.look_again()
            await seen.next(2)
            assert await seen.paths() == ["unheard"]

    asyncio.run(story())


def test_a_folder_that_is_gone_is_not_published_as_empty(tmp_path, monkeypatch):
    async def story():
        monkeypatch.setattr(watching, "RETRY", 0.2)
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
        async with watched(tmp_path, folder) as seen:
            folder.rename(tmp_path / "unmounted")
            await seen.here.until(lambda: bool(seen.watch.why), "the reason")
            assert seen.published[-1].files == 1
            (tmp_path / "unmounted").rename(folder)
            (folder / "more").write_bytes(b"y")
            await seen.next(2)
            assert await seen.paths() == ["file", "more"]

    asyncio.run(story())


def test_old_listings_go_and_the_last_few_stay(tmp_path):
    async def story():
        folder = tmp_path / "docs"
        async with watched(tmp_path, folder) as seen:
            for number in range(5):
                (folder / "file").write_bytes(b"%d" % number)
                await seen.next(number + 2)
            await seen.here.library.durable()
            held = [
                published.listing
                for published in seen.published
                if seen.here.store.file(published.listing) is not None
            ]
            assert held == [published.listing for published in seen.published[-3:]]

    asyncio.run(story())
