"""Tells when something happens in the folders where serial ports appear, by inotify.

A USB modem that is plugged in gets its name first and its permissions a moment later; each is an
event, and after each its port is tried again. What exactly happened doesn't matter, so the events
aren't even read. A folder that is not there yet (/dev/serial/by-id) is awaited in its parent.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncinotify import Inotify

READ_SIZE = 65_536


class PortFolders:
    """Calls `changed()` after anything that may have made one of these ports usable."""

    def __init__(self, ports: Iterable[str], changed: Callable[[], None]) -> None:
        self._folders = {
            folder for port in ports for folder in Path(port).parents if folder != Path("/")
        }
        self._changed = changed
        self._inotify: Inotify | None = None

    def start(self) -> None:
        """Begin to watch; needs a running loop."""
        from asyncinotify import Inotify

        self._inotify = Inotify()
        os.set_blocking(self._inotify.fd, False)
        self._watch()
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._happened)

    def close(self) -> None:
        """Stop. A second call does nothing."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
        self._inotify = None

    def _watch(self) -> None:
        """Watch each folder that is there; one that is watched already stays so."""
        from asyncinotify import Mask

        assert self._inotify is not None
        for folder in self._folders:
            with suppress(OSError):
                self._inotify.add_watch(folder, Mask.CREATE | Mask.MOVED_TO | Mask.ATTRIB)

    def _happened(self) -> None:
        assert self._inotify is not None
        with suppress(BlockingIOError):
            os.read(self._inotify.fd, READ_SIZE)
        self._watch()
        self._changed()
