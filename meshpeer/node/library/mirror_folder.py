"""A folder made equal to a listing, without ever losing what its owner wrote into it.

    compare   what lies where by its row's size and time; where that says nothing, by content
    stage     the bytes into `.meshpeer/incoming`, from a blob, from an equal file, or fetched
              (staging.py)
    (sync)    one call makes all staged bytes durable
    put       each staged file swapped with what has its name, in one step
    (sync)    the names
    (rows)    what lies where: PutMirrored and a place, from which others are served too
    remove    what the author deleted goes to `.meshpeer/removed/<date>`, erased after its grace

A crash leaves the old or the new file under each name, whole; one that is new and has no row yet
is known by its content. The swap hands out what had the name: only if that is what we once put
there is it thrown away, else it is the owner's and stays beside as `name.mine-1`. So also a file
that is saved between a look and the swap is kept.

Everything goes through `Confined`: no link in the folder leads anywhere. And a folder that was
mirrored before and lacks `.meshpeer` now is not filled anew, for most likely its disk isn't
mounted.
"""

import os
import shutil
import stat
import time
from calendar import timegm
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from meshpeer.core.file_writes import (
    DropBlob,
    DropMirrored,
    DropPlace,
    FileWrite,
    PutFile,
    PutMirrored,
)
from meshpeer.core.formats.listing import OWN_FOLDER, Entry, Listing
from meshpeer.core.formats.manifest import Manifest, want_tag
from meshpeer.errors import MeshpeerError, StoreError, UsageError
from meshpeer.node.library.confined import Confined
from meshpeer.node.library.hashing import Hashed, Hasher, Look
from meshpeer.node.library.kernel import (
    exchange,
    give_name,
    rename_new,
    sync_file_system,
)
from meshpeer.node.library.naming import aside, candidates
from meshpeer.node.library.partials import KEEP_FREE, refused
from meshpeer.node.library.reading import place_of
from meshpeer.node.library.staging import FEW, INCOMING, Staged, Staging
from store.files import FileReads

REMOVED: Final = "removed"
DAY: Final = 86_400


class Differences(NamedTuple):
    """What lacks in the folder, and what is there by chance or from before a crash."""

    lacking: list[Entry]
    adopted: list[FileWrite]
    same: int


