"""One file that is looked for here: what lacks of it, who holds what, and what comes next.

A chunk is on its way through three sets: asked, of one neighbour or at the end of several;
arriving, checked and given to the disk; here, and so also given to others. What others said is on
its way to them is left to them for a while, so that two receivers of one source ask it for
different chunks and trade; only for a while, and for each chunk once, for they may be slow, or lie.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from meshpeer.core.file_writes import PutFetch, PutFile
from meshpeer.core.files.chooser import Rarity
from meshpeer.core.files.messages import PAGE0, ROOT
from meshpeer.core.files.runs import (
    MAX_CHUNKS,
    everything,
    first_from,
    from_bitmap,
    to_bitmap,
)
from meshpeer.core.files.twins import Twins
from meshpeer.core.formats.manifest import (
    CHUNK,
    Manifest,
    Root,
    chunk_size_for,
    want_tag,
)
from meshpeer.errors import RemoteProtocolError

if TYPE_CHECKING:
    from meshpeer.core.files.source import Source

COMING_S: Final = 1.0
"""How long a chunk is left to a neighbour that said it is on its way there, and
COMING_CHUNKS times as long as a chunk takes."""
COMING_CHUNKS: Final = 4
COMING_LIMIT_S: Final = 10.0
COMING_AT_ONCE: Final = 16
"""Times kept of one neighbour at which to wait no longer; with more, some wait for the last."""
AGAIN_S: Final = 0.3
"""A part that was asked for so long ago, and AGAIN times as long as a further neighbour would
take, is asked of that one too."""
AGAIN: Final = 2.0
ASKED_OF: Final = 2
"""Neighbours that are asked for one part at a time."""
LATE_S: Final = 10.0
"""Who was asked so long ago counts no more among these, and is not asked in place of others: a
byte now and then keeps a neighbour from being silent, and two of these would keep a part."""
URGENT: Final = 4
"""Chunks from the cursor on that are asked again soon when somebody watches."""
ROOT_SIZE: Final = 4_096
"""What a root counts for where nobody knows how large the file is."""


class Holding:
    """What one neighbour has of one file that is looked for here."""

    __slots__ = (
        "_due",
        "_heard",
        "answered",
        "asked",
        "chunks",
        "coming",
        "handle",
        "ready",
        "source",
        "wanted",
        "whole",
    )

    def __init__(self, source: "Source", wanted: "Wanted", handle: int) -> None:
        self.source = source
        self.wanted = wanted
        self.handle = handle
        self.answered = False
        """It has said that it holds something."""
        self.whole = False
        self.chunks = 0
        self.asked: set[int] = set()
        """Parts that it was asked for and has not brought yet."""
        self.coming = 0
        """On its way there, and so left alone."""
        self.ready = False
        """It may be asked for something."""
        self._heard = 0
        self._due: list[tuple[float, int]] = []

    def hear_coming(self, chunks: int, until: float) -> None:
        """These are on their way to it; what it said before of the same chunks counts alone."""
        news = chunks & ~self._heard
        if not news:
            return
        self._heard |= news
        self.coming |= news & ~self.chunks
        if len(self._due) >= COMING_AT_ONCE:
            last, others = self._due.pop()
            until, news = max(last, until), others | news
        self._due.append((until, news))

    def expire_coming(self, now: float) -> None:
        """Wait no longer for what should have come by now."""
        while self._due and self._due[0][0] <= now:
            self.coming &= ~self._due.pop(0)[1]


class Wanted:
    """A file that neighbours are asked about: the part that is equal for fetches and counts."""

    def __init__(self, file: bytes) -> None:
        self.file = file
        self.tag = want_tag(file)
        self.holdings: dict[bytes, Holding] = {}
        """By peer id: all that know the handle, whether or not they hold anything."""

    @property
    def holders(self) -> int:
        """Neighbours that hold something."""
        return sum(holding.answered for holding in self.holdings.values())


class Probe(Wanted):
    """A file of which somebody wants to know how many hold it."""

    def __init__(self, file: bytes, until: float) -> None:
        super().__init__(file)
        self.until = until
        self.told: int | None = None


class Fetch(Wanted):
    """A file that is to come here."""

    def __init__(self, row: PutFetch, number: int) -> None:
        super().__init__(row.file)
        self.row = row
        self.number = number
        """Of two with the same priority the lower number goes first."""
        self.root: Root | None = None
        self.manifest: Manifest | None = None
        self.here = 0
        self.arriving = 0
        self.cursor = 0
        self.offset = 0
        """Where somebody watches."""
        self.watched = False
        self.why = ""
        """Why it waits, if it is because of the disk."""
        self.stalled_until = 0.0
        self.held_back = False
        """Something is left to neighbours to which it is on its way."""
        self.rate = 0.0
        self.taken = 0
        """Bytes that came, or were made of what came, since the rate was last looked at."""
        self.landing = False
        """All of it came; the disk has the rest to do."""
        self.banned: set[bytes] = set()
        self._rarity: Rarity | None = None
        self.asked: dict[int, dict[Holding, float]] = {}
        """Part to those asked, and when; the part asked first comes first."""
        self.asked_chunks = 0
        self._all = 0
        self._twins: Twins | None = None

    # -- what is known of the file

    def know_root(self, data: bytes) -> None:
        """Take the root, or raise RemoteProtocolError."""
        root = Root.parse(self.file, data)
        self.root = root
        if not root.missing:
            self.know(root.manifest())

    def know_page(self, index: int, data: bytes) -> None:
        """Take a page, or raise RemoteProtocolError."""
        if self.root is None:
            raise RemoteProtocolError("page", "before the root")
        self.root.accept(index, data)
        if not self.root.missing:
            self.know(self.root.manifest())

    def know(self, manifest: Manifest) -> None:
        """The manifest is all there."""
        self.manifest = manifest
        self.root = None
        self._all = everything(manifest.count)
        for holding in self.holdings.values():
            holding.chunks &= self._all
        self.count_again()
        self.watch(self.offset)

    def restore(self, row: PutFile) -> None:
        """Take up what the disk has of it, or raise RemoteProtocolError."""
        manifest = Manifest.from_bytes(row.id, row.manifest)
        self.know(manifest)
        self.here = from_bitmap(row.have or b"", manifest.count)

    def row_with(self, chunks: int) -> PutFile:
        """The row that says that these chunks are durable."""
        manifest = self.manifest
        assert manifest is not None
        bitmap = to_bitmap(chunks, manifest.count)
        return PutFile(self.file, self.tag, manifest.size, manifest.to_bytes(), bitmap)

    def done_row(self) -> PutFetch:
        """The row that says that all of it is here."""
        return self.row._replace(size=self.size, state="done", why="")

    @property
    def size(self) -> int:
        """Bytes of the file as far as anybody knows, else -1."""
        if self.manifest:
            return self.manifest.size
        return self.root.size if self.root else self.row.size

    @property
    def chunk_size(self) -> int:
        """Of a chunk, as far as anybody knows."""
        known = self.manifest or self.root
        return known.chunk_size if known else CHUNK

    @property
    def bytes_here(self) -> int:
        """Bytes that lie in the partial file."""
        manifest, count = self.manifest, self.here.bit_count()
        if manifest is None or not count:
            return 0
        last = manifest.count - 1
        short = (self.here >> last & 1) * (
            manifest.chunk_size - manifest.chunk_length(last)
        )
        return count * manifest.chunk_size - short

    @property
    def whole(self) -> bool:
        """Every chunk lies in the partial file."""
        return self.manifest is not None and self.here == self._all

    @property
    def lacking(self) -> int:
        """Chunks that are neither here nor given to the disk."""
        return self._all & ~(self.here | self.arriving)

    def part_size(self, part: int) -> int:
        """Bytes of a part, guessed where it can't be known yet."""
        if part < PAGE0:
            assert self.manifest is not None
            return self.manifest.chunk_length(part)
        if part == ROOT:
            return ROOT_SIZE + (self.row.size if 0 <= self.row.size <= CHUNK else 0)
        return self.root.page_length(part - PAGE0) if self.root else 0

    @property
    def twins(self) -> Twins:
        """Which chunks are equal."""
        if self._twins is None:
            assert self.manifest is not None
            self._twins = Twins(self.manifest)
        return self._twins

    # -- who holds what

    @property
    def sources(self) -> int:
        """Neighbours that hold something that lacks here."""
        holders = [holding for holding in self.holdings.values() if holding.answered]
        if self.manifest is None:
            return len(holders)
        lacking = self.lacking
        return sum(bool(self.reach(holding) & lacking) for holding in holders)

    def reach(self, holding: Holding) -> int:
        """The chunks that this neighbour has."""
        return self._all if holding.whole else holding.chunks

    @property
    def possible(self) -> int:
        """The chunks that it can have, as far as anybody knows."""
        if self.manifest or self.size < 0:
            return self._all or everything(MAX_CHUNKS)
        return everything(-(-self.size // chunk_size_for(self.size)))

    def gain(self, holding: Holding, chunks: int, *, whole: bool = False) -> None:
        """The neighbour has these too."""
        before = self.reach(holding)
        chunks &= self.possible
        holding.answered = True
        holding.whole = holding.whole or whole
        holding.chunks |= chunks
        holding.coming = 0 if holding.whole else holding.coming & ~chunks
        if self.manifest and self._rarity:
            self._rarity.add(self.reach(holding) & ~before)

    def lose(self, holding: Holding, part: int) -> None:
        """The neighbour has this no more; ROOT stands for all."""
        if part == ROOT:
            holding.answered = holding.whole = False
            holding.chunks = 0
        elif part < PAGE0:
            holding.chunks = self.reach(holding) & ~(1 << part)
            holding.whole = False
        self.count_again()

    def count_again(self) -> None:
        """Somebody has less, or the number of chunks is known now: before the next choice."""
        self._rarity = None

    @property
    def rarity(self) -> Rarity:
        """How many hold each chunk."""
        if self._rarity is None:
            self._rarity = Rarity(map(self.reach, self.holdings.values()))
        return self._rarity

    # -- what is asked

    @property
    def open(self) -> bool:
        """Something of it may be asked for."""
        return self.row.state == "fetching" and not self.landing and not self.why

    def ask(self, part: int, holding: Holding, now: float) -> None:
        """The neighbour is asked for this part."""
        self.asked.setdefault(part, {})[holding] = now
        holding.asked.add(part)
        if part < PAGE0:
            self.asked_chunks |= 1 << part

    def release(self, part: int, holding: Holding) -> None:
        """It is asked no more."""
        holding.asked.discard(part)
        asked = self.asked.get(part)
        if asked is not None and asked.pop(holding, None) is not None and not asked:
            self.settled(part)

    def settled(self, part: int) -> list[Holding]:
        """Nobody is asked for this part any more; give who still was."""
        asked = self.asked.pop(part, {})
        if part < PAGE0:
            self.asked_chunks &= ~(1 << part)
        return list(asked)

    def next_part(
        self, holding: Holding, now: float, rng: Callable[[int], bytes]
    ) -> int | None:
        """What this neighbour should be asked for now, if anything."""
        if not holding.answered:
            return None
        if self.manifest is None:
            part = self._next_of_manifest()
            return part if part is not None else self._again(holding, now)
        unasked = self.lacking & ~self.asked_chunks & self.reach(holding)
        if self.row.in_order:
            urgent = self._again(holding, now, near=True)
            if urgent is not None or unasked:
                return urgent if urgent is not None else first_from(unasked, self.cursor)
        elif unasked:
            self.held_back = True
            for other in self.holdings.values():
                unasked &= ~other.coming
            if unasked:
                self.held_back = False
                start = int.from_bytes(rng(4)) % self.manifest.count
                return first_from(self.rarity.rarest(unasked), start)
        return self._again(holding, now)

    def _next_of_manifest(self) -> int | None:
        if self.root is None:
            return ROOT if ROOT not in self.asked else None
        pages = (PAGE0 + page for page in self.root.missing)
        return next((page for page in pages if page not in self.asked), None)

    def _again(self, holding: Holding, now: float, *, near: bool = False) -> int | None:
        """A part that another was asked for, and is slower to bring than this one would be."""
        asked_here = (self.asked.get(part, {}).get(holding) for part in holding.asked)
        if any(since is not None and now - since > LATE_S for since in asked_here):
            return None
        for part, asked in self.asked.items():
            if holding in asked:
                continue
            if sum(now - since <= LATE_S for since in asked.values()) >= ASKED_OF:
                continue
            if part < PAGE0 and not self.reach(holding) >> part & 1:
                continue
            if near and not self.cursor <= part < self.cursor + URGENT:
                continue
            takes = AGAIN * holding.source.time_for(self.part_size(part))
            if now - min(asked.values()) > max(AGAIN_S, takes):
                return part
        return None

    # -- what is watched

    def watch(self, offset: int) -> None:
        """What lies here and after it is wanted first."""
        self.offset = offset
        self.cursor = offset // self.chunk_size
        if self.manifest:
            self.cursor = min(self.cursor, max(self.manifest.count - 1, 0))

    def coming_until(self, now: float) -> float:
        """When a chunk that is now on its way to a neighbour should be there."""
        takes = COMING_CHUNKS * self.chunk_size / self.rate if self.rate else COMING_LIMIT_S
        return now + min(COMING_S + takes, COMING_LIMIT_S)
