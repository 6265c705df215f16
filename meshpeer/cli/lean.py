"""Keeps OpenSSL out of a running peer: 5 of its 62 MB, and 45 ms of each start.

asyncio, aiohttp and hashlib each take OpenSSL where they find it and do without where they don't.
Nobody here speaks TLS (links have their own encryption, the API stays on this machine), hashlib
has its own BLAKE2, and `cryptography` brings its own copy. So they are imported where it can't be
found. aiohttp would even read every certificate authority on the machine.

It changes our mind if something here ever needs asyncio's TLS or hashlib's scrypt and pbkdf2.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

OWN_HASHES: Final = (
    ("_md5",),
    ("_sha1",),
    ("_sha256", "_sha2"),
    ("_sha512", "_sha2"),
    ("_sha3",),
    ("_blake2",),
)
"""What hashlib needs to do without OpenSSL; some distributions build Python without them."""


@contextmanager
def without_openssl() -> Iterator[None]:
    """Hide OpenSSL from what is imported in this block; later imports find it again."""
    hidden = [name for name in _hideable() if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _hideable() -> list[str]:
    complete = all(any(find_spec(name) for name in names) for names in OWN_HASHES)
    return ["ssl", "_hashlib"] if complete else ["ssl"]
