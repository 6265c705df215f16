"""What a declared rate means for times and sizes: a link of 300 bit/s works like a fast one, slower.

Most times of a link are for networks on which a packet takes milliseconds. By a packet-radio modem
one takes 20 seconds, and so does the answer that has to wait for it, for both share one frequency.
What follows here from the rate is the least; where a path is faster the usual value is larger, and
no rate means that it is.

What nobody asked for may take one hundredth of the air: so often idle links are asked whether they
are there. To hold back acknowledgements is worth it, for one alone takes as long as ten words: it
waits as long as it would itself be on the air, at most a second, for something to ride with.

A path is slow up to SLOW, and only this file says so: whatever does less there asks `is_slow`, and
has a constant SLOW_... beside the one for other paths. For a file or a bundle a link is too slow
by the time that this one would take (LONG_S).
"""

from typing import Final

SLOW: Final = 100_000.0
"""Bit/s up to which a path counts as slow: packets get the short header."""
SHORT_TAKEN: Final = 1_000_000.0
"""Bit/s up to which packets with the short header are taken: the other side may declare more."""
FIRST_EXCHANGE: Final = 320
"""Bytes of a handshake's first two packets with what a medium adds."""
QUESTION: Final = 80
"""Bytes of a question whether the other side is there, with its answer."""
LONE_ACK: Final = 43
"""Bytes of a packet that only acknowledges."""
IDLE_SHARE: Final = 0.01
"""Of the air, what an idle link may take."""
ACK_DELAY_LIMIT: Final = 1.0
"""Seconds; an ACK can say that it was held back for 1.05."""
PATIENCE: Final = 24
"""Full packets that may go before an answer: what both windows hold, twice, and as much between two
others, whom we may not hear."""
LONG_S: Final = 600.0
"""Seconds that one bundle, or one file if nobody says otherwise, may keep a link busy; what takes
longer waits for a better one."""
AHEAD: Final = 4.0
"""Seconds of sending that are handed to a link: what is urgent waits no longer than that."""
SERVED_SHARE: Final = 0.25
"""Of a slow link, what the other side gets of what is old anyway, once it had LONG_S of it."""


class Served:
    """What one neighbour was given over a slow link, against what it may have: LONG_S at once."""

    def __init__(self) -> None:
        self._paid_at = 0.0

    def may(self, rate: float | None, now: float) -> bool:
        """Whether it is given more now."""
        return not is_slow(rate) or (self._paid_at - now) * SERVED_SHARE < LONG_S

    def gave(self, rate: float | None, size: int, now: float) -> None:
        """So many bytes were given."""
        if is_slow(rate):
            spent = airtime(rate, size) / SERVED_SHARE
            self._paid_at = max(self._paid_at, now) + spent


def any_rate() -> None:
    """The rate of a link that declares none."""


def airtime(rate: float | None, size: int) -> float:
    """Seconds that so many bytes take; 0 where no rate is declared."""
    return 8 * size / rate if rate else 0.0


def is_slow(rate: float | None) -> bool:
    """Whether a path of this rate counts as slow."""
    return rate is not None and rate <= SLOW


def first_retry(usual: float, rate: float | None) -> float:
    """Seconds till a first packet is repeated: it and its answer have to wait for others."""
    return max(usual, 2 * airtime(rate, FIRST_EXCHANGE))


def keep_alive(usual: float, rate: float | None) -> float:
    """Seconds of silence after which a link is asked whether it is there."""
    return max(usual, airtime(rate, QUESTION) / IDLE_SHARE)


def ack_delay(usual: float, rate: float | None) -> float:
    """Seconds for which an acknowledgement may wait for something to ride with."""
    return max(usual, min(ACK_DELAY_LIMIT, airtime(rate, LONE_ACK)))


def patience(usual: float, rate: float | None, payload_limit: int) -> float:
    """Seconds for which what was sent may stay unanswered."""
    return usual + PATIENCE * airtime(rate, payload_limit)


def low_water(usual: int, rate: float | None) -> int:
    """Bytes that may wait in a link to be sent, so that it doesn't run dry."""
    return usual if rate is None else min(usual, int(rate / 8 * AHEAD))
