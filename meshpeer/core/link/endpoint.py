"""All links of one peer: handshakes, and which packet belongs to which link.

One link for two peers. When both begin at once, the handshake of the lower peer id wins:
- the lower one, with its own initiation under way, does not answer the other's for a second, but
  repeats its own by the path from which that came;
- the higher one answers, and holds its own back meanwhile.
By a slow path two that cross cost the air ten seconds, and most peers hear of each other at the same
time: there the higher one holds back from the start, for as long as the lower one's would take.
Should two handshakes be confirmed all the same, a later one replaces an earlier, except at the
lower peer where the earlier was its own and the other side's instance is the same, so that the
other did not restart: there the later one is dropped while the earlier is still alive.

A responder's link is pending until the first packet under its keys (see pending.py).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link import packet
from meshpeer.core.link.air import Air, Airs
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.cookie import CookieJar, open_cookie
from meshpeer.core.link.events import Event, LinkDown, LinkUp, Readable, Writable
from meshpeer.core.link.goodbyes import Goodbyes
from meshpeer.core.link.handshake import (
    EARLY_LIMIT,
    INSTANCE_SIZE,
    SPOKEN,
    Established,
    Initiator,
    Parameters,
    respond,
)
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.core.link.pending import PENDING_TIME, Pending, PendingLinks
from meshpeer.core.link.slow import SHORT_TAKEN, first_retry, is_slow, patience
from meshpeer.errors import LocalProtocolError, RemoteProtocolError

WINNER_WAITS: Final = 1.0
"""Seconds for which the lower peer's own initiation goes before the other's."""
URGENT: Final = 1
"""Streams up to this number go before broadcasts on a slow medium."""
RATED_STREAMS: Final = 7
"""Those whose users go by the link's rate."""
SHORT_TRIALS: Final = 4
"""Links that are tried for one packet with a short header."""
PATHS_TRIED: Final = 16
"""Paths by which a peer is called at once: beacons may be false."""
DEFAULT_TRAITS: Final = Traits()


