"""A token bucket: so many a second, and no more than a second's worth at once."""


class Bucket:
    """Counts what may still be done now."""

    __slots__ = ("_at", "_held", "_rate")

    def __init__(self, rate: float, *, now: float) -> None:
        self._rate, self._held, self._at = rate, rate, now

    def take(self, now: float) -> bool:
        """Use one up; False if there is none."""
        self._held = min(self._rate, self._held + max(now - self._at, 0.0) * self._rate)
        self._at = now
        if self._held < 1:
            return False
        self._held -= 1
        return True
