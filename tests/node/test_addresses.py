import pytest

from meshpeer.errors import UsageError
from meshpeer.node.addresses import (
    hints_to,
    is_hintable,
    is_on,
    path_text,
    prefix,
    read_hint,
    read_path,
)
from transports.netlink import Local


@pytest.mark.parametrize(
    "text", ["192.0.2.7:6374", "[2001:db8::7]:6374", "[fe80::1%eth0]:6374"]
)
def test_an_address_is_read_as_it_is_written(text):
    assert path_text(read_path(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.7",
        "192.0.2.7:",
        "192.0.2.7:0",
        "192.0.2.7:99999",
        "::1:6374",
        "a:1",
        "[fe80::1%a\0b]:1",
        "[fe80::1%\ud800]:1",
    ],
    ids=ascii,
)
def test_what_is_no_address_gets_a_sentence(text):
    with pytest.raises(UsageError):
        read_path(text)


def test_strangers_share_the_blame_by_network():
    assert prefix(read_path("192.0.2.7:1")) == prefix(read_path("192.0.2.200:9"))
    assert prefix(read_path("192.0.2.7:1")) != prefix(read_path("192.0.3.7:1"))
    assert prefix(read_path("[2001:db8:0:12::1]:1")) == prefix(
        read_path("[2001:db8:0:34::1]:1")
    )


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "224.0.0.1", "ff02::1", "0.0.0.0", "fe80::1", "255.255.255.255"],
)
def test_no_card_can_make_us_send_to_ourselves_or_to_many(host):
    assert not is_hintable(host)


def test_a_path_is_lost_with_the_subnet_that_it_is_on():
    eth = Local("eth0", 2, "192.0.2.1", 24, True)
    v6 = Local("eth0", 2, "fe80::5", 64, True)
    assert is_on(read_path("192.0.2.9:1"), eth)
    assert not is_on(read_path("192.0.3.9:1"), eth)
    assert is_on(read_path("[fe80::9%eth0]:1"), v6)
    assert not is_on(read_path("[fe80::9%wlan0]:1"), v6)
    assert not is_on(read_path("[fe80::9%eth0]:1"), eth)


def test_a_hint_in_our_card_is_read_as_the_path_that_it_names():
    hosts = ["192.0.2.7", "127.0.0.1", "2001:db8::7", "fe80::7"]
    hints = hints_to(hosts, 6374)
    assert hints == ["udp:192.0.2.7:6374", "udp:[2001:db8::7]:6374"]
    assert [read_hint(hint) for hint in hints] == [
        read_path("192.0.2.7:6374"),
        read_path("[2001:db8::7]:6374"),
    ]


@pytest.mark.parametrize("hint", ["udp:127.0.0.1:6374", "udp:here:6374", "adhoc:7"])
def test_a_hint_that_may_not_be_tried_names_no_path(hint):
    assert read_hint(hint) is None