class Endpoint:
    """Makes links and feeds them. Sans-IO: call `outgoing` and `events` after every other verb."""

    def __init__(
        self,
        *,
        static: KeyPair,
        now: float,
        rng: Callable[[int], bytes],
        config: LinkConfig | None = None,
    ) -> None:
        self.peer_id = static.public
        self.counters: Counter[str] = Counter()
        """What was dropped or refused, by reason."""
        self.traits_of: Callable[[Path], Traits] = lambda _: DEFAULT_TRAITS
        """What each transport declares of its paths; set it before the first of them is used."""
        self.airs = Airs()
        """What we send by slow mediums; `full` is to be set as `traits_of` is."""
        self.group: Callable[[bytes, Path], str] = lambda peer_id, path: ""
        """Whom a peer on a path belongs to: where links end, the largest group gives way."""
        self.on_broadcast: Callable[[bytes, float], None] = lambda data, now: None
        """Takes the packets that belong to no link; it never raises for what is in them."""
        self._static, self._rng = static, rng
        self._config = config or LinkConfig()
        self._parameters = Parameters(
            rng(INSTANCE_SIZE), self._config.link_window, self._config.stream_window
        )
        self._mac1_key = packet.mac1_key(self.peer_id)
        self._jar = CookieJar(self.peer_id, now=now, rng=rng)
        self._links: dict[bytes, Link] = {}
        self._by_id: dict[bytes, Link] = {}
        self._begun: dict[bytes, Initiator] = {}
        self._pending = PendingLinks(self._config.pending_limit)
        self._parked: dict[bytes, tuple[Link, float]] = {}
        self._goodbyes = Goodbyes()
        self._out: list[Datagram] = []
        self._events: list[Event] = []
        self._touched: dict[Link, None] = {}
        self._stale: dict[Link, None] = {}
        self._wakeups: dict[Link, float] = {}
        free, proved = self._config.free_rate, self._config.cookie_rate
        self._free = Bucket(rate=free, burst=free, now=now)
        self._proved = Bucket(rate=proved, burst=proved, now=now)

    @property
    def links(self) -> Mapping[bytes, Link]:
        """The links that are up, by peer id."""
        return MappingProxyType(self._links)

    @property
    def pending(self) -> int:
        """Handshakes answered here and not yet confirmed."""
        return len(self._pending)

    # -- verbs

    def connect(
        self,
        peer_id: bytes,
        path: Path,
        now: float,
        early: bytes = b"",
    ) -> None:
        """Begin a link to a peer, or offer a further path to the one that is up or coming up.

        `early`, at most 1,024 bytes for stream 0, travels in the first packet; the other
        side sees it once the handshake is confirmed. A peer id that is no key, as anybody may
        name one, is counted and not tried.
        """
        if peer_id == self.peer_id:
            raise LocalProtocolError("a peer has no link to itself")
        if len(early) > EARLY_LIMIT:
            raise LocalProtocolError(f"{len(early)} early bytes, limit {EARLY_LIMIT}")
        link = self._links.get(peer_id)
        if link is not None:
            link.offer(path, self._traits(path), now)
            return
        begun = self._begun.get(peer_id)
        if begun is None:
            try:
                begun = self._begin(peer_id, early, now)
            except RemoteProtocolError:
                self.counters["refused peer id"] += 1
                return
        if path in begun.paths or len(begun.paths) >= PATHS_TRIED:
            return
        rate = self._traits(path).rate
        yields = self.peer_id > peer_id and is_slow(rate)
        wait = first_retry(WINNER_WAITS, rate) if yields else 0.0
        begun.call(path, rate, now + wait)
        self._repeat(peer_id, begun, now)

    def receive(self, batch: Sequence[Datagram], now: float) -> None:
        """Take in what came. Never raises for what others sent: it is counted and dropped."""
        end, at = len(batch), 0
        while at < end:
            path, data = batch[at]
            at += 1
            if not isinstance(data, bytes):
                data = bytes(data)
            if len(data) <= packet.DATA_OVERHEAD or data[0] & ~3 != packet.DATA:
                self._receive_other(path, data, now)
                continue
            connection = data[1:5]
            packets = [data]
            while at < end:
                path_, data = batch[at]
                if (
                    data[1:5] != connection
                    or path_ is not path
                    or data[0] & ~3 != packet.DATA
                    or len(data) <= packet.DATA_OVERHEAD
                ):
                    break
                packets.append(data if isinstance(data, bytes) else bytes(data))
                at += 1
            self._receive_data(connection, path, packets, now)

    def path_lost(self, path: Path, now: float) -> None:
        """Nothing goes by this path any more: links without another are down at once."""
        for link in list(self._links.values()):
            link.lose_path(path, now)
        for peer_id, begun in list(self._begun.items()):
            if path in begun.paths:
                del begun.paths[path]
                if not begun.paths:
                    del self._begun[peer_id]
        self._sweep(now, list(self._links.values()))

    def wake(self, now: float) -> None:
        """Do what time asks for; early or late does no harm."""
        self._refresh()
        for link in [link for link, due in self._wakeups.items() if due <= now]:
            link.wake(now)
            self._touch(link)
        for peer_id, begun in list(self._begun.items()):
            if begun.due <= now:
                self._repeat(peer_id, begun, now)
        self._expire(now)
        self._sweep(now, list(self._links.values()))

    def next_wakeup(self) -> float | None:
        """When to call `wake`, at the latest; 0 if events wait, None if time changes nothing."""
        if self._events or self._out:
            return 0.0
        self._refresh()
        due = list(self._wakeups.values())
        due += [begun.due for begun in self._begun.values()]
        due += [until for _, until in self._parked.values()]
        expiries = self._pending.next_expiry(), self._goodbyes.next_expiry()
        due += [expiry for expiry in expiries if expiry is not None]
        return min(due, default=None)

    def urgent(self, now: float) -> list[Datagram]:
        """Give what goes by slow mediums before any broadcast; call `outgoing` after those."""
        if not self.airs:
            return []
        return self._outgoing(
            [link for link in self._touched if link.urgency <= URGENT], now
        )

    def outgoing(self, now: float) -> list[Datagram]:
        """Give what may be sent now: call after every other verb, and after writing or reading."""
        return self._outgoing(list(self._touched), now)

    def _outgoing(self, touched: list[Link], now: float) -> list[Datagram]:
        out, self._out = self._out, []
        for link in touched:
            del self._touched[link]
        several = False
        if self.airs:
            touched.sort(key=lambda link: (link.urgency, link.served_at))
            several = sum(link.streams.ready for link in touched) > 1
        for link in touched:
            if self._links.get(link.peer_id) is link:
                first = len(out)
                link.outgoing(now, out, several=several)
                if link.narrow:
                    out[first:] = map(self._shorten, out[first:])
                self._stale[link] = None
                self._collect(link)
        self._sweep(now, touched)
        out += self._out
        self._out = []
        return out

    def writable(self, now: float) -> None:
        """A medium that was full has room again."""
        if self.airs:
            for link in self._links.values():
                link.wake(now)
                self._touch(link)
            for peer_id, begun in list(self._begun.items()):
                begun.go_on(now)
                self._repeat(peer_id, begun, now)

    def free_at(self, path: Path) -> float:
        """When a packet may leave by this path: on a slow medium after the one before."""
        air = self._air(path)
        return 0.0 if air is None else air.free_at

    def beside(self, datagrams: Iterable[Datagram], now: float) -> None:
        """These leave beside what the links send: on a slow medium they take their time, too."""
        if self.airs:
            for datagram in datagrams:
                if air := self._air(datagram.path):
                    air.took((datagram,), now)

    def events(self) -> list[Event]:
        """Give what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # -- data

    def _receive_data(
        self, connection: bytes, path: Path, packets: list[bytes], now: float
    ) -> None:
        link = self._by_id.get(connection)
        if self.airs and (air := self._air(path)):
            for data in packets:
                air.heard(path, len(data), now)
        if link is None:
            if words := self._goodbyes.answer(connection):
                self._say(Datagram(path, words), now)
            self.counters["unknown connection"] += len(packets)
            return
        self._feed(link, path, packets, now)

    def _receive_short(self, path: Path, data: bytes, now: float) -> None:
        """Take in a packet that tells of its link and its counter only the end.

        Anybody may send one, and each costs as many trials as links share its first byte: only
        by slow paths, on which few packets fit, and for some of these links.
        """
        rate = self._traits(path).rate
        if rate is None or rate > SHORT_TAKEN or len(data) <= packet.SHORT_OVERHEAD:
            raise RemoteProtocolError("packet", "a short header, by no slow path")
        meant = [link for link in self._by_id.values() if link.local_id[0] == data[1]]
        meant.sort(key=lambda link: path != link.path and path not in link.paths)
        for link in meant[:SHORT_TRIALS]:
            whole = packet.lengthen(data, link.local_id, link.expected)
            if self._feed(link, path, [whole], now):
                return
        raise RemoteProtocolError("short", f"opened by none of {len(meant)} links")

    def _feed(self, link: Link, path: Path, packets: list[bytes], now: float) -> bool:
        """Give a link its packets; whether any was its own."""
        connection = link.local_id
        opened = link.receive(path, self._traits(path), packets, now)
        if connection in self._pending and link.heard:
            self._confirm(self._pending.pop(connection), now)
        if self._links.get(link.peer_id) is link:
            self._touch(link)
            self._collect(link)
            self._sweep(now, (link,))
        return opened

    def _say(self, datagram: Datagram, now: float) -> None:
        """Send what belongs to no stream."""
        self._out.append(datagram)
        if air := self._air(datagram.path):
            air.took((datagram,), now)

    def _air(self, path: Path) -> Air | None:
        return self.airs.of(path, self._traits(path))

    def _shorten(self, datagram: Datagram) -> Datagram:
        """Take five bytes off a packet, if it goes by a slow path."""
        if not is_slow(self._traits(datagram.path).rate):
            return datagram
        return Datagram(datagram.path, packet.shorten(bytes(datagram.data)))

    # -- handshakes

    def _receive_other(self, path: Path, data: bytes, now: float) -> None:
        kind = data[0] if data else -1
        if self.airs and (air := self._air(path)):
            air.heard(path, len(data), now)
        try:
            if kind == packet.INITIATION:
                self._receive_initiation(path, data, now)
            elif kind == packet.RESPONSE:
                self._receive_response(path, data, now)
            elif kind == packet.COOKIE:
                self._receive_cookie(path, data)
            elif kind == packet.VERSIONS:
                self._receive_versions(data)
            elif kind & ~3 == packet.SHORT and kind >= 0:
                self._receive_short(path, data, now)
            elif kind == packet.BROADCAST:
                self.on_broadcast(data, now)
            else:
                raise RemoteProtocolError("packet", f"{len(data)} bytes of no known type")
        except RemoteProtocolError as error:
            self.counters[f"refused {error.field}"] += 1

    def _begin(self, peer_id: bytes, early: bytes, now: float) -> Initiator:
        begun = self._begun[peer_id] = Initiator(
            peer_id,
            self._new_id(),
            static=self._static,
            parameters=self._parameters,
            early=early,
            now=now,
            rng=self._rng,
        )
        if self._pending.has_peer(peer_id):
            begun.held_until = now + WINNER_WAITS
        return begun

    def _repeat(self, peer_id: bytes, begun: Initiator, now: float) -> None:
        paths = begun.take(now, self._air)
        if not begun.paths:
            del self._begun[peer_id]
            self.counters["unanswered"] += 1
        elif paths:
            first = begun.first_packet()
            for path in paths:
                self._say(Datagram(path, first), now)

    def _receive_initiation(self, path: Path, data: bytes, now: float) -> None:
        first = packet.parse_initiation(data, self._mac1_key)
        if first.version != packet.VERSION:
            self._say(Datagram(path, packet.versions(first.sender, SPOKEN)), now)
            raise RemoteProtocolError("version", f"{first.version} is not spoken here")
        if response := self._pending.response_to(first.noise, path):
            self._say(Datagram(path, response), now)
            return
        if not self._affordable(first, path, now):
            self.counters["cookies"] += 1
            self._say(Datagram(path, self._jar.reply(first, path, now)), now)
            return
        local_id = self._new_id()
        answer = respond(
            first, local_id, static=self._static, parameters=self._parameters, rng=self._rng
        )
        peer_id = answer.established.peer_id
        if peer_id == self.peer_id:
            raise RemoteProtocolError("initiation", "from ourselves")
        if not self._gives_way(peer_id, path, now):
            return
        link = self._new_link(answer.established, local_id, False, path, now)
        traits = self._traits(path)
        until = now + patience(PENDING_TIME, traits.rate, traits.payload_limit)
        gone = self._pending.add(
            Pending(link, first.noise, answer.response, path, answer.early, until)
        )
        if gone:
            del self._by_id[gone.link.local_id]
        self._by_id[local_id] = link
        self._say(Datagram(path, answer.response), now)

    def _affordable(self, first: packet.Initiation, path: Path, now: float) -> bool:
        """Whether the Diffie-Hellman may be done: within the free rate, or with a cookie."""
        if not self._pending.crowded and self._free.take(now):
            return True
        return self._jar.valid(first, path, now) and self._proved.take(now)

    def _gives_way(self, peer_id: bytes, path: Path, now: float) -> bool:
        """Whether to answer this peer, or to insist on our own initiation."""
        begun = self._begun.get(peer_id)
        if begun is None:
            return True
        rate = self._traits(path).rate
        wait = first_retry(WINNER_WAITS, rate)
        if self.peer_id < peer_id and now - begun.started < wait:
            if len(begun.paths) < PATHS_TRIED:
                begun.call(path, rate, now)
            call = begun.paths.get(path)
            if call is None or call.take(now, self._air(path)) or not call.takes_long:
                self._say(Datagram(path, begun.first_packet()), now)
            return False
        begun.held_until = max(begun.held_until, now + wait)
        return True

    def _receive_response(self, path: Path, data: bytes, now: float) -> None:
        answer = packet.parse_response(data, self._mac1_key)
        begun = self._begun_by_id(answer.receiver)
        if begun is None:
            raise RemoteProtocolError("response", "to nothing that was asked")
        established = begun.finish(answer)
        del self._begun[begun.peer_id]
        called = path in begun.paths
        by_all = self._traits(path).broadcast in begun.paths
        used = path if called or by_all else next(iter(begun.paths))
        link = self._new_link(established, begun.local_id, True, used, now)
        if begun.early:
            link.streams.sent_early(0, begun.early)
        self._by_id[begun.local_id] = link
        if begun.called > 1 or not called:
            link.doubt(len(data) if path == used else 0, now)
        link.greet()
        for other in begun.paths:
            traits = self._traits(other)
            if traits.broadcast != other:
                link.offer(other, traits, now)
        self._up(link, now)

    def _receive_cookie(self, path: Path, data: bytes) -> None:
        """Repeat the first packet with the cookie, which is good for the path it came by."""
        reply = packet.parse_cookie(data)
        begun = self._begun_by_id(reply.receiver)
        if begun is None:
            raise RemoteProtocolError("cookie", "to nothing that was asked")
        begun.cookie = open_cookie(reply, begun.peer_id, begun.mac1)
        if path in begun.paths:
            self._out.append(Datagram(path, begun.first_packet()))

    def _receive_versions(self, data: bytes) -> None:
        """Only version 1 exists: who doesn't speak it can't be reached; it is only counted, for
        the packet proves nothing."""
        packet.parse_versions(data)
        self.counters["other version"] += 1

    def _confirm(self, pending: Pending, now: float) -> None:
        """The first packet under the new keys came: the handshake was no replay."""
        link = pending.link
        if pending.early:
            link.streams.receive_early(0, pending.early)
        if pending.astray:
            link.doubt(len(pending.first), now)
        self._begun.pop(link.peer_id, None)
        before = self._links.get(link.peer_id)
        if before is not None and self._outranks(before, link):
            if earlier := self._parked.pop(link.peer_id, None):
                self._by_id.pop(earlier[0].local_id, None)
            self._parked[link.peer_id] = (link, now + 4 * before.rtt + 0.1)
            before.greet()
            return
        self._up(link, now)

    def _outranks(self, before: Link, after: Link) -> bool:
        """Whether two handshakes crossed and the earlier, our own, is the one that counts."""
        return (
            before.initiator
            and self.peer_id < before.peer_id
            and before.remote.instance == after.remote.instance
        )

    def _up(self, link: Link, now: float) -> None:
        before = self._links.get(link.peer_id)
        full = before is None and len(self._links) >= self._config.links_limit
        if full and not self._made_room(link, now):
            link.close("too many links")
            self._bury(link, now)
            return
        if before is not None:
            before.closed = before.closed or "replaced by a newer link"
            self._down(before, now)
        self._links[link.peer_id] = link
        self._touch(link)
        self._events.append(LinkUp(link))
        self._collect(link)

    def _made_room(self, newcomer: Link, now: float) -> bool:
        """Close the newest link of the largest group, if the newcomer's would stay smaller."""
        groups: dict[str, list[Link]] = {}
        for link in (*self._links.values(), newcomer):
            groups.setdefault(self.group(link.peer_id, link.path), []).append(link)
        largest = max(groups.values(), key=len)
        if len(largest) <= len(groups[self.group(newcomer.peer_id, newcomer.path)]):
            return False
        largest[-1].close("too many links")
        self._down(largest[-1], now)
        return True

    # -- ends

    def _sweep(self, now: float, links: Iterable[Link]) -> None:
        for link in links:
            if link.closed is not None and self._links.get(link.peer_id) is link:
                self._down(link, now)

    def _down(self, link: Link, now: float) -> None:
        self._collect(link)
        self._links.pop(link.peer_id, None)
        for book in (self._touched, self._stale, self._wakeups):
            book.pop(link, None)
        self._bury(link, now)
        self._events.append(LinkDown(link, link.closed or ""))

    def _bury(self, link: Link, now: float) -> None:
        self._by_id.pop(link.local_id, None)
        if not link.last_words:
            return
        last = Datagram(link.path, link.last_words)
        self._say(self._shorten(last) if link.narrow else last, now)
        self._goodbyes.remember(link.local_id, link.last_words, now)

    def _expire(self, now: float) -> None:
        for late in self._pending.expire(now):
            del self._by_id[late.link.local_id]
        for link, until in list(self._parked.values()):
            if until <= now:
                self._settle(link, now)
        self._goodbyes.expire(now)

    def _settle(self, link: Link, now: float) -> None:
        """A parked link takes over if the one before it is silent, and goes if it is not."""
        del self._parked[link.peer_id]
        before = self._links.get(link.peer_id)
        if before is None or not before.answered:
            self._up(link, now)
        else:
            self._by_id.pop(link.local_id, None)

    # -- small things

    def _touch(self, link: Link) -> None:
        """Something may now be sent by this link, or at another time than thought."""
        self._touched[link] = None
        self._stale[link] = None

    def _refresh(self) -> None:
        """Ask the links that were touched when they want to be woken."""
        for link in self._stale:
            if self._links.get(link.peer_id) is link:
                self._wakeups[link] = link.next_wakeup()
        self._stale.clear()

    def _collect(self, link: Link) -> None:
        streams = link.streams
        if streams.readable:
            self._events += [Readable(link, number) for number in streams.readable]
            streams.readable.clear()
        if streams.writable:
            self._events += [Writable(link, number) for number in streams.writable]
            streams.writable.clear()
        if link.rate_changed():  # what it took too long for may go now
            self._events += [Writable(link, number) for number in range(RATED_STREAMS)]

    def _new_link(
        self,
        established: Established,
        local_id: bytes,
        initiator: bool,
        path: Path,
        now: float,
    ) -> Link:
        return Link(
            established,
            local_id,
            initiator=initiator,
            path=path,
            traits=self._traits(path),
            config=self._config,
            now=now,
            rng=self._rng,
            counters=self.counters,
            touch=self._touch,
            airs=self.airs,
        )

    def _traits(self, path: Path) -> Traits:
        return self.traits_of(path)

    def _new_id(self) -> bytes:
        while True:
            local_id = self._rng(packet.ID_SIZE)
            if local_id not in self._by_id and self._begun_by_id(local_id) is None:
                return local_id

    def _begun_by_id(self, local_id: bytes) -> Initiator | None:
        for begun in self._begun.values():
            if begun.local_id == local_id:
                return begun
        return None
