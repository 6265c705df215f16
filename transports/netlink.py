"""Interfaces and addresses as the kernel tells of them, over a raw AF_NETLINK socket.

The kernel says within milliseconds that a cable was plugged or an address came; nothing is
polled. `read` turns its messages into events and knows nothing else; `View` keeps what holds
now and is as pure; `Interfaces` is the socket. It asks for all links, then all addresses, and
follows from there; when the kernel says that it dropped messages, it asks for all again.

An IPv6 address can't be used while the duplicate check runs (RFC 4862: tentative, 1 to 2 s);
sending from it would fail. It is counted as there from the message that says the check passed.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

from meshpeer.errors import TransportError
from transports.netlink_format import (
    IFF_LOWER_UP,
    IFF_UP,
    IFINFO,
    IFLA_IFNAME,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    U32,
    attributes,
    message,
    messages,
    text,
)

IFADDR: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTMGRP: Final = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
IFLA_ADDRESS, IFLA_MTU, IFLA_LINKINFO, IFLA_INFO_KIND = 1, 4, 18, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8

IFF_LOOPBACK, IFF_POINTOPOINT = 0x8, 0x10
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
ARPHRD_ETHER, ARPHRD_INFINIBAND = 1, 32
"""Kinds of device that are a LAN: Wi-Fi and batman-adv call themselves Ethernet too."""
TUNNEL_KINDS: Final = frozenset(
    {
        "amt",
        "bareudp",
        "erspan",
        "geneve",
        "gre",
        "gretap",
        "ip6erspan",
        "ip6gre",
        "ip6gretap",
        "ip6tnl",
        "ipip",
        "ppp",
        "sit",
        "tun",
        "vti",
        "vti6",
        "vxlan",
        "wireguard",
        "xfrm",
    }
)
"""Kinds that call themselves Ethernet, some of them, and lead somewhere else nevertheless."""
READ_SIZE: Final = 65_536


class LinkEvent(NamedTuple):
    """An interface as it is now, or its end."""

    ifindex: int
    name: str
    device: int
    flags: int
    kind: str
    gone: bool
    address: bytes = b""
    mtu: bytes = b""
    """As the kernel writes it: only whether it changed is asked."""


class AddressEvent(NamedTuple):
    """An address of an interface as it is now, or its end."""

    ifindex: int
    host: str
    prefix: int
    flags: int
    gone: bool


class DumpTorn(NamedTuple):
    """Things changed while the kernel told of them: what it tells may not fit together."""


class DumpDone(NamedTuple):
    """The kernel has told all that was asked for, or refused."""


Event: TypeAlias = LinkEvent | AddressEvent | DumpTorn | DumpDone


class Local(NamedTuple):
    """One address of this machine that can be used now."""

    interface: str
    ifindex: int
    host: str
    """Numeric, without the interface even for IPv6 link-local."""
    prefix: int
    lan: bool
    """A wire or a cell with others on it: no loopback, tunnel, VPN or point-to-point."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def is_link_local(self) -> bool:
        """Whether the host is an IPv6 address that needs its interface named (fe80::/10)."""
        first = self.host.partition(":")[0]
        return len(first) == 4 and first[:3] in {"fe8", "fe9", "fea", "feb"}

    @property
    def subnet(self) -> int:
        """The network part of an IPv4 address, as a number."""
        return int.from_bytes(socket.inet_aton(self.host)) >> (32 - self.prefix)

    def holds(self, host: str) -> bool:
        """Whether an IPv4 host is on this address's own subnet."""
        return int.from_bytes(socket.inet_aton(host)) >> (32 - self.prefix) == self.subnet


def read(data: bytes) -> Iterator[Event]:
    """Read what one recv gave; TransportError where that is no rtnetlink."""
    for kind, body, flags, _ in messages(data):
        if flags & NLM_F_DUMP_INTR:
            yield DumpTorn()
        if kind in {RTM_NEWLINK, RTM_DELLINK}:
            yield _read_link(body, gone=kind == RTM_DELLINK)
        elif kind in {RTM_NEWADDR, RTM_DELADDR}:
            event = _read_address(body, gone=kind == RTM_DELADDR)
            if event is not None:
                yield event
        elif kind in {NLMSG_DONE, NLMSG_ERROR}:
            yield DumpDone()


def _read_link(body: bytes, *, gone: bool) -> LinkEvent:
    """Read struct ifinfomsg and the attributes that matter here."""
    if len(body) < IFINFO.size:
        raise TransportError(f"netlink: a link of {len(body)} bytes")
    _, device, index, flags, _ = IFINFO.unpack_from(body)
    found = dict(attributes(body[IFINFO.size :]))
    info = attributes(found.get(IFLA_LINKINFO, b""))
    return LinkEvent(
        index,
        text(found.get(IFLA_IFNAME, b"")),
        device,
        flags,
        next((text(value) for number, value in info if number == IFLA_INFO_KIND), ""),
        gone,
        found.get(IFLA_ADDRESS, b""),
        found.get(IFLA_MTU, b""),
    )


