"""A file's bytes, read while it may still be coming, as the API asks for them.

Who reads waits for the next chunk that lacks, and the fetch brings that one first. Of a file that
came with a message the opened bytes are given.
"""

from collections.abc import AsyncIterator

from meshpeer.core.formats.manifest import Manifest
from meshpeer.core.formats.sealed_file import open_chunk, plain_chunk, sealed_size
from meshpeer.core.identity import idtext
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import file_facade
from meshpeer.node.file_service import FileService
from meshpeer.node.library.media_types import media_type


class ContentService(FileService):
    """What is in files."""

    async def content(self, what: str, first: int, last: int | None) -> file_facade.Content:
        """Give bytes `first` to `last` of a file, held or not, as they arrive."""
        file = self.find_file(what)
        info = await self.file(what, probe=False)
        end = info.size - 1 if last is None else min(last, info.size - 1)
        key = self.key_of(file)
        if info.held < info.size and self._peer.files.progress(file) is None:
            name = info.name or idtext.encode(file)[:11]
            size = -1 if key is None else sealed_size(info.size)  # records may lie
            self._node.library.fetch(file, size=size, in_order=True, name=name, key=key)
        if info.held < info.size and not self._has(file, first, key):
            self._check_coming(file)
        chunks = self._read(file, info.size, first, end, key)
        return file_facade.Content(
            info.size, info.media_type or media_type(info.name), info.name, chunks
        )

    async def _read(
        self, file: bytes, size: int, first: int, last: int, key: bytes | None
    ) -> AsyncIterator[bytes]:
        at = first
        while at <= last:
            manifest = await self._manifest(file, at)
            if manifest.size != (size if key is None else sealed_size(size)):
                raise UsageError(f"that file has not {size} bytes, as was said: ask again")
            chunk_size = manifest.chunk_size
            step = chunk_size if key is None else plain_chunk(chunk_size)
            index = at // step
            data = await self._chunk(file, index, index * chunk_size)
            if key is not None:
                ends = index == manifest.count - 1
                data = open_chunk(key, index, last=ends, data=data, chunk_size=chunk_size)
            start = at - index * step
            part = data[start : start + last - at + 1]
            yield part
            at += len(part)

    async def _manifest(self, file: bytes, at: int) -> Manifest:
        while True:
            news = self._node.happenings.chunk_news(file)
            manifest = self._peer.files.manifest(file)
            if manifest is not None:
                return manifest
            data = self._store.manifest(file)
            if data is not None:
                return Manifest.from_bytes(file, data)
            self._check_coming(file)
            self._watch(file, at)
            await news.wait()

    async def _chunk(self, file: bytes, index: int, at: int) -> bytes:
        while True:
            news = self._node.happenings.chunk_news(file)
            underway = self._peer.files.progress(file) is not None
            if not underway or self._peer.files.has(file, index):
                data = await self._node.library.read(file, index)
                if data is not None:
                    return data
            self._check_coming(file)
            self._watch(file, at)
            await news.wait()

    def _has(self, file: bytes, at: int, key: bytes | None) -> bool:
        """Whether this byte of a file that is fetched is here."""
        manifest = self._peer.files.manifest(file)
        if manifest is None:
            return False
        size = manifest.chunk_size
        return self._peer.files.has(
            file, at // (size if key is None else plain_chunk(size))
        )

    def _check_coming(self, file: bytes) -> None:
        """Raise what there is to say, if nobody can wait for this file."""
        progress = self._peer.files.progress(file)
        if progress is None:
            raise NotFoundError("the file is not here, or not any more; fetch it again")
        if progress.state == "paused":
            raise UsageError("its fetch is paused; `meshpeer fetches resume` goes on")

    def _watch(self, file: bytes, at: int) -> None:
        if self._peer.files.progress(file) is not None:
            self._peer.files.watch_from(file, at, self._node.now())
            self._node.soon()
