"""Backups as the API asks for them: one at a time, in a thread, while the peer goes on.

What makes them is imported by the first one: most peers run for weeks without.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from meshpeer.errors import MeshpeerError, StoreError, UsageError
from meshpeer.node import device_facade
from meshpeer.node.desk import Desk
from meshpeer.node.state import State

log = logging.getLogger("meshpeer.node")


@dataclass
class Job:
    """A backup that is made, or was: written by its thread, read by the loop."""

    path: Path
    done: int = 0
    total: int = 0
    bytes: int = 0
    error: MeshpeerError | None = None
    called_off: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self, done: int, total: int) -> None:
        """Note how far it is; raises to end it when it was called off."""
        self.done, self.total = done, total
        if self.called_off:
            raise UsageError("the backup was called off")

    def run(self, state: State, passphrase: str, nickname: str) -> None:
        """Make it, and keep how that ended."""
        from meshpeer.node.backup import make_backup

        try:
            self.bytes = make_backup(
                state, self.path, passphrase, nickname=nickname, progress=self.tell
            )
        except MeshpeerError as error:
            self.error = error
        except OSError as error:
            self.error = StoreError(f"the backup can't be written: {error}")
        except Exception:
            log.exception("a fault while a backup was made")
            self.error = MeshpeerError("the backup failed; the log says more")
        finally:
            self.ended.set()


class BackupService(Desk):
    """Everything of this peer in one file."""

    _job: Job | None = None

    async def begin_backup(self, new: device_facade.NewBackup) -> device_facade.Backup:
        """Begin to write a backup; one at a time."""
        from meshpeer.node.backup import check_target
        from meshpeer.node.vault import check_passphrase

        if self._job and not self._job.ended.is_set():
            raise UsageError(f"a backup is being made already: {self._job.path}")
        path = Path(new.path)
        check_passphrase(new.passphrase)
        check_target(path)
        await self._node.durable()
        self._job = Job(path)
        nickname = self.find_own(None).card.nickname
        # not an executor's: a peer that is told to stop doesn't wait for it
        threading.Thread(
            target=self._job.run,
            args=(self._node.state, new.passphrase, nickname),
            name="backup",
            daemon=True,
        ).start()
        return await self.backup()

    async def backup(self) -> device_facade.Backup:
        """Say how far the backup is, or how the last one ended."""
        job = self._job
        if job is None:
            return device_facade.Backup("none")
        if not job.ended.is_set():
            return device_facade.Backup("making", str(job.path), job.done, job.total)
        if job.error:
            kind, why = type(job.error).__name__, str(job.error)
            return device_facade.Backup("failed", str(job.path), error=kind, why=why)
        return device_facade.Backup(
            "done", str(job.path), job.total, job.total, bytes=job.bytes
        )

    async def cancel_backup(self) -> device_facade.Backup:
        """Call the backup off; an older file of its name stays as it was."""
        if self._job:
            self._job.called_off = True
            await asyncio.to_thread(self._job.ended.wait)
        return await self.backup()
