"""The disk's side of the journal: one thread commits batch after batch, the loop goes on.

When the disk refuses, the batch stays in the journal and is tried again after a pause that grows;
meanwhile nothing is acknowledged to anybody, and people are told why.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from meshpeer.core.journal import Journal
from meshpeer.core.writes import Write
from meshpeer.errors import StoreError
from store.store import Store

RETRY: Final = 1.0
LONGEST_RETRY: Final = 60.0


class Writer:
    """Commits what waits in the journal; `committed` and `failed` are called from the loop."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        committed: Callable[[Sequence[Write]], None],
        failed: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._committed = committed
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._wait = RETRY

    def turn(self) -> None:
        """Begin to commit what waits, unless a commit is under way or has just failed."""
        if self._pause is not None:
            return
        while (batch := self._journal.take()) is not None:
            if batch:
                done = self._loop.run_in_executor(self._thread, self._commit, batch)
                done.add_done_callback(self._landed)
                return
            self._committed(batch)

    async def close(self) -> None:
        """Wait for the commit under way, then commit what is left."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        await self._loop.run_in_executor(self._thread, lambda: None)
        await asyncio.sleep(0)
        self._journal.press()
        for _ in range(2):
            self.turn()
            await self._loop.run_in_executor(self._thread, lambda: None)
            await asyncio.sleep(0)
        self._thread.shutdown()

    def _commit(self, batch: list[Write]) -> list[Write]:
        try:
            self._store.commit(batch)
        except StoreError:
            raise
        except Exception as error:  # else nothing would ever be written again, in silence
            raise StoreError(f"a fault in writing: {type(error).__name__}") from error
        return batch

    def _landed(self, done: asyncio.Future[list[Write]]) -> None:
        try:
            batch = done.result()
        except StoreError as error:
            self._pause = self._loop.call_later(self._wait, self._again)
            self._wait = min(2 * self._wait, LONGEST_RETRY)
            self._failed(error)
            return
        self._wait = RETRY
        self._committed(batch)

    def _again(self) -> None:
        self._pause = None
        self.turn()
