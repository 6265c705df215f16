"""How much may be under way, and how fast: a plug-in, and the one that is used.

Loss on radio is not congestion: Reno and CUBIC get a tenth of a 20 Mbit/s, 50 ms path at 2 %
loss. `Bbr` therefore models the path, after BBR (Cardwell et al., 2016): the largest delivery
rate of the last ten rounds and the smallest round trip of the last ten seconds tell how much
fills the path, and pacing at that rate keeps the queue short.

Three things differ. BBR starves above 20 % of loss, because it sends what was delivered and so
delivers less each round; here the loss that even the emptiest of the last ten rounds had is taken
as the path's own and sent in addition. And on loopback or a LAN, where a timer is coarser than a
round trip, the quantum (what leaves at once) grows to what one GSO call carries. Third, a peer
shares a small board with others and may be scheduled ten milliseconds late: on a LAN, whose round
trip is a tenth of that, a window of two round trips would then stand empty most of the time, and
the rate measured would fall with it. So what the path carries in PAUSE_TIME may be under way in
addition, and a rate is remembered for RATE_TIME at least.
"""

from collections import deque
from typing import Final, NamedTuple, Protocol

from meshpeer.core.link.slow import AHEAD, is_slow

ROUNDS: Final = 10
"""Rounds over which the largest rate and the smallest loss are remembered; those in which there
was too little to send don't count."""
RATE_TIME: Final = 0.25
PAUSE_TIME: Final = 0.025
RTT_WINDOW: Final = 10.0
"""Seconds after which the smallest round trip is measured anew, with a drained queue."""
RTT_WINDOW_ROUNDS: Final = 40
"""Round trips for which it is kept at least: draining costs a slow path more than one of them."""
PROBE_RTT_TIME: Final = 0.2
STARTUP_GAIN: Final = 2.885
"""2/ln 2: doubles the rate each round."""
CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
INITIAL_WINDOW: Final = 10
"""Datagrams, as RFC 9002 section 7.2."""
LEAST_WINDOW: Final = 4
WINDOW_LIMIT: Final = 8 << 20
"""Bytes that may be under way at most, which we hold until they are acknowledged: who opens a huge
window and answers late would fill our memory."""
LEAST_RTT: Final = 1e-5
"""Seconds; a clock may show less than passed."""
QUANTUM_TIME: Final = 0.001
QUANTUM_LIMIT: Final = 40
"""Datagrams of 1,452 bytes that fit in one GSO send."""
GRANULARITY: Final = 0.005
"""Seconds by which a round trip has to grow to tell of a queue."""
FULL_LOSS: Final = 0.05
"""Of what a round sent; with a queue it shows that the path is full."""
LOSS_LIMIT: Final = 0.3
"""Of the path's own loss, this much is sent in addition at most."""


class Acked(NamedTuple):
    """What one acknowledgement told."""

    now: float
    size: int
    in_flight: int
    """Bytes still under way after it."""
    rtt: float | None
    rate: float | None
    """Bytes per second delivered, if it could be measured."""
    app_limited: bool
    """The rate may be low only because there was nothing to send."""
    new_round: bool
    """A packet sent since the last round began was acknowledged."""


class Congestion(Protocol):
    """Decides how much may be sent. Told of every acknowledgement, loss and timeout; never asked
    when to send what."""

    window: int
    """Bytes that may be under way."""
    rate: float | None
    """Bytes per second at which to pace, or None for no pacing."""
    quantum: int
    """Bytes that may leave at once."""

    @property
    def speed(self) -> float:
        """Bytes per second that the path is thought to carry; 0 if nothing is known."""

    def acked(self, ack: Acked) -> None:
        """Something arrived."""

    def lost(self, size: int) -> None:
        """So many bytes are taken for lost."""

    def timed_out(self) -> None:
        """Nothing was heard over several probe timeouts: persistent congestion."""


