"""What the kernel says, read from bytes; and that any bytes do no worse than TransportError."""

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.errors import TransportError
from transports import netlink, netlink_format
from transports.netlink import (
    AddressEvent,
    DumpDone,
    DumpTorn,
    Interfaces,
    LinkEvent,
    Local,
    View,
    read,
)

UP = netlink_format.IFF_UP | netlink_format.IFF_LOWER_UP
LINK = LinkEvent(3, "eth0", netlink.ARPHRD_ETHER, UP, "", False)
IPV4 = AddressEvent(3, "192.0.2.1", 24, 0x80, False)
IPV6 = AddressEvent(3, "fe80::1", 64, 0x80, False)
HERE = Local("eth0", 3, "192.0.2.1", 24, True)


def attribute(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return (
        netlink_format.NLMSG.pack(16 + len(body), kind, flags, 0, 0)
        + body
        + bytes(-len(body) % 4)
    )


def written(event) -> bytes:
    """The message by which a kernel would tell of an event."""
    if isinstance(event, LinkEvent):
        body = netlink_format.IFINFO.pack(0, event.device, event.ifindex, event.flags, 0)
        body += attribute(netlink_format.IFLA_IFNAME, event.name.encode() + b"\0")
        body += attribute(netlink.IFLA_ADDRESS, event.address)
        body += attribute(netlink.IFLA_MTU, event.mtu)
        body += attribute(99, b"of no matter")
        if event.kind:
            kind = attribute(netlink.IFLA_INFO_KIND, event.kind.encode() + b"\0")
            body += attribute(netlink.IFLA_LINKINFO | 0x8000, kind)
        return message(
            netlink_format.RTM_DELLINK if event.gone else netlink_format.RTM_NEWLINK, body
        )
    family = socket.AF_INET6 if ":" in event.host else socket.AF_INET
    raw = socket.inet_pton(family, event.host)
    body = netlink.IFADDR.pack(family, event.prefix, event.flags & 0xFF, 0, event.ifindex)
    body += attribute(netlink.IFA_ADDRESS, raw)
    if family == socket.AF_INET:
        body += attribute(netlink.IFA_LOCAL, raw)
    body += attribute(netlink.IFA_FLAGS, struct.pack("=I", event.flags))
    return message(netlink.RTM_DELADDR if event.gone else netlink.RTM_NEWADDR, body)


names = st.text("abcdefghij0123456789.-", min_size=1, max_size=15)
links = st.builds(
    LinkEvent,
    ifindex=st.integers(1, 4),
    name=names,
    device=st.sampled_from([1, 512, 772, 65_534]),
    flags=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["", "veth", "tun", "wireguard", "bridge"]),
    gone=st.booleans(),
    address=st.binary(min_size=6, max_size=6),
    mtu=st.binary(min_size=4, max_size=4),
)
addresses = st.builds(
    AddressEvent,
    ifindex=st.integers(1, 4),
    host=st.ip_addresses().map(str),
    prefix=st.integers(0, 32),
    flags=st.integers(0, 2**32 - 1),
    gone=st.booleans(),
)


@given(st.lists(links | addresses, max_size=8))
def test_what_a_kernel_writes_is_read_back(events):
    events = [
        event
        if isinstance(event, LinkEvent)
        else event._replace(host=canonical(event.host))
        for event in events
    ]
    assert list(read(b"".join(map(written, events)))) == events


def canonical(host: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, host))


@given(
    st.binary(max_size=300) | st.builds(message, st.integers(0, 30), st.binary(max_size=80))
)
def test_noise_gives_events_or_a_transport_error(noise):
    try:
        for event in read(noise):
            assert isinstance(event, LinkEvent | AddressEvent | DumpDone | DumpTorn)
    except TransportError:
        return


@given(st.lists(links | addresses, max_size=8), st.data())
def test_a_message_with_a_changed_byte_does_no_worse(events, data):
    wire = bytearray(b"".join(map(written, events)))
    if wire:
        wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        list(read(bytes(wire)))
    except TransportError:
        return


