"""The folders that are published and watched, each by a task of its own.

One of them is Watch (watching.py), imported when the first folder is watched: most peers watch
none.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from meshpeer.core.file_writes import DropWatched, PutWatched
from meshpeer.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from meshpeer.node.library.library import Library
    from meshpeer.node.library.publishing import Publishing
    from meshpeer.node.library.watching import OnChange, Watch


class Watches:
    """What one library watches. Its methods are for the loop."""

    def __init__(self, library: "Library", publishing: Callable[[], "Publishing"]) -> None:
        self._library, self._publishing = library, publishing
        self._watches: dict[str, tuple[Watch, asyncio.Task[None]]] = {}

    def __iter__(self) -> Iterator["Watch"]:
        return iter([watch for watch, _ in self._watches.values()])

    def begin(
        self, directory: str, on_change: "OnChange", *, hidden: bool = False
    ) -> "Watch":
        """Publish a folder now and whenever it changes; `on_change` makes the record.

        It is told of the folder as it is at first, too, and sees itself whether that is news.
        UsageError if the folder is watched already.
        """
        from meshpeer.node.library.watching import Watch

        watch = Watch(
            directory,
            hidden=hidden,
            publishing=self._publishing(),
            in_thread=self._library.in_thread,
            take=self._library.take_changes,
            on_change=on_change,
        )
        if watch.directory in self._watches:
            raise UsageError(f"{watch.directory} is watched already")
        task = asyncio.get_running_loop().create_task(watch.run())
        self._watches[watch.directory] = watch, task
        return watch

    async def end(self, directory: str) -> None:
        """Publish this folder no more; what was published stays so. NotFoundError if it isn't
        watched."""
        if directory not in self._watches:
            directory = await self._library.in_thread(os.path.realpath, directory)
        if directory not in self._watches:
            raise NotFoundError(f"{directory} is not watched")
        _, task = self._watches.pop(directory)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._library.take([DropWatched(directory)])

    def keep(self, row: PutWatched) -> None:
        """Remember to watch a folder after a restart."""
        self._library.take([row._replace(directory=os.path.realpath(row.directory))])

    def look_again(self, path: str) -> None:
        """What lies at this path is not what it was: look through the folders that it is in."""
        for watch in self:
            if path.startswith(watch.directory + "/"):
                watch.look_again()

    async def close(self) -> None:
        """End all; they are watched again after the next start."""
        tasks = [task for _, task in self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
