"""How much chains may cost; settings change some of it."""

from typing import Final, NamedTuple

MIB: Final = 1 << 20


class ChainLimits(NamedTuple):
    """What is held for whom, and which questions are answered."""

    person: int = 256 * MIB
    """Bytes of each person followed; a block counts for at least BLOCK_COST."""
    nearby: int = 2 * MIB
    """Bytes of each person whom contacts follow."""
    nearby_persons: int = 128
    logs: int = 64
    """Logs of one device."""
    person_logs: int = 1_024
    """Logs of one person: devices come and go, and what each log costs in memory stays."""
    nearby_logs: int = 64
    """Logs of each person whom contacts follow."""
    pass_on: bool = True
    """Whether neighbours' questions go one hop on."""
