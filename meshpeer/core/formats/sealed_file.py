"""A sealed file: bytes that anybody may hold and only who has the key can read.

The file is cut into slices of 256 KiB - 16; slice i becomes

    ChaCha20-Poly1305(key, nonce = i (11 bytes) + 1 if it is the last, else 0, slice): 256 KiB

(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015: a slice that is
left out, moved, or made the end of the file does not open). An empty file is one empty slice. Sealed, it is published and fetched like any other file:
its chunks are whole slices, one each up to 16 GiB, so a chunk is opened as soon as it is there.

The key is 32 random bytes, drawn anew for each file and recipient and never used again, since the
nonces start at 0 each time. With the same key the same file gives the same bytes: so nothing
sealed need be kept on the disk, each chunk is sealed again when somebody asks for it.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from meshpeer.core.formats.manifest import CHUNK
from meshpeer.core.identity.noise import KEY_SIZE, TAG_SIZE
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

SLICE: Final = CHUNK - TAG_SIZE
"""Bytes of the plain file in 256 KiB of the sealed one."""


def sealed_size(size: int) -> int:
    """Give the size that a file of this size has when it is sealed."""
    return size + TAG_SIZE * max(1, -(-size // SLICE))


def plain_size(size: int) -> int:
    """Give the size of the file within a sealed one, or raise RemoteProtocolError."""
    plain = size - TAG_SIZE * -(-size // CHUNK)
    if size < TAG_SIZE or sealed_size(plain) != size:
        raise RemoteProtocolError("size", f"no sealed file has {size} bytes")
    return plain


def plain_chunk(chunk_size: int = CHUNK) -> int:
    """Give the bytes of the plain file in one chunk: chunk i begins at i times as many."""
    return chunk_size // CHUNK * SLICE


def seal_chunk(
    key: bytes, index: int, last: bool, data: bytes, chunk_size: int = CHUNK
) -> bytes:
    """Seal what the plain file holds for one chunk; `last` for the one that ends the file."""
    if len(data) > plain_chunk(chunk_size) or not (
        last or len(data) == plain_chunk(chunk_size)
    ):
        raise LocalProtocolError(f"{len(data)} bytes for a chunk of {chunk_size}")
    cipher, first = _cipher(key), index * (chunk_size // CHUNK)
    view, ends = memoryview(data), range(0, max(1, len(data)), SLICE)
    return b"".join(
        cipher.encrypt(
            _nonce(first + number, last and number == len(ends) - 1),
            view[at : at + SLICE],
            None,
        )
        for number, at in enumerate(ends)
    )


def open_chunk(
    key: bytes, index: int, last: bool, data: bytes, chunk_size: int = CHUNK
) -> bytes:
    """Open one chunk, or raise RemoteProtocolError if it is not that one, whole."""
    if not TAG_SIZE <= len(data) <= chunk_size or not (last or len(data) == chunk_size):
        raise RemoteProtocolError("sealed", f"{len(data)} bytes in chunk {index}")
    cipher, first = _cipher(key), index * (chunk_size // CHUNK)
    view, starts = memoryview(data), range(0, len(data), CHUNK)
    try:
        return b"".join(
            cipher.decrypt(
                _nonce(first + number, last and number == len(starts) - 1),
                view[at : at + CHUNK],
                None,
            )
            for number, at in enumerate(starts)
        )
    except InvalidTag as error:
        raise RemoteProtocolError("sealed", f"chunk {index} does not open") from error


def _cipher(key: bytes) -> ChaCha20Poly1305:
    if len(key) != KEY_SIZE:
        raise LocalProtocolError(f"a key of {len(key)} bytes, not {KEY_SIZE}")
    return ChaCha20Poly1305(key)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes((last,))
