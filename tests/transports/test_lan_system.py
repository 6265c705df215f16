"""Discovery between real processes on LANs made of namespaces. Nothing leaves this machine."""

import asyncio
import os
import socket
from contextlib import ExitStack

import pytest

from meshpeer.core.formats import beacon
from transports.lan import PORT, Lan

pytestmark = pytest.mark.system
A, B = 1, 2
SOON = 1.0
TUNNEL = (
    "link",
    "add",
    "vpn0",
    "type",
    "vxlan",
    "id",
    "7",
    "dstport",
    "4789",
    "remote",
    "192.0.2.9",
)


def test_ipv4_only(lan):
    first, second = (lan.add_host(f"192.0.2.{n}/24", ipv6=False) for n in (A, B))
    a = lan.peer(first, A)
    b = lan.peer(second, B)
    since = b.until("started")["at"]
    assert a.until("found", peer=B)["path"][0] == "192.0.2.2"
    assert b.until("found", peer=A)["path"][0] == "192.0.2.1"
    assert a.until("found", peer=B)["at"] - since < SOON
    assert b.until("found", peer=A)["at"] - since < SOON


def test_ipv6_link_local_only_and_udp_by_the_path_that_was_found(lan):
    first, second = lan.add_host(), lan.add_host()
    a = lan.peer(first, A)
    a.until("usable", hosts=usable_hosts(a))
    b = lan.peer(second, B)
    usable = first_usable(b)
    found = a.until("found", peer=B)
    assert found["at"] - usable < SOON
    assert found["path"][0].endswith("%eth0")
    b.until("found", peer=A, host="fe80:")
    a.send(*found["path"])
    heard = b.until("datagram", data=f"hello from {A}")
    assert heard["path"][0].endswith("%eth0")
    b.send(*heard["path"])
    assert a.until("datagram", data=f"hello from {B}")["path"] == found["path"]


def usable_hosts(peer) -> list[str]:
    """Wait till it has a link-local address, and give all that it has then."""
    while True:
        for line in peer.said:
            if line["event"] == "usable" and any(
                host[:4] == "fe80" for host in line["hosts"]
            ):
                return line["hosts"]
        peer.until("usable", after=peer.said[-1]["at"] + 1e-6)


def first_usable(peer) -> float:
    """When its first link-local address could be used."""
    return peer.until("usable", hosts=usable_hosts(peer))["at"]


def test_an_interface_that_comes_up_later(lan):
    a = lan.peer(lan.add_host("192.0.2.1/24"), A)
    late = lan.add_host("192.0.2.2/24", up=False)
    b = lan.peer(late, B)
    lan.ip(late, "link", "set", "eth0", "up")
    usable = b.until("usable", hosts=["127.0.0.1", "192.0.2.2", "::1"])["at"]
    assert a.until("found", peer=B, host="192.0.2.2")["at"] - usable < SOON
    assert b.until("found", peer=A, host="192.0.2.1")["at"] - usable < SOON
    usable = first_usable(b)
    assert a.until("found", peer=B, host="fe80:")["at"] - usable < SOON


def test_an_address_that_changes(lan):
    first, second = (lan.add_host(f"192.0.2.{n}/24", ipv6=False) for n in (A, B))
    a, b = lan.peer(first, A), lan.peer(second, B)
    before = a.until("found", peer=B, host="192.0.2.2")
    lan.ip(second, "address", "del", "192.0.2.2/24", "dev", "eth0")
    lan.ip(second, "address", "add", "192.0.2.77/24", "dev", "eth0")
    usable = b.until("usable", hosts=["127.0.0.1", "192.0.2.77"])["at"]
    after = a.until("found", peer=B, host="192.0.2.77")
    assert after["at"] - usable < SOON
    assert after["nonce"] != before["nonce"]


def test_a_path_whose_interface_is_gone_is_lost(lan):
    first, second = lan.add_host("192.0.2.1/24"), lan.add_host("192.0.2.2/24")
    a, b = lan.peer(first, A), lan.peer(second, B)
    found4 = a.until("found", peer=B, host="192.0.2.2")["path"]
    found6 = a.until("found", peer=B, host="fe80:")["path"]
    for path in (found4, found6):
        a.send(*path)
        b.until("datagram")
    lan.ip(first, "link", "del", "eth0")
    a.until("usable", hosts=["127.0.0.1", "::1"])
    for path in (found4, found6):
        a.send(*path)
        assert a.until("lost", path=path)["reason"]


