"""Links and default routes as the kernel tells of them (rtnetlink); a link set up or down."""

import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from meshpeer.errors import TransportError
from transports.netlink_format import (
    IFF_LOWER_UP,
    IFF_UP,
    IFINFO,
    IFLA_IFNAME,
    RTA_OIF,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_GETROUTE,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_SETLINK,
    RTMSG,
    Message,
    attribute,
    attributes,
    nested,
    number,
    text,
)
from transports.radio.kernel import Conversation

NEXT_HOP: Final = struct.Struct("=HBBi")
RTN_UNICAST, RTA_MULTIPATH = 1, 9
IFLA_LINK, IFLA_MASTER, IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE = 5, 10, 26, 8
ADDR_GEN_NONE: Final = 1


class Link(NamedTuple):
    """A network device."""

    ifindex: int
    name: str
    flags: int
    above: frozenset[int]
    """Devices that it is a part of: a bridge, a bond."""
    below: int
    """The device that it stands on, as a VLAN does; 0 for none."""

    @property
    def is_up(self) -> bool:
        """Whether it was set up, with a carrier or not."""
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        """Whether frames can go out."""
        return bool(self.flags & IFF_LOWER_UP)


def read_links(told: Iterable[Message]) -> Iterator[Link]:
    """Read the answers to RTM_GETLINK, or what is told of changes; a link gone has flags 0."""
    for kind, body, *_ in told:
        if kind in {RTM_NEWLINK, RTM_DELLINK}:
            if len(body) < IFINFO.size:
                raise TransportError(f"netlink: a link of {len(body)} bytes")
            _, _, index, flags, _ = IFINFO.unpack_from(body)
            found = dict(attributes(body[IFINFO.size :]))
            above = {number(found[IFLA_MASTER])} if IFLA_MASTER in found else set()
            yield Link(
                index,
                text(found.get(IFLA_IFNAME, b"")),
                0 if kind == RTM_DELLINK else flags,
                frozenset(above),
                number(found.get(IFLA_LINK)),
            )


def read_default_routes(told: Iterable[Message]) -> frozenset[int]:
    """Give the devices that default routes of any table lead over."""
    found: set[int] = set()
    for kind, body, *_ in told:
        if kind != RTM_NEWROUTE:
            continue
        if len(body) < RTMSG.size:
            raise TransportError(f"netlink: a route of {len(body)} bytes")
        _, prefix, _, _, _, _, _, type_, _ = RTMSG.unpack_from(body)
        if prefix == 0 and type_ == RTN_UNICAST:
            parts = dict(attributes(body[RTMSG.size :]))
            if RTA_OIF in parts:
                found.add(number(parts[RTA_OIF]))
            found.update(_next_hops(parts.get(RTA_MULTIPATH, b"")))
    return frozenset(found)


def _next_hops(data: bytes) -> Iterator[int]:
    start = 0
    while start + NEXT_HOP.size <= len(data):
        length, _, _, device = NEXT_HOP.unpack_from(data, start)
        yield device
        start += max((length + 3) & ~3, NEXT_HOP.size)


def carrying(defaults: frozenset[int], links: Iterable[Link]) -> frozenset[int]:
    """Give all devices that default routes need: those they name, and those below them."""
    all_links = {link.ifindex: link for link in links}
    found = set(defaults)
    while True:
        parts = {n for n, link in all_links.items() if link.above & found}
        below = {all_links[n].below for n in found if n in all_links} - {0}
        if parts | below <= found:
            return frozenset(found)
        found |= parts | below


def ask_links(conversation: Conversation) -> list[Link]:
    """Give all network devices."""
    body = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return list(read_links(conversation.ask(RTM_GETLINK, body)))


def ask_default_routes(conversation: Conversation) -> frozenset[int]:
    """Give the devices that default routes lead over, of IPv4 and IPv6."""
    body = RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
    return read_default_routes(conversation.ask(RTM_GETROUTE, body))


def set_link(conversation: Conversation, index: int, *, up: bool) -> None:
    """Set a device up or down; OSError where the kernel refuses."""
    body = IFINFO.pack(socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP)
    conversation.order(RTM_SETLINK, body)


def keep_quiet(conversation: Conversation, index: int) -> None:
    """Let a device have no IPv6 address of itself: no router is asked, no duplicate sought."""
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes((ADDR_GEN_NONE,)))
    body = IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    body += nested(IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    conversation.order(RTM_SETLINK, body)
