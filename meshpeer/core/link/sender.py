"""What a link sends: packets sealed and remembered, as many as window and pacing let pass.

`_send_bulk`, which carries bulk, is written out flat, with what it touches in local variables: a
call costs Python a tenth of a microsecond, and a packet has ten of them. All else takes the
general road through `_send_mixed`.

Bulk goes by several paths at once: first by the best as far as its window and pace let it, then by
those beside it, each with its own recovery, congestion control and pace (lane.py). Streams are
ordered and their windows bounded, so a packet by a slow path can hold up all that the fast one
brings meanwhile. It is taken only if a burst sent there now is expected to arrive before what
waits would have arrived by the faster ones: the idea of ECF (Lim et al., CoNEXT 2017), with rates
that are measured anyway in place of windows. What waits is counted as far as the other side's windows
let it pass, so it is BLEST's rule too (Ferlin et al., IFIP Networking 2016): a faster path is not
stopped by a window that is full of what the slower one still brings. A message of some bytes waits
for the better path by the same rule; a modem beside a LAN gets nothing. What a
window is goes by the best path, an acknowledgement by the path that it speaks of (acks.py).

The sender decides how often it is acknowledged: it sets ACK_NOW on every quarter window (at most
every 24th packet) and on the last packet that the window lets pass. Without that flag a receiver
answers a gap at once, and anything else after 25 ms or with what it has to send itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from meshpeer.core.link import frames
from meshpeer.core.link.acks import Acknowledged, Acks, Arrivals
from meshpeer.core.link.air import Air, Airs
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.congestion import Congestion
from meshpeer.core.link.lane import Lane, arrival, first_rtt
from meshpeer.core.link.packet import ACK_NOW, DATA, DATA_HEADER, DATA_OVERHEAD
from meshpeer.core.link.path import Datagram, Path
from meshpeer.core.link.paths import LEAST_ROOM, Paths, Way
from meshpeer.core.link.recovery import Burst, Recovery, Sent
from meshpeer.core.link.sealer import LOW, Sealer
from meshpeer.core.link.slow import is_slow
from meshpeer.core.link.stream import Piece, SendStream
from meshpeer.core.link.streams import Streams

PACING_SLACK: Final = 0.01
"""Seconds of sending that may be caught up after a late timer."""
DEAD_PATH_TIMEOUTS: Final = 2
"""Probe timeouts in a row after which a path is out of use, if there is another."""

_new = tuple.__new__


class Sender:
    """The sending half of a link: takes from its streams, goes by the paths in use."""

    __slots__ = (
        "_acks",
        "_airs",
        "_best",
        "_config",
        "_congestion",
        "_counters",
        "_lanes",
        "_largest_acked",
        "_paths",
        "_ping",
        "_sealer",
        "_streams",
    )

    def __init__(
        self,
        *,
        streams: Streams,
        acks: Acks,
        sealer: Sealer,
        paths: Paths,
        config: LinkConfig,
        counters: Counter[str],
        congestion: Callable[[int, float | None], Congestion],
        airs: Airs,
        now: float,
    ) -> None:
        self._streams, self._acks = streams, acks
        self._sealer, self._paths = sealer, paths
        self._config, self._counters = config, counters
        self._congestion, self._airs = congestion, airs
        self._lanes: dict[Way, Lane] = {}
        self._best = self._lane(paths.active, now)
        self._largest_acked = -1
        self._ping = False

    @property
    def recovery(self) -> Recovery:
        """What is under way by the best path."""
        return self._best.recovery

    @property
    def lanes(self) -> Sequence[Lane]:
        """The paths by which something went lately, the best first."""
        others = (lane for lane in self._lanes.values() if lane is not self._best)
        return (self._best, *others)

    @property
    def oldest_sent_at(self) -> float | None:
        """When the oldest packet left that is not acknowledged; None if all are."""
        times = [lane.recovery.oldest_sent_at for lane in self._lanes.values()]
        return min((time for time in times if time is not None), default=None)

    @property
    def asking(self) -> bool:
        """Whether a question whether the other side is there waits to be sent."""
        return self._ping

    @property
    def pressing(self) -> bool:
        """Whether a question or an acknowledgement is due that waits for the medium."""
        probing = self._ping or any(lane.probes for lane in self._lanes.values())
        return probing or any(arrivals.urgent for arrivals in self._acks.owing)

    def ping(self) -> None:
        """Send at least one packet that has to be acknowledged."""
        self._ping = True

    def outgoing(self, now: float, out: list[Datagram], *, several: bool = False) -> None:
        """Append what may be sent now.

        Where `several` links share a slow medium, an acknowledgement that is due leaves alone: who
        waits for it would repeat a packet before a full one of ours for each of them is out.
        """
        if several and self._best.air is not None:
            self._send_acks(now, out)
        for lane in self._lanes.values():
            probing = lane.probes or (self._ping and lane is self._best)
            if probing and not lane.held(now):
                before = len(out)
                self._send_probes(lane, now, out)
                self._took(lane.air, out[before:], now)
        if self._streams.ready:
            self._send_data(now, out)
        self._send_acks(now, out)

    def _send_acks(self, now: float, out: list[Datagram]) -> None:
        for arrivals in list(self._acks.owing):
            if arrivals.urgent:
                way = self._paths.answering(arrivals.path)
                air = self._airs.of(way.path, way.traits)
                if air is None or air.free_at <= now:
                    self._send_ack(arrivals, way, now, out)
                    self._took(air, out[-1:], now)

    def heard(self, path: Path) -> None:
        """The other side is there: by a slow path the next question follows soon again."""
        for lane in self._lanes.values():
            if lane.path == path and lane.air is not None:
                lane.recovery.timeouts = 0

    def acked(self, ranges: list[tuple[int, int]], delay: float, now: float) -> None:
        """The other side got these packets; what is lost by that is sent again.

        Only the path by which the largest went learns from it: another's packets may be named
        too, but earlier than their own acknowledgement could tell, and so would look faster.
        """
        lanes: Iterable[Lane] = self._lanes.values()
        if len(self._lanes) > 1:
            largest = ranges[0][1] - 1
            lanes = [lane for lane in lanes if largest in lane.recovery.sent] or lanes
        for lane in lanes:
            recovery, way = lane.recovery, lane.way
            done, lost = recovery.acked(ranges, delay, now)
            if not done:
                continue
            first = way.rtt is None
            way.works(recovery.min_rtt, now)
            if first:
                self._paths.compare()
            self._largest_acked = max(self._largest_acked, recovery.largest_acked)
            for _, _, _, _, told in done:
                if told:
                    self._acks.seen(told)
            for packet in lost:
                self._repeat(packet)
        if self._best.way is not self._paths.active:
            self.move(now)

    def move(self, now: float) -> None:
        """Go on by the path that is the best now: what no other brings is sent again there."""
        self._counters["moved"] += 1
        before, self._best = self._best, self._lane(self._paths.active, now)
        if not before.way.usable or self._paths.ways.get(before.path) is not before.way:
            self._empty(before)
        self._ping = True

    def forget_lost(self) -> None:
        """A path is gone: what was under way there is sent again by others."""
        self._prune()

    def wake(self, now: float) -> None:
        """Do what time asks for: early or late does no harm."""
        for lane in list(self._lanes.values()):
            timeout = lane.recovery.next_timeout()
            if timeout is not None and timeout <= now:
                self._timed_out(lane, now)
        self._acks.wake(now)

    def next_wakeup(self) -> float | None:
        """When to call `wake` and `outgoing`, at the latest."""
        times: list[float | None] = [self._ack_at(each) for each in self._acks.owing]
        ready = self._streams.ready
        for lane in self._lanes.values():
            times.append(lane.recovery.next_timeout())
            probing = lane.probes or (self._ping and lane is self._best)
            if (ready and lane.paced) or (probing and lane.air):
                times.append(lane.next_at)
        return min((time for time in times if time is not None), default=None)

    def _ack_at(self, arrivals: Arrivals) -> float:
        way = self._paths.answering(arrivals.path)
        air = self._airs.of(way.path, way.traits)
        return arrivals.at if air is None else max(arrivals.at, air.free_at)

    @staticmethod
    def _took(air: Air | None, sent: list[Datagram], now: float) -> None:
        if air is not None:
            air.took(sent, now)

    # -- what has to be sent again

    def _repeat(self, packet: Sent) -> None:
        _, _, pieces, windows, _ = packet
        for piece in pieces:
            self._streams.repeat(piece)
        for number in windows:
            self._streams.tell(number)

    def _timed_out(self, lane: Lane, now: float) -> None:
        recovery, way, paths = lane.recovery, lane.way, self._paths
        if recovery.loss_at is not None:
            for packet in recovery.detect(now):
                self._repeat(packet)
            return
        recovery.timed_out(now)
        dead = recovery.timeouts >= DEAD_PATH_TIMEOUTS and len(paths.ways) > 1
        if dead or paths.others_work(way, now - recovery.pto):
            paths.fail(way, now)
        if way is paths.active or way in paths.beside:
            oldest = recovery.oldest()
            for packet in oldest:
                self._repeat(packet)
            twice = any(pieces for _, _, pieces, _, _ in oldest)
            lane.probes = 2 if twice and not is_slow(way.traits.rate) else 1
        elif lane is self._best:
            self.move(now)
        else:
            self._empty(lane)

    # -- lanes

    def _lane(self, way: Way, now: float) -> Lane:
        """Give the lane of a path; a new one begins to learn what the path can carry."""
        lane = self._lanes.get(way)
        if lane is None:
            self._prune()
            traits = way.traits
            air = self._airs.of(way.path, traits)
            recovery = Recovery(
                self._congestion(traits.payload_limit, traits.rate),
                now=now,
                initial_rtt=first_rtt(way),
                reliable=traits.reliable,
                rate=traits.rate,
                payload_limit=traits.payload_limit,
                air=air,
            )
            lane = self._lanes[way] = Lane(way, recovery, now, air)
        return lane

    def _empty(self, lane: Lane) -> None:
        """Send again by other paths what is under way by this one, and forget the silence."""
        for packet in lane.recovery.surrender():
            self._repeat(packet)
        lane.recovery.timeouts = lane.probes = 0

    def _prune(self) -> None:
        """Forget the lanes of paths that are not kept any more."""
        for lane in list(self._lanes.values()):
            if lane is not self._best and self._paths.ways.get(lane.path) is not lane.way:
                self._empty(lane)
                del self._lanes[lane.way]

    # -- packets

    def _send_data(self, now: float, out: list[Datagram]) -> None:
        """Send by the best path, and what it can't take now by those beside it."""
        for lane in self._lanes.values():
            lane.paced = False
        best, paths = self._best, self._paths
        self._fill_lane(best, (), now, out)
        lanes = [self._lane(way, now) for way in paths.beside if paths.refresh(way, now)]
        faster = [best]
        for lane in lanes:
            self._fill_lane(lane, faster, now, out)
            faster.append(lane)

    def _fill_lane(
        self, lane: Lane, faster: Sequence[Lane], now: float, out: list[Datagram]
    ) -> None:
        """Send bursts as long as window, pacing and what is `faster` let them pass."""
        recovery, streams = lane.recovery, self._streams
        limit = lane.way.traits.payload_limit
        proved = lane.way.proved
        lane.pace_at = max(lane.pace_at, now - PACING_SLACK)
        while streams.ready:
            congestion = recovery.congestion
            room = congestion.window - recovery.in_flight
            if room <= 0 or lane.next_at > now:
                recovery.starved = False
                lane.paced = room > 0
                return
            if not proved and lane.way.room <= LEAST_ROOM:
                break
            size = min(room, congestion.quantum) if proved else limit
            if faster and arrival(size, lane) >= arrival(streams.waiting, *faster):
                break
            before = len(out)
            sent = self._send_burst(lane, max(1, size // limit), size == room, now, out)
            if lane.air is not None:
                lane.air.took(out[before:], now)
            elif congestion.rate:
                lane.pace_at += sent / congestion.rate
            if not sent:
                break
        recovery.app_limited()

    def _send_burst(
        self, lane: Lane, count: int, last: bool, now: float, out: list[Datagram]
    ) -> int:
        """Send at most `count` packets; return their size. `last` if the window ends with them."""
        streams, best = self._streams, lane is self._best
        arrivals = lane.way.arrivals
        space = lane.way.room - DATA_OVERHEAD
        burst = lane.recovery.burst(now, self._sealer.next_counter)
        self._renew_keys(now)
        sent = 0
        while count > 0:
            waiting = 0
            if not (arrivals.owed or (best and not streams.quiet)):
                stream, waiting = streams.bulk(space - frames.STREAM_NARROW.size)
            if waiting and stream.offset <= LOW - (space * waiting):
                waiting = min(waiting, count)
                sent += self._send_bulk(
                    lane, stream, waiting, space, burst, last and waiting == count, out
                )
                count -= waiting
            else:
                size = self._send_mixed(lane, burst, last and count == 1, now, out)
                if not size:
                    break
                sent += size
                count -= 1
        return sent

    def _send_bulk(
        self,
        lane: Lane,
        stream: SendStream,
        count: int,
        space: int,
        burst: Burst,
        last: bool,
        out: list[Datagram],
    ) -> int:
        """Send `count` full packets of one stream; return their size."""
        each = space - frames.STREAM_NARROW.size
        size = space + DATA_OVERHEAD
        sealer, path = self._sealer, lane.path
        encrypt, remote_id = sealer.keys.send.encrypt, sealer.remote_id
        block, position, offset = stream.block, stream.position, stream.offset
        number, first = stream.number, sealer.next_counter
        final = first + count - 1 if last else -1
        sent, append = lane.recovery.sent, out.append
        pack_header, pack_stream = DATA_HEADER.pack, frames.STREAM_NARROW.pack
        kind, every = DATA | sealer.keys.send_phase, lane.flag_every
        since = lane.since_flag
        new = _new
        for counter in range(first, first + count):
            piece = block[position : position + each]
            since += 1
            flags = kind
            if since >= every or counter == final:
                flags |= ACK_NOW
                since = 0
            header = pack_header(flags, remote_id, counter & LOW)
            plain = pack_stream(16, number, offset) + piece
            sealed = encrypt(counter.to_bytes(12), plain, header)
            append(new(Datagram, (path, header + sealed)))
            pieces = (new(Piece, (stream, offset, piece, False)),)
            sent[counter] = (burst, size, pieces, (), None)
            position += each
            offset += each
        lane.since_flag = since
        sealer.next_counter = first + count
        lane.recovery.sent_bulk(count * size, burst, first + count - 1)
        lane.way.sent += count * size
        self._streams.bulk_sent(stream, count * each)
        return count * size

    def _send_mixed(
        self, lane: Lane, burst: Burst, last: bool, now: float, out: list[Datagram]
    ) -> int:
        """Send one packet of whatever waits; return its size, 0 if nothing does."""
        space = lane.way.room - DATA_OVERHEAD
        parts: list[bytes] = []
        told: list[bytes] = []
        numbers: tuple[int, ...] = ()
        acknowledged: Acknowledged = None
        arrivals = lane.way.arrivals
        if arrivals.owed:
            text, acknowledged = self._acks.take(arrivals, space, now)
            parts.append(text)
            space -= len(text)
        if lane is self._best:
            told, numbers = self._streams.take_limits(space)
            parts += told
            space -= sum(map(len, told))
        pieces = self._fill(space, parts)
        if self._ping and not pieces and not told:
            parts.append(bytes((frames.PING,)))
        elif not pieces and not told:
            if parts:
                out.append(Datagram(lane.path, self._sealer.seal(parts[0])))
            return 0
        self._ping = False
        said = tuple(pieces), numbers, acknowledged
        return self._seal(lane, burst, parts, last, out, said)

    def _seal(
        self,
        lane: Lane,
        burst: Burst,
        parts: Sequence[bytes],
        last: bool,
        out: list[Datagram],
        said: tuple[tuple[Piece, ...], tuple[int, ...], Acknowledged] = ((), (), None),
    ) -> int:
        """Send one packet and remember what it `said`; return its size."""
        lane.since_flag += 1
        flag = last or lane.since_flag >= lane.flag_every
        if flag:
            lane.since_flag = 0
        sealed = self._sealer.seal(b"".join(parts), ACK_NOW if flag else 0)
        packet = (burst, len(sealed), *said)
        lane.recovery.sent_packet(self._sealer.next_counter - 1, packet)
        lane.way.sent += len(sealed)
        out.append(Datagram(lane.path, sealed))
        return len(sealed)

    def _fill(self, space: int, parts: list[bytes]) -> list[Piece]:
        """Add STREAM frames to `parts`, at most `space` bytes, and give their pieces."""
        pieces: list[Piece] = []
        while space > frames.STREAM_OVERHEAD:
            piece = self._streams.take(space - frames.STREAM_OVERHEAD)
            if piece is None:
                break
            pieces.append(piece)
            space -= frames.STREAM_OVERHEAD + len(piece.data)
        for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
            stream, offset, data, fin = piece
            sized = left > 0
            parts.append(frames.stream(stream.number, offset, data, fin=fin, sized=sized))
        return pieces

    def _send_probes(self, lane: Lane, now: float, out: list[Datagram]) -> None:
        """Send after a timeout, or to show that we are there: whatever the window says.

        Beside the best path that is a question only: the data goes where it is surer to arrive.
        """
        burst = lane.recovery.burst(now, self._sealer.next_counter)
        self._renew_keys(now)
        for _ in range(max(lane.probes, 1)):
            if lane is self._best:
                self._ping = True
                self._send_mixed(lane, burst, True, now, out)
            else:
                self._seal(lane, burst, [bytes((frames.PING,))], True, out)
        lane.probes = 0

    def _send_ack(
        self, arrivals: Arrivals, way: Way, now: float, out: list[Datagram]
    ) -> None:
        """Send a packet that nobody acknowledges."""
        space = way.traits.payload_limit - DATA_OVERHEAD
        text, _ = self._acks.take(arrivals, space, now)
        out.append(Datagram(way.path, self._sealer.seal(text)))

    def _renew_keys(self, now: float) -> None:
        """Seal with a new key from here on if it is time."""
        config, acked = self._config, self._largest_acked
        if self._sealer.renew(config.renew_packets, config.renew_time, acked, now):
            self._counters["renewed"] += 1
