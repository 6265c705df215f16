"""Publishing and fetching, as the API asks for them."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshpeer.core.file_writes import PutAttachment, PutFetch, PutWatched
from meshpeer.core.formats.listing import Entry, Listing
from meshpeer.core.formats.manifest import HASH_SIZE, chunk_size_for
from meshpeer.core.formats.record import Collection, File, FileRef, Post, parse_record
from meshpeer.core.identity import idtext
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import file_facade
from meshpeer.node.chain_facade import Record
from meshpeer.node.chain_service import ChainService
from meshpeer.node.desk import absolute_path, number_cursor, page_limit
from meshpeer.node.facade_types import Page
from meshpeer.node.library.further_places import FurtherPlace
from meshpeer.node.library.media_types import media_type
from meshpeer.node.mail_service import opened_size
from meshpeer.node.publications import PATIENCE_S
from store.rows import FileRow, RecordRow

if TYPE_CHECKING:
    from meshpeer.node.library.publishing import Published, PublishedFolder

PROBE_S: Final = 0.3
"""How long neighbours are given to say whether they hold a file."""
MAX_GATHERED: Final = 1_000
MAX_HASHES: Final = 64 << 20
"""Bytes of hashes, kept in memory, of what is asked for at once: 512 GiB of files."""
STATES: Final[dict[str, file_facade.FetchState]] = {
    "waiting": "waiting",
    "fetching": "fetching",
    "paused": "paused",
    "done": "done",
    "failed": "failed",
}


class FileService(ChainService):
    """Files that people here publish and want."""

    # ---- publishing

    async def publish(self, new: file_facade.Publication) -> file_facade.Published:
        """Publish a file or a folder where it lies."""
        self._node.check_disk()
        own = self.find_own(new.sender)
        path = self.not_ours(new.path, hidden=new.hidden)
        settings = {
            "tags": new.tags,
            "description": new.description,
            "language": new.language,
            "hidden": new.hidden,
        }
        if not await asyncio.to_thread(os.path.isdir, path):
            if new.watch:
                raise UsageError("only a folder can be watched")
            published = await self._node.library.publish(path)
            record = File(
                file=published.file,
                size=published.size,
                name=new.name or published.name,
                media_type=new.media_type or published.media_type,
                tags=tuple(new.tags),
                description=new.description,
                language=new.language,
                written=self._node.wall(),
            )
            before = self._node.publications.said_already(own, record)
            if before is not None:
                await self._node.durable()
                view = await self.record(str(before.number))
                return _file_published(view, published, unchanged=True)
            view = await self.publish_record(own, record)
            return _file_published(view, published)
        folder = await self._node.library.publish_folder(path, hidden=new.hidden)
        name = new.name or folder.name
        row = self._node.publications.publish_folder(own, name, folder, settings)
        await self._node.durable()  # else the watch would not see it, and publish it again
        is_watched = self._is_watched(path)
        if is_watched:  # what was said last holds from now on
            await self._node.library.watches.end(path)
        if new.watch or is_watched:
            told = json.dumps(settings).encode()
            watched = PutWatched(folder.directory, own.person, name, told)
            self._node.library.watches.keep(watched)
            self._node.publications.watch(watched)
        await self._node.durable()
        id = row if isinstance(row, bytes) else row.id
        view = await self.record(idtext.encode(id))
        return _folder_published(view, folder, unchanged=not isinstance(row, bytes))

    async def gather(self, new: file_facade.Gathering) -> file_facade.Published:
        """Publish the files of these records as a collection."""
        own = self.find_own(new.sender)
        if len(new.records) > MAX_GATHERED:
            raise UsageError(f"at most {MAX_GATHERED} records can be gathered at once")
        rows = [self.find_record(str(which)) for which in new.records]
        entries: dict[str, Entry] = {}
        for row in rows:
            for ref in await self._members(row):
                path = _free_name(ref.name, entries)
                entries[path] = Entry(path, ref.size, ref.file, mtime=0)
        if not entries:
            raise UsageError("none of these records has files")
        listing = Listing.of(entries.values())
        file, size = await self._node.publications.keep_blob(listing.to_bytes())
        record = Collection(
            name=new.name,
            listing=file,
            listing_size=size,
            files=len(listing.entries),
            total=listing.total,
            tags=tuple(new.tags),
            description=new.description,
            written=self._node.wall(),
        )
        view = await self.publish_record(own, record)
        return file_facade.Published(
            view, idtext.encode(file), record.files, record.total, 0
        )

    async def readings(self) -> list[file_facade.Reading]:
        """Say how far those are that are being read now."""
        return [
            file_facade.Reading(reading.path, reading.done, reading.total)
            for reading in self._node.library.underway
        ]

    async def call_off(self, path: str) -> None:
        """Read this no more."""
        self._node.library.underway.call_off(absolute_path(path))

    async def watched(self) -> list[file_facade.Watched]:
        """List the folders that are published when they change."""
        return [
            file_facade.Watched(row.directory, row.collection, self.who(row.person))
            for row in self._store.watched()
        ]

    async def unwatch(self, directory: str) -> None:
        """Publish this folder no more."""
        await self._node.library.watches.end(absolute_path(directory))
        await self._node.durable()

    def _is_watched(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(watch.directory == real for watch in self._node.library.watches)

    # ---- what is here

    async def files(self, after: str | None, limit: int) -> Page[file_facade.HeldFile]:
        """List files held here."""
        rows = self._store.files(number_cursor(after), page_limit(limit))
        following = str(rows[-1].number) if len(rows) == limit else None
        return Page([self._held_view(row) for row in rows], following)

    async def file(self, what: str, *, probe: bool = True) -> file_facade.FileInfo:
        """Give what is known of a file; with `probe` also how many neighbours hold it now."""
        file = self.find_file(what)
        row = self._store.file(file)
        records = self._store.records_of_file(file)
        fetch = self._store.fetch(file)
        name, kind, size = _named(records, fetch)
        progress = self._peer.files.progress(file)
        if row is not None and row.size >= 0:
            size = row.size
        elif progress is not None and progress.size >= 0:
            size = progress.size
        attached = self._attached(file)
        if not records and row is None and fetch is None and attached is None:
            raise NotFoundError("nothing is known here of a file with that id")
        held = self._held_bytes(file, row)
        if attached is not None:
            name, kind = attached.name, attached.media_type
            size = opened_size(attached.size if size < 0 else size)
            held = min(held, size)
        return file_facade.FileInfo(
            file=idtext.encode(file),
            size=size,
            held=held,
            holders=await self._holders(file) if probe else 0,
            name=name,
            media_type=kind,
            records=self.record_views(records),
        )

    async def _holders(self, file: bytes) -> int:
        """Ask the neighbours, and give them a moment to answer."""
        counted = self._peer.files.holders([file], self._node.now())
        self._node.soon()
        if self._peer.neighbours and not counted[file]:
            await asyncio.sleep(PROBE_S)
            counted = self._peer.files.holders([file], self._node.now())
        return counted[file]

    def _held_bytes(self, file: bytes, row: FileRow | None) -> int:
        if row is not None and row.have is None:
            return row.size
        progress = self._peer.files.progress(file)
        return progress.have if progress is not None else 0

    def _held_view(self, row: FileRow) -> file_facade.HeldFile:
        places = self._store.places(row.id)
        return file_facade.HeldFile(
            file=idtext.encode(row.id),
            size=row.size,
            held=self._held_bytes(row.id, row),
            paths=[place.path for place in places],
            sealed=any(place.key is not None for place in places),
        )

    # ---- fetching

    async def fetch(self, new: file_facade.NewFetch) -> list[file_facade.Fetch]:
        """Begin to fetch a file, or all files of a collection or a post."""
        self._node.check_disk()
        target = self.not_ours(new.to, whole=False) if new.to else ""
        refs, folder = await self._asked_for(new.what, new.patience_s)
        if sum(_hashes(ref.size) for ref in refs) > MAX_HASHES:
            raise UsageError(
                "these are too many large files to get at once: mirror the collection, "
                "or get one after the other"
            )
        if target:
            into = folder or len(refs) > 1 or (new.to or "").endswith("/")
            await asyncio.to_thread(self._make_room_for, refs, target, folder, into)
        first = {ref.file: ref for ref in reversed(refs)}
        if target:
            self._node.library.bring_too(
                FurtherPlace(ref.file, ref.name, _target_of(ref, target, folder))
                for ref in refs
                if ref is not first[ref.file]
            )
        for ref in first.values():
            self._node.library.fetch(
                ref.file,
                size=ref.size,
                priority=new.priority,
                in_order=new.in_order,
                slow=new.slow,
                name=ref.name,
                target=_target_of(ref, target, folder),
                key=self.key_of(ref.file),
            )
        await self._node.durable()
        return [self._fetch_view(file) for file in first]

    def _make_room_for(
        self, refs: Sequence[FileRef], target: str, folder: bool, into: bool
    ) -> None:
        """Make the folders that these files go into; UsageError if one leads to our keys."""
        paths = {_target_of(ref, target, folder) for ref in refs}
        for path in sorted(paths) * folder:
            self.not_ours(path, whole=False)
        for path in [target] * into + sorted(set(map(os.path.dirname, paths))) * folder:
            try:
                os.makedirs(path, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{path} can't be made: {error.strerror}") from error

    async def _asked_for(
        self, what: str, patience: float
    ) -> tuple[Sequence[FileRef], bool]:
        """The files that `what` names, and whether they go into a folder of their own."""
        try:
            row = self.find_record(what)
        except NotFoundError:
            file = self.find_file(what)
            if attached := self._attached(file):
                ref = FileRef(file, attached.size, attached.name, attached.media_type)
                return [ref], False
            records = self._store.records_of_file(file, limit=1)
            if not records and self._store.attachments_of(file):
                raise UsageError(
                    "that file came with a request; `meshpeer requests accept` its sender first"
                ) from None
            name, _, _ = _named(records, None)
            # anybody may publish a record of it that lies; the id says how long it is
            return [FileRef(file, -1, name or idtext.encode(file)[:11])], False
        if row.body is None:
            raise UsageError(f"its author took back what record {row.number} said")
        members = await self._members(row, patience)
        if not members:
            raise UsageError(f"record {row.number} brings no files")
        return members, row.item is not None and row.item.kind == "collection"

    def _attached(self, file: bytes) -> PutAttachment | None:
        """The file of a contact's message that this is, unless it is here in the open.

        Who names a public file in a message can't give it a key that spoils it for others.
        """
        fetch = self._store.fetch(file)
        if (
            self._store.records_of_file(file, limit=1)
            or (fetch is not None and fetch.key is None)
            or any(place.key is None for place in self._store.places(file))
        ):
            return None
        rows = self._store.attachments_of(file)
        return next((row for row in rows if self._is_contact(row.contact)), None)

    def key_of(self, file: bytes) -> bytes | None:
        """What opens this file, if it came with a message and is nobody else's."""
        attached = self._attached(file)
        return attached.key if attached is not None else None

    async def _members(
        self, row: RecordRow, patience: float = PATIENCE_S
    ) -> Sequence[FileRef]:
        """The files that a record brings; of a collection what its listing says."""
        record = parse_record(row.body) if row.body is not None else None
        match record:
            case File():
                return [FileRef(record.file, record.size, record.name, record.media_type)]
            case Post():
                return record.attachments
            case Collection():
                listing = await self._node.publications.listing(record, patience)
                return [
                    FileRef(entry.file, entry.size, entry.path) for entry in listing.entries
                ]
            case _:
                return []

    async def fetches(self, after: str | None, limit: int) -> Page[file_facade.Fetch]:
        """List what was asked for."""
        start, rows = number_cursor(after), self._store.fetches()
        part = rows[start : start + page_limit(limit)]
        end = start + len(part)
        views = [self._fetch_view(row.file, row) for row in part]
        return Page(views, str(end) if end < len(rows) else None)

    async def one_fetch(self, file: str) -> file_facade.Fetch:
        """Say how far a fetch is."""
        return self._fetch_view(self.find_file(file))

    async def change_fetch(
        self, file: str, change: file_facade.FetchChange
    ) -> file_facade.Fetch:
        """Pause it, let it go on, or change its place in the row."""
        id, now = self.find_file(file), self._node.now()
        if change.paused is True:
            self._peer.files.pause(id, now)
            self._node.happenings.wake_readers(id)
        elif change.paused is False:
            self._peer.files.resume(id, now)
        if change.priority is not None:
            self._peer.files.prioritise(id, change.priority, now)
        self._node.soon()
        await self._node.durable()
        return self._fetch_view(id)

    async def cancel_fetch(self, file: str) -> None:
        """Ask for it no more, and drop what has come."""
        id = self.find_file(file)
        self._node.library.cancel(id)
        self._node.happenings.wake_readers(id)
        await self._node.durable()

    def _fetch_view(self, file: bytes, row: PutFetch | None = None) -> file_facade.Fetch:
        row = row or self._store.fetch(file)
        if row is None:
            raise NotFoundError("nobody fetches that file; `meshpeer fetches` lists them")
        progress = self._peer.files.progress(file)
        held = self._store.file(file)
        path = self._node.library.path_of(row)
        state, why = row.state, row.why
        if progress is not None:
            state, why = progress.state, progress.why
        elif state == "done" and self._node.library.is_settling(file):
            state, why = "fetching", "all of it is here, and is brought to its place"
        elif state == "done" and (held is None or path is None):
            state, why = "failed", "it is not at its place any more; get it again"
        size = progress.size if progress and progress.size >= 0 else row.size
        return file_facade.Fetch(
            file=idtext.encode(file),
            name=row.name,
            size=held.size if state == "done" and held else size,
            held=progress.have if progress else self._held_bytes(file, held),
            state=STATES[state],
            why=why,
            rate=round(progress.rate, 1) if progress else 0.0,
            sources=progress.sources if progress else 0,
            left_s=progress.eta if progress else None,
            priority=row.priority,
            path=path if state == "done" else None,
            want=self._peer.wants_travel(file),
        )


