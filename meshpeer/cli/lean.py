"""Keeps out of a running peer what libraries take where they find it, and do without elsewhere.

Each of these is looked for by an import that may fail, so a peer imports its libraries where they
can't be found. What is hidden, of 62 MB and 0.4 s of a start:

    OpenSSL          5 MB, 45 ms   asyncio, aiohttp, hashlib. Nobody here speaks TLS (links have
                                   their own encryption, the API stays on this machine), hashlib
                                   has its own BLAKE2, and `cryptography` brings its own copy.
                                   aiohttp would read every certificate authority on the machine.
    _frozenlist      1 MB          aiohttp's lists of handlers in C++, with all of libstdc++; a
                                   request takes as long with those in Python
    _websocket       0.2 MB        aiohttp's web sockets in C, that the API has none of
    types of files   0.4 MB        the machine's list of them, which aiohttp reads for files that
                                   it never serves here; who asks for a type reads it then
    bz2, lzma        0.3 MB        shutil's archives; zlib stays

Some are imported by libraries that use them in functions we hardly ever call, so they can't be
hidden; they are put off until somebody touches them:

    dateutil.parser  0.8 MB        sqlite-utils' conversions of columns
    idna             0.3 MB        yarl's host names that aren't ASCII
    aiohttp          1.6 MB, 20 ms the package's own list of names, which has all of its client;
                                   the modules of it that the server is made of are imported

It changes our mind if something here ever needs asyncio's TLS, hashlib's scrypt and pbkdf2, or
shutil's compressed archives.
"""

import mimetypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
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
SPARE: Final = (
    "ssl",
    "frozenlist._frozenlist",
    "aiohttp._websocket.mask",
    "aiohttp._websocket.reader_c",
    "bz2",
    "lzma",
)
PUT_OFF: Final = ("dateutil.parser", "idna")
PUT_OFF_BUT_PARTS: Final = {"aiohttp": {"__version__": ""}}
"""Packages whose modules are had without the package itself, and what these take from it at once:
aiohttp's version stands in the header `Server` of answers, which nobody reads."""


@contextmanager
def without_spare_parts() -> Iterator[None]:
    """Hide them from what is imported in this block; later imports find them again."""
    mimetypes.inited = True  # it isn't: whoever guesses a type finds no table, and reads it
    hidden = [name for name in _hideable() if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    for name in (*PUT_OFF, *PUT_OFF_BUT_PARTS):
        _put_off(name)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _hideable() -> list[str]:
    complete = all(any(find_spec(name) for name in names) for names in OWN_HASHES)
    return [*SPARE, "_hashlib"] if complete else [*SPARE]


def _put_off(name: str) -> None:
    """Let it be imported by whoever first wants something of it.

    Not by importlib's LazyLoader, whose modules load at a mere `import` of their name.
    """
    spec = find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, module_from_spec(spec)

    def give(wanted: str) -> object:
        if name in PUT_OFF_BUT_PARTS and find_spec(f"{name}.{wanted}"):
            return import_module(f"{name}.{wanted}")
        if vars(module).pop("__getattr__", None):
            loader.exec_module(module)
        return getattr(module, wanted)

    vars(module).update(PUT_OFF_BUT_PARTS.get(name, {}), __getattr__=give)
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)  # where `from package import` finds it
