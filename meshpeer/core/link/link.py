"""One link: packets sealed and opened, acknowledged and repeated, over the best of its paths.

The two loops that carry bulk, `receive` and `_send_bulk`, are written out flat, with what they
touch in local variables: a call costs Python a tenth of a microsecond, and a packet has ten of
them. All else takes the general road through `_send_mixed` and `_frame`.

The sender decides how often it is acknowledged: it sets ACK_NOW on every quarter window (at most
every 24th packet) and on the last packet that the window lets pass. Without that flag a receiver
answers a gap at once, and anything else after 25 ms or with what it has to send itself.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag

from meshpeer.core.link import frames
from meshpeer.core.link.acks import Acks
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.congestion import Bbr, Congestion
from meshpeer.core.link.handshake import Established
from meshpeer.core.link.packet import ACK_NOW, DATA, DATA_HEADER, DATA_OVERHEAD, PHASE
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.paths import Paths
from meshpeer.core.link.recovery import INITIAL_RTT, Burst, Recovery, Sent
from meshpeer.core.link.sealer import LOW, Sealer
from meshpeer.core.link.stream import Piece, SendStream
from meshpeer.core.link.streams import Streams
from meshpeer.errors import RemoteProtocolError

ACK_EVERY: Final = 24
"""Packets after which the sender asks for an acknowledgement, at most."""
PACING_SLACK: Final = 0.002
"""Seconds of sending that may be caught up after a late timer."""
DEAD_PATH_TIMEOUTS: Final = 2
"""Probe timeouts in a row after which another proved path is used."""

_datagram = tuple.__new__


class Link:
    """An encrypted association with one peer: ordered, reliable streams over changing paths."""

    def __init__(
        self,
        established: Established,
        local_id: bytes,
        *,
        initiator: bool,
        path: Path,
        traits: Traits,
        config: LinkConfig,
        now: float,
        rng: Callable[[int], bytes],
        counters: Counter[str],
        touch: Callable[["Link"], None],
        congestion: Callable[[int, float | None], Congestion] = Bbr,
    ) -> None:
        self.peer_id = established.peer_id
        self.initiator = initiator
        """Whether the handshake was begun here."""
        self.binding = established.binding
        """32 bytes that only the two sides of this link share: the handshake's hash."""
        self.local_id = local_id
        self.remote = established.remote
        self.closed: str | None = None
        """Why the link is down, once it is."""
        self.last_words = b""
        self.counters = counters
        self._touch = touch
        self._sealer = Sealer(established.keys, established.remote_id, now=now)
        self._config = config
        self._streams = Streams(
            link_window=config.link_window,
            stream_window=config.stream_window,
            remote_link=established.remote.link_window,
            remote_stream=established.remote.stream_window,
        )
        self.answered = False
        """Whether anything came since the last greeting."""
        self._paths = Paths(path, traits, now=now, rng=rng)
        self._congestion = congestion
        self._recovery = self._new_recovery(now)
        self._acks = Acks(now=now)
        self._heard_at = now
        self._since_flag = 0
        self._ping = False
        self._probes = 0
        self._pace_at = now
        self._path_answers: list[tuple[Path, bytes]] = []

    # -- what the application does

    @property
    def path(self) -> Path:
        """The path in use."""
        return self._paths.active.path

    @property
    def paths(self) -> list[Path]:
        """The paths that were proved."""
        return [way.path for way in self._paths.ways.values() if way.proved]

    @property
    def rtt(self) -> float:
        """The smoothed round trip in seconds."""
        return self._recovery.rtt

    @property
    def lost_packets(self) -> int:
        """Packets taken for lost on the path in use."""
        return self._recovery.lost_packets

    def write(self, stream: int, data: bytes) -> None:
        """Accept bytes for a stream; they arrive in order, or the link goes down.

        On a link that is down they go nowhere: LinkDown tells, or is on its way.
        """
        if self.closed is None:
            self._streams.write(stream, data)
            self._touch(self)

    def finish(self, stream: int) -> None:
        """Say that nothing more follows on this stream."""
        self._streams.finish(stream)
        self._touch(self)

    def buffered(self, stream: int) -> int:
        """Bytes accepted that wait to be sent, first or again; not those under way."""
        return self._streams.buffered(stream)

    def read(self, stream: int, limit: int = 1 << 30) -> bytes:
        """Take at most `limit` bytes that came; only reading gives the other side room for more."""
        data = self._streams.read(stream, limit)
        if not self._streams.quiet:
            self._touch(self)
        return data

    def ended(self, stream: int) -> bool:
        """Whether the other side finished the stream and all was read."""
        return self._streams.ended(stream)

    def close(self, reason: str) -> None:
        """Say goodbye; the endpoint reports LinkDown."""
        if self.closed is None:
            self.closed = reason
            self.last_words = self._sealer.seal(frames.close(reason))
            self._touch(self)

    # -- what the endpoint does

    @property
    def heard(self) -> bool:
        """Whether a packet under the link's keys has come."""
        return bool(self._acks.received.ends)

    @property
    def streams(self) -> Streams:
        """The streams, for the endpoint's events."""
        return self._streams

    def greet(self) -> None:
        """Send something at once: a first packet confirms the handshake, a later one is a question."""
        self._ping = True
        self.answered = False
        self._touch(self)

    def offer(self, path: Path, traits: Traits, now: float) -> None:
        """Try a path; it is used if it proves to be better."""
        self._paths.offer(path, traits, now)
        self._touch(self)

    def lose_path(self, path: Path, now: float) -> None:
        """The transport says that the path is gone."""
        self._touch(self)
        before = self._paths.active
        if not self._paths.lose(path):
            self.closed = "path lost"
        elif self._paths.active is not before:
            self._move(now)

    def receive(self, path: Path, traits: Traits, packets: list[bytes], now: float) -> None:
        """Take in packets that came by one path; what can't be opened is counted and dropped."""
        acks, keys = self._acks, self._sealer.keys
        received = acks.received
        expected, phase = received.next, keys.receive_phase
        decrypt, add = keys.receive.decrypt, received.add
        number_of = int.from_bytes
        opened = eliciting = 0
        newest = False
        for data in packets:
            low = number_of(data[5:9])
            counter = expected
            if low != expected & LOW:
                counter += (low - expected + 0x80000000 & LOW) - 0x80000000
                if counter < expected and (counter < 0 or counter in received):
                    self.counters["repeated"] += 1
                    continue
            header = data[:9]
            kind = data[0]
            try:
                if kind & PHASE == phase:
                    plain = decrypt(counter.to_bytes(12), data[9:], header)
                    if counter < keys.phase_start:
                        keys.opened(counter)
                else:
                    nonce = counter.to_bytes(12)
                    plain = keys.open_other(nonce, counter, data[9:], header)
                    phase, decrypt = keys.receive_phase, keys.receive.decrypt
            except InvalidTag:
                self.counters["unopened"] += 1
                continue
            add(counter)
            opened += len(data)
            if counter == expected:
                expected += 1
                newest = True
            else:
                acks.urgent = True
                if counter > expected:
                    expected = counter + 1
                    newest = True
            if kind & ACK_NOW:
                acks.urgent = True
            try:
                if plain and plain[0] == frames.STREAM and len(plain) > 7:
                    _, stream, offset = frames.STREAM_NARROW.unpack_from(plain)
                    self._streams.receive(stream, offset, plain[7:], False)
                    eliciting += 1
                elif self._frames(plain, path, now):
                    eliciting += 1
            except RemoteProtocolError as error:
                self.counters["malformed"] += 1
                self.close(str(error))
                return
            if self.closed is not None:
                return
        if opened:
            self._came(path, traits, opened, newest, eliciting, now)

    def wake(self, now: float) -> None:
        """Do what time asks for: early or late does no harm."""
        if self.closed is not None:
            return
        self._check_alive(now)
        timeout = self._recovery.next_timeout()
        if timeout is not None and timeout <= now:
            self._timed_out(now)
        if self._acks.at is not None and self._acks.at <= now:
            self._acks.urgent = True
        if self._keep_alive_at() <= now and not self._recovery.sent:
            self._ping = True

    def next_wakeup(self) -> float:
        """When to call `wake` and `outgoing`, at the latest."""
        due = [self._heard_at + self._config.silence_limit]
        timeout, answer_due = self._recovery.next_timeout(), self._answer_due()
        if timeout is not None:
            due.append(timeout)
        due.append(self._keep_alive_at() if answer_due is None else answer_due)
        if self._acks.at is not None:
            due.append(self._acks.at)
        path_due = self._paths.next_due()
        if path_due is not None:
            due.append(path_due)
        if self._streams.ready and self._has_room():
            due.append(self._pace_at)
        return min(due)

    def outgoing(self, now: float, out: list[Datagram]) -> None:
        """Append what may be sent now."""
        if self.closed is not None:
            return
        self._send_path_frames(now, out)
        if self._probes or self._ping:
            self._send_probes(now, out)
        if self._streams.ready:
            self._send_data(now, out)
        if self._acks.urgent and self._acks.owed:
            self._send(self._acks.take(now), out)

    # -- receiving

    def _came(
        self,
        path: Path,
        traits: Traits,
        size: int,
        newest: bool,
        eliciting: int,
        now: float,
    ) -> None:
        self._heard_at = now
        self.answered = True
        active = self._paths.active
        if path == active.path:
            active.heard = now
            active.came += size
        else:
            self._paths.heard(path, traits, size, newest, now)
        self._acks.came(eliciting, now)

    def _frames(self, plain: bytes, path: Path, now: float) -> bool:
        """Take in a packet's frames; True if it has to be acknowledged."""
        at, size, eliciting = 0, len(plain), False
        if not size:
            raise RemoteProtocolError("packet", "no frames")
        while at < size:
            kind = plain[at]
            if kind == frames.PADDING:
                at += 1
                continue
            if kind == frames.ACK:
                ranges, delay, at = frames.parse_ack(plain, at, self._sealer.next_counter)
                self._acked(ranges, delay, now)
                continue
            eliciting = True
            at = self._frame(kind, plain, at, path, now)
        return eliciting

    def _frame(self, kind: int, plain: bytes, at: int, path: Path, now: float) -> int:
        """Take in one frame other than ACK; return where the next begins."""
        if kind & 0xF8 == frames.STREAM:
            number, offset, data, fin, at = frames.parse_stream(plain, at)
            self._streams.receive(number, offset, data, fin)
        elif kind == frames.PING:
            at += 1
        elif kind == frames.MAX_DATA:
            frames.need(plain, at, frames.LIMIT.size)
            self._streams.raise_link_limit(frames.LIMIT.unpack_from(plain, at)[1])
            at += frames.LIMIT.size
        elif kind == frames.MAX_STREAM:
            frames.need(plain, at, frames.STREAM_LIMIT.size)
            _, number, limit = frames.STREAM_LIMIT.unpack_from(plain, at)
            self._streams.raise_stream_limit(number, limit)
            at += frames.STREAM_LIMIT.size
        elif kind in (frames.PATH_CHALLENGE, frames.PATH_RESPONSE):
            frames.need(plain, at, frames.NONCE.size)
            self._echo(kind, frames.NONCE.unpack_from(plain, at)[1], path, now)
            at += frames.NONCE.size
        elif kind == frames.CLOSE:
            reason, at = frames.parse_close(plain, at)
            self.closed = f"closed by the other side: {reason}"
        else:
            raise RemoteProtocolError("frame", f"unknown type {kind:#04x}")
        return at

    def _echo(self, kind: int, nonce: bytes, path: Path, now: float) -> None:
        if kind == frames.PATH_CHALLENGE:
            if len(self._path_answers) < 8:
                self._path_answers.append((path, nonce))
        elif self._paths.answered(nonce):
            self._move(now)

    def _acked(self, ranges: list[tuple[int, int]], delay: float, now: float) -> None:
        done, lost = self._recovery.acked(ranges, delay, now)
        for packet in done:
            if packet.acked >= 0:
                self._acks.seen(packet.acked)
        for packet in lost:
            self._repeat(packet)

    def _repeat(self, packet: Sent) -> None:
        for piece in packet.pieces:
            self._streams.repeat(piece)
        for number in packet.windows:
            self._streams.tell(number)

    # -- time

    def _keep_alive_at(self) -> float:
        pause = self._config.keep_alive
        return self._heard_at + (pause if self.initiator else 1.5 * pause)

    def _answer_due(self) -> float | None:
        """When the link is down unless something comes; None if nothing waits for an answer."""
        sent_at = self._recovery.oldest_sent_at
        if sent_at is None:
            return None
        return max(sent_at, self._heard_at) + self._config.answer_limit

    def _check_alive(self, now: float) -> None:
        answer_due = self._answer_due()
        if now >= self._heard_at + self._config.silence_limit:
            self.closed = "silent"
        elif answer_due is not None and now >= answer_due:
            self.closed = "no answer"

    def _timed_out(self, now: float) -> None:
        recovery = self._recovery
        if recovery.loss_at is not None:
            for packet in recovery.detect(now):
                self._repeat(packet)
            return
        oldest = recovery.timed_out(now)
        if recovery.timeouts >= DEAD_PATH_TIMEOUTS and self._paths.replace_active():
            self._move(now)
            return
        for packet in oldest:
            self._repeat(packet)
        self._probes = 2 if any(packet.pieces for packet in oldest) else 1

    def _move(self, now: float) -> None:
        """Go on by the path that is active now: what was under way is sent again there."""
        self.counters["moved"] += 1
        under_way = list(self._recovery.sent.values())
        self._recovery = self._new_recovery(now)
        for packet in under_way:
            self._repeat(packet)
        self._ping = True

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

    # -- sending

    def _has_room(self) -> bool:
        return self._recovery.in_flight < self._recovery.congestion.window

    def _send_data(self, now: float, out: list[Datagram]) -> None:
        """Send bursts as long as window and pacing let them pass."""
        recovery, streams = self._recovery, self._streams
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
        burst = self._recovery.burst(now)
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
        each = space - 7
        size = space + DATA_OVERHEAD
        sealer = self._sealer
        encrypt, remote_id = sealer.keys.send.encrypt, sealer.remote_id
        path = self._paths.active.path
        block, position, offset = stream.block, stream.position, stream.offset
        number, counter = stream.number, sealer.next_counter
        sent, append = self._recovery.sent, out.append
        pack_header, pack_stream = DATA_HEADER.pack, frames.STREAM_NARROW.pack
        kind, every = DATA | sealer.keys.send_phase, self._flag_every()
        since = self._since_flag
        new = _datagram
        for left in range(count - 1, -1, -1):
            piece = block[position : position + each]
            since += 1
            flags = kind
            if since >= every or (last and not left):
                flags |= ACK_NOW
                since = 0
            header = pack_header(flags, remote_id, counter & LOW)
            plain = pack_stream(16, number, offset) + piece
            sealed = encrypt(counter.to_bytes(12), plain, header)
            append(new(Datagram, (path, header + sealed)))
            pieces = (new(Piece, (stream, offset, piece, False)),)
            sent[counter] = new(Sent, (burst, size, pieces, (), -1))
            position += each
            offset += each
            counter += 1
        self._since_flag = since
        sealer.next_counter = counter
        self._recovery.sent_bulk(count * size, burst)
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
                self._send(parts[0], out)
            return 0
        self._ping = False
        self._since_flag += 1
        flag = last or self._since_flag >= self._flag_every()
        if flag:
            self._since_flag = 0
        sealed = self._sealer.seal(b"".join(parts), ACK_NOW if flag else 0)
        packet = Sent(burst, len(sealed), tuple(pieces), numbers, acked)
        self._recovery.sent_packet(self._sealer.next_counter - 1, packet)
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
        burst = self._recovery.burst(now)
        self._renew_keys(now)
        for _ in range(max(self._probes, 1)):
            self._ping = True
            self._send_mixed(burst, True, now, out)
        self._probes = 0

    def _send_path_frames(self, now: float, out: list[Datagram]) -> None:
        for path, nonce in self._path_answers:
            self._send_on(path, frames.NONCE.pack(frames.PATH_RESPONSE, nonce), out)
        self._path_answers.clear()
        for path, nonce in self._paths.due(now):
            self._send_on(path, frames.NONCE.pack(frames.PATH_CHALLENGE, nonce), out)

    def _send_on(self, path: Path, frame: bytes, out: list[Datagram]) -> None:
        way = self._paths.ways.get(path)
        size = len(frame) + DATA_OVERHEAD
        if way is not None and way.may_send(size):
            way.sent += size
            out.append(Datagram(path, self._sealer.seal(frame)))

    def _send(self, plain: bytes, out: list[Datagram]) -> None:
        """Send a packet that nobody acknowledges."""
        out.append(Datagram(self._paths.active.path, self._sealer.seal(plain)))

    def _flag_every(self) -> int:
        limit = self._paths.active.traits.payload_limit
        return max(2, min(ACK_EVERY, self._recovery.congestion.window // limit // 4))

    def _renew_keys(self, now: float) -> None:
        """Seal with a new key from here on if it is time."""
        config = self._config
        if self._sealer.renew(config.renew_packets, config.renew_time, now):
            self.counters["renewed"] += 1
