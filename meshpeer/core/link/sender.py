"""What a link sends: packets sealed and remembered, as many as window and pacing let pass.

`_send_bulk`, which carries bulk, is written out flat, with what it touches in local variables: a
call costs Python a tenth of a microsecond, and a packet has ten of them. All else takes the
general road through `_send_mixed`.

The sender decides how often it is acknowledged: it sets ACK_NOW on every quarter window (at most
every 24th packet) and on the last packet that the window lets pass. Without that flag a receiver
answers a gap at once, and anything else after 25 ms or with what it has to send itself.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from meshpeer.core.link import frames
from meshpeer.core.link.acks import Acks
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.congestion import Congestion
from meshpeer.core.link.packet import ACK_NOW, DATA, DATA_HEADER, DATA_OVERHEAD
from meshpeer.core.link.path import Datagram
from meshpeer.core.link.paths import Paths
from meshpeer.core.link.recovery import INITIAL_RTT, Burst, Recovery, Sent
from meshpeer.core.link.sealer import LOW, Sealer
from meshpeer.core.link.stream import Piece, SendStream
from meshpeer.core.link.streams import Streams

ACK_EVERY: Final = 24
"""Packets after which the sender asks for an acknowledgement, at most."""
PACING_SLACK: Final = 0.01
"""Seconds of sending that may be caught up after a late timer."""
DEAD_PATH_TIMEOUTS: Final = 2
"""Probe timeouts in a row after which another proved path is used."""

_new = tuple.__new__


class Sender:
    """The sending half of a link: takes from its streams, goes by the path in use."""

    __slots__ = (
        "_acks",
        "_config",
        "_congestion",
        "_counters",
        "_pace_at",
        "_paths",
        "_ping",
        "_probes",
        "_sealer",
        "_since_flag",
        "_streams",
        "recovery",
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
        now: float,
    ) -> None:
        self._streams, self._acks = streams, acks
        self._sealer, self._paths = sealer, paths
        self._config, self._counters = config, counters
        self._congestion = congestion
        self.recovery = self._new_recovery(now)
        """What is under way by the path in use."""
        self._pace_at = now
        self._since_flag = 0
        self._ping = False
        self._probes = 0

    def ping(self) -> None:
        """Send at least one packet that has to be acknowledged."""
        self._ping = True

    def outgoing(self, now: float, out: list[Datagram]) -> None:
        """Append what may be sent now."""
        if self._probes or self._ping:
            self._send_probes(now, out)
        if self._streams.ready:
            self._send_data(now, out)
        if self._acks.urgent and self._acks.owed:
            self._send_unanswered(self._acks.take(now), out)

    def acked(self, ranges: list[tuple[int, int]], delay: float, now: float) -> None:
        """The other side got these packets; what is lost by that is sent again."""
        done, lost = self.recovery.acked(ranges, delay, now)
        for _, _, _, _, largest in done:
            if largest >= 0:
                self._acks.seen(largest)
        for packet in lost:
            self._repeat(packet)

    def move(self, now: float) -> None:
        """Go on by the path that is active now: what was under way is sent again there."""
        self._counters["moved"] += 1
        under_way = list(self.recovery.sent.values())
        self.recovery = self._new_recovery(now)
        for packet in under_way:
            self._repeat(packet)
        self._ping = True

    def wake(self, now: float) -> None:
        """Do what time asks for: early or late does no harm."""
        timeout = self.recovery.next_timeout()
        if timeout is not None and timeout <= now:
            self._timed_out(now)
        if self._acks.at is not None and self._acks.at <= now:
            self._acks.urgent = True

    def next_wakeup(self) -> float | None:
        """When to call `wake` and `outgoing`, at the latest."""
        recovery = self.recovery
        times = [recovery.next_timeout(), self._acks.at]
        if self._streams.ready and recovery.in_flight < recovery.congestion.window:
            times.append(self._pace_at)
        return min((time for time in times if time is not None), default=None)

    # -- what has to be sent again

    def _repeat(self, packet: Sent) -> None:
        _, _, pieces, windows, _ = packet
        for piece in pieces:
            self._streams.repeat(piece)
        for number in windows:
            self._streams.tell(number)

    def _timed_out(self, now: float) -> None:
        recovery = self.recovery
        if recovery.loss_at is not None:
            for packet in recovery.detect(now):
                self._repeat(packet)
            return
        oldest = recovery.timed_out(now)
        if recovery.timeouts >= DEAD_PATH_TIMEOUTS and self._paths.replace_active():
            self.move(now)
            return
        for packet in oldest:
            self._repeat(packet)
        self._probes = 2 if any(pieces for _, _, pieces, _, _ in oldest) else 1

    def _new_recovery(self, now: float) -> Recovery:
        """A memory for the path in use, which may declare that it is slow, or reliable already."""
        traits = self._paths.active.traits
        rtt = INITIAL_RTT
        if traits.rate:
            rtt = max(rtt, 2 * 8 * traits.payload_limit / traits.rate)
        return Recovery(
            self._congestion(traits.payload_limit, traits.rate),
            now=now,
            initial_rtt=rtt,
            reliable=traits.reliable,
        )

    # -- packets

    def _send_data(self, now: float, out: list[Datagram]) -> None:
        """Send bursts as long as window and pacing let them pass."""
        recovery, streams = self.recovery, self._streams
        limit = self._paths.active.traits.payload_limit
        self._pace_at = max(self._pace_at, now - PACING_SLACK)
        while streams.ready:
            congestion = recovery.congestion
            room = congestion.window - recovery.in_flight
            if room <= 0 or self._pace_at > now:
                recovery.starved = False
                return
            size = min(room, congestion.quantum)
            sent = self._send_burst(max(1, size // limit), size == room, now, out)
            if congestion.rate:
                self._pace_at += sent / congestion.rate
            if not sent:
                break
        recovery.app_limited()

    def _send_burst(self, count: int, last: bool, now: float, out: list[Datagram]) -> int:
        """Send at most `count` packets; return their size. `last` if the window ends with them."""
        streams = self._streams
        space = self._paths.active.traits.payload_limit - DATA_OVERHEAD
        burst = self.recovery.burst(now)
        self._renew_keys(now)
        sent = 0
        while count > 0:
            waiting = 0
            if not self._acks.owed and streams.quiet:
                stream, waiting = streams.bulk(space - frames.STREAM_NARROW.size)
            if waiting and stream.offset <= LOW - (space * waiting):
                waiting = min(waiting, count)
                sent += self._send_bulk(
                    stream, waiting, space, burst, last and waiting == count, out
                )
                count -= waiting
            else:
                size = self._send_mixed(burst, last and count == 1, now, out)
                if not size:
                    break
                sent += size
                count -= 1
        return sent

    def _send_bulk(
        self,
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
        sealer = self._sealer
        encrypt, remote_id = sealer.keys.send.encrypt, sealer.remote_id
        path = self._paths.active.path
        block, position, offset = stream.block, stream.position, stream.offset
        number, first = stream.number, sealer.next_counter
        final = first + count - 1 if last else -1
        sent, append = self.recovery.sent, out.append
        pack_header, pack_stream = DATA_HEADER.pack, frames.STREAM_NARROW.pack
        kind, every = DATA | sealer.keys.send_phase, self._flag_every()
        since = self._since_flag
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
            sent[counter] = (burst, size, pieces, (), -1)
            position += each
            offset += each
        self._since_flag = since
        sealer.next_counter = first + count
        self.recovery.sent_bulk(count * size, burst)
        self._streams.bulk_sent(stream, count * each)
        return count * size

    def _send_mixed(self, burst: Burst, last: bool, now: float, out: list[Datagram]) -> int:
        """Send one packet of whatever waits; return its size, 0 if nothing does."""
        space = self._paths.active.traits.payload_limit - DATA_OVERHEAD
        parts, acked = [], -1
        if self._acks.owed:
            acked = self._acks.newest
            parts.append(self._acks.take(now))
            space -= len(parts[0])
        told, numbers = self._streams.take_limits(space)
        parts += told
        space -= sum(map(len, told))
        pieces = self._fill(space, parts)
        if self._ping and not pieces and not told:
            parts.append(bytes((frames.PING,)))
        elif not pieces and not told:
            if parts:
                self._send_unanswered(parts[0], out)
            return 0
        self._ping = False
        self._since_flag += 1
        flag = last or self._since_flag >= self._flag_every()
        if flag:
            self._since_flag = 0
        sealed = self._sealer.seal(b"".join(parts), ACK_NOW if flag else 0)
        packet = (burst, len(sealed), tuple(pieces), numbers, acked)
        self.recovery.sent_packet(self._sealer.next_counter - 1, packet)
        out.append(Datagram(self._paths.active.path, sealed))
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

    def _send_probes(self, now: float, out: list[Datagram]) -> None:
        """Send after a timeout, or to show that we are there: whatever the window says."""
        burst = self.recovery.burst(now)
        self._renew_keys(now)
        for _ in range(max(self._probes, 1)):
            self._ping = True
            self._send_mixed(burst, True, now, out)
        self._probes = 0

    def _send_unanswered(self, plain: bytes, out: list[Datagram]) -> None:
        """Send a packet that nobody acknowledges."""
        out.append(Datagram(self._paths.active.path, self._sealer.seal(plain)))

    def _flag_every(self) -> int:
        limit = self._paths.active.traits.payload_limit
        return max(2, min(ACK_EVERY, self.recovery.congestion.window // limit // 4))

    def _renew_keys(self, now: float) -> None:
        """Seal with a new key from here on if it is time."""
        config, acked = self._config, self.recovery.largest_acked
        if self._sealer.renew(config.renew_packets, config.renew_time, acked, now):
            self._counters["renewed"] += 1
