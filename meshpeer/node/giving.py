"""What the owner's settings say of giving files to others, in the core's terms."""

import time
from collections.abc import Callable, Iterable

from meshpeer.core.files.limits import Limits
from meshpeer.core.link.link import Link
from meshpeer.node.addresses import is_on
from meshpeer.node.config import Files
from transports.netlink import Local


def giving_limits(settings: Files, usable: Callable[[], Iterable[Local]]) -> Limits:
    """Give the limits; `usable` are this machine's addresses, asked each time."""

    def metered(link: object) -> bool:
        if not settings.metered or not isinstance(link, Link):
            return False
        costly = [local for local in usable() if local.interface in settings.metered]
        return link.path.transport == "udp" and any(
            is_on(link.path, local) for local in costly
        )

    return Limits(
        serve=settings.serve,
        rate=float(settings.serve_rate) or None,
        hours=_hours(settings.serve_hours),
        minute=_local_minute,
        metered=metered,
        slow_s=settings.slow_limit_s,
    )


def _hours(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, last = text.split("-")
    return int(first) * 60, int(last) * 60


def _local_minute(wall: float) -> int:
    """The minute of the day where the owner lives."""
    local = time.localtime(wall)
    return local.tm_hour * 60 + local.tm_min
