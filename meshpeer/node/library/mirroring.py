"""Folders kept equal to collections: one task for each, which sleeps until there is news.

A mirror follows the newest record of its collection. It fetches the listing, looks what lacks,
asks the swarm for that, puts files into their places in groups as they come, and last takes away
what the author deleted. A newer record in the middle of it begins anew with what is there. What
goes wrong (a disk that isn't there, no room) is told as `why` and tried again.

A listing is what somebody says. Only so much of it is asked for at a time as its manifests may
take of the memory, and a wrong word in it harms this mirror and nothing else that is here.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from meshpeer.core.file_writes import DropMirror, FileWrite, PutMirror
from meshpeer.core.formats.listing import MAX_LISTING, Entry, Listing
from meshpeer.core.formats.manifest import HASH_SIZE, Manifest, chunk_size_for
from meshpeer.errors import (
    MeshpeerError,
    NotFoundError,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from meshpeer.node.library.confined import Confined
from store.files import FileReads

if TYPE_CHECKING:
    from meshpeer.node.library.mirror_folder import MirrorFolder

log = logging.getLogger("meshpeer.library")

GATHER: Final = 0.01
"""Seconds in which files that come one after the other become one group."""
RETRY: Final = 30.0
AT_ONCE: Final = 16 << 20
"""Bytes of memory that the fetches of one mirror may take: 16,000 small files, or 7 of 16 GiB."""
FETCH_BYTES: Final = 1_024
"""What one takes beside its manifest."""

Result = TypeVar("Result")


class Needed(NamedTuple):
    """A file that lacks; `target` is where its bytes are to lie once they are whole."""

    file: bytes
    size: int
    name: str
    target: str


class Bench(Protocol):
    """What of the library the mirrors work with."""

    def need(self, files: Iterable[Needed]) -> None:
        """Fetch these, behind what people wait for; `Mirrors.complete` tells of each."""
        ...

    def spare(self, files: Iterable[bytes]) -> None:
        """These are not needed any more."""
        ...

    def known(self, manifest: Manifest) -> None:
        """Serve a file whose rows are in the journal."""
        ...

    async def in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        """Run in the thread that looks through folders."""
        ...

    def take(self, writes: Iterable[FileWrite]) -> None:
        """Journal these."""
        ...

    async def durable(self) -> None:
        """Return once all that was journalled is on the disk."""
        ...

    async def content(self, file: bytes, limit: int) -> bytes | None:
        """Give all bytes of a file held here, if it is no longer than that."""
        ...

    def lost(self, file: bytes) -> None:
        """The bytes of this file are not what its rows say: forget it."""
        ...


class Goal(NamedTuple):
    """The newest record of a collection."""

    block: bytes
    listing: bytes
    size: int


@dataclass(slots=True, eq=False)
class Mirror:
    """A folder and how far it is."""

    directory: str
    person: bytes
    collection: str
    grace: int
    block: bytes | None = None
    """The record that the folder equals now."""
    goal: Goal | None = None
    listing: bytes | None = None
    """The list of files that the folder equals now, if it is here for this mirror alone."""
    files: int = 0
    missing: int = 0
    why: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    came: set[bytes] = field(default_factory=set)
    needed: dict[bytes, Needed] = field(default_factory=dict)
    """What is asked for and has not come."""
    later: list[Needed] = field(default_factory=list)
    """What is asked for when some of that has, the next one last."""
    task: "asyncio.Task[None] | None" = None

    @property
    def current(self) -> bool:
        """Whether the folder equals the newest record heard of."""
        return self.goal is not None and self.block == self.goal.block and not self.why

    def row(self) -> PutMirror:
        """Give what lasts of it."""
        return PutMirror(
            self.directory, self.person, self.collection, self.block, self.grace
        )


class Mirrors:
    """All mirrors of this peer."""

    def __init__(
        self,
        store: FileReads,
        bench: Bench,
        keep_free: int,
        told: Callable[[Mirror], None] = lambda mirror: None,
    ) -> None:
        """`told` hears of a mirror that became equal, or can't for now, each time anew."""
        self._store = store
        self._bench = bench
        self._keep_free = keep_free
        self._told = told
        self._mirrors: dict[str, Mirror] = {}

    def __iter__(self) -> Iterator[Mirror]:
        return iter(list(self._mirrors.values()))

    def start(self) -> None:
        """Take up those that the disk remembers; they wait for `collection`."""
        for row in self._store.mirrors():
            mirror = Mirror(row.directory, row.person, row.collection, row.grace, row.block)
            self._begin(mirror)

    async def close(self) -> None:
        """Stop in the middle: whatever is not finished is taken up at the next start."""
        tasks = [mirror.task for mirror in self._mirrors.values() if mirror.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def add(
        self, directory: str, person: bytes, collection: str, grace: int
    ) -> Mirror:
        """Keep a folder equal to a collection from now on; UsageError if it can't be."""
        path = await self._bench.in_thread(_checked, directory)
        for other in self._mirrors.values():
            if other.directory == path:
                raise UsageError(
                    f"{path} mirrors {other.collection} already: end that mirror first"
                )
            if _contains(other.directory, path) or _contains(path, other.directory):
                raise UsageError(
                    f"{path} and the mirror {other.directory} lie in each other: "
                    "take a folder of its own"
                )
        mirror = Mirror(path, person, collection, grace)
        self._bench.take([mirror.row()])
        self._begin(mirror)
        await self._bench.durable()
        return mirror

    async def remove(self, directory: str) -> None:
        """Leave a folder as it is from now on."""
        mirror = self.find(directory)
        del self._mirrors[mirror.directory]
        if mirror.task is not None:
            mirror.task.cancel()
            await asyncio.gather(mirror.task, return_exceptions=True)
        self._spare(mirror)
        self._bench.take([DropMirror(mirror.directory)])
        await self._bench.durable()

    def find(self, directory: str) -> Mirror:
        """Give the mirror in this folder; NotFoundError else."""
        for mirror in self._mirrors.values():
            if directory.rstrip("/") in (mirror.directory, mirror.directory.rstrip("/")):
                return mirror
        raise NotFoundError(f"{directory} is no mirror; `meshpeer mirror` lists them")

    def collection(self, person: bytes, name: str, goal: Goal) -> None:
        """This is the newest record of a collection now."""
        for mirror in self._mirrors.values():
            if (mirror.person, mirror.collection) == (person, name):
                mirror.goal = goal
                mirror.news.set()

    def complete(self, file: bytes) -> bool:
        """This file is here, whole; say whether a mirror waited for it."""
        waited = False
        for mirror in self._mirrors.values():
            if file in mirror.needed:
                waited = True
                mirror.came.add(file)
                mirror.news.set()
        return waited

    def failed(self, file: bytes, size: int, why: str) -> None:
        """This file can't be had as it was asked for: with this size, as one listing said."""
        for mirror in self._mirrors.values():
            needed = mirror.needed.get(file)
            if needed is None:
                continue
            if needed.size != size:
                self._bench.need([needed])
            else:
                mirror.why = f"{needed.name}: {why}"

    def kept(self, file: bytes) -> None:
        """Somebody here publishes this: it stays when no mirror needs it any more."""
        for mirror in self._mirrors.values():
            if mirror.listing == file:
                mirror.listing = None

    def _begin(self, mirror: Mirror) -> None:
        self._mirrors[mirror.directory] = mirror
        mirror.task = asyncio.get_running_loop().create_task(self._follow(mirror))

    # ---- one mirror

    async def _follow(self, mirror: Mirror) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(mirror.news.wait(), RETRY if mirror.why else None)
            mirror.news.clear()
            if mirror.goal is None:
                continue
            before = mirror.block, mirror.why
            try:
                while not await self._make_equal(mirror, mirror.goal):
                    pass
                mirror.why = ""
            except MeshpeerError as error:
                mirror.why = str(error)
                if mirror.why != before[1]:
                    log.warning(
                        "a mirror",
                        extra={"folder": mirror.directory, "reason": mirror.why},
                    )
            if (mirror.block, mirror.why) != before:
                self._told(mirror)

    async def _make_equal(self, mirror: Mirror, goal: Goal) -> bool:
        """Make the folder equal to this record; False if there is a newer one by now."""
        from meshpeer.node.library.mirror_folder import MirrorFolder  # a peer may have none

        bench = self._bench
        began = mirror.block is not None or bool(self._store.mirrored(mirror.directory))
        folder = await bench.in_thread(
            lambda: MirrorFolder(
                self._store, mirror.directory, began=began, keep_free=self._keep_free
            )
        )
        try:
            # one that was here before the mirror asked is somebody else's, and stays
            mine = goal.listing in (mirror.listing, *mirror.needed) or (
                self._store.file(goal.listing) is None
            )
            listing = await self._listing(mirror, folder, goal)
            if listing is None:
                return False
            differences = await bench.in_thread(folder.compare, listing)
            bench.take(differences.adopted)
            for manifest in folder.known:
                self._bench.known(manifest)
            mirror.files = len(listing.entries)
            mirror.missing = len(differences.lacking)
            if not await self._fetch_and_put(mirror, folder, goal, differences.lacking):
                return False
            bench.take(await bench.in_thread(folder.remove, listing, mirror.grace))
            await self._drop_old_listings(mirror, folder, goal, mine)
            mirror.block = goal.block
            bench.take([mirror.row()])
            await bench.durable()
        finally:
            await bench.in_thread(folder.close)
        return mirror.goal == goal

    def _others(self, mirror: Mirror) -> Iterator[Mirror]:
        return (other for other in self._mirrors.values() if other is not mirror)

    async def _drop_old_listings(
        self, mirror: Mirror, folder: "MirrorFolder", goal: Goal, mine: bool
    ) -> None:
        await self._bench.durable()  # else what was just moved would seem to lie nowhere
        old = await self._bench.in_thread(folder.staging.left_over, goal.listing)
        if mirror.listing is not None and not any(
            other.goal is not None and other.goal.listing == mirror.listing
            for other in self._others(mirror)
        ):
            old.add(mirror.listing)
        for file in old - {goal.listing}:
            self._bench.lost(file)
        mirror.listing = goal.listing if mine else None

    async def _listing(
        self, mirror: Mirror, folder: "MirrorFolder", goal: Goal
    ) -> Listing | None:
        self._check_size(goal, goal.size)
        data = await self._bench.content(goal.listing, MAX_LISTING)
        if data is None:
            name = f"{mirror.collection} (listing)"
            target = folder.staging.target(goal.listing)
            self._need(mirror, [Needed(goal.listing, goal.size, name, target)])
            while data is None:
                if not await self._something_came(mirror, goal):
                    return None
                mirror.came.clear()
                data = await self._bench.content(goal.listing, MAX_LISTING)
                if data is None:
                    self._check_size(goal, 0)
                    self._bench.lost(goal.listing)
                    raise StoreError(
                        "the list of its files came and can't be read; once more"
                    )
        try:
            return await self._bench.in_thread(Listing.parse, data)
        except RemoteProtocolError as error:
            raise UsageError(
                f"what {mirror.collection} lists can't be mirrored: {error}"
            ) from error

    def _check_size(self, goal: Goal, said: int) -> None:
        """Raise UsageError for what can't be a listing: any file may be named as one."""
        row = self._store.file(goal.listing)
        size = said if row is None else row.size
        if size > MAX_LISTING:
            raise UsageError(f"the collection's listing has {size} bytes: too many")

    async def _fetch_and_put(
        self, mirror: Mirror, folder: "MirrorFolder", goal: Goal, lacking: list[Entry]
    ) -> bool:
        waiting: dict[bytes, list[Entry]] = {}
        for entry in lacking:
            waiting.setdefault(entry.file, []).append(entry)
        first = [entries[0] for entries in waiting.values()]
        here = await self._bench.in_thread(
            lambda: [e for e in first if folder.staging.here(e)]
        )
        ready = {entry.file for entry in here}
        lacks = [_needed(folder, e) for e in first if e.file not in ready]
        if sum(map(_weight, lacks)) > AT_ONCE:
            lacks.sort(key=lambda needed: needed.size)
        mirror.later = lacks[::-1]
        mirror.needed.clear()
        self._need_more(mirror)
        while waiting:
            if ready and not await self._put(mirror, folder, waiting, ready):
                return False
            ready = set()
            self._need_more(mirror)
            if waiting and not await self._something_came(mirror, goal):
                return False
            while (came := mirror.came - ready) and len(ready) < folder.group:
                ready |= came
                await asyncio.sleep(GATHER)
            mirror.came -= ready
        return True

    async def _put(
        self,
        mirror: Mirror,
        folder: "MirrorFolder",
        waiting: dict[bytes, list[Entry]],
        ready: set[bytes],
    ) -> bool:
        entries = [entry for file in ready for entry in waiting.pop(file, ())]
        for start in range(0, len(entries), folder.group):
            group = entries[start : start + folder.group]
            writes, failed = await self._bench.in_thread(folder.put, group)
            self._bench.take(writes)
            if failed:  # another mirror may have just moved it: see where it lies now
                await self._bench.durable()
                more, failed = await self._bench.in_thread(folder.put, failed)
                self._bench.take(more)
            mirror.missing -= len(group) - len(failed)
            for entry in group:
                mirror.needed.pop(entry.file, None)
            for entry in failed:
                again = waiting.setdefault(entry.file, [])
                if not again:
                    self._bench.lost(entry.file)
                    await self._bench.durable()
                    self._need(mirror, [_needed(folder, entry)])
                again.append(entry)
        return True

    def _need(self, mirror: Mirror, files: Iterable[Needed]) -> None:
        needed = {each.file: each for each in files}
        mirror.needed |= needed
        if needed:
            self._bench.need(needed.values())

    def _need_more(self, mirror: Mirror) -> None:
        """Ask for what is next, as far as there is room."""
        room = AT_ONCE - sum(map(_weight, mirror.needed.values()))
        more = list[Needed]()
        while mirror.later and (
            _weight(mirror.later[-1]) <= room or not (mirror.needed or more)
        ):
            more.append(mirror.later.pop())
            room -= _weight(more[-1])
        self._need(mirror, more)

    def _spare(self, mirror: Mirror) -> None:
        """Ask no more for what this mirror needed, but for what others need, too."""
        others = {file for other in self._others(mirror) for file in other.needed}
        self._bench.spare(mirror.needed.keys() - others)
        mirror.needed.clear()
        mirror.later.clear()

    async def _something_came(self, mirror: Mirror, goal: Goal) -> bool:
        """Wait for a file; False, and nothing is asked for any more, for a newer record."""
        while not mirror.came:
            await mirror.news.wait()
            mirror.news.clear()
            if mirror.goal != goal:
                self._spare(mirror)
                mirror.came.clear()
                return False
        return True


def _needed(folder: "MirrorFolder", entry: Entry) -> Needed:
    name = entry.path.rpartition("/")[2]
    return Needed(entry.file, entry.size, name, folder.staging.target(entry.file))


def _weight(needed: Needed) -> int:
    """Bytes of memory that fetching this takes, if it has the size that was said."""
    return FETCH_BYTES + -(-needed.size // chunk_size_for(needed.size)) * HASH_SIZE


def _checked(directory: str) -> str:
    with Confined(directory, make=True) as folder:
        return folder.path


def _contains(outer: str, inner: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")
