"""One link from greeting to goodbye: what comes is opened and told apart, and silence ends it.

What it sends is the work of sender.py; only the frames that prove a path leave from here, since
they go by that path and nobody repeats them for the link.

The loop that carries bulk, `receive`, is written out flat, with what it touches in local
variables, as is its counterpart there. All else takes the general road through `_frame`.
"""

from collections import Counter
from collections.abc import Callable

from cryptography.exceptions import InvalidTag

from meshpeer.core.link import frames
from meshpeer.core.link.acks import Acks
from meshpeer.core.link.air import Airs
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.congestion import Bbr, Congestion
from meshpeer.core.link.handshake import Established
from meshpeer.core.link.keys import Secrets
from meshpeer.core.link.packet import ACK_NOW, DATA_OVERHEAD, PHASE
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.paths import Paths, Way
from meshpeer.core.link.ranges import NEVER
from meshpeer.core.link.sealer import LOW, Sealer
from meshpeer.core.link.sender import Sender
from meshpeer.core.link.slow import is_slow, keep_alive, low_water, patience
from meshpeer.core.link.streams import FAIR_FROM, LOW_WATER, Streams
from meshpeer.errors import RemoteProtocolError


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
        airs: Airs,
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
        self._touch, self._airs = touch, airs
        self.served_at = now
        """When something was sent last."""
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
        self._acks = Acks()
        self._sender = Sender(
            streams=self._streams,
            acks=self._acks,
            sealer=self._sealer,
            paths=self._paths,
            config=config,
            counters=counters,
            congestion=congestion,
            airs=airs,
            now=now,
        )
        self._heard_at = now
        self._rate_told = traits.rate
        self._path_answers: list[tuple[Path, bytes]] = []
        self._challenged = False

    # -- what the application does

    @property
    def path(self) -> Path:
        """The best path: all that is small goes by it."""
        return self._paths.active.path

    @property
    def paths(self) -> list[Path]:
        """The paths that were proved."""
        return [way.path for way in self._paths.ways.values() if way.proved]

    @property
    def rtt(self) -> float:
        """The smoothed round trip in seconds."""
        return self._sender.recovery.rtt

    @property
    def lost_packets(self) -> int:
        """Packets taken for lost on the paths in use."""
        return sum(lane.recovery.lost_packets for lane in self._sender.lanes)

    @property
    def secrets(self) -> tuple[Secrets, Secrets]:
        """What opens the packets that we send, and those that come: for the owner's eyes."""
        keys, sealer = self._sealer.keys, self._sealer
        send, receive = keys.secrets
        next_received = self._acks.received.next
        return (
            Secrets(sealer.remote_id, send, keys.send_phase, sealer.next_counter),
            Secrets(self.local_id, receive, keys.receive_phase, next_received),
        )

    def write(self, stream: int, data: bytes) -> None:
        """Accept bytes for a stream; they arrive in order, or the link goes down.

        On a link that is down they go nowhere: LinkDown tells, or is on its way.
        """
        if self.closed is None:
            self._streams.low_water = low_water(LOW_WATER, self.rate)
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
    def rate(self) -> float | None:
        """Bits a second that the best of its paths carries at most; None if nothing says so."""
        rates = self._rates
        return max((rate for rate in rates if rate), default=None) if all(rates) else None

    def rate_changed(self) -> bool:
        """Whether `rate` is another than when this was asked last."""
        before, self._rate_told = self._rate_told, self.rate
        return before != self._rate_told

    @property
    def narrow(self) -> bool:
        """Whether every path that works is a slow one, so that packets go with short headers."""
        return all(map(is_slow, self._rates))

    @property
    def urgency(self) -> int:
        """The most urgent of what waits: where links share a slow medium, the lowest goes first.

        What is small and keeps a link up goes before all: it would wait for ever behind others.
        """
        if self._sender.pressing:
            return -1
        stream = self._streams.turn()
        return FAIR_FROM if stream is None else min(stream.number, FAIR_FROM)

    @property
    def _rates(self) -> list[float | None]:
        active, ways = self._paths.active, self._paths.ways.values()
        return [way.traits.rate for way in ways if way.usable or way is active]

    @property
    def expected(self) -> int:
        """The counter of the next packet, if none is lost."""
        return self._acks.received.next

    @property
    def streams(self) -> Streams:
        """The streams, for the endpoint's events."""
        return self._streams

    def greet(self) -> None:
        """Send something at once: a first packet confirms the handshake, a later one is a question."""
        self._sender.ping()
        self.answered = False
        self._touch(self)

    def doubt(self, came: int, now: float) -> None:
        """The handshake doesn't prove its path, by which so many bytes of it came."""
        self._paths.doubt(came, now)
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
            self._sender.move(now)
        self._sender.forget_lost()

    def receive(self, path: Path, traits: Traits, packets: list[bytes], now: float) -> bool:
        """Take in packets that came by one path; what can't be opened is counted and dropped.

        False if none could be.
        """
        keys, received = self._sealer.keys, self._acks.received
        first = start = expected = received.next
        clear = NEVER
        decrypt, phase = keys.receive.decrypt, keys.receive_phase
        number_of = int.from_bytes
        opened = eliciting = urgent = 0
        largest = -1
        jumped = False
        self._challenged = False
        for data in packets:
            low = number_of(data[5:9])
            counter = expected
            if low != counter & LOW or counter >= clear:
                if start < expected:
                    received.add_run(start, expected)
                    start = expected
                counter += (low - expected + 0x80000000 & LOW) - 0x80000000
                clear = received.clear_from(counter)
                if not clear:
                    clear = expected
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
                if counter != expected:
                    clear = expected
                continue
            if counter != expected:
                if opened:
                    largest = max(largest, expected - 1)
                start, jumped = counter, True
            opened += len(data)
            expected = counter + 1
            urgent = urgent or kind & ACK_NOW
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
                return True
            if self.closed is not None:
                return True
        if start < expected:
            received.add_run(start, expected)
        if opened:
            fresh = self._challenged or received.next > first
            way = self._came(path, traits, opened, fresh, now)
            at_once = bool(urgent) or (jumped and not self._paths.crossing(way, now))
            arrivals = self._acks.elsewhere if way is None else way.arrivals
            largest = max(largest, expected - 1)
            self._acks.came(arrivals, largest, eliciting, at_once, now)
        return opened > 0

    def wake(self, now: float) -> None:
        """Do what time asks for: early or late does no harm."""
        if self.closed is not None:
            return
        self._check_alive(now)
        self._sender.wake(now)
        if self._keep_alive_at() <= now and self._sender.oldest_sent_at is None:
            self._sender.ping()

    def next_wakeup(self) -> float:
        """When to call `wake` and `outgoing`, at the latest."""
        due = [self._heard_at + self._silence_limit]
        answer_due = self._answer_due()
        if answer_due is not None:
            due.append(answer_due)
        elif not self._sender.asking:
            due.append(self._keep_alive_at())
        others = self._sender.next_wakeup(), self._paths.next_due()
        due += [time for time in others if time is not None]
        return min(due)

    def outgoing(self, now: float, out: list[Datagram], *, several: bool = False) -> None:
        """Append what may be sent now, while `several` links have something to say."""
        if self.closed is not None:
            return
        before = len(out)
        self._send_path_frames(now, out)
        self._sender.outgoing(now, out, several=several)
        if len(out) > before:
            self.served_at = now

    # -- receiving

    def _came(
        self, path: Path, traits: Traits, size: int, fresh: bool, now: float
    ) -> Way | None:
        """Note that we heard, and by which path; None if that one isn't kept."""
        self._heard_at = now
        self.answered = True
        if self._airs:
            self._sender.heard(path)
        return self._paths.heard(path, traits, size, fresh, now)

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
                self._sender.acked(ranges, delay, now)
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
            self._challenged = True
            if len(self._path_answers) < 8:
                self._path_answers.append((path, nonce))
            return
        before = self._paths.active
        self._paths.answered(nonce, now)
        if self._paths.active is not before:
            self._sender.move(now)

    # -- time

    @property
    def _quiet(self) -> float:
        """Seconds of silence after which the initiator asks."""
        return keep_alive(self._config.keep_alive, self._paths.active.traits.rate)

    @property
    def _silence_limit(self) -> float:
        return max(self._config.silence_limit, 3 * self._quiet)

    def _keep_alive_at(self) -> float:
        pause = self._quiet
        return self._heard_at + (pause if self.initiator else 1.5 * pause)

    def _answer_due(self) -> float | None:
        """When the link is down unless something comes; None if nothing waits for an answer."""
        sent_at = self._sender.oldest_sent_at
        if sent_at is None:
            return None
        traits = self._paths.active.traits
        limit = patience(self._config.answer_limit, traits.rate, traits.payload_limit)
        since = max(sent_at, self._heard_at)
        air = self._airs.of(self.path, traits)
        return since + limit * (1 if air is None else air.crowd(since + limit))

    def _check_alive(self, now: float) -> None:
        answer_due = self._answer_due()
        if now >= self._heard_at + self._silence_limit:
            self.closed = "silent"
        elif answer_due is not None and now >= answer_due:
            self.closed = "no answer"

    # -- proving paths

    def _send_path_frames(self, now: float, out: list[Datagram]) -> None:
        for path, nonce in self._path_answers:
            self._send_on(path, frames.NONCE.pack(frames.PATH_RESPONSE, nonce), now, out)
        self._path_answers.clear()
        for path, nonce in self._paths.due(now):
            self._send_on(path, frames.NONCE.pack(frames.PATH_CHALLENGE, nonce), now, out)

    def _send_on(self, path: Path, frame: bytes, now: float, out: list[Datagram]) -> None:
        way = self._paths.ways.get(path)
        size = len(frame) + DATA_OVERHEAD
        if way is not None and way.may_send(size):
            way.sent += size
            out.append(Datagram(path, self._sealer.seal(frame)))
            if air := self._airs.of(path, way.traits):
                air.took(out[-1:], now)
