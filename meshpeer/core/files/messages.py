"""What peers say of files: control messages on stream 5 of their link, parts on stream 6.

Frames are those of sync's stream 0; bodies stand in the table KINDS at the end. Who looks for a
file gives it a handle on this link, and all that both sides say of it there bears this handle:
Seek, Ask, Cancel, Forget and Slow go from the seeker to the holder, Hold, Have, Coming, No and the
parts the other way. Lists end with the body, so hundreds of small files go in one message.

    part on stream 6    handle (4), part (4), length (4), bytes

A part is a chunk's number, PAGE0 + i for page i of the manifest, or ROOT, as in wants; in a No
ROOT stands for all of the file. To an Ask for the root
of a file of one chunk the chunk is added, if the holder has it. Whatever is malformed raises
RemoteProtocolError from `unpack`, and the frames after it can still be read.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias

from meshpeer.core.files.runs import MAX_CHUNKS
from meshpeer.core.formats.want import PAGE0, ROOT
from meshpeer.core.sync.messages import Frames, chunks
from meshpeer.core.sync.varint import Reader, varint
from meshpeer.errors import RemoteProtocolError

__all__ = ["PAGE0", "ROOT", "Frames", "chunks"]

CONTROL: Final = 5
"""The stream of control messages."""
PARTS: Final = 6
"""The stream of parts."""
MAX_PAGES: Final = 64
TAG_SIZE: Final = 16
RUNS_AT_ONCE: Final = 4_096
"""Runs in one message."""
PART_HEAD: Final = struct.Struct("!III")

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""First and length of each, ascending, with gaps between them."""


class Why(IntEnum):
    """Why a part isn't given."""

    UNKNOWN = 0
    """Nothing of the file is here; should that change, the seeker is told."""
    LATER = 1
    """Not now: the owner's hours, the disk or a slow link don't allow it."""
    GONE = 2
    """It was here."""
    LIMIT = 3
    """Too many files are looked for; look again later."""


class Seek(NamedTuple):
    """Who holds these? Tell me now, and whenever it changes."""

    wanted: tuple[tuple[int, bytes], ...]
    """Handle and want tag of each."""


class Hold(NamedTuple):
    """All of these is here."""

    handles: tuple[int, ...]


class Have(NamedTuple):
    """These chunks are here, beside those told before. The manifest is."""

    handle: int
    runs: Runs


class Coming(NamedTuple):
    """These chunks were asked for elsewhere and will be here soon: ask others for others."""

    handle: int
    runs: Runs


class Ask(NamedTuple):
    """Send these parts."""

    parts: tuple[tuple[int, int], ...]


class No(NamedTuple):
    """These parts can't be sent."""

    parts: tuple[tuple[int, int, Why], ...]


class Cancel(NamedTuple):
    """These parts need not be sent any more."""

    parts: tuple[tuple[int, int], ...]


class Slow(NamedTuple):
    """These are wanted though this link takes long for them."""

    handles: tuple[int, ...]


class Forget(NamedTuple):
    """These handles mean nothing any more."""

    handles: tuple[int, ...]


Message: TypeAlias = Seek | Hold | Have | Coming | Ask | No | Cancel | Forget | Slow


class Kind(NamedTuple):
    """One row of the table."""

    number: int
    name: str
    message: type[Message]
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Message]


def pack(message: Message) -> bytes:
    """The frame of a message."""
    kind = _BY_TYPE[type(message)]
    body = kind.pack(message)
    return bytes((kind.number,)) + varint(len(body)) + body


def unpack(number: int, body: bytes) -> Message | None:
    """The message of a frame, None for a type we don't know, else RemoteProtocolError."""
    kind = _BY_NUMBER.get(number)
    return kind.unpack(body) if kind else None


def _records(field: str, record: struct.Struct, body: bytes) -> Sequence[tuple[Any, ...]]:
    if not body or len(body) % record.size:
        raise RemoteProtocolError(
            field, f"{len(body)} bytes, not a multiple of {record.size}"
        )
    return list(record.iter_unpack(body))


