"""How people, cards and the database write the address of a path: `host:port`, `[v6]:port`.

Other transports have text for addresses; of `adhoc` it has one form too (`mesh0/02:ca:…`).
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final, cast

from meshpeer.core.formats.card import MAX_HINTS
from meshpeer.core.link.path import Path
from meshpeer.errors import ConfigError, UsageError
from transports.adhoc import address as adhoc
from transports.netlink import Local
from transports.udp import Udp, path_to

IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 56
UDP_SCHEME: Final = "udp:"


def path_text(path: Path) -> str:
    """Give a path's address as text."""
    if path.transport != Udp.name:
        return str(path.address)
    host, port = cast(tuple[str, int], path.address)
    return _host_port(host, port)


def _host_port(host: str, port: int) -> str:
    """Join them as they are written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_of(path: Path) -> str:
    """Give the numeric host of a udp path."""
    host, _ = cast(tuple[str, int], path.address)
    return host


def is_on(path: Path, local: Local) -> bool:
    """Whether a udp path leads to a host on the same subnet as this address of ours."""
    host, _, interface = _host_of(path).partition("%")
    if interface:
        return local.is_link_local and local.interface == interface
    address, own = ip_address(host), ip_network((local.host, local.prefix), strict=False)
    return address.version == own.version and address in own


def is_hintable(host: str) -> bool:
    """Whether a card may name this address: one host that others can mean by it too.

    A hint is not signed, so a card must not be able to make us send to ourselves or to many.
    """
    address = ip_address(host.partition("%")[0])
    return not (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or address.is_reserved
        or host == "255.255.255.255"
    )


def hints_to(hosts: Iterable[str], port: int) -> list[str]:
    """Give the hints for a card to those of our hosts that others can reach, the short ones first."""
    hintable = sorted(filter(is_hintable, hosts), key=len)
    return [f"{UDP_SCHEME}{_host_port(host, port)}" for host in hintable[:MAX_HINTS]]


def read_hint(hint: str) -> Path | None:
    """Give the path that a card's hint names, None for one that can't or may not be tried."""
    if not hint.startswith(UDP_SCHEME):
        return None
    try:
        path = read_path(hint.removeprefix(UDP_SCHEME))
    except UsageError:
        return None
    return path if is_hintable(_host_of(path)) else None


def read_path(text: str, transport: str = Udp.name) -> Path:
    """Give the path that was written so; UsageError says how to write a udp one."""
    if transport == adhoc.NAME:
        return adhoc_path(text)
    if transport != Udp.name:
        return Path(transport, text)
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5:
        raise UsageError(f"{text!r} is no address: write host:port or [IPv6]:port")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UsageError(f"{text!r}: an IPv6 address goes in brackets, as [fe80::1]:6374")
    try:
        return path_to(host.strip("[]"), int(port))
    except ConfigError as error:
        raise UsageError(str(error)) from error


def adhoc_path(text: str) -> Path:
    """Give the path to a station that was written so, or raise UsageError."""
    try:
        return adhoc.path_of(*adhoc.read_path(text))
    except ConfigError as error:
        raise UsageError(str(error)) from error


def is_writable(path: Path) -> bool:
    """Whether `path_text` says all of this path, so that `read_path` gives it back."""
    return path.transport == Udp.name or isinstance(path.address, str)


def prefix(path: Path) -> str:
    """Give the network that strangers there share the blame with: /24, /56, or a medium."""
    if path.transport == adhoc.NAME:
        return f"{adhoc.NAME} {str(path.address).rpartition('/')[0]}"
    if path.transport != Udp.name:
        return path.transport
    host, _ = cast(tuple[str, int], path.address)
    address = ip_address(host.partition("%")[0])
    bits = IPV4_PREFIX if address.version == 4 else IPV6_PREFIX
    return str(ip_network((address, bits), strict=False))
