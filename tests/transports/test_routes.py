"""By which interface a host is reached, as the kernel says."""

import asyncio

import pytest

from tests.namespaces import inside, need_namespaces
from transports.routes import Routes
from transports.udp import LOOKUPS, TRAITS, Udp, path_to


def test_loopback_is_reached_by_loopback():
    routes = Routes()
    assert routes.interface_to("127.0.0.1") is None
    routes.start()
    assert routes.interface_to("127.0.0.1") == "lo"
    assert routes.interface_to("no address") is None
    routes.close()
    assert routes.interface_to("127.0.0.1") is None


@pytest.mark.system
def test_paths_of_two_subnets_have_two_mediums(lan):
    need_namespaces()
    host = lan.add_host("192.0.2.1/24", "2001:db8::1/64")
    other = lan.add_host()
    lan.add_cable(host, "eth1", other, "eth1")
    for end in (host, other):
        lan.ip(end, "link", "set", "eth1", "up")
    lan.ip(host, "address", "add", "198.51.100.1/24", "dev", "eth1")

    async def run():
        udp = Udp(port=0)
        udp.start(print, print)

        def medium(host: str):
            return udp.traits_of(path_to(host, 1)).medium

        assert medium("192.0.2.2") == medium("2001:db8::2") == "eth0"
        assert medium("198.51.100.2") == medium("fe80::1%eth1") == "eth1"
        assert medium("203.0.113.1") is None
        lan.ip(host, "route", "add", "203.0.113.0/24", "via", "198.51.100.2")
        assert medium("203.0.113.1") is None
        udp.addresses_changed()
        assert medium("203.0.113.1") == "eth1"
        await udp.close()

    with inside(host):
        asyncio.run(run())


def test_a_flood_of_addresses_asks_the_kernel_seldom():
    async def run():
        udp = Udp(port=0, listen=["127.0.0.1"])
        udp.start(print, print)
        known = sum(
            udp.traits_of(path_to("127.0.0.1", port)) is not TRAITS
            for port in range(1, 4 * LOOKUPS)
        )
        assert LOOKUPS <= known < 3 * LOOKUPS
        await udp.close()

    asyncio.run(run())