def _pack_runs(message: Have | Coming) -> bytes:
    out, end = [message.handle.to_bytes(4)], 0
    for first, length in message.runs:
        out += varint(first - end), varint(length)
        end = first + length
    return b"".join(out)


def _unpack_runs(field: str, body: bytes) -> tuple[int, Runs]:
    reader = Reader(field, body)
    handle = int.from_bytes(reader.take(4))
    runs: list[tuple[int, int]] = []
    end = 0
    while not reader.finished:
        gap, length = reader.varint(), reader.varint()
        first = end + gap
        end = first + length
        if not length or (runs and not gap) or end > MAX_CHUNKS:
            raise RemoteProtocolError(field, f"a run of {length} at {first}")
        runs.append((first, length))
        if len(runs) > RUNS_AT_ONCE:
            raise RemoteProtocolError(field, f"more than {RUNS_AT_ONCE} runs")
    return handle, tuple(runs)


def _check_part(field: str, part: int) -> None:
    if not (part < MAX_CHUNKS or PAGE0 <= part < PAGE0 + MAX_PAGES or part == ROOT):
        raise RemoteProtocolError(field, f"part {part} of a file")


def _pack_parts(parts: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_PART.pack(handle, part) for handle, part in parts)


def _unpack_parts(field: str, body: bytes) -> tuple[tuple[int, int], ...]:
    parts = [(handle, part) for handle, part in _records(field, _PART, body)]
    for _, part in parts:
        _check_part(field, part)
    return tuple(parts)


def _pack_no(no: No) -> bytes:
    return b"".join(_REFUSED.pack(*refused) for refused in no.parts)


def _unpack_no(body: bytes) -> No:
    refused = []
    for handle, part, why in _records("no", _REFUSED, body):
        _check_part("no", part)
        if why not in _WHYS:
            raise RemoteProtocolError("no", f"reason {why}")
        refused.append((handle, part, Why(why)))
    return No(tuple(refused))


def _pack_handles(message: Hold | Forget | Slow) -> bytes:
    return b"".join(handle.to_bytes(4) for handle in message.handles)


def _unpack_handles(field: str, body: bytes) -> tuple[int, ...]:
    return tuple(handle for (handle,) in _records(field, _HANDLE, body))


_HANDLE: Final = struct.Struct("!I")
_WANTED: Final = struct.Struct(f"!I{TAG_SIZE}s")
_PART: Final = struct.Struct("!II")
_REFUSED: Final = struct.Struct("!IIB")
_WHYS: Final = frozenset(Why)

KINDS: Final = (
    Kind(
        1,
        "seek",
        Seek,
        lambda m: b"".join(_WANTED.pack(*wanted) for wanted in m.wanted),
        lambda body: Seek(tuple((h, t) for h, t in _records("seek", _WANTED, body))),
    ),
    Kind(2, "hold", Hold, _pack_handles, lambda body: Hold(_unpack_handles("hold", body))),
    Kind(3, "have", Have, _pack_runs, lambda body: Have(*_unpack_runs("have", body))),
    Kind(
        4, "coming", Coming, _pack_runs, lambda body: Coming(*_unpack_runs("coming", body))
    ),
    Kind(
        5,
        "ask",
        Ask,
        lambda m: _pack_parts(m.parts),
        lambda body: Ask(_unpack_parts("ask", body)),
    ),
    Kind(6, "no", No, _pack_no, _unpack_no),
    Kind(
        7,
        "cancel",
        Cancel,
        lambda m: _pack_parts(m.parts),
        lambda body: Cancel(_unpack_parts("cancel", body)),
    ),
    Kind(
        8,
        "forget",
        Forget,
        _pack_handles,
        lambda body: Forget(_unpack_handles("forget", body)),
    ),
    Kind(9, "slow", Slow, _pack_handles, lambda body: Slow(_unpack_handles("slow", body))),
)
_BY_NUMBER: Final = {kind.number: kind for kind in KINDS}
_BY_TYPE: Final[dict[type, Kind]] = {kind.message: kind for kind in KINDS}