def _read_address(body: bytes, *, gone: bool) -> AddressEvent | None:
    """Read struct ifaddrmsg and its attributes; None for a family that is not IP."""
    if len(body) < IFADDR.size:
        raise TransportError(f"netlink: an address of {len(body)} bytes")
    family, prefix, flags, _, index = IFADDR.unpack_from(body)
    found = dict(attributes(body[IFADDR.size :]))
    # On IPv4 point-to-point links IFA_ADDRESS is the other end, and IFA_LOCAL is ours.
    raw = found.get(IFA_LOCAL, found.get(IFA_ADDRESS, b""))
    if len(found.get(IFA_FLAGS, b"")) == U32.size:
        (flags,) = U32.unpack(found[IFA_FLAGS])
    size, longest = {socket.AF_INET: (4, 32), socket.AF_INET6: (16, 128)}.get(
        family, (0, 0)
    )
    if not size:
        return None
    if len(raw) != size or prefix > longest:
        raise TransportError(f"netlink: an address of {len(raw)} bytes and prefix {prefix}")
    return AddressEvent(index, socket.inet_ntop(family, raw), prefix, flags, gone)


class View:
    """What holds now: the links and addresses after all events so far."""

    def __init__(self) -> None:
        self._links: dict[int, LinkEvent] = {}
        self._addresses: dict[tuple[int, str], AddressEvent] = {}

    def apply(self, event: LinkEvent | AddressEvent) -> None:
        """Take one event; any order is right in the end."""
        if isinstance(event, LinkEvent):
            if event.gone:
                self._links.pop(event.ifindex, None)
            else:
                self._links[event.ifindex] = event
        elif event.gone:
            self._addresses.pop((event.ifindex, event.host), None)
        else:
            self._addresses[event.ifindex, event.host] = event

    def usable(self) -> frozenset[Local]:
        """The addresses that can be sent from: link up, carrier there, duplicate check over."""
        return frozenset(
            Local(link.name, link.ifindex, address.host, address.prefix, is_lan(link))
            for address in self._addresses.values()
            if (link := self._links.get(address.ifindex)) is not None
            and link.flags & IFF_UP
            and link.flags & IFF_LOWER_UP
            and not address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)
        )

    def links_up(self) -> dict[str, LinkEvent]:
        """The interfaces that can carry frames, by name: up, and carrier there; flags 0."""
        return {
            link.name: link._replace(flags=0)
            for link in self._links.values()
            if link.flags & IFF_UP and link.flags & IFF_LOWER_UP
        }


def is_lan(link: LinkEvent) -> bool:
    """Whether a link leads to neighbours on the spot, rather than through a tunnel."""
    return (
        link.device in {ARPHRD_ETHER, ARPHRD_INFINIBAND}
        and not link.flags & (IFF_LOOPBACK | IFF_POINTOPOINT)
        and link.kind not in TUNNEL_KINDS
    )


Changed: TypeAlias = Callable[[frozenset[Local]], None]
LinksChanged: TypeAlias = Callable[[], None]


class Interfaces:
    """Follows this machine's addresses; one may serve several listeners."""

    def __init__(self) -> None:
        self.usable: frozenset[Local] = frozenset()
        """All addresses that can be used now; empty until the kernel has told them."""
        self.up: dict[str, LinkEvent] = {}
        """The interfaces that can carry frames, by name; flags are left out."""
        self._listeners: list[Changed] = []
        self._link_listeners: list[LinksChanged] = []
        self._view = View()
        self._asking: list[int] = []
        self._torn = False
        self._socket: socket.socket | None = None

    def follow(self, changed: Changed) -> None:
        """Call `changed(usable)` whenever that set has changed."""
        self._listeners.append(changed)

    def unfollow(self, changed: Changed) -> None:
        """Call it no more; does nothing if it was not called before."""
        if changed in self._listeners:
            self._listeners.remove(changed)

    def follow_links(self, changed: LinksChanged) -> None:
        """Call `changed()` whenever `up` has changed."""
        self._link_listeners.append(changed)

    def start(self) -> None:
        """Ask the kernel and listen; needs a running loop. A second call does nothing."""
        if self._socket is not None:
            return
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
            self._socket.bind((0, RTMGRP))
        except OSError as error:
            self.close()
            raise TransportError(
                f"cannot follow the interfaces by netlink: {error}"
            ) from error
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        self._ask_all()

    def close(self) -> None:
        """Stop listening. A second call does nothing."""
        if self._socket is not None:
            if self._socket.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None

    def _ask_all(self) -> None:
        """Begin anew: the kernel answers one dump at a time, so the second waits for the first."""
        self._view = View()
        self._asking = [RTM_GETADDR, RTM_GETLINK]
        self._torn = False
        self._ask_next()

    def _ask_next(self) -> None:
        assert self._socket is not None
        kind = self._asking[-1]
        body = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        self._socket.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, body))

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: the kernel dropped some of what happened
            self._ask_all()
            return
        for event in read(data):
            if isinstance(event, DumpTorn):
                self._torn = True
            elif isinstance(event, DumpDone):
                self._answered()
            else:
                self._view.apply(event)
        if not self._asking:
            self._tell()

    def _answered(self) -> None:
        if self._torn:
            self._ask_all()
        elif self._asking:
            self._asking.pop()
            if self._asking:
                self._ask_next()

    def _tell(self) -> None:
        up = self._view.links_up()
        if up != self.up:
            self.up = up
            for links_changed in self._link_listeners.copy():
                links_changed()
        usable = self._view.usable()
        if usable != self.usable:
            self.usable = usable
            for changed in self._listeners.copy():
                changed(usable)
