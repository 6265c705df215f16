"""Answers to a neighbour's GETs: read from the disk piece by piece, as fast as it takes them.

One read of at most READ blocks is under way for each neighbour, and none while much waits to be
sent, so who asks for all and reads nothing costs half a megabyte. Of large blocks fewer are given
at once: a neighbour on a slow link would else seem to read nothing, and be struck for it. What was
given to strangers goes into buckets, and while one is full nothing more is read (serve_rate.py).
Over a slow link anybody gets what takes LONG_S, and then a share of it: our own side asks for the
newest few only, but another may ask for all there is, and what is new must not wait behind that.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from meshpeer.core.chains.book import Book
from meshpeer.core.chains.log import Log
from meshpeer.core.chains.messages import Blocks, Get, pack, pack_blocks
from meshpeer.core.chains.serve_rate import ServeRate
from meshpeer.core.formats.block import Header
from meshpeer.core.link.slow import any_rate, low_water
from meshpeer.core.link.streams import LOW_WATER
from meshpeer.core.sync.account import Account
from meshpeer.errors import RemoteProtocolError

READ: Final = 128
"""Blocks read at once."""
GIVEN: Final = LOW_WATER
"""Bytes given at once, and what the last block has above."""
GETS: Final = 256
"""GETs that may wait for their answers."""


class ReadBlocks(NamedTuple):
    """Have these blocks read; answered by `Chains.blocks_read` with what
    `ChainArchive.log_blocks(device, log, first, last, limit)` gives."""

    number: int
    device: bytes
    log: bytes
    first: int
    last: int
    limit: int


class Serving:
    """What one neighbour asked for and didn't get yet."""

    def __init__(
        self,
        book: Book,
        write: Callable[[bytes], None],
        unread: Callable[[], int],
        read: Callable[[Get], None],
        account: Account,
        rate: ServeRate,
        link_rate: Callable[[], float | None] = any_rate,
    ) -> None:
        self._book, self._write, self._unread, self._read = book, write, unread, read
        self._account, self._rate = account, rate
        self._link_rate = link_rate
        self._gets: deque[Get] = deque()
        self._reading: Get | None = None

    def get(self, get: Get) -> None:
        """The neighbour asks; RemoteProtocolError if it does so too often."""
        if len(self._gets) >= GETS:
            raise RemoteProtocolError("get", f"more than {GETS} wait for answers")
        self._gets.append(get)

    @property
    def held_up(self) -> bool:
        """Something is left to answer, and nothing under way that would go on with it."""
        return bool(self._gets) and self._reading is None

    def pump(self, now: float) -> None:
        """Read for the next answer, if the neighbour takes what was sent and may have more."""
        while self._gets and self._reading is None and self._unread() <= self._ahead:
            may = self._rate.may_slowly(self._account, self._link_rate(), now)
            if not (may and self._rate.may(self._account, now)):
                return
            get = self._gets[0]
            log = self._book.logs.get((get.device, get.log))
            top = log.held.below(get.last + 1) if log else 0
            span = log.held.over(top) if log and top else None
            if span is None or top < get.first:
                self._gets.popleft()
                self._write(pack(Blocks(*get, ())))
            else:
                first = max(get.first, span[0], top - _at_once(log, self._ahead) + 1)
                self._reading = get
                self._read(get._replace(first=first, last=top))

    def read(
        self, part: Get, rows: Sequence[tuple[bytes, bytes | None]], now: float
    ) -> None:
        """The disk gave the blocks part.first..part.last, as far as it has them."""
        get, self._reading = self._reading, None
        if get is None or not self._gets:
            return
        self._gets.popleft()
        given, first = _given(rows, self._ahead), part.first
        if given < len(rows):
            rows, first = rows[:given], Header.parse(rows[given - 1][0]).sequence
        if first > get.first:
            self._gets.appendleft(get._replace(last=first - 1))
        for frame in pack_blocks(get, rows, first):
            self._rate.gave(self._account, len(frame), now)
            self._rate.gave_slowly(self._account, self._link_rate(), len(frame), now)
            self._write(frame)
        self.pump(now)

    @property
    def _ahead(self) -> int:
        """Bytes given at once: little over a slow link."""
        return low_water(GIVEN, self._link_rate())


def _at_once(log: Log | None, most: int) -> int:
    """How many blocks to read, going by how large those of this log are."""
    usual = log.weight // max(1, log.held.count) if log else 0
    return max(1, min(READ, most // max(1, usual)))


def _given(rows: Sequence[tuple[bytes, bytes | None]], most: int) -> int:
    """How many of these blocks to give."""
    size = 0
    for count, (header, body) in enumerate(rows, 1):
        size += len(header) + len(body or b"")
        if size >= most:
            return count
    return len(rows)
