"""Files that only some people can open: sealed as they are read, opened as they land.

The ordinary file keeps its plain bytes; what others get is made of them chunk by chunk with the
key, the same bytes each time, so nothing sealed has to be kept. A chunk is found by its number:
each holds 16 plain bytes less than a chunk has.
"""

import os
from pathlib import Path
from typing import Final

from meshpeer.core.formats.manifest import CHUNK, Manifest, chunk_size_for
from meshpeer.core.formats.sealed_file import (
    open_chunk,
    plain_chunk,
    seal_chunk,
    sealed_size,
)
from meshpeer.errors import RemoteProtocolError, StoreError
from meshpeer.node.library.confined import has_two_names, open_new

OPENED: Final = ".opened"
"""Ends the name of a sealed file's plain bytes until they get their own."""


def slices(plain: int) -> tuple[int, int, int]:
    """Give the sealed size of a file, the plain bytes in a chunk, and how many chunks."""
    size = sealed_size(plain)
    step = plain_chunk(chunk_size_for(size))
    return size, step, max(1, -(-plain // step))


def sealed_part(descriptor: int, plain: int, key: bytes, index: int) -> bytes:
    """Read and seal one chunk."""
    size, step, count = slices(plain)
    data = os.pread(descriptor, min(step, plain - index * step), index * step)
    last = index == count - 1
    return seal_chunk(key, index, last=last, data=data, chunk_size=chunk_size_for(size))


def open_sealed(descriptor: int, path: Path, manifest: Manifest, key: bytes) -> Path:
    """Write the plain bytes of a whole sealed file beside it, durably; give where."""
    opened = path.with_name(path.name + OPENED)
    if has_two_names(opened):
        return opened  # a crash came after it had got its name
    with open(open_new(opened), "wb") as out:
        for index in range(manifest.count):
            last = index == manifest.count - 1
            data = os.pread(
                descriptor, manifest.chunk_length(index), index * manifest.chunk_size
            )
            out.write(opened_part(key, index, last, data, manifest.chunk_size))
        out.flush()
        os.fsync(out.fileno())
    return opened


def opened_part(
    key: bytes, index: int, last: bool, data: bytes, size: int = CHUNK
) -> bytes:
    """Open one chunk; StoreError if that is not the key."""
    try:
        return open_chunk(key, index, last, data, size)
    except RemoteProtocolError as error:
        raise StoreError(
            f"the file does not open with the key that came with it: {error}"
        ) from error
