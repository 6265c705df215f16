"""Gathers what is said on stream 5 until the turn is over: a hundred asks are one message."""

from itertools import groupby
from typing import Any, Final, TypeAlias

from meshpeer.core.files import messages
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import (
    CONTROL,
    RUNS_AT_ONCE,
    Ask,
    Cancel,
    Coming,
    Forget,
    Have,
    Hold,
    No,
    Seek,
    Slow,
)
from meshpeer.core.files.runs import to_runs

List: TypeAlias = (
    type[Seek]
    | type[Hold]
    | type[Ask]
    | type[No]
    | type[Cancel]
    | type[Forget]
    | type[Slow]
)

UNREAD_LIMIT: Final = 4 << 20
"""Bytes of stream 5 that may wait for a neighbour that reads nothing."""


class Saying:
    """What one neighbour is told in this turn, in order."""

    def __init__(self, link: LinkLike) -> None:
        self._link = link
        self._said: list[tuple[type, Any]] = []

    def item(self, kind: List, item: object) -> None:
        """Say this item of a list; neighbours in order share a message."""
        self._said.append((kind, item))

    def chunks(self, kind: type[Have] | type[Coming], handle: int, chunks: int) -> None:
        """Say a set of chunks, also an empty one, in as many messages as it takes."""
        runs = to_runs(chunks)
        for at in range(0, max(len(runs), 1), RUNS_AT_ONCE):
            self._said.append((kind, (handle, tuple(runs[at : at + RUNS_AT_ONCE]))))

    @property
    def unread(self) -> int:
        """Bytes that wait because the neighbour doesn't read."""
        return self._link.buffered(CONTROL)

    def flush(self) -> None:
        """Give the link what was said."""
        if not self._said:
            return
        said, self._said = self._said, []
        if self._link.closed is not None:
            return
        out = []
        for kind, items in groupby(said, key=lambda one: one[0]):
            if kind is Have or kind is Coming:
                out += [messages.pack(kind(*item)) for _, item in items]
            else:
                listed = [item for _, item in items]
                out += [messages.pack(kind(part)) for part in messages.chunks(listed)]
        self._link.write(CONTROL, b"".join(out))
