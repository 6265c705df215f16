"""Folders that are published when they change, collections that are mirrored, files taken back.

Here records meet the library: a changed folder becomes a new `collection` record, the newest record
of a collection becomes the goal of its mirrors, and what its author withdrew is served no more.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from meshpeer.core.file_writes import PutBlob, PutFile, PutWatched
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.listing import Listing
from meshpeer.core.formats.manifest import (
    Manifest,
    chunk_hash,
    chunk_size_for,
    want_tag,
)
from meshpeer.core.formats.record import Collection, File, parse_record
from meshpeer.core.mail.people import Own
from meshpeer.core.peer import FileWithdrawn
from meshpeer.errors import MeshpeerError, NotReachedError
from meshpeer.node.library.library import Goal

if TYPE_CHECKING:
    from meshpeer.node.library.publishing import PublishedFolder
    from meshpeer.node.node import Node
    from store.rows import RecordRow

LISTING_LIMIT: Final = 64 << 20
LISTINGS: Final = ".listings"
PATIENCE_S: Final = 10.0
"""How long who asked for a collection's files waits for the list of them."""
MANY: Final = 1_000
"""Records of one file that are looked through for one of our own."""
SOON: Final = 100
"""The priority of lists: nothing of a collection can come before its list."""


class Publications:
    """What of one node's chains is about its files."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._taken_back: set[bytes] = set()
        self._unserving = asyncio.Lock()

    def start(self) -> None:
        """Watch what was watched, and give the mirrors their goals."""
        for row in self._node.store.watched():
            self.watch(row)
        for mirror in self._node.library.mirrors:
            self.aim(mirror.person, mirror.collection)

    def watch(self, row: PutWatched) -> None:
        """Publish this folder again whenever it changes."""
        settings = json.loads(row.settings)

        async def changed(folder: "PublishedFolder") -> None:
            own = self._node.peer.mail.people.own.get(row.person)
            if own is not None:
                self.publish_folder(own, row.collection, folder, settings)

        self._node.library.watches.begin(row.directory, changed, hidden=settings["hidden"])

    def publish_folder(
        self, own: Own, name: str, folder: "PublishedFolder", settings: dict[str, Any]
    ) -> "RecordRow | bytes":
        """Publish a folder as it is now; the record there is, if that says the same."""
        record = Collection(
            name=name,
            listing=folder.listing,
            listing_size=folder.listing_size,
            files=folder.files,
            total=folder.total,
            tags=tuple(settings["tags"]),
            description=settings["description"],
            language=settings["language"],
            written=self._node.wall(),
        )
        before = self._node.store.newest(own.person, "collection", name)
        if before is not None and before.body is not None:
            said = parse_record(before.body)
            if isinstance(said, Collection) and _same(said, record):
                return before
        block = self._node.peer.publish(own, record, self._node.now())
        self._node.soon()
        return block.header.id

    def said_already(self, own: Own, record: File) -> "RecordRow | None":
        """The record by which this person said the very same of this file, if it is there."""
        for row in self._node.store.records_of_file(record.file, MANY):
            if row.body is not None and Header.parse(row.header).person == own.person:
                said = parse_record(row.body)
                if (
                    isinstance(said, File)
                    and replace(said, written=record.written) == record
                ):
                    return row
        return None

    def aim(self, person: bytes, name: str) -> None:
        """Give the mirrors of a collection its newest record that is here."""
        row = self._node.store.newest(person, "collection", name)
        if row is None or row.body is None:
            return
        record = parse_record(row.body)
        if isinstance(record, Collection):
            goal = Goal(row.id, record.listing, record.listing_size)
            self._node.library.mirrors.collection(person, name, goal)

    async def keep_blob(self, data: bytes) -> tuple[bytes, int]:
        """Hold bytes that lie in no ordinary file, such as a listing; give id and size."""
        size = chunk_size_for(len(data))
        parts = (data[at : at + size] for at in range(0, len(data), size))
        manifest = Manifest(len(data), b"".join(map(chunk_hash, parts)))
        self._node.library.take(
            [
                PutFile(
                    manifest.id,
                    want_tag(manifest.id),
                    manifest.size,
                    manifest.to_bytes(),
                    None,
                ),
                PutBlob(manifest.id, data),
            ]
        )
        self._node.library.mirrors.kept(manifest.id)
        self._node.library.known(manifest)
        await self._node.durable()
        return manifest.id, manifest.size

    async def listing(self, record: Collection, patience: float = PATIENCE_S) -> Listing:
        """Give a collection's listing, fetched if it is not here."""
        data = await self._whole(record.listing, record.listing_size, patience)
        return Listing.parse(data)

    async def _whole(self, file: bytes, size: int, patience: float) -> bytes:
        library, happenings = self._node.library, self._node.happenings
        data = await library.content(file, LISTING_LIMIT)
        if data is not None:
            return data
        folder = self._node.library.folder / LISTINGS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = str(folder / file.hex())
        library.fetch(file, size=size, priority=SOON, name="listing", target=target)
        try:
            async with asyncio.timeout(patience):
                while data is None:
                    news = happenings.chunk_news(file)
                    await news.wait()
                    data = await library.content(file, LISTING_LIMIT)
        except TimeoutError:
            raise NotReachedError(
                "nobody near has the list of its files now. It is asked for: get this again "
                "when `meshpeer fetches` lists it no more, or mirror it"
            ) from None
        return data

    async def unserve(self, event: FileWithdrawn) -> None:
        """Give others no more what its author took back, unless somebody else publishes it.

        Anybody can publish any file and take it back, so what others list stays, too.
        """
        files = {event.file}
        if (
            event.collection
            and self._node.store.newest(event.person, "collection", event.name) is None
        ):
            data = await self._node.library.content(event.file, LISTING_LIMIT)
            files |= await asyncio.to_thread(_listed, data)
        self._taken_back |= files
        async with self._unserving:  # all that came meanwhile is looked at together
            files, self._taken_back = self._taken_back, set()
            files = {file for file in files if self._is_held_for_nobody(file)}
            for record in self._collections() if files else ():
                data = await self._node.library.content(record.listing, LISTING_LIMIT)
                files -= await asyncio.to_thread(_listed, data)
                if not files:
                    break
            for file in files:
                self._node.library.lost(file)

    def _is_held_for_nobody(self, file: bytes) -> bool:
        store = self._node.store
        return store.file(file) is not None and not store.records_of_file(file, limit=1)

    def _collections(self) -> Iterator[Collection]:
        """The newest record of every collection here."""
        seen, after = set(), None
        while rows := self._node.store.timeline(kinds=["collection"], after=after):
            after = rows[-1].lamport, rows[-1].number
            for row in rows:
                record = parse_record(row.body) if row.body is not None else None
                name = Header.parse(row.header).person, row.item.name if row.item else ""
                if isinstance(record, Collection) and name not in seen:
                    seen.add(name)
                    yield record


def _same(one: Collection, other: Collection) -> bool:
    return (one.listing, one.tags, one.description, one.language) == (
        other.listing,
        other.tags,
        other.description,
        other.language,
    )


def _listed(data: bytes | None) -> set[bytes]:
    """The files that a listing names; none if it is not here, or makes no sense."""
    if data is None:
        return set()
    try:
        return {entry.file for entry in Listing.parse(data).entries}
    except MeshpeerError:
        return set()
