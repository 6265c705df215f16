"""The manifest: the hashes of a file's chunks, in a root and, for a long file, pages.

    root:  0      version, 1
           1      levels, 1 or 2
           2      log2 of the chunk size
           3..11  size of the file
           11..   BLAKE3 of each chunk (1 level), or of each page (2 levels)
    page:  BLAKE3 of each of 1,024 chunks; the last page has what is left

    file id = BLAKE3(root)

A file is cut into chunks of 256 KiB, the last one shorter; so any holder can be asked for any
chunk, and each is checked alone. Above 65,536 chunks the chunk size doubles until they are no
more. Above 1,024 chunks the hashes are in pages, so that the root of a file of 1 TiB has 2 kB and
a stranger can't make us hold more than 32 kB before the first hash is checked.

Everything but the hashes follows from the size: a root that says otherwise is refused, so equal
bytes have one id. Sizes are checked before anything is reserved: what a root claims costs nothing.

`Root` takes the pages as they come; once all are there it gives the manifest.
"""

from hashlib import blake2s
from struct import Struct
from typing import Final

from meshpeer.errors import LocalProtocolError, RemoteProtocolError

VERSION: Final = 1
HASH_SIZE: Final = 32
CHUNK: Final = 256 * 1024
"""Bytes of a chunk, but in files above CHUNK * MAX_CHUNKS."""
MAX_CHUNKS: Final = 65_536
MAX_FILE: Final = 2**40
PAGE: Final = 1_024
"""Chunk hashes of a page, and of a root without pages."""
WANT_TAG_SIZE: Final = 16

