"""What a stranger on the LAN could make a peer do to others."""

import pytest

from transports.lan import is_near


@pytest.mark.parametrize("host", ["fe80::1%eth0", "192.168.1.7", "10.1.2.3", "fd00::7"])
def test_mdns_may_name_hosts_that_are_near(host):
    assert is_near(host)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "2001:4860::8",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
    ],
)
def test_mdns_cannot_make_us_call_third_parties_or_many(host):
    assert not is_near(host)