def test_tunnels_are_left_alone_unless_named(lan):
    first = lan.add_host("192.0.2.1/24", ipv6=False)
    try:
        lan.ip(first, *TUNNEL)
    except AssertionError as error:
        pytest.skip(f"this kernel makes no tunnels: {error}")
    lan.ip(first, "address", "add", "198.51.100.1/24", "dev", "vpn0")
    lan.ip(first, "link", "set", "vpn0", "up")
    plain, named = lan.peer(first, A), lan.peer(first, B, named=["vpn0"])
    plain.until("found", peer=B)
    named.until("found", peer=A)
    assert plain.end()["speaking"] == [["eth0", "192.0.2.1"]]
    assert named.end()["speaking"] == [["eth0", "192.0.2.1"], ["vpn0", "198.51.100.1"]]


def test_two_peers_on_one_machine(lan):
    host = lan.add_host("192.0.2.1/24")
    a, b = lan.peer(host, A), lan.peer(host, B)
    a.until("found", peer=B, host="192.0.2.1")
    b.until("found", peer=A, host="192.0.2.1")
    a.until("found", peer=B, host="fe80:")


def test_a_hidden_peer_shows_a_mark_that_only_its_friends_know(lan):
    first, second = (lan.add_host(f"192.0.2.{n}/24", ipv6=False) for n in (A, B))
    a = lan.peer(first, A)
    lan.peer(second, B, hidden=True)
    found = a.until("found", peer=None)
    nonce = bytes.fromhex(found["nonce"])
    assert beacon.mark(nonce, bytes([B]) * 32).hex() == found["mark"]


def test_mdns_finds_where_no_beacon_is_heard(lan, inside_namespace):
    first, second = (lan.add_host(f"192.0.2.{n}/24") for n in (A, B))
    with ExitStack() as taken:
        for host in (first, second):
            with inside_namespace(host):
                for family in (socket.AF_INET, socket.AF_INET6):
                    taken.enter_context(only_user_of_the_beacon_port(family))
        a, b = lan.peer(first, A, mdns=True), lan.peer(second, B, mdns=True)
        a.until("found", peer=B, host="192.0.2.2")
        b.until("found", peer=A, host="192.0.2.1")
        a.until("found", peer=B, host="fe80:")
        lan.ip(second, "address", "del", "192.0.2.2/24", "dev", "eth0")
        lan.ip(second, "address", "add", "192.0.2.77/24", "dev", "eth0")
        a.until("found", peer=B, host="192.0.2.77")
        assert a.end()["counters"]["no socket EADDRINUSE"] == 2


def only_user_of_the_beacon_port(family: int) -> socket.socket:
    """Take the beacon port without sharing it, so that peers here can't listen."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", PORT))
    return sock


def test_thirty_peers_on_one_bridge(lan, inside_namespace):
    """One process holds them all, for speed; each has sockets in a namespace of its own."""
    hosts = [lan.add_host(f"192.0.2.{n + 1}/24", ipv6=False) for n in range(30)]

    async def told():
        found: dict[int, set[int]] = {number: set() for number in range(30)}
        done = asyncio.Event()

        def finder(number):
            def heard(peer):
                found[number].add(peer.peer_id[0])
                if all(len(others) == 29 for others in found.values()):
                    done.set()

            return heard

        peers = []
        for number, host in enumerate(hosts):
            with inside_namespace(host):
                peer = Lan(bytes([number]) * 32, 6374, rng=os.urandom, mdns=False)
                peer.start(finder(number))
                peers.append(peer)
        async with asyncio.timeout(10):
            await done.wait()
        await asyncio.sleep(1.2)  # till the bursts are over
        sent = [peer.counters["sent"] for peer in peers]
        for peer in peers * 2:
            await peer.close()
        return sent

    sent = asyncio.run(told())
    assert max(sent) <= 2 * 3 + 30
