"""Who can hear whom and when, and who writes to whom: the two CSV files of a simulation.

Contact times have the columns `start_s,end_s,a,b`, messages `created_s,src,dst,size_bytes,ttl_s,id`;
the first line names the columns. Peers are whole numbers. Published contact traces come in this
form or nearly so; an error names file, line and column, because such files are edited by hand.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple, TextIO

from meshpeer.errors import UsageError


class ContactTime(NamedTuple):
    """Peers `a` and `b` can hear each other from `start` to `end`, in seconds."""

    start: float
    end: float
    a: int
    b: int


class Planned(NamedTuple):
    """A message to be written at `created` seconds, about `size` bytes as a bundle."""

    created: float
    src: int
    dst: int
    size: int
    lifetime: float
    name: str


class Column(NamedTuple):
    """One column: its name, how to read a field, and what a field has to be."""

    name: str
    read: Callable[[str], Any]
    expected: str


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e12:
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


SECONDS: Final = (_seconds, "seconds, 0 or more")
WHOLE: Final = (_whole, "a whole number, 0 or more")

CONTACT_COLUMNS: Final = (
    Column("start_s", *SECONDS),
    Column("end_s", *SECONDS),
    Column("a", *WHOLE),
    Column("b", *WHOLE),
)
MESSAGE_COLUMNS: Final = (
    Column("created_s", *SECONDS),
    Column("src", *WHOLE),
    Column("dst", *WHOLE),
    Column("size_bytes", *WHOLE),
    Column("ttl_s", *SECONDS),
    Column("id", str, "text"),
)


def read_contacts(path: FilePath) -> list[ContactTime]:
    """Read contact times, or raise UsageError naming line and column."""
    contacts = []
    for line, fields in _rows(path, CONTACT_COLUMNS):
        contact = ContactTime(*fields)
        if contact.end < contact.start:
            raise _wrong(path, line, "end_s", f"{contact.end:g} is before start_s")
        if contact.a == contact.b:
            raise _wrong(path, line, "b", f"{contact.b} meets itself")
        contacts.append(contact)
    return contacts


def read_messages(path: FilePath) -> list[Planned]:
    """Read a workload, or raise UsageError naming line and column."""
    messages = []
    for line, fields in _rows(path, MESSAGE_COLUMNS):
        message = Planned(*fields)
        if message.src == message.dst:
            raise _wrong(path, line, "dst", f"{message.dst} writes to itself")
        messages.append(message)
    return messages


def write_contacts(contacts: Iterable[ContactTime], out: TextIO) -> None:
    """Write what `read_contacts` reads."""
    _write(CONTACT_COLUMNS, contacts, out)


def write_messages(messages: Iterable[Planned], out: TextIO) -> None:
    """Write what `read_messages` reads."""
    _write(MESSAGE_COLUMNS, messages, out)


def _rows(path: FilePath, columns: tuple[Column, ...]) -> Iterator[tuple[int, list[Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            _check_names(path, next(reader, []), columns)
            for row in reader:
                if row:
                    yield reader.line_num, _fields(path, reader.line_num, row, columns)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file: {error}") from error


def _check_names(path: FilePath, found: list[str], columns: tuple[Column, ...]) -> None:
    names = [column.name for column in columns]
    if found != names:
        raise UsageError(
            f"{path}, line 1: expected the columns {','.join(names)}, found {','.join(found)!r}"
        )


def _fields(
    path: FilePath, line: int, row: list[str], columns: tuple[Column, ...]
) -> list[Any]:
    if len(row) != len(columns):
        reason = f"{len(row)} columns, expected {len(columns)}"
        raise UsageError(f"{path}, line {line}: {reason}")
    fields = []
    for column, text in zip(columns, row, strict=True):
        try:
            fields.append(column.read(text))
        except ValueError as error:
            reason = f"expected {column.expected}, found {text!r}"
            raise _wrong(path, line, column.name, reason) from error
    return fields


def _wrong(path: FilePath, line: int, column: str, reason: str) -> UsageError:
    return UsageError(f"{path}, line {line}, column {column}: {reason}")


def _write(
    columns: tuple[Column, ...],
    rows: Iterable[ContactTime] | Iterable[Planned],
    out: TextIO,
) -> None:
    out.write(",".join(column.name for column in columns) + "\n")
    for row in rows:
        out.write(",".join(_text(value) for value in row) + "\n")


def _text(value: float | str) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
