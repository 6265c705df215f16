"""Finds the peers on a LAN, and is found: beacons, and zeroconf where only mDNS passes.

Each beacon goes three ways from every usable interface, because each way is blocked
somewhere: IPv6 link-local multicast (needs no configuration at all), IPv4 multicast, and IPv4
broadcast (switches that snoop on IGMP drop the one before). What is heard is turned into
paths for `udp`; nothing else of the project depends on this module.

Listening and speaking have sockets of their own. All peers of a machine share the beacon port,
and a unicast answer to a shared port reaches only one of them; so each speaks from a port of
its own, and is answered there.

Loopback, tunnels, VPNs and point-to-point links are left alone unless `named`: who is at the
other end of a VPN did not ask to be told who lives here. A beacon counts only if it comes from
the subnet that it was heard on, so nobody farther away can make peers answer a forged address.
"""

import asyncio
import errno
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, NamedTuple, cast

from meshpeer.core.bucket import Bucket
from meshpeer.core.formats.beacon import NONCE_SIZE, Beacon, parse
from meshpeer.core.link.path import Path
from meshpeer.errors import RemoteProtocolError, TransportError
from transports.beaconing import ANSWER_BURST, ANSWER_RATE, LAN_PACE, Hearing, Rounds
from transports.interface import Found, PeerFound
from transports.mdns import Mdns
from transports.netlink import Interfaces, Local
from transports.udp import path_to

PORT: Final = 6375
"""The beacon port: next to udp's, not assigned by IANA either."""
GROUP4: Final = "239.255.63.74"
"""In the IPv4 local scope (RFC 2365)."""
GROUP6: Final = "ff12::6d65:7368"
"""Transient, link-local scope (RFC 4291): needs no assignment. The end reads "mesh"."""
BROADCAST: Final = "255.255.255.255"
MDNS_DELAY: Final = 2.0
"""Seconds from start to mDNS: its import costs more than the first beacons take in all."""
NONCES_KEPT: Final = 8
READ_AT_ONCE: Final = 64
BEACON_BUFFER: Final = 256
"""Longer than any beacon of this version; what is longer still is cut, and refused."""

IP_PKTINFO: Final = 8
"""Linux's number; the socket module of Python 3.11 has no name for it."""
PKTINFO4: Final = struct.Struct("=I4s4s")
CONTROL_SIZE: Final = socket.CMSG_SPACE(PKTINFO4.size)
MEMBERSHIP4: Final = struct.Struct("=4s4sI")
MEMBERSHIP6: Final = struct.Struct("=16sI")


class Origin(NamedTuple):
    """Where a beacon came from: the host, the socket address to answer to, our address there."""

    host: str
    reply_to: tuple[str, int] | tuple[str, int, int, int]
    local: Local