_ROOT: Final = Struct(">BBBQ")
MAX_ROOT: Final = _ROOT.size + PAGE * HASH_SIZE
PAGE_SIZE: Final = PAGE * HASH_SIZE
MAX_MANIFEST: Final = _ROOT.size + (MAX_CHUNKS // PAGE + MAX_CHUNKS) * HASH_SIZE


def chunk_hash(data: bytes | memoryview) -> bytes:
    """Give the hash by which a chunk, a page or a root is known."""
    from blake3 import blake3  # only now: 0.5 MB that a peer without files does without

    return blake3(data).digest()


def chunk_size_for(size: int) -> int:
    """Give the size of the chunks of a file of this size."""
    chunk = CHUNK
    while size > chunk * MAX_CHUNKS:
        chunk *= 2
    return chunk


def want_tag(file_id: bytes) -> bytes:
    """Give the 16 bytes by which a file is asked for without naming it."""
    return blake2s(b"meshpeer/want/1" + file_id).digest()[:WANT_TAG_SIZE]


def _count(size: int) -> int:
    return -(-size // chunk_size_for(size))


class Manifest:
    """The whole list of a file's chunk hashes, with the root and pages that name it."""

    __slots__ = ("chunk_size", "count", "hashes", "id", "pages", "root", "size")

    def __init__(self, size: int, hashes: bytes) -> None:
        """LocalProtocolError unless there is one hash for each chunk of a file of this size."""
        if not 0 <= size <= MAX_FILE or len(hashes) != _count(size) * HASH_SIZE:
            raise LocalProtocolError(f"{len(hashes)} bytes of hashes, {size} of file")
        self.size = size
        self.chunk_size = chunk_size_for(size)
        self.count = len(hashes) // HASH_SIZE
        self.hashes = hashes
        """Of the chunks, 32 bytes each."""
        self.pages: list[bytes] = []
        below = hashes
        if self.count > PAGE:
            self.pages = [
                hashes[at : at + PAGE_SIZE] for at in range(0, len(hashes), PAGE_SIZE)
            ]
            below = b"".join(map(chunk_hash, self.pages))
        levels = 2 if self.pages else 1
        fixed = _ROOT.pack(VERSION, levels, self.chunk_size.bit_length() - 1, size)
        self.root = fixed + below
        self.id = chunk_hash(self.root)

    @classmethod
    def from_bytes(cls, file_id: bytes, data: bytes) -> "Manifest":
        """Read root and pages, or raise RemoteProtocolError if they are not this file's."""
        if not _ROOT.size <= len(data) <= MAX_MANIFEST:
            raise RemoteProtocolError("manifest", f"{len(data)} bytes")
        size: int = _ROOT.unpack_from(data)[3]
        count = _count(min(size, MAX_FILE))
        pages = -(-count // PAGE) if count > PAGE else 0
        end = _ROOT.size + (pages or count) * HASH_SIZE
        root = Root.parse(file_id, data[:end])
        for index in range(root.page_count):
            root.accept(index, data[end : end + root.page_length(index)])
            end += root.page_length(index)
        if end != len(data):
            raise RemoteProtocolError("manifest", f"{len(data) - end} bytes too many")
        return root.manifest()

    def to_bytes(self) -> bytes:
        """Give root and pages, one behind the other: all that is kept of a manifest."""
        return b"".join((self.root, *self.pages))

    def hash_of(self, index: int) -> bytes:
        """Give the hash of one chunk."""
        return self.hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]

    def chunk_length(self, index: int) -> int:
        """Give the bytes of one chunk; only the last may be shorter than the others."""
        return min(self.chunk_size, self.size - index * self.chunk_size)

    def check(self, index: int, data: bytes) -> None:
        """Raise RemoteProtocolError unless this is that chunk of the file."""
        if not 0 <= index < self.count:
            raise RemoteProtocolError("chunk", f"{index}, the file has {self.count}")
        if len(data) != self.chunk_length(index) or chunk_hash(data) != self.hash_of(index):
            raise RemoteProtocolError("chunk", f"{index} of the file is another")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Manifest({self.id.hex()}, {self.size} bytes)"


class Root:
    """A root that was checked, and its pages as far as they have come."""

    __slots__ = ("_pages", "chunk_size", "data", "id", "page_count", "size")

    def __init__(self, file_id: bytes, data: bytes) -> None:
        """Use `parse`."""
        self.id = file_id
        self.data = data
        self.size: int = _ROOT.unpack_from(data)[3]
        self.chunk_size = chunk_size_for(self.size)
        self.page_count = (len(data) - _ROOT.size) // HASH_SIZE if data[1] == 2 else 0
        """0 if the root holds the chunks' hashes itself."""
        self._pages: dict[int, bytes] = {}

    @classmethod
    def parse(cls, file_id: bytes, data: bytes) -> "Root":
        """Read the root of this file, or raise RemoteProtocolError if it is another's or none."""
        if not _ROOT.size <= len(data) <= MAX_ROOT:
            raise RemoteProtocolError(
                "root", f"{len(data)} bytes, not {_ROOT.size} to {MAX_ROOT}"
            )
        if chunk_hash(data) != file_id:
            raise RemoteProtocolError("root", "of another file than was asked for")
        version, levels, exponent, size = _ROOT.unpack_from(data)
        if version != VERSION:
            raise RemoteProtocolError("version", f"{version}, known is {VERSION}")
        if size > MAX_FILE:
            raise RemoteProtocolError("size", f"{size} bytes of file, limit {MAX_FILE}")
        if chunk_size_for(size) != 1 << exponent:
            raise RemoteProtocolError(
                "chunk size", f"2^{exponent}, a file of {size} has {chunk_size_for(size)}"
            )
        count = _count(size)
        if levels != 1 + (count > PAGE):
            raise RemoteProtocolError("levels", f"{levels} for {count} chunks")
        hashes = -(-count // PAGE) if levels == 2 else count
        if len(data) != _ROOT.size + hashes * HASH_SIZE:
            raise RemoteProtocolError("root", f"{len(data)} bytes for {hashes} hashes")
        return cls(file_id, data)

    @property
    def count(self) -> int:
        """Chunks of the file."""
        return _count(self.size)

    @property
    def missing(self) -> list[int]:
        """The pages that have not come yet."""
        return [index for index in range(self.page_count) if index not in self._pages]

    def page_length(self, index: int) -> int:
        """Give the bytes of one page; only the last may be shorter than the others."""
        return min(PAGE, self.count - index * PAGE) * HASH_SIZE

    def accept(self, index: int, page: bytes) -> None:
        """Keep a page, or raise RemoteProtocolError if it is not the one the root names."""
        if not 0 <= index < self.page_count:
            raise RemoteProtocolError("page", f"{index}, the root names {self.page_count}")
        at = _ROOT.size + index * HASH_SIZE
        if (
            len(page) != self.page_length(index)
            or chunk_hash(page) != self.data[at : at + HASH_SIZE]
        ):
            raise RemoteProtocolError("page", f"{index} of the file is another")
        self._pages[index] = page

    def manifest(self) -> Manifest:
        """Give the manifest; LocalProtocolError while a page is missing."""
        if self.missing:
            raise LocalProtocolError(f"{len(self.missing)} pages have not come yet")
        if not self.page_count:
            return Manifest(self.size, self.data[_ROOT.size :])
        return Manifest(
            self.size, b"".join(self._pages[index] for index in range(self.page_count))
        )
