"""A token bucket: how much of something is let through, at once and over time."""


class Bucket:
    """Lets `burst` through at once, and `rate` a second on average."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, now

    def take(self, now: float, cost: float = 1) -> bool:
        """Use `cost` up if so much is left; else False, and what is left stays."""
        self._left = min(self._burst, self._left + max(now - self._at, 0.0) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def ready(self, cost: float = 1) -> float:
        """When so much is there to be taken, if nobody takes any before."""
        return self._at + max(cost - self._left, 0.0) / self._rate