class Lan:
    """The discovery `lan`; gives `PeerFound` with paths of the transport `udp`.

    `port` is udp's. `hidden` keeps the peer id out of beacons and mDNS. `named` adds
    interfaces that would be left alone. `mdns` False does without zeroconf.
    """

    def __init__(
        self,
        peer_id: bytes,
        port: int,
        *,
        rng: Callable[[int], bytes],
        hidden: bool = False,
        named: Iterable[str] = (),
        mdns: bool = True,
        interfaces: Interfaces | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """Beacons sent, heard and dropped, by reason."""
        self.addresses: frozenset[Local] = frozenset()
        """From where beacons are sent now."""
        self._peer_id, self._port, self._rng, self._hidden = peer_id, port, rng, hidden
        self._named = frozenset(named)
        self._interfaces = interfaces or Interfaces()
        self._owns_interfaces = interfaces is None
        self._nonces: deque[bytes] = deque([rng(NONCE_SIZE)], maxlen=NONCES_KEPT)
        self._mdns = Mdns(self._tell_if_near, self.counters) if mdns else None
        self._listeners: dict[int, socket.socket] = {}
        self._speakers: dict[int, socket.socket] = {}
        self._joined: set[tuple[int, int]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._wake_at: asyncio.TimerHandle | None = None
        self._found: Found
        self._loop: asyncio.AbstractEventLoop
        self._rounds: Rounds[Local]
        self._hearing: Hearing
        self._answers: Bucket

    def start(self, found: Found) -> None:
        """Listen, and beacon from each usable address there is or will be; see `Discovery`."""
        self._found, self._loop = found, asyncio.get_running_loop()
        now = self._loop.time()
        self._rounds, self._hearing = Rounds(rng=self._rng), Hearing(now=now)
        self._answers = Bucket(rate=ANSWER_RATE, burst=ANSWER_BURST, now=now)
        for family in (socket.AF_INET, socket.AF_INET6):
            self._open(family)
        if not self._speakers:
            raise TransportError("lan: no socket for beacons, neither IPv4 nor IPv6")
        self._interfaces.follow(self._addresses_changed)
        self._interfaces.start()
        if self._interfaces.usable:
            self._addresses_changed(self._interfaces.usable)
        if self._mdns is not None:
            self._later(MDNS_DELAY, self._mdns.start)

    async def close(self) -> None:
        """Fall silent; mDNS says goodbye."""
        if self._owns_interfaces:
            self._interfaces.close()
        else:
            self._interfaces.unfollow(self._addresses_changed)
        for timer in [*self._timers, *([self._wake_at] if self._wake_at else [])]:
            timer.cancel()
        self._timers.clear()
        for sock in [*self._listeners.values(), *self._speakers.values()]:
            self._loop.remove_reader(sock)
            sock.close()
        self._listeners, self._speakers = {}, {}
        if self._mdns is not None:
            await self._mdns.close()

    # -- sockets and interfaces

    def _open(self, family: int) -> None:
        for table, port in ((self._listeners, PORT), (self._speakers, 0)):
            try:
                sock = open_socket(family, port)
            except OSError as error:
                self.counters[f"no socket {errno.errorcode.get(error.errno or 0, '')}"] += 1
                continue
            table[family] = sock
            self._loop.add_reader(sock, self._readable, sock)

    def _addresses_changed(self, usable: frozenset[Local]) -> None:
        addresses = frozenset(speaking(usable, self._named))
        if addresses == self.addresses:
            return
        if addresses and not self.addresses & addresses:
            self._nonces.append(self._rng(NONCE_SIZE))  # another network, for all we know
        self.addresses = addresses
        self._join()
        self._rounds.set_places(dict.fromkeys(addresses, LAN_PACE), self._loop.time())
        self._wake()
        if self._mdns is not None:
            self._mdns.announce(self._beacon(), addresses)

    def _join(self) -> None:
        """Be in the groups of exactly the interfaces that we speak on."""
        wanted = {(_family_of(each), each.ifindex) for each in self.addresses}
        for family, ifindex in self._joined - wanted:
            self._set_membership(family, ifindex, join=False)
        for family, ifindex in wanted - self._joined:
            self._set_membership(family, ifindex, join=True)
        self._joined = wanted

    def _set_membership(self, family: int, ifindex: int, *, join: bool) -> None:
        sock = self._listeners.get(family)
        if sock is None:
            return
        with suppress(OSError):  # gone with its interface, or still there from before
            if family == socket.AF_INET:
                option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
                group = MEMBERSHIP4.pack(socket.inet_aton(GROUP4), bytes(4), ifindex)
                sock.setsockopt(socket.IPPROTO_IP, option, group)
            else:
                option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
                group = MEMBERSHIP6.pack(socket.inet_pton(family, GROUP6), ifindex)
                sock.setsockopt(socket.IPPROTO_IPV6, option, group)

    # -- speaking

    def _wake(self) -> None:
        for address, _ in self._rounds.due(self._loop.time()):
            self._speak(address)
        if self._wake_at is not None:
            self._wake_at.cancel()
        at = self._rounds.next_wakeup()
        self._wake_at = None if at is None else self._loop.call_at(at, self._wake)

    def _beacon(self, *, answer: bool = False) -> Beacon:
        return Beacon.of(
            self._peer_id,
            nonce=self._nonces[-1],
            port=self._port,
            hidden=self._hidden,
            answer=answer,
        )

    def _speak(self, local: Local) -> None:
        beacon = self._beacon()
        if local.is_ipv6:
            self._send(beacon, local, (GROUP6, PORT, 0, local.ifindex))
        else:
            self._send(beacon, local, (GROUP4, PORT))
            self._send(beacon, local, (BROADCAST, PORT))

    def _answer(self, origin: Origin) -> None:
        self._send(self._beacon(answer=True), origin.local, origin.reply_to)

    def _send(
        self,
        beacon: Beacon,
        local: Local,
        address: tuple[str, int] | tuple[str, int, int, int],
    ) -> None:
        """Send one beacon out by the interface of one of our addresses; a failure is counted."""
        family = _family_of(local)
        control = []
        if family == socket.AF_INET:
            info = PKTINFO4.pack(local.ifindex, socket.inet_aton(local.host), bytes(4))
            control.append((socket.IPPROTO_IP, IP_PKTINFO, info))
        try:
            self._speakers[family].sendmsg([beacon.encode()], control, 0, address)
        except KeyError:
            self.counters["unsent: no socket"] += 1
        except OSError as error:
            self.counters[f"unsent: {errno.errorcode.get(error.errno or 0, 'error')}"] += 1
        else:
            self.counters["sent"] += 1

    # -- listening

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                data, control, _, sender = sock.recvmsg(BEACON_BUFFER, CONTROL_SIZE)
            except OSError:
                return
            ifindex = _arrived_on(control, sender)
            origin = self._origin(ifindex, sender)
            if origin is None:
                self.counters["dropped: not from this LAN"] += 1
            elif self._hearing.admits(origin.host, self._loop.time()):
                self._heard(data, origin)
            else:
                self.counters["dropped: too many"] += 1

    def _origin(
        self, ifindex: int, sender: tuple[str, int] | tuple[str, int, int, int]
    ) -> Origin | None:
        """Say whence a beacon came, or None if that is not the LAN of one of our addresses."""
        host = sender[0].partition("%")[0]
        for local in self.addresses:
            if local.ifindex != ifindex or local.is_ipv6 != (":" in host):
                continue
            if local.is_ipv6 and host.startswith("fe80:"):
                return Origin(f"{host}%{local.interface}", sender, local)
            if not local.is_ipv6 and local.holds(host):
                return Origin(host, sender, local)
        return None

    def _heard(self, data: bytes, origin: Origin) -> None:
        try:
            beacon = parse(data)
        except RemoteProtocolError as error:
            self.counters[f"dropped: {error.field}"] += 1
            return
        path, now = path_to(origin.host, beacon.port), self._loop.time()
        self._rounds.heard(origin.local, path.address, now)
        soon = self._rounds.speaks_soon(origin.local, now)
        if self._tell(beacon, path) and not soon and self._answers.take(now):
            self._later(self._rounds.pause(origin.local, now), self._answer, origin)

    def _tell(self, beacon: Beacon, path: Path) -> bool:
        """Pass on what was heard, unless it is our own or was just said; whether to answer."""
        if beacon.nonce in self._nonces or beacon.is_of(self._peer_id):
            self.counters["own"] += 1
            return False
        heard = self._hearing.heard(beacon, str(path.address), self._loop.time())
        self.counters["heard"] += 1
        if heard.tell:
            self._found(PeerFound(beacon.peer_id, path, beacon.nonce, beacon.mark))
        return heard.answer

    def _tell_if_near(self, beacon: Beacon, path: Path) -> None:
        """Pass on what mDNS says, which may name any host: none that we would only pester."""
        host, _ = cast(tuple[str, int], path.address)
        ours = (each for each in self.addresses if not each.is_ipv6 and ":" not in host)
        if is_near(host) or any(each.holds(host) for each in ours):
            self._tell(beacon, path)
        else:
            self.counters["dropped: far away"] += 1

    def _later(self, delay: float, act: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            self._timers.discard(timer)
            act(*arguments)

        timer = self._loop.call_later(delay, run)
        self._timers.add(timer)


def _arrived_on(
    control: list[tuple[int, int, bytes]],
    sender: tuple[str, int] | tuple[str, int, int, int],
) -> int:
    """Give the index of the interface that a beacon came in by; 0 if the kernel did not say."""
    if len(sender) == 4:
        return sender[3]
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return int(PKTINFO4.unpack(data[: PKTINFO4.size])[0])
    return 0


def speaking(usable: Iterable[Local], named: frozenset[str]) -> Iterable[Local]:
    """Choose where to beacon: one IPv6 link-local address an interface, one IPv4 a subnet."""
    taken = set()
    for local in sorted(usable):
        if not (local.lan or local.interface in named):
            continue
        if local.is_ipv6 and not local.is_link_local:
            continue
        subnet = "" if local.is_ipv6 else local.subnet
        if (local.ifindex, subnet) not in taken:
            taken.add((local.ifindex, subnet))
            yield local


def is_near(host: str) -> bool:
    """Whether a host has an address that nobody on the internet has."""
    address = ip_address(host.partition("%")[0])
    return address.is_private and not (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


def _family_of(local: Local) -> int:
    """Give the address family of one of our addresses."""
    return socket.AF_INET6 if local.is_ipv6 else socket.AF_INET


def open_socket(family: int, port: int) -> socket.socket:
    """Give a bound socket for beacons; the beacon port is shared by all peers of the machine."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if port:
            # Not SO_REUSEPORT: that one asks that all sharers are one user's.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("::", port))
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            sock.bind(("0.0.0.0", port))
    except BaseException:
        sock.close()
        raise
    return sock
