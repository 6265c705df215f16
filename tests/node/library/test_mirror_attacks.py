"""Collections made to harm who mirrors them: what is theirs stays theirs, and others' mirrors go on."""

import asyncio
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.manifest import CHUNK
from meshpeer.errors import RemoteProtocolError
from meshpeer.node.library import mirroring
from meshpeer.node.library.library import Goal
from tests.node.library.author import ANN, DAY, Author, mirrored, plain, tree_of
from tests.node.library.shelf import manifest_of, peer

EVE = bytes(31) + b"e"


def entry(path, data, size=None):
    return Entry(path, len(data) if size is None else size, manifest_of(data).id)


async def lured(here, folder, listing, number=1):
    """Somebody here mirrors what Eve lists; the listing comes, and nothing else."""
    data = listing if isinstance(listing, bytes) else Listing.of(listing).to_bytes()
    goal = Goal(number.to_bytes(32), manifest_of(data).id, len(data))
    mirrors = [one for one in here.library.mirrors if one.directory == str(folder)]
    mirror = mirrors[0] if mirrors else None
    mirror = mirror or await here.library.mirrors.add(str(folder), EVE, "bait", DAY)
    here.library.mirrors.collection(EVE, "bait", goal)
    await here.until(
        lambda: (
            goal.listing in {row.file for row in here.files.fetches()}
            or here.store.file(goal.listing) is not None
        ),
        "the listing is asked for",
    )
    here.bring(data)
    return mirror


@pytest.mark.parametrize("wrong", [-1, 1], ids=["less", "more"])
@pytest.mark.parametrize("size", [10, 2 * CHUNK + 5])
def test_a_listing_with_a_wrong_size_makes_nobody_forget_their_own_file(
    tmp_path, size, wrong
):
    async def story():
        data = os.urandom(size)
        async with peer(tmp_path / "peer") as here:
            mine = tmp_path / "mine.bin"
            mine.write_bytes(data)
            published = await here.library.publish(str(mine))
            await here.library.durable()
            folder = tmp_path / "mirror"
            mirror = await lured(here, folder, [entry("bait", data, size + wrong)])
            await here.until(lambda: mirror.why, "the mirror says what is wrong")
            await here.library.durable()
            assert await here.content(published.file) == data
            assert here.store.places(published.file)
            assert tree_of(folder) == {}

    asyncio.run(story())


def test_a_file_that_turns_out_to_have_another_size_is_kept_for_who_asked_for_it(tmp_path):
    async def story():
        data = b"small" * 20
        file = manifest_of(data).id
        async with peer(tmp_path / "peer") as here:
            here.library.fetch(file, size=len(data), name="mine.txt")
            folder = tmp_path / "mirror"
            mirror = await lured(here, folder, [entry("bait", data, 7)])
            await here.until(lambda: file in mirror.needed, "the mirror waits for it, too")
            here.bring(data)
            await here.until(lambda: mirror.why, "the mirror says what is wrong")
            await here.library.durable()
            assert await here.content(file) == data
            assert tree_of(folder) == {}

    asyncio.run(story())


def test_a_record_that_calls_a_large_file_its_listing_makes_nobody_forget_it(
    tmp_path, monkeypatch
):
    async def story():
        monkeypatch.setattr(mirroring, "MAX_LISTING", CHUNK)
        data = os.urandom(2 * CHUNK)
        async with peer(tmp_path / "peer") as here:
            mine = tmp_path / "mine.bin"
            mine.write_bytes(data)
            published = await here.library.publish(str(mine))
            await here.library.durable()
            mirror = await here.library.mirrors.add(
                str(tmp_path / "mirror"), EVE, "bait", DAY
            )
            goal = Goal(bytes(32), published.file, 10)
            here.library.mirrors.collection(EVE, "bait", goal)
            await here.until(lambda: mirror.why, "the mirror says what is wrong")
            await here.library.durable()
            assert await here.content(published.file) == data

    asyncio.run(story())


