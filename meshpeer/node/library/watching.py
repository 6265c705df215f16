"""A folder that is published again when something in it changes.

inotify says which file was closed after writing, moved or deleted; what it says is gathered until
nothing was heard for a tenth of a second, but for no longer than a second, and then only these
files are looked at. A new folder, a moved one, or a queue that ran over means to look through all
of it; so does the start, for nobody saw what happened before.

The kernel allows a user only so many watches. Where they run out the folder is looked through
once a minute, and why is said.

asyncinotify is imported when the first folder is watched.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from meshpeer.core.file_writes import DropFile
from meshpeer.core.formats.listing import OWN_FOLDER
from meshpeer.errors import MeshpeerError
from meshpeer.node.library.confined import Confined
from meshpeer.node.library.publishing import Changes, PublishedFolder, Publishing, Shelved
from meshpeer.node.library.walking import left_out

if TYPE_CHECKING:
    from asyncinotify import Event, Inotify

log = logging.getLogger("meshpeer.library")

QUIET: Final = 0.1
LONGEST: Final = 1.0
RETRY: Final = 60.0
KEPT_LISTINGS: Final = 3
"""Somebody may still be fetching one that is not the newest any more."""

OnChange: TypeAlias = Callable[[PublishedFolder], Awaitable[None]]


class Watch:
    """One watched folder. `run` goes on until it is cancelled."""

    def __init__(
        self,
        directory: str,
        *,
        hidden: bool,
        publishing: Publishing,
        in_thread: Callable[..., Awaitable[object]],
        take: Callable[[Changes], None],
        on_change: OnChange,
    ) -> None:
        """`take` gets what is to be journalled; then `on_change` publishes the collection.

        It is called at the start too, and has to see itself whether that listing is news.
        """
        self.directory = os.path.normpath(directory)  # a link on the way to it is refused
        self.why = ""
        """Why the folder can't be watched well, or at all."""
        self.published: PublishedFolder | None = None
        self._shelf = Shelved(self.directory, hidden)
        self._publishing = publishing
        self._in_thread = in_thread
        self._take = take
        self._on_change = on_change
        self._watched: dict[int, str] = {}
        self._folders: set[str] = set()
        self._dirty: set[str] = set()
        self._all = self._unsaid = True
        self._listings: list[bytes] = []
        self._heard = asyncio.Event()
        self._changed = 0.0
        self._first = 0.0

    async def run(self) -> None:
        """Publish the folder, and again after each change."""
        from asyncinotify import Inotify

        with Inotify(cache_size=64) as inotify:
            listening = asyncio.create_task(self._listen(inotify))
            try:
                while True:
                    await self._look(inotify)
                    await self._calm()
            finally:
                listening.cancel()

    def look_again(self) -> None:
        """Something is known to have changed: look through all of it."""
        self._all = True
        self._touch()

    # ---- what is heard

    async def _listen(self, inotify: "Inotify") -> None:
        async for event in inotify:
            try:
                self._hear(event)
            except Exception:  # else nothing would ever be heard again, in silence
                log.exception(
                    "an event that can't be understood", extra={"folder": self.directory}
                )
                self.look_again()

    def _hear(self, event: "Event") -> None:
        from asyncinotify import Mask

        if event.mask & Mask.Q_OVERFLOW:
            return self.look_again()
        folder = self._watched.get(event.watch.wd) if event.watch is not None else None
        if event.mask & Mask.IGNORED:
            if event.watch is not None:
                self._folders.discard(self._watched.pop(event.watch.wd, ""))
            return None
        if folder is None or event.mask & (Mask.MOVE_SELF | Mask.DELETE_SELF):
            return self.look_again()
        path = f"{folder}/{event.name}" if folder else str(event.name)
        if left_out(path, hidden=self._shelf.hidden):
            return None
        if event.mask & Mask.ISDIR:
            return self.look_again()
        if event.mask & Mask.CREATE:
            return None  # it is still being written, and closing it is heard too
        self._dirty.add(path)
        return self._touch()

    def _touch(self) -> None:
        self._changed = asyncio.get_running_loop().time()
        if not self._heard.is_set():
            self._first = self._changed
            self._heard.set()

    async def _calm(self) -> None:
        """Wait for something to happen, and then for it to be over."""
        loop = asyncio.get_running_loop()
        try:
            wait = RETRY if self.why or self._shelf.retry else None
            await asyncio.wait_for(self._heard.wait(), wait)
        except TimeoutError:
            self._all = True
            return
        while True:
            left = min(self._changed + QUIET, self._first + LONGEST) - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._heard.clear()

    # ---- what is done about it

    async def _look(self, inotify: "Inotify") -> None:
        self.why = ""
        paths, self._dirty = self._dirty, set()
        everything, self._all = self._all, False
        try:
            if everything:
                changes = await self._rescan(inotify)
            else:
                changes = await self._again(paths | self._shelf.retry)
            self._unsaid |= self._shelf.changed
            self._shelf.changed = False
            if not self._unsaid:
                self._take(changes)
                return
            listed = await self._in_thread(self._publishing.listed, self._shelf, changes)
            assert isinstance(listed, PublishedFolder)
            self._listings.append(listed.listing)
            old = self._listings[:-KEPT_LISTINGS]
            if old and old[0] not in self._listings[1:]:
                changes.writes.append(DropFile(old[0]))
                changes.gone.append(old[0])
            del self._listings[:-KEPT_LISTINGS]
            self._take(changes)
            await self._on_change(listed)
            self._unsaid, self.published = False, listed
        except MeshpeerError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"{self.directory} can't be read: {error.strerror}")

    async def _rescan(self, inotify: "Inotify") -> Changes:
        """Watch first, then look, until looking finds no folder that isn't watched."""
        known: set[str] = set()
        self._watch(inotify, "")
        changes = Changes()
        while True:
            more = await self._in_thread(self._scan)
            assert isinstance(more, Changes)
            changes.add(more)
            self._folders &= set(self._shelf.folders)  # one that is gone may come back
            new = set(self._shelf.folders) - self._folders - known
            if not new:
                return changes
            known |= new
            for folder in new:
                self._watch(inotify, folder)

    def _scan(self) -> Changes:
        self._shelf.retry.clear()
        with Confined(self.directory, straight=True) as folder:
            return self._publishing.rescan(self._shelf, folder)

    async def _again(self, paths: set[str]) -> Changes:
        changes = await self._in_thread(self._scan_some, paths)
        assert isinstance(changes, Changes)
        return changes

    def _scan_some(self, paths: set[str]) -> Changes:
        self._shelf.retry.clear()
        with Confined(self.directory, straight=True) as folder:
            return self._publishing.again(self._shelf, folder, paths)

    def _watch(self, inotify: "Inotify", folder: str) -> None:
        from asyncinotify import Mask

        if folder in self._folders or OWN_FOLDER in folder.split("/"):
            return
        mask = (
            Mask.CLOSE_WRITE
            | Mask.MOVED_TO
            | Mask.MOVED_FROM
            | Mask.DELETE
            | Mask.CREATE
            | Mask.ATTRIB
            | Mask.DELETE_SELF
            | Mask.MOVE_SELF
            | Mask.ONLYDIR
            | Mask.DONT_FOLLOW
            | Mask.EXCL_UNLINK
        )
        try:
            path = os.path.join(self.directory, folder) if folder else self.directory
            watch = inotify.add_watch(path, mask)
        except FileNotFoundError:
            return
        except OSError as error:
            self._fail(
                f"{self.directory} can't be watched in full ({error.strerror}) and is looked "
                "through once a minute; `sysctl fs.inotify.max_user_watches=1048576` helps"
            )
            return
        self._watched[watch.wd] = folder
        self._folders.add(folder)

    def _fail(self, why: str) -> None:
        if why != self.why:
            log.warning("a watched folder", extra={"folder": self.directory, "reason": why})
        self.why = why
        self._all = True