def _named(records: Sequence[RecordRow], fetch: PutFetch | None) -> tuple[str, str, int]:
    """Name, media type and size of a file, as its records or its fetch say."""
    for row in records:
        if row.item is not None and row.item.kind == "file":
            return row.item.name, row.item.media_type, row.item.size
    for row in records:
        if row.item is not None and row.item.kind == "collection" and row.body:
            record = parse_record(row.body)
            if isinstance(record, Collection):
                return record.name, "", record.listing_size
    if fetch is not None:
        return fetch.name, media_type(fetch.name), fetch.size
    return "", "", -1


def _target_of(ref: FileRef, target: str, folder: bool) -> str:
    """Where a file goes; members of a collection keep their folders, whose names were checked.

    Into that folder others may look for settings: what comes doesn't hide (library/naming.py).
    """
    if not target or not folder:
        return target
    parts = (f"_{part[1:]}" if part[0] == "." else part for part in ref.name.split("/"))
    return str(Path(target, *parts))


def _hashes(size: int) -> int:
    """Bytes of the hashes of a file's chunks."""
    return -(-size // chunk_size_for(size)) * HASH_SIZE if size > 0 else 0


def _free_name(name: str, taken: dict[str, Entry]) -> str:
    base = name.rpartition("/")[2]
    stem, dot, ending = base.partition(".")
    number, found = 1, base
    while found.casefold() in {path.casefold() for path in taken}:
        number += 1
        found = f"{stem} ({number}){dot}{ending}"
    return found


def _file_published(
    record: Record, published: "Published", *, unchanged: bool = False
) -> file_facade.Published:
    return file_facade.Published(
        record,
        idtext.encode(published.file),
        1,
        published.size,
        published.hashed,
        unchanged=unchanged,
    )


def _folder_published(
    record: Record, folder: "PublishedFolder", *, unchanged: bool
) -> file_facade.Published:
    return file_facade.Published(
        record,
        idtext.encode(folder.listing),
        folder.files,
        folder.total,
        folder.hashed,
        [file_facade.LeftOut(each.path, each.why) for each in folder.skipped],
        unchanged,
    )