def test_who_lists_what_somebody_publishes_can_not_make_them_drop_their_own_list(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            own = tmp_path / "own"
            own.mkdir()
            (own / "page").write_bytes(b"my page")
            published = await here.library.publish_folder(str(own))
            await here.library.durable()
            listing = here.store.blob(published.listing)
            folder = tmp_path / "mirror"
            mirror = await lured(here, folder, listing)
            await here.until(lambda: mirror.current, "mirrored")
            mirror = await lured(here, folder, [], number=2)
            await here.until(lambda: mirror.current and not mirror.files, "the next one")
            await here.library.durable()
            assert await here.content(published.listing) == listing

    asyncio.run(story())


def test_a_list_that_is_published_here_as_well_is_kept_when_its_author_goes_on(tmp_path):
    async def story():
        async with peer(tmp_path / "peer") as here:
            author = Author(plain(page=b"a page"))
            folder = tmp_path / "mirror"
            mirror = await mirrored(here, folder, author)
            copied = await here.library.publish_folder(str(folder))
            listing = author.listing()
            assert copied.listing == manifest_of(listing).id, "it is the very same list"
            author.tree = plain(page=b"another page")
            await author.bring(here, mirror, author.publish(here))
            await here.library.durable()
            assert await here.content(copied.listing) == listing

    asyncio.run(story())


def test_a_wrong_size_in_one_collection_does_not_keep_a_file_from_another(tmp_path):
    async def story():
        data = os.urandom(CHUNK)
        author = Author({"page": (data, False)})
        async with peer(tmp_path / "peer") as here:
            await lured(here, tmp_path / "bait", [entry("bait", data, 5)])
            file = manifest_of(data).id
            await here.until(
                lambda: file in {row.file for row in here.files.fetches()}, "Eve was first"
            )
            folder = tmp_path / "mirror"
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            goal = author.publish(here)
            await here.until(
                lambda: goal.listing in {row.file for row in here.files.fetches()}, "list"
            )
            here.bring(author.listing())
            await here.until(lambda: file in mirror.needed, "both wait for it")
            here.bring(data)
            await here.until(
                lambda: {row.size for row in here.files.fetches()} == {CHUNK}, "asked anew"
            )
            here.bring(data)
            await here.until(lambda: mirror.current, mirror.why)
            assert tree_of(folder) == {"page": data}

    asyncio.run(story())


def test_a_collection_that_changes_its_mind_takes_no_file_from_another_mirror(tmp_path):
    async def story():
        data = os.urandom(CHUNK)
        author = Author({"page": (data, False)})
        file = manifest_of(data).id
        async with peer(tmp_path / "peer") as here:
            bait = await lured(here, tmp_path / "bait", [entry("bait", data)])
            await here.until(lambda: file in bait.needed, "Eve was first")
            folder = tmp_path / "mirror"
            mirror = await here.library.mirrors.add(str(folder), ANN, "docs", DAY)
            goal = author.publish(here)
            await here.until(
                lambda: goal.listing in {row.file for row in here.files.fetches()}, "list"
            )
            here.bring(author.listing())
            await here.until(lambda: file in mirror.needed, "both wait for it")
            await lured(here, tmp_path / "bait", [], number=2)
            await here.until(lambda: bait.current, "Eve lists nothing any more")
            here.bring(data)
            await here.until(lambda: mirror.current, mirror.why)
            assert tree_of(folder) == {"page": data}

    asyncio.run(story())


def test_a_collection_of_huge_files_is_asked_for_a_few_at_a_time(tmp_path):
    """The manifest of each is 2 MiB, which is kept in memory while it is fetched."""

    async def story():
        async with peer(tmp_path / "peer") as here:
            bait = [
                Entry(f"{number:04}", 1 << 34, number.to_bytes(32))
                for number in range(2_000)
            ]
            mirror = await lured(here, tmp_path / "mirror", bait)
            await here.until(lambda: bytes(32) in mirror.needed, "it asks")
            assert 1 <= len(here.files.fetches()) <= 16

    asyncio.run(story())


def test_a_collection_of_many_files_comes_in_several_lots(tmp_path, monkeypatch):
    async def story():
        monkeypatch.setattr(mirroring, "AT_ONCE", 20 << 10)
        author = Author({f"{number:03}": (b"%d" % number, False) for number in range(100)})
        async with peer(tmp_path / "peer") as here:
            folder = tmp_path / "mirror"
            most = []
            bring = here.bring
            here.bring = lambda data: most.append(len(here.files.fetches())) or bring(data)
            await mirrored(here, folder, author)
            assert len(tree_of(folder)) == 100
            assert max(most) <= 20

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
