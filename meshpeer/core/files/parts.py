"""Parts of files that come as bundles: answers to wants, and pieces of attachments.

A bundle is over once it is answered, and its receipt purges every copy of it, so it is answered
only when its part would outlive a crash. A chunk does when the disk has it and the row that says
so. Root and pages do as soon as the manifest is whole, but of a small file, which has no row
before all of it is here: then they wait for the rest. What can't be taken yet, a chunk before its
manifest, is left with whoever brought it, and asked for again once it can be taken.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.files.files import Files
from meshpeer.core.files.landing import SMALL
from meshpeer.core.files.post import Lacking, Stored, Taken
from meshpeer.core.files.runs import everything
from meshpeer.core.files.shelf import Shelf
from meshpeer.core.formats.manifest import chunk_hash, chunk_size_for, want_tag
from meshpeer.core.formats.want import PAGE0
from meshpeer.core.journal import Journal
from meshpeer.errors import RemoteProtocolError

MAX_WAITING: Final = 512
"""Parts of manifests that wait for the rest; bundles of more stay with who brought them."""
WHOLE: Final = -1
"""Stands for the parts of a manifest, where those that wait are counted by part."""


class Parts:
    """What goes between bundles and the fetches of one peer."""

    def __init__(
        self,
        *,
        files: Files,
        shelf: Shelf,
        journal: Journal,
        ask_again: Callable[[float], None],
    ) -> None:
        self._files = files
        self._shelf = shelf
        self._journal = journal
        self._ask_again = ask_again
        self._waiting: dict[bytes, dict[int, list[Stored]]] = {}

    def lacking(self, file: bytes) -> Lacking | None:
        """How the fetch of this file stands; None if it isn't being fetched, or is paused."""
        progress = self._files.progress(file)
        if progress is None or progress.state == "paused":
            return None
        runs = self._files.lacking(file)
        size = progress.size - progress.have if runs is not None else 0
        return Lacking(progress.sources, runs, max(0, size))

    def chunks_here(self, file: bytes) -> int:
        """The set of chunks of this file that can be read here now."""
        here = self._files.here(want_tag(file))
        if here is None:
            return 0
        if here.chunks is not None:
            return here.chunks
        held = self._shelf.held(want_tag(file))
        if held is None:
            return 0
        return everything(-(-held.size // chunk_size_for(held.size)))

    def answers_at(self, now: float) -> float | None:
        """When the owner lets the next part be given; None if not today."""
        return self._files.answers_at(now)

    def gave(self, size: int, now: float) -> None:
        """So many bytes were given."""
        self._files.gave(size, now)

    def is_whole(self, file: bytes) -> bool:
        """Whether all of this file is here and durable."""
        held = self._shelf.held(want_tag(file))
        return held is not None and held.complete

    def take_part(
        self, file: bytes, part: int, data: bytes, stored: Stored, now: float
    ) -> Taken:
        """Take a part that came in a bundle; RemoteProtocolError if it is another's.

        Of a WRITING or WAITING one `stored` says later whether it is durable."""
        if self._files.progress(file) is None:
            return Taken.HERE if self.is_whole(file) else Taken.NOT_NOW
        if part >= PAGE0:
            return self._take_of_manifest(file, part, data, stored, now)
        return self._take_chunk(file, part, data, stored, now)

    def look(self, file: bytes, now: float) -> None:
        """The fetch of this file may have ended: say so to those whose parts wait."""
        if file not in self._waiting or self._files.progress(file) is not None:
            return
        waiting = self._waiting.pop(file)
        durable = self.is_whole(file)
        for stored in [one for all in waiting.values() for one in all]:
            stored(durable, now)

    # ---- inside

    def _take_of_manifest(
        self, file: bytes, part: int, data: bytes, stored: Stored, now: float
    ) -> Taken:
        known = self._files.manifest(file)
        news = known is None and self._files.take(file, part, data, now)
        manifest = self._files.manifest(file)
        if (
            manifest is None and not news
        ):  # a root that is here already, or a page before it
            return Taken.NOT_NOW
        if manifest is not None and known is None:
            self._journal.then(self._ask_again)
        if manifest is not None and manifest.size > SMALL:
            waiting = [*self._waiting.get(file, {}).pop(WHOLE, []), stored]
            self._journal.then(lambda now: _say(waiting, now))
            return Taken.WRITING
        parts = (len(parts.get(WHOLE, ())) for parts in self._waiting.values())
        if sum(parts) >= MAX_WAITING:
            return Taken.NOT_NOW
        self._waiting.setdefault(file, {}).setdefault(WHOLE, []).append(stored)
        return Taken.WAITING

    def _take_chunk(
        self, file: bytes, part: int, data: bytes, stored: Stored, now: float
    ) -> Taken:
        manifest = self._files.manifest(file)
        if manifest is None:
            return Taken.NOT_NOW
        if part >= manifest.count or chunk_hash(data) != manifest.hash_of(part):
            raise RemoteProtocolError("part", f"{part} isn't what the manifest names")
        if self._files.is_durable(file, part):
            self._journal.then(lambda now: stored(True, now))
            return Taken.WRITING
        waiting = self._waiting.setdefault(file, {})
        if part in waiting:
            waiting[part].append(stored)
            return Taken.WRITING
        if self._files.take(file, part, data, now, lambda now: self._came(file, part, now)):
            waiting[part] = [stored]
            return Taken.WRITING
        return Taken.NOT_NOW

    def _came(self, file: bytes, part: int, now: float) -> None:
        _say(self._waiting.get(file, {}).pop(part, []), now)


def _say(waiting: list[Stored], now: float) -> None:
    for stored in waiting:
        stored(True, now)
