"""What came at once, from its journalling to its commit.

All that one read of a link brought is one commit. Until that is durable neither neighbours nor
screens hear of it, so what they are to hear is gathered here.
"""

from dataclasses import dataclass, field

from meshpeer.core.chains.events import Event
from meshpeer.core.chains.log import Log
from meshpeer.core.formats.block import Header


@dataclass(slots=True)
class Batch:
    """What came at once; true if it holds anything that has to be written or told."""

    source: bytes | None = None
    """The neighbour that brought it; None for what was made here."""
    blocks: dict[Log, list[Header]] = field(default_factory=dict)
    touched: dict[Log, None] = field(default_factory=dict)
    """Logs whose rows are to be written."""
    persons: dict[bytes, None] = field(default_factory=dict)
    """Whose neighbours are to be told."""
    proofs: list[Log] = field(default_factory=list)
    """Logs that froze."""
    events: list[Event] = field(default_factory=list)
    lasting: list[bytes] = field(default_factory=list)
    """Ids of blocks that can't be withdrawn."""
    withdrawn: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Withdrawals: (target, person)."""
    size: int = 0
    """Bytes that its blocks count for."""

    def __bool__(self) -> bool:
        return bool(self.touched or self.persons or self.events or self.blocks)
