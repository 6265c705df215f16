"""What files need of a link; tests give them one of their own."""

from typing import Protocol

from meshpeer.core.sync.link_like import LinkLike as Plain


class LinkLike(Plain, Protocol):
    """The part of core.link.Link that files use; anything reliable and in order will do."""

    @property
    def rtt(self) -> float:
        """Seconds, smoothed."""
        ...
