"""The log: JSON lines in a rotating file, and in the foreground plain lines on stderr.

Quiet by default (warnings), bounded on disk, and never a message's text or a key: what is logged
are fixed words plus named fields (`log.warning("link down", extra={"after_s": 3})`), and of an
exception its type and the places it passed, since the text of somebody else's exception may
quote the bytes it choked on. Our own errors' texts are written for people and are kept.
"""

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from meshpeer.errors import MeshpeerError

ROOT: Final = "meshpeer"
FILE_BYTES: Final = 1024 * 1024
OLD_FILES: Final = 2

_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def start(path: Path, level: str, *, foreground: bool) -> None:
    """Send what `meshpeer.*` logs from `level` up to the file, and to stderr if asked."""
    root = logging.getLogger(ROOT)
    root.setLevel(level.upper())
    root.propagate = False
    stop()
    file = LogFile(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, delay=True)
    file.setFormatter(JsonLines())
    root.addHandler(file)
    if foreground:
        screen = logging.StreamHandler(sys.stderr)
        screen.setFormatter(PlainLines())
        root.addHandler(screen)


def stop() -> None:
    """Close what `start` opened."""
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, JsonLines | PlainLines):
            root.removeHandler(handler)
            handler.close()


def _record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Give what a line says, without anything that came from outside unasked."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    said: dict[str, Any] = {"event": record.getMessage(), **extra}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        said["error"] = type(error).__name__
        if isinstance(error, MeshpeerError):
            said["text"] = str(error)
        frames = traceback.extract_tb(error.__traceback__)
        said["at"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    return said


class LogFile(RotatingFileHandler):
    """The file. A full disk costs lines in it and nothing else: the screen still has them."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Be silent where logging would print the stack for each line that it can't write."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close, also where what waits can't be written."""
        with suppress(OSError):
            super().close()


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC, a hint), level, where, event and fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        when = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "where": record.name,
            **_record_fields(record),
        }
        return json.dumps(line, ensure_ascii=True, default=_plain)


class PlainLines(logging.Formatter):
    """The same for a person who watches."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        said = _record_fields(record)
        event = said.pop("event")
        fields = ", ".join(f"{key} {json.dumps(said[key], default=_plain)}" for key in said)
        return f"{record.levelname.lower()}: {event}{' (' + fields + ')' if fields else ''}"


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