class MirrorFolder:
    """One folder; for one thread. What it gives back is to be journalled."""

    group: Final = 500
    """Files that share a sync."""

    def __init__(
        self,
        store: FileReads,
        directory: str,
        *,
        began: bool,
        keep_free: int = KEEP_FREE,
    ) -> None:
        """`began`: whether the folder was equal to a listing before."""
        self._store = store
        self._hasher = Hasher()
        self._rows: dict[str, PutMirrored] = {}
        self.known: list[Manifest] = []
        """Of files that lay in the folder already."""
        self._folder = Confined(directory, make=not began, straight=True)
        try:
            self.staging = Staging(
                store,
                self._folder,
                self._own(INCOMING, make=not began),
                hasher=self._hasher,
                keep_free=keep_free,
            )
            self._incoming = self.staging.descriptor
            self.directory = self._folder.path
            self.sweep()
        except BaseException:
            self._folder.close()
            raise

    def close(self) -> None:
        """Let every descriptor go."""
        self.staging.close()
        self._folder.close()

    def sweep(self) -> None:
        """Put what a crash left among the incoming to the removed: it may be the owner's."""
        for name in os.listdir(self._incoming):
            if name.startswith("new-"):
                self._put_away(name, self._incoming, name)

    # ---- compare

    def compare(self, listing: Listing) -> Differences:
        """Look what of the listing is in the folder."""
        self._folder.forget()
        self._rows = {row.path: row for row in self._store.mirrored(self.directory)}
        lacking: list[Entry] = []
        adopted: list[FileWrite] = []
        for entry in listing.entries:
            found = self._folder.look(entry.path)
            row = self._rows.get(entry.path)
            if found is None or not stat.S_ISREG(found.st_mode):
                lacking.append(entry)
            elif row is not None and row.file == entry.file and _untouched(row, found):
                self._set_mode(entry, found)
            elif found.st_size == entry.size and (same := self._holds(entry)) is not None:
                self._set_mode(entry, found)
                adopted += self._adopt(entry, same)
            else:
                lacking.append(entry)
        self.staging.check(lacking)
        return Differences(lacking, adopted, len(listing.entries) - len(lacking))

    # ---- stage and put

    def put(self, entries: Sequence[Entry]) -> tuple[list[FileWrite], list[Entry]]:
        """Put files whose bytes are on this disk into their places, durably.

        Gives what to write, and the entries whose bytes were not what they should be.
        """
        self.staging.check(entries)
        writes: list[FileWrite] = []
        failed: list[Entry] = []
        uses = Counter(entry.file for entry in entries)
        for start in range(0, len(entries), self.group):
            try:
                done = [
                    self.staging.stage(entry, uses)
                    for entry in entries[start : start + self.group]
                ]
                staged = [each for each in done if each is not None]
                self.staging.sync(staged)
                for each in staged:
                    self._swap_in(each)
                self._sync_names(staged)
            except OSError as error:
                raise refused(self.directory, error) from error
            for each in staged:
                writes += self._row(each.entry, each.look)
            there = {each.entry.path for each in staged}
            failed += (
                e for e in entries[start : start + self.group] if e.path not in there
            )
        self.staging.drop(uses)
        writes += (DropPlace(self.staging.target(file)) for file in uses)
        return writes, failed

    def _sync_names(self, staged: Sequence[Staged]) -> None:
        if len(staged) > FEW:
            sync_file_system(self._incoming)
            return
        for path in {each.entry.path.rpartition("/")[0] for each in staged}:
            parts = path.split("/") if path else []
            for depth in range(len(parts) + 1):
                os.fsync(self._folder.folder(parts[:depth]))

    def _swap_in(self, staged: Staged) -> None:
        folder, name = self._spot(staged.entry.path)
        row = self._rows.get(staged.entry.path)
        kept = self._keep_owners(row, folder, name)
        while True:
            with suppress(FileExistsError):
                rename_new(staged.name, name, self._incoming, folder)
                return None
            with suppress(FileNotFoundError):  # it went away meanwhile
                if exchange(staged.name, name, self._incoming, folder):
                    return self._throw_out(staged.name, row, kept, folder, name)
                old = f"{staged.name}-old"
                os.rename(name, old, src_dir_fd=folder, dst_dir_fd=self._incoming)
                self._throw_out(old, row, kept, folder, name)

    def _keep_owners(self, row: PutMirrored | None, folder: int, name: str) -> int:
        """Give what its owner made a second name before it loses the first; its inode, or 0."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return 0
        if stat.S_ISREG(found.st_mode):
            if row is None or not _untouched(row, found):
                self._keep_aside(name, folder, folder, name, link=True)
                return found.st_ino
        elif stat.S_ISDIR(found.st_mode):
            with suppress(OSError):  # an empty one is nobody's work
                os.rmdir(name, dir_fd=folder)
                return 0
            self._keep_aside(name, folder, folder, name)
        else:
            self._keep_aside(name, folder, folder, name)
        return 0

    def _throw_out(
        self, old: str, row: PutMirrored | None, kept: int, folder: int, name: str
    ) -> None:
        """Drop what had the name, unless somebody wrote it since we looked."""
        found = os.stat(old, dir_fd=self._incoming, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            with suppress(OSError):  # an empty one is nobody's work
                return os.rmdir(old, dir_fd=self._incoming)
        elif found.st_ino == kept or (row is not None and _untouched(row, found)):
            return os.unlink(old, dir_fd=self._incoming)
        return self._keep_aside(old, self._incoming, folder, name)

    def _keep_aside(
        self, source: str, source_dir: int, folder: int, name: str, *, link: bool = False
    ) -> None:
        for candidate in aside(name):
            with suppress(FileExistsError):
                if link:
                    give_name(source, candidate, source_dir, folder)
                else:
                    rename_new(source, candidate, source_dir, folder)
                return
        raise StoreError(f"{self.directory} has too many files kept as {name}.mine-N")

    def _spot(self, path: str) -> tuple[int, str]:
        """Open the folder of a path; what is in the way of a folder is the owner's, so aside."""
        *parts, name = path.split("/")
        for depth in range(1, len(parts) + 1):
            way = "/".join(parts[:depth])
            found = self._folder.look(way)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                spot = self._folder.spot(way)
                row = self._rows.get(way)
                if (
                    row is not None
                    and stat.S_ISREG(found.st_mode)
                    and _untouched(row, found)
                ):
                    os.unlink(spot.name, dir_fd=spot.folder)
                else:
                    self._keep_aside(spot.name, spot.folder, spot.folder, spot.name)
                self._folder.forget()
            elif found is None:
                break
        return self._folder.folder(parts, make=True), name

    # ---- remove

    def remove(self, listing: Listing, grace: int) -> list[FileWrite]:
        """Take away what the author deleted, and erase what was taken away long ago."""
        wanted = {entry.path for entry in listing.entries}
        writes: list[FileWrite] = []
        self._folder.forget()
        gone = [row for path, row in self._rows.items() if path not in wanted]
        try:
            for row in gone:
                self._remove(row, grace)
                writes.append(DropMirrored(self.directory, row.path))
                writes.append(DropPlace(self._folder.full(row.path)))
            self._erase(grace)
            if gone:
                sync_file_system(self._incoming)
        except OSError as error:
            raise refused(self.directory, error) from error
        return writes

    def _remove(self, row: PutMirrored, grace: int) -> None:
        found = self._folder.look(row.path)
        if found is None or not stat.S_ISREG(found.st_mode) or not _untouched(row, found):
            return  # what the owner made of it stays
        spot = self._folder.spot(row.path)
        if grace <= 0:
            os.unlink(spot.name, dir_fd=spot.folder)
        else:
            self._put_away(row.path, spot.folder, spot.name)
        above = row.path.split("/")[:-1]
        self._folder.forget()
        while above:
            try:
                os.rmdir(above[-1], dir_fd=self._folder.folder(above[:-1]))
            except OSError:
                return
            finally:
                self._folder.forget()
            above.pop()

    def _put_away(self, path: str, folder: int, name: str) -> None:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        with Confined(self.directory, straight=True) as other:
            parts = [OWN_FOLDER, REMOVED, today, *path.split("/")[:-1]]
            away = other.folder(parts, make=True)
            for candidate in candidates(name):
                with suppress(FileExistsError):
                    rename_new(name, candidate, folder, away)
                    return

    def _erase(self, grace: int) -> None:
        try:
            removed = self._own(REMOVED, make=False)
        except UsageError:
            return
        try:
            for name in os.listdir(removed):
                with suppress(ValueError):
                    day = timegm(time.strptime(name, "%Y-%m-%d")) + DAY
                    if day + grace < time.time():
                        shutil.rmtree(name, ignore_errors=True, dir_fd=removed)
        finally:
            os.close(removed)

    # ---- of ours

    def _own(self, name: str, *, make: bool) -> int:
        try:
            return os.dup(self._folder.folder([OWN_FOLDER, name], make=make))
        except FileNotFoundError as error:
            raise UsageError(
                f"{self._folder.path} has no {OWN_FOLDER} any more: mount its disk; if you "
                "emptied it, end the mirror and begin it anew"
            ) from error
        except OSError as error:
            raise UsageError(
                f"{self._folder.path}/{OWN_FOLDER} can't be used ({error.strerror}): "
                "it must be a folder of ours, move away what is there"
            ) from error

    def _row(self, entry: Entry, look: Look) -> list[FileWrite]:
        full = self._folder.full(entry.path)
        row = PutMirrored(self.directory, entry.path, entry.file, look.size, look.mtime_ns)
        self._rows[entry.path] = row
        place = place_of(full, entry.file, look)
        return [row, DropPlace(full), place, DropBlob(entry.file)]

    def _holds(self, entry: Entry) -> Hashed | None:
        """Look at a file by its content; None if it isn't that of the entry."""
        with suppress(OSError, MeshpeerError):
            descriptor = self._folder.open_file(entry.path)
            try:
                found = self._hasher.descriptor(descriptor, entry.path)
            finally:
                os.close(descriptor)
            if found.manifest.id == entry.file:
                return found
        return None

    def _adopt(self, entry: Entry, found: Hashed) -> list[FileWrite]:
        """What was found by its content may be a file that was never fetched."""
        self.known.append(found.manifest)
        manifest = found.manifest.to_bytes()
        row = PutFile(entry.file, want_tag(entry.file), entry.size, manifest, None)
        return [row, *self._row(entry, found.look)]

    def _set_mode(self, entry: Entry, found: os.stat_result) -> None:
        if bool(found.st_mode & 0o100) == entry.executable:
            return
        with suppress(OSError):
            descriptor = self._folder.open_file(entry.path)
            mode = found.st_mode & 0o666
            os.fchmod(descriptor, mode | (mode & 0o444) >> 2 if entry.executable else mode)
            os.close(descriptor)


def _untouched(row: PutMirrored, found: os.stat_result) -> bool:
    return (row.size, row.mtime_ns) == (found.st_size, found.st_mtime_ns)
