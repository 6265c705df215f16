"""What was sent and not yet acknowledged: round trips, losses and probe timeouts after RFC 9002.

A packet is lost when one sent `threshold` packets later was acknowledged, or when it is older
than 9/8 of a round trip and a later one was (section 6.1). Both bounds grow when a packet that
was taken for lost is acknowledged after all, so that a path that reorders soon costs nothing
more.

A link over several paths has one row of counters and one Recovery for each path. "Later" is counted in packets of that path:
a burst knows by how much its counters are ahead of the path's own row.

Packets that leave together share one Burst: what delivery-rate estimation must know of each
(draft-cheng-iccrg-delivery-rate-estimation) is the same for all.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from meshpeer.core.link.air import Air
from meshpeer.core.link.congestion import Acked, Congestion
from meshpeer.core.link.slow import ack_delay, airtime, is_slow
from meshpeer.core.link.stream import Piece

INITIAL_RTT: Final = 0.25
"""Seconds, before anything was measured."""
GRANULARITY: Final = 0.001
MAX_ACK_DELAY: Final = 0.025
"""Seconds for which a receiver may hold back an acknowledgement."""
PACKET_THRESHOLD: Final = 3
PACKET_THRESHOLD_LIMIT: Final = 512
TIME_THRESHOLD: Final = 9 / 8
TIME_THRESHOLD_LIMIT: Final = 2.0
"""Round trips."""
FEW: Final = 64
"""Counters that are tried one by one, however few of them were sent by this path."""
LOST_KEPT: Final = 256
"""Lost packets that are remembered, to see whether they come after all."""
PTO_LIMIT: Final = 3.0
"""Seconds between probes at most, unless the path itself takes longer."""
SLOW_BACKOFF: Final = 2.0
"""Probe timeouts between probes at most on a slow path: repeating fills it."""
PERSISTENT: Final = 3
"""Probe timeouts in a row that mean persistent congestion (section 7.6)."""


class Burst:
    """Packets that left at the same moment."""

    __slots__ = (
        "app_limited",
        "delivered",
        "delivered_at",
        "first_sent",
        "sent_at",
        "shift",
    )

    def __init__(
        self,
        sent_at: float,
        delivered: int,
        delivered_at: float,
        first_sent: float,
        app_limited: bool,
        shift: int,
    ) -> None:
        self.sent_at = sent_at
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.first_sent = first_sent
        self.app_limited = app_limited
        self.shift = shift
        """What to subtract from a counter to get its place among the packets of this path."""


Sent: TypeAlias = tuple[Burst, int, tuple[Piece, ...], tuple[int, ...], Any]
"""What is remembered of one packet: its burst, its size in bytes, the pieces of streams that it
carried, the streams whose window it told (-1: the link's), and what it acknowledged (as Acks.take
says; it is only passed back). A bare tuple, for one with named fields costs a bulk packet 5 % more."""


class Recovery:
    """The sender's memory of one path's packets; `congestion` is told what it finds."""

    def __init__(
        self,
        congestion: Congestion,
        *,
        now: float,
        initial_rtt: float = INITIAL_RTT,
        reliable: bool = False,
        rate: float | None = None,
        payload_limit: int = 0,
        air: Air | None = None,
    ) -> None:
        """A `reliable` path repeats by itself: only long waiting is taken for loss there.

        Where a `rate` is declared, in bit/s, what a packet takes on the air is counted apart from
        the round trip: there it is most of the time, and small packets take a tenth of it.
        """
        self._rate, self._air = rate, air
        self._ack_delay = ack_delay(MAX_ACK_DELAY, rate)
        self._theirs = airtime(rate, payload_limit)
        """Seconds for which a packet of the other side's may keep ours waiting."""
        self.congestion = congestion
        self.sent: dict[int, Sent] = {}
        self.in_flight = 0
        self.rtt = initial_rtt
        self.rtt_variation = initial_rtt / 2
        self.min_rtt: float | None = None
        self.timeouts = 0
        """Probe timeouts since something was last acknowledged."""
        self.starved = True
        """Whether what is sent next follows a time with nothing to send."""
        self.loss_at: float | None = None
        self.lost_packets = self.spurious = 0
        self._threshold = PACKET_THRESHOLD_LIMIT if reliable else PACKET_THRESHOLD
        self._patience = TIME_THRESHOLD_LIMIT if reliable else TIME_THRESHOLD
        self._lost: dict[int, Sent] = {}
        self.largest_acked = -1
        """The highest counter that was acknowledged on this path."""
        self._place_acked = -1
        self._places = 0
        self._last_sent = now
        self._delivered = 0
        self._delivered_at = self._first_sent = now
        self._round_end = 0
        self._limited_until = 0

    @property
    def pto(self) -> float:
        """The probe timeout without back-off, in seconds."""
        quiet = self.rtt + max(4 * self.rtt_variation, GRANULARITY) + self._ack_delay
        if self._air is None:
            return quiet + airtime(self._rate, self.in_flight) + self._theirs
        own = airtime(self._rate, min(self.in_flight, self.congestion.window))
        # round trips here are the waits for others: in a crowd that is gone they say nothing
        crowd = self._air.crowd(self._last_sent)
        return own + min(quiet + self._theirs, self._ack_delay + (2 + crowd) * self._theirs)

    @property
    def oldest_sent_at(self) -> float | None:
        """When the oldest packet left that is not acknowledged; None if all are."""
        return next(iter(self.sent.values()))[0].sent_at if self.sent else None

    def burst(self, now: float, counter: int) -> Burst:
        """Begin a burst, whose first packet gets this counter: all sent until the next leave now."""
        if not self.in_flight:
            self._first_sent = self._delivered_at = now
        limited = self.starved or self._delivered < self._limited_until
        return Burst(
            now,
            self._delivered,
            self._delivered_at,
            self._first_sent,
            limited,
            counter - self._places,
        )

    def sent_packet(self, counter: int, packet: Sent) -> None:
        """Remember a packet that has to be acknowledged."""
        self.sent[counter] = packet
        self.sent_bulk(packet[1], packet[0], counter)

    def sent_bulk(self, size: int, burst: Burst, last: int) -> None:
        """Packets of so many bytes in all, up to counter `last`, were put into `sent` by the
        caller."""
        self.in_flight += size
        self._last_sent = burst.sent_at
        self._places = last - burst.shift + 1

    def app_limited(self) -> None:
        """There was room and nothing to send: rates measured for a while say little."""
        self.starved = True
        self._limited_until = self._delivered + self.in_flight

    def acked(
        self, ranges: list[tuple[int, int]], delay: float, now: float
    ) -> tuple[list[Sent], list[Sent]]:
        """Take in an acknowledgement; return the packets newly acknowledged and newly lost."""
        largest = ranges[0][1] - 1
        newest_is_new = largest in self.sent
        done, acked = self._take(ranges)
        if done and acked > self.largest_acked:
            self.largest_acked = acked
            self._place_acked = acked - done[0][0].shift
        if self._lost:
            self._forget_lost(now - 4 * self.pto)
            self._check_spurious(ranges, now)
        if not done:
            return [], []
        self.timeouts = 0
        newest = done[0][0]
        rtt = None
        if newest_is_new or self.min_rtt is None:
            rtt = now - newest.sent_at
            self._note_rtt(max(rtt - airtime(self._rate, done[0][1]), 0.0), delay)
        size = sum([packet[1] for packet in done])
        self.in_flight -= size
        self._delivered += size
        self._delivered_at = now
        lost = self.detect(now)
        self.congestion.acked(self._measure(newest, size, rtt, now))
        return done, lost

    def detect(self, now: float) -> list[Sent]:
        """Find the packets that are lost by now, and when the next will be."""
        self.loss_at = None
        lost: list[Sent] = []
        limit = self._place_acked - self._threshold
        wait = self._patience * max(self.rtt, GRANULARITY)
        gone = []
        for counter, packet in self.sent.items():
            if counter > self.largest_acked:
                break
            burst = packet[0]
            if counter - burst.shift > limit and burst.sent_at + wait > now:
                self.loss_at = burst.sent_at + wait
                break
            gone.append(counter)
        for counter in gone:
            lost.append(self.sent.pop(counter))
            self._lost[counter] = lost[-1]
        if lost:
            self._count_lost(lost)
        return lost

    def surrender(self) -> list[Sent]:
        """Take all that is under way for lost."""
        lost = list(self.sent.values())
        self._lost.update(self.sent)
        self.sent.clear()
        self.loss_at = None
        self._count_lost(lost)
        return lost

    def next_timeout(self) -> float | None:
        """When to call `detect` or to probe, whichever is first."""
        if self.loss_at is not None:
            return self.loss_at
        if not self.sent:
            return None
        backoff: float = self.pto * 2**self.timeouts
        longest = SLOW_BACKOFF if is_slow(self._rate) else 1.0
        due = self._last_sent + min(backoff, max(PTO_LIMIT, longest * self.pto))
        if self._air is None:
            return due
        # where all is quiet an answer is on its way or lost: nobody keeps it waiting
        quiet = (self._ack_delay + 2 * self._theirs) * min(2.0**self.timeouts, longest)
        return min(due, max(self._air.busy_until, self._last_sent) + quiet)

    def timed_out(self, now: float) -> None:
        """Count a probe timeout."""
        self.timeouts += 1
        self._last_sent = now
        if self.timeouts == PERSISTENT:
            self.congestion.timed_out()

    def oldest(self) -> list[Sent]:
        """Take what the oldest two packets carried, to be sent again as probes.

        They only wait for their acknowledgement then: lost, they are not sent a third time.
        """
        oldest = []
        for counter, packet in self.sent.items():
            burst, size, pieces, windows, told = packet
            if pieces or windows:
                oldest.append(packet)
                self.sent[counter] = burst, size, (), (), told
            if len(oldest) == 2:
                break
        return oldest

    def _take(self, ranges: Iterable[tuple[int, int]]) -> tuple[list[Sent], int]:
        """Take what was acknowledged, newest first, and give its highest counter."""
        sent, largest = self.sent, -1
        done: list[Sent] = []
        if not sent:
            return done, largest
        oldest = next(iter(sent))
        take = sent.pop
        for start, end in ranges:
            if end <= oldest:
                break
            counters: Iterable[int] = range(end - 1, max(start, oldest) - 1, -1)
            if end - oldest > FEW and end - max(start, oldest) > 2 * len(sent):
                counters = [each for each in reversed(sent) if start <= each < end]
            for counter in counters:
                packet = take(counter, None)
                if packet is not None:
                    done.append(packet)
                    largest = max(largest, counter)
        return done, largest

    def _check_spurious(self, ranges: list[tuple[int, int]], now: float) -> None:
        """Some that were taken for lost came after all: wait longer for the next."""
        lost = self._lost
        for start, end in ranges:
            few = lost if len(lost) < end - start else range(start, end)
            for counter in [each for each in few if start <= each < end and each in lost]:
                packet = lost.pop(counter)
                distance = self._place_acked - (counter - packet[0].shift)
                self._was_not_lost(distance, packet, now)

    def _was_not_lost(self, distance: int, packet: Sent, now: float) -> None:
        self.spurious += 1
        self._delivered += packet[1]
        self._threshold = max(self._threshold, min(distance + 1, PACKET_THRESHOLD_LIMIT))
        waited = (now - packet[0].sent_at) / max(self.rtt, GRANULARITY)
        self._patience = max(self._patience, min(waited, TIME_THRESHOLD_LIMIT))

    def _count_lost(self, lost: list[Sent]) -> None:
        size = sum(packet[1] for packet in lost)
        self.in_flight -= size
        self.lost_packets += len(lost)
        self.congestion.lost(size)
        while len(self._lost) > LOST_KEPT:
            self._lost.pop(next(iter(self._lost)))

    def _forget_lost(self, before: float) -> None:
        """Forget the lost packets that were sent before then: they won't come any more."""
        while self._lost:
            counter = next(iter(self._lost))
            if self._lost[counter][0].sent_at >= before:
                return
            del self._lost[counter]

    def _note_rtt(self, rtt: float, delay: float) -> None:
        """RFC 9002 section 5."""
        if self.min_rtt is None:
            self.min_rtt = self.rtt = rtt
            self.rtt_variation = rtt / 2
            return
        self.min_rtt = min(self.min_rtt, rtt)
        held = min(delay, self._ack_delay)
        adjusted = rtt - held if rtt - held >= self.min_rtt else rtt
        self.rtt_variation += (abs(self.rtt - adjusted) - self.rtt_variation) / 4
        self.rtt += (adjusted - self.rtt) / 8

    def _measure(self, newest: Burst, size: int, rtt: float | None, now: float) -> Acked:
        rate = None
        elapsed = max(now - newest.delivered_at, newest.sent_at - newest.first_sent)
        if elapsed > 0 and elapsed >= (self.min_rtt or 0.0):
            rate = (self._delivered - newest.delivered) / elapsed
        self._first_sent = newest.sent_at
        new_round = newest.delivered >= self._round_end
        if new_round:
            self._round_end = self._delivered
        return Acked(now, size, self.in_flight, rtt, rate, newest.app_limited, new_round)
