"""An ordinary file becomes a manifest: read once, hashed chunk by chunk, never kept in memory.

One buffer is read into again and again: 1 GiB costs no more memory than 1 MiB. The file is looked
at before and after; one that changed meanwhile is refused, for its manifest would describe bytes
that never were a file.

A file system's clock ticks every few milliseconds. A file written in the tick in which it was
read could be written once more without any change of time or size, and we would never look
again; so a file that is younger than two ticks is waited for.
"""

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from meshpeer.core.formats.manifest import MAX_FILE, Manifest, chunk_hash, chunk_size_for
from meshpeer.errors import LocalProtocolError, NotFoundError, UsageError
from meshpeer.node.library.confined import open_ordinary
from meshpeer.node.library.sealing import sealed_part, slices

STEP: Final = 1 << 20
"""Bytes read at a time; below it a chunk is read whole."""
YOUNG_NS: Final = 25_000_000
TELL: Final = 16 << 20
"""Bytes between two words on progress."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called from the thread that hashes, with bytes done and bytes in all; may raise to stop."""


class Look(NamedTuple):
    """What tells one state of an ordinary file from another."""

    size: int
    mtime_ns: int
    inode: int
    device: int
    executable: bool

    @classmethod
    def of(cls, found: os.stat_result) -> "Look":
        """Take it from a stat."""
        return cls(
            found.st_size,
            found.st_mtime_ns,
            found.st_ino,
            found.st_dev,
            bool(found.st_mode & 0o100),
        )


class Hashed(NamedTuple):
    """A file that was read, and how it looked while it was."""

    manifest: Manifest
    look: Look


class Hasher:
    """Hashes files one after the other with one buffer; for one thread."""

    def __init__(self) -> None:
        self._lazy_buffer: memoryview | None = None

    def file(self, path: str, progress: Progress | None = None) -> Hashed:
        """Hash the ordinary file at `path`, or say in a MeshpeerError why it can't be."""
        descriptor = _opened(path)
        try:
            return self.descriptor(descriptor, path, progress)
        finally:
            os.close(descriptor)

    def descriptor(
        self, descriptor: int, path: str, progress: Progress | None = None
    ) -> Hashed:
        """Hash an open file, which keeps its position; `path` is what errors call it."""
        before = Look.of(_settled(descriptor))
        if before.size > MAX_FILE:
            raise UsageError(
                f"{path} has {before.size} bytes; at most {MAX_FILE} can be published"
            )
        try:
            hashes = self.chunks(descriptor, before.size, progress)
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}") from error
        if hashes is None or Look.of(os.fstat(descriptor)) != before:
            raise _changed(path)
        return Hashed(Manifest(before.size, hashes), before)

    def sealed(self, path: str, key: bytes, progress: Progress | None = None) -> Hashed:
        """Hash the sealed form of an ordinary file; its look is that of the plain one."""
        descriptor = _opened(path)
        try:
            before = Look.of(_settled(descriptor))
            size, _, count = slices(before.size)
            hashes = bytearray()
            for index in range(count):
                sealed = sealed_part(descriptor, before.size, key, index)
                hashes += chunk_hash(sealed)
                if progress is not None:
                    progress(before.size * (index + 1) // count, before.size)
            after = Look.of(os.fstat(descriptor))
        except (OSError, LocalProtocolError) as error:  # too short a chunk: it was cut off
            raise UsageError(f"{path} can't be read, or changes: {error}") from error
        finally:
            os.close(descriptor)
        if after != before:
            raise _changed(path)
        return Hashed(Manifest(size, bytes(hashes)), before)

    def data(self, data: bytes) -> Manifest:
        """Hash bytes that are in memory already."""
        step = chunk_size_for(len(data))
        view = memoryview(data)
        pieces = (view[at : at + step] for at in range(0, len(data), step))
        return Manifest(len(data), b"".join(chunk_hash(piece) for piece in pieces))

    def chunks(
        self, descriptor: int, size: int, progress: Progress | None = None
    ) -> bytes | None:
        """Give the hashes of an open file's chunks; None if it ends before its size."""
        chunk_size = chunk_size_for(size)
        hashes, told = bytearray(), 0
        for start in range(0, size, chunk_size):
            end = min(start + chunk_size, size)
            digest = self._chunk(descriptor, start, end)
            if digest is None:
                return None
            hashes += digest
            if progress is not None and (end - told >= TELL or end == size):
                progress(end, size)
                told = end
        return bytes(hashes)

    @property
    def _buffer(self) -> memoryview:
        """Made when something is hashed: a peer that only carries does without."""
        if self._lazy_buffer is None:
            self._lazy_buffer = memoryview(bytearray(STEP))
        return self._lazy_buffer

    def _chunk(self, descriptor: int, start: int, end: int) -> bytes | None:
        from blake3 import blake3  # as in chunk_hash

        hasher = blake3()
        while start < end:
            view = self._buffer[: min(end - start, STEP)]
            count = os.preadv(descriptor, [view], start)
            if count == 0:
                return None
            hasher.update(view[:count])
            start += count
        return hasher.digest()


def _opened(path: str) -> int:
    try:
        return open_ordinary(path)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise UsageError(f"{path} can't be published: {error.strerror}") from error


def _changed(path: str) -> UsageError:
    return UsageError(
        f"{path} changed while it was read: publish it again once it is complete"
    )


def _settled(descriptor: int) -> os.stat_result:
    found = os.fstat(descriptor)
    age = time.time_ns() - found.st_mtime_ns
    if 0 <= age < YOUNG_NS:
        time.sleep((YOUNG_NS - age) / 1e9)
        return os.fstat(descriptor)
    return found