class Bbr:
    """The loss-tolerant default: a model of rate and round trip."""

    def __init__(self, datagram: int, rate: float | None = None) -> None:
        """`rate`, in bit/s, is what the path declares to carry at most, if it does."""
        self._datagram = datagram
        self.rate = self._known_rate = rate / 8 if rate else None
        self.window = INITIAL_WINDOW * datagram
        if self._known_rate is not None:
            self.window = max(2 * datagram, min(self.window, int(self._known_rate)))
        self.quantum = self.window
        self._narrow()
        self._rates: deque[tuple[int, float, float]] = deque()
        self._losses: deque[float] = deque(maxlen=ROUNDS)
        self._round = 0
        self._round_acked = self._round_lost = 0
        self._min_rtt = float("inf")
        self._min_rtt_at = 0.0
        self._full_rate, self._full_count = 0.0, 0
        self._filled = False
        self._draining = False
        self._phase, self._phase_start = 2, 0.0
        self._probe_rtt_until: float | None = None
        self._was_limited = True

    @property
    def bandwidth(self) -> float:
        """The path's rate in bytes a second, as far as it is known."""
        return self._rates[0][2] if self._rates else 0.0

    @property
    def speed(self) -> float:
        """What was measured, but at a start at least what a first window makes."""
        if self._known_rate is not None:
            return min(self.bandwidth or self._known_rate, self._known_rate)
        if self._filled or self._min_rtt == float("inf"):
            return self.bandwidth
        initial = INITIAL_WINDOW * self._datagram / max(self._min_rtt, LEAST_RTT)
        return max(self.bandwidth, initial)

    def acked(self, ack: Acked) -> None:
        """Take in an acknowledgement and set window, rate and quantum."""
        self._round_acked += ack.size
        if ack.new_round:
            self._next_round(ack)
        self._note_rate(ack)
        self._note_rtt(ack)
        self._was_limited = ack.app_limited
        if self._filled:
            self._cycle(ack)
        self._set(ack)
        self.window = min(self.window, WINDOW_LIMIT)

    def lost(self, size: int) -> None:
        """Loss only counts towards the path's own loss rate."""
        self._round_lost += size

    def timed_out(self) -> None:
        """Begin anew with a small window: the path is not what it was."""
        self.window = LEAST_WINDOW * self._datagram
        self._narrow()
        self._rates.clear()
        self._losses.clear()
        self._filled = self._draining = False
        self._full_rate, self._full_count = 0.0, 0

    def _next_round(self, ack: Acked) -> None:
        if not ack.app_limited:
            self._round += 1
        total = self._round_acked + self._round_lost
        if total >= 16 * self._datagram:
            self._losses.append(self._round_lost / total)
            self._round_acked = self._round_lost = 0
        if not self._filled and not ack.app_limited:
            self._check_full()
        elif not self._filled and self._overflows(ack):
            self._filled = self._draining = True

    def _check_full(self) -> None:
        if self.bandwidth >= self._full_rate * 1.25:
            self._full_rate, self._full_count = self.bandwidth, 0
            return
        self._full_count += 1
        if self._full_count >= 3:
            self._filled = self._draining = True

    def _overflows(self, ack: Acked) -> bool:
        """Whether bursts fill the path, though in the mean there was too little to send.

        So it is with a path that only takes what a faster one leaves: it would start for ever.
        """
        queued = ack.rtt is not None and ack.rtt > 1.25 * self._min_rtt + GRANULARITY
        return queued and bool(self._losses) and self._losses[-1] > FULL_LOSS

    def _note_rate(self, ack: Acked) -> None:
        rate, rates = ack.rate, self._rates
        if rate is not None and not (ack.app_limited and rate < self.bandwidth):
            while rates and rates[-1][2] <= rate:
                rates.pop()
            rates.append((self._round, ack.now, rate))
        oldest_round, oldest = self._round - ROUNDS, ack.now - RATE_TIME
        while len(rates) > 1 and rates[0][0] < oldest_round and rates[0][1] < oldest:
            rates.popleft()

    def _note_rtt(self, ack: Acked) -> None:
        if ack.rtt is None:
            return
        window = max(RTT_WINDOW, RTT_WINDOW_ROUNDS * self._min_rtt)
        stale = ack.now > self._min_rtt_at + window
        if ack.rtt <= self._min_rtt or stale:
            if stale and self._filled and not (ack.app_limited or self._was_limited):
                self._probe_rtt_until = ack.now + PROBE_RTT_TIME + ack.rtt
            self._min_rtt, self._min_rtt_at = ack.rtt, ack.now

    def _cycle(self, ack: Acked) -> None:
        """Move through drain and the eight phases that probe for more and give it back."""
        full = self.bandwidth * self._min_rtt
        if self._draining:
            if ack.in_flight > full:
                return
            self._draining, self._phase, self._phase_start = False, 2, ack.now
        over = ack.now - self._phase_start > self._min_rtt
        if (over and CYCLE[self._phase] >= 1) or (
            CYCLE[self._phase] < 1 and (over or ack.in_flight <= full)
        ):
            self._phase = (self._phase + 1) % len(CYCLE)
            self._phase_start = ack.now

    def _gain(self) -> float:
        if not self._filled:
            return STARTUP_GAIN
        return 1 / STARTUP_GAIN if self._draining else CYCLE[self._phase]

    def _starting_rate(self, measured: float) -> float:
        """The few small packets of a start say nothing about what the path can carry."""
        if self._known_rate is not None:
            return self._known_rate
        initial = INITIAL_WINDOW * self._datagram / max(self._min_rtt, LEAST_RTT)
        return max(measured, STARTUP_GAIN * initial)

    def _set(self, ack: Acked) -> None:
        datagram = self._datagram
        if not self._rates or self._min_rtt == float("inf"):
            self.window += ack.size
            return
        own_loss = min(min(self._losses, default=0.0), LOSS_LIMIT)
        bandwidth = self.bandwidth / (1 - own_loss)
        if self._known_rate is not None:
            bandwidth = min(bandwidth, self._known_rate)
        self.rate = self._gain() * bandwidth
        if not self._filled:
            self.rate = self._starting_rate(self.rate)
        quantum = min(int(bandwidth * QUANTUM_TIME), QUANTUM_LIMIT * datagram)
        self.quantum = max(quantum, 2 * datagram)
        full = bandwidth * self._min_rtt
        gain = STARTUP_GAIN if not self._filled or self._draining else 2.0
        target = int(gain * full + bandwidth * PAUSE_TIME) + 3 * self.quantum
        if self._filled:
            self.window = min(self.window + ack.size, target)
        elif self.window < target:
            self.window += ack.size
        if self._probe_rtt_until is not None:
            self.window = max(int(full / 2), 0)
            if ack.now >= self._probe_rtt_until:
                self._probe_rtt_until = None
                self.window = target
        self.window = max(self.window, LEAST_WINDOW * datagram)
        self._narrow()

    def _narrow(self) -> None:
        """On a slow path what was sent is out of our hands for seconds: a packet at a time."""
        rate = self._known_rate
        if rate is not None and is_slow(8 * rate):
            self.quantum = self._datagram
            self.window = max(self._datagram, min(self.window, int(rate * AHEAD)))
