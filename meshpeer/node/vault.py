"""A file that a passphrase locks: backups, and a person's key that is kept off line.

    0   magic "mpvault" and version u8 = 1
    8   kind u8, passes u8, log2 of memory in KiB u8, 0 u8
    12  salt 16 | check 16 | stream header 24 | sum 8
    76  chunks: length u32 (of what follows), XChaCha20-Poly1305 of at most 64 KiB

argon2id makes 48 bytes of passphrase and salt: the stream's key and the check. The sum is a plain
BLAKE2s of what stands before it. So what went wrong can be told apart: a header whose sum is
wrong is damaged, a check that differs means another passphrase, a file that ends before the
stream's final tag is cut short, and everything else that fails was altered. The header goes into
each chunk as associated data.

64 MiB of memory, because a peer on a Raspberry Pi with 1 GB makes backups while it runs; eight
passes make up for it (0.2 s on a laptop). What a file asks for is bounded: reading one from
somebody else neither fills the memory nor takes minutes.
"""

import io
import os
from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Final
from unicodedata import normalize

from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_ABYTES as TAG_BYTES,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_pull as init_pull,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_push as init_push,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_pull as pull,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_push as push,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_state as StreamState,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_TAG_FINAL as FINAL,
)
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_TAG_MESSAGE as MESSAGE,
)
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from meshpeer.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAGIC: Final = b"mpvault\x01"
BACKUP: Final = 1
PERSON_KEY: Final = 2
KINDS: Final = {BACKUP: "a backup", PERSON_KEY: "a person's key"}

PASSES: Final = 8
MEMORY_LOG: Final = 16
"""64 MiB."""
MAX_PASSES: Final = 32
MAX_MEMORY_LOG: Final = 18
CHUNK: Final = 64 * 1024
LEAST_PASSPHRASE: Final = 8

_CLEAR: Final = Struct("!8sBBBB16s16s24s")
_SUM: Final = 8
HEADER_BYTES: Final = _CLEAR.size + _SUM
_LENGTH: Final = Struct("!I")


class VaultError(UsageError):
    """The file can't be opened: wrongly unlocked, cut short, altered, or none of ours."""


class VaultWriter(io.RawIOBase):
    """Locks what is written to it; a file for tarfile. Only after `finish` it is whole."""

    def __init__(
        self,
        file: BinaryIO,
        kind: int,
        passphrase: str,
        rng: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_passphrase(passphrase)
        salt = rng(argon2id.SALTBYTES)
        key, check = _derive(passphrase, salt, PASSES, MEMORY_LOG)
        self._state = StreamState()
        stream = init_push(self._state, key)
        clear = _CLEAR.pack(MAGIC, kind, PASSES, MEMORY_LOG, 0, salt, check, stream)
        self._header = clear + _sum(clear)
        self._file = file
        self._waiting = bytearray()
        file.write(self._header)

    def write(self, data: "ReadableBuffer") -> int:
        """Take what follows."""
        before = len(self._waiting)
        self._waiting += data
        taken = len(self._waiting) - before
        while len(self._waiting) > CHUNK:
            self._push(bytes(self._waiting[:CHUNK]), MESSAGE)
            del self._waiting[:CHUNK]
        return taken

    def finish(self) -> None:
        """Say that this was all."""
        self._push(bytes(self._waiting), FINAL)
        self._waiting.clear()

    def _push(self, data: bytes, tag: int) -> None:
        sealed = push(self._state, data, self._header, tag)
        self._file.write(_LENGTH.pack(len(sealed)) + sealed)


class VaultReader(io.RawIOBase):
    """Unlocks a file; VaultError says what is wrong. Trust nothing of it before `finish`."""

    def __init__(self, file: BinaryIO, kind: int, passphrase: str) -> None:
        self._file = file
        self._header = file.read(HEADER_BYTES)
        stream, key = _unlock(self._header, kind, passphrase)
        self._state = StreamState()
        init_pull(self._state, stream, key)
        self._held = bytearray()
        self._ended = False

    def read(self, size: int = CHUNK) -> bytes:
        """Give the next bytes, fewer only at the end."""
        while len(self._held) < size and not self._ended:
            self._next()
        given = bytes(self._held[:size])
        del self._held[:size]
        return given

    def finish(self) -> None:
        """Raise VaultError unless the file is whole to its end."""
        while not self._ended:
            self._next()
            self._held.clear()
        if self._file.read(1):
            raise VaultError("the file was altered: something follows its end")

    def _next(self) -> None:
        size = self._file.read(_LENGTH.size)
        if len(size) < _LENGTH.size:
            raise _cut_short()
        (length,) = _LENGTH.unpack(size)
        if not TAG_BYTES <= length <= CHUNK + TAG_BYTES:
            raise _altered()
        sealed = self._file.read(length)
        if len(sealed) < length:
            raise _cut_short()
        try:
            data, tag = pull(self._state, sealed, self._header)
        except (CryptoError, RuntimeError) as error:
            raise _altered() from error
        self._held += data
        self._ended = tag == FINAL


def check_passphrase(passphrase: str) -> None:
    """Raise UsageError for one that is too short to protect anything."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise UsageError(
            f"a passphrase has at least {LEAST_PASSPHRASE} characters; "
            "four or five words that don't belong together are good"
        )


def _unlock(header: bytes, kind: int, passphrase: str) -> tuple[bytes, bytes]:
    """Give the stream's header and its key."""
    if not header.startswith(MAGIC[: len(header)]) or not header:
        raise VaultError("the file is none that `meshpeer backup` or `device` made")
    if len(header) < HEADER_BYTES:
        raise _cut_short()
    clear = header[: _CLEAR.size]
    if not compare_digest(_sum(clear), header[_CLEAR.size :]):
        raise VaultError("the beginning of the file was altered or is damaged")
    _, found, passes, memory, _, salt, check, stream = _CLEAR.unpack(clear)
    if found != kind:
        what = KINDS.get(found, "something that this meshpeer doesn't know")
        raise VaultError(f"the file holds {what}, not {KINDS[kind]}")
    if not 1 <= passes <= MAX_PASSES or not 10 <= memory <= MAX_MEMORY_LOG:
        raise VaultError("the file asks for more memory or time than any of ours")
    key, expected = _derive(passphrase, salt, passes, memory)
    if not compare_digest(expected, check):
        raise VaultError("the passphrase is wrong")
    return stream, key


def _derive(
    passphrase: str, salt: bytes, passes: int, memory_log: int
) -> tuple[bytes, bytes]:
    made: bytes = argon2id.kdf(
        48,
        normalize("NFC", passphrase).encode(),
        salt,
        opslimit=passes,
        memlimit=1024 << memory_log,
    )
    return made[:32], made[32:]


def _sum(clear: bytes) -> bytes:
    return blake2s(clear, digest_size=_SUM).digest()


def _cut_short() -> VaultError:
    return VaultError("the file is cut short: its end is missing; copy it anew")


def _altered() -> VaultError:
    return VaultError("the file was altered or is damaged; copy it anew")