def test_on_a_point_to_point_link_our_end_is_the_address():
    body = netlink.IFADDR.pack(socket.AF_INET, 32, 0, 0, 9)
    body += attribute(netlink.IFA_ADDRESS, bytes([10, 0, 0, 2]))
    body += attribute(netlink.IFA_LOCAL, bytes([10, 0, 0, 1]))
    (event,) = read(message(netlink.RTM_NEWADDR, body))
    assert event.host == "10.0.0.1"


def test_the_end_of_a_dump_says_whether_it_was_torn():
    done = message(netlink_format.NLMSG_DONE, bytes(4))
    assert list(read(done)) == [DumpDone()]
    torn = message(
        netlink_format.NLMSG_DONE, bytes(4), flags=netlink_format.NLM_F_DUMP_INTR
    )
    assert list(read(torn)) == [DumpTorn(), DumpDone()]


def view(*events) -> View:
    made = View()
    for event in events:
        made.apply(event)
    return made


def test_an_address_counts_in_whatever_order_it_and_its_link_are_told():
    assert view(LINK, IPV4).usable() == view(IPV4, LINK).usable() == {HERE}


def test_an_interface_that_goes_down_and_returns():
    seen = view(LINK, IPV4)
    seen.apply(LINK._replace(flags=netlink_format.IFF_UP))
    assert seen.usable() == frozenset()
    seen.apply(LINK)
    assert seen.usable() == {HERE}
    seen.apply(IPV4._replace(gone=True))
    assert seen.usable() == frozenset()


def test_a_tentative_address_waits_for_its_duplicate_check():
    seen = view(LINK, IPV6._replace(flags=netlink.IFA_F_TENTATIVE))
    assert seen.usable() == frozenset()
    seen.apply(IPV6)
    assert [each.host for each in seen.usable()] == ["fe80::1"]
    seen.apply(IPV6._replace(flags=netlink.IFA_F_DADFAILED | netlink.IFA_F_TENTATIVE))
    assert seen.usable() == frozenset()


@pytest.mark.parametrize(
    ("link", "lan"),
    [
        (LINK, True),
        (LINK._replace(kind="veth"), True),
        (LINK._replace(kind="bridge"), True),
        (LINK._replace(kind="batadv"), True),
        (LINK._replace(device=772, flags=UP | netlink.IFF_LOOPBACK), False),
        (
            LINK._replace(device=65_534, flags=UP | netlink.IFF_POINTOPOINT, kind="tun"),
            False,
        ),
        (LINK._replace(device=65_534, kind="wireguard"), False),
        (LINK._replace(device=512, flags=UP | netlink.IFF_POINTOPOINT, kind="ppp"), False),
        (LINK._replace(kind="tun"), False),
        (LINK._replace(kind="vxlan"), False),
    ],
)
def test_a_lan_is_known_from_a_tunnel(link, lan):
    assert netlink.is_lan(link) is lan


@given(
    st.integers(0, 32),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_a_subnet_holds_whoever_shares_its_prefix(prefix, mine, other):
    def host(number):
        return socket.inet_ntoa(number.to_bytes(4, "big"))

    mask = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    local = Local("eth0", 3, host(mine), prefix, True)
    assert local.holds(host(other)) is ((mine ^ other) & mask == 0)


def test_link_local_is_fe80_slash_10():
    local = HERE._replace(host="fe80::1")
    assert local.is_ipv6
    assert local.is_link_local
    assert HERE._replace(host="febf::1").is_link_local
    assert not HERE._replace(host="fec0::1").is_link_local
    assert not HERE._replace(host="fe8::1").is_link_local
    assert not HERE.is_link_local


def test_this_machine_has_its_loopback():
    async def told():
        interfaces = Interfaces()
        changed = asyncio.Event()
        interfaces.follow(lambda _: changed.set())
        interfaces.start()
        async with asyncio.timeout(5):
            await changed.wait()
        interfaces.close()
        interfaces.close()
        return interfaces.usable

    usable = asyncio.run(told())
    assert ("lo", "127.0.0.1", False) in {
        (each.interface, each.host, each.lan) for each in usable
    }
