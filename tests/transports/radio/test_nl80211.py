"""What a kernel tells of radios, read from bytes that one did tell (`tests/radio/record.py`)."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshpeer.errors import TransportError
from transports.adhoc.dot11 import bssid_of
from transports.netlink_format import (
    RTM_NEWLINK,
    RTM_NEWROUTE,
    Message,
    attribute,
    attributes,
    messages,
    name,
    nested,
    number,
    text,
    u32,
)
from transports.radio import links, nl80211
from transports.radio.links import Link, carrying
from transports.radio.nl80211 import Combination, Kind, Limit

TOLD = {
    question: [bytes.fromhex(body) for body in bodies]
    for question, bodies in json.loads(
        gzip.decompress(Path(__file__).with_name("recorded.json.gz").read_bytes())
    ).items()
}


@pytest.fixture(scope="module")
def radio():
    (found,) = nl80211.read_radios(TOLD["radios"])
    return found


def test_a_radio_is_put_together_from_its_pieces(radio):
    assert len(TOLD["radios"]) > 5
    assert (radio.wiphy, radio.name) == (0, "phy0")
    assert radio.kinds >= {Kind.IBSS, Kind.MESH, Kind.MONITOR, Kind.AP, Kind.MANAGED}
    assert radio.software == {Kind.AP_VLAN, Kind.MONITOR}
    assert nl80211.NEW_INTERFACE in radio.commands
    assert radio.features & nl80211.FEATURE_HT_IBSS
    assert {0, 1} <= radio.ht_bands
    assert radio.rates[0] >= {10, 60, 540}


def test_channels_say_what_is_allowed_where_no_country_is_set(radio):
    assert [c.number for c in radio.channels if c.usable] == list(range(1, 12))
    assert radio.channel(2472).no_ir
    assert radio.channel(5260).radar
    assert radio.channel(5955).disabled
    assert radio.channel(2000) is None


def test_kinds_that_can_be_together(radio):
    assert radio.together([Kind.IBSS, Kind.AP]) == 1
    assert radio.together([Kind.IBSS, Kind.IBSS]) == 0
    assert radio.together([Kind.MESH, Kind.MONITOR, Kind.MONITOR]) == 1
    assert radio.together([Kind.NAN]) == 0


def test_a_combination_gives_each_kind_its_room():
    one_of_two = Combination(
        (Limit(1, frozenset({Kind.AP, Kind.MESH})), Limit(2, frozenset({Kind.MANAGED}))),
        2,
        1,
    )
    assert one_of_two.allows([Kind.AP, Kind.MANAGED])
    assert one_of_two.allows([Kind.MANAGED, Kind.MANAGED])
    assert not one_of_two.allows([Kind.AP, Kind.MESH])
    assert not one_of_two.allows([Kind.AP, Kind.MANAGED, Kind.MANAGED])
    assert not one_of_two.allows([Kind.IBSS])


def test_interfaces_with_their_cell():
    found = {one.name: one for one in map(nl80211.read_interface, TOLD["interfaces"])}
    assert set(found) >= {"wlan0", "wlan1", "cell0", "cell1"}
    assert found["cell0"].kind is Kind.IBSS
    assert (found["cell0"].network, found["cell0"].frequency) == ("meshpeer", 2412)
    assert found["wlan0"].kind is Kind.MANAGED
    assert found["wlan1"].radio == found["cell1"].radio == 1


def test_a_station_that_is_heard():
    (station,) = map(nl80211.read_station, TOLD["stations"])
    other = next(
        one
        for one in map(nl80211.read_interface, TOLD["interfaces"])
        if one.name == "cell1"
    )
    assert station.mac == other.mac
    assert station.signal == -30
    assert station.send_rate >= 1_000_000
    assert station.received > 0


def test_the_regulatory_domain():
    assert nl80211.read_regulatory(TOLD["regulatory"])[0] == (None, "00")


def test_links_and_default_routes():
    there = list(links.read_links(Message(RTM_NEWLINK, body) for body in TOLD["links"]))
    wlan0 = next(link for link in there if link.name == "wlan0")
    assert wlan0.is_up
    routes = [Message(RTM_NEWROUTE, body) for body in TOLD["routes"]]
    assert links.read_default_routes(routes) == {wlan0.ifindex}


def test_what_a_default_route_stands_on_carries_it_too():
    bridge = Link(5, "br0", 1, frozenset(), 0)
    port = Link(6, "wlan0", 1, frozenset({5}), 0)
    vlan = Link(7, "wlan1.2", 1, frozenset(), 8)
    lower = Link(8, "wlan1", 1, frozenset(), 0)
    free = Link(9, "wlan2", 1, frozenset(), 0)
    there = [bridge, port, vlan, lower, free]
    assert carrying(frozenset({5}), there) == {5, 6}
    assert carrying(frozenset({7}), there) == {7, 8}
    assert carrying(frozenset(), there) == set()


@given(st.integers(1, 14))
def test_a_channel_of_2_4_ghz_and_its_frequency(channel):
    assert nl80211.number_of(nl80211.frequency_of(channel)) == channel


@given(st.integers(32, 184))
def test_a_channel_of_5_ghz_and_its_frequency(channel):
    assert nl80211.number_of(nl80211.frequency_of(channel)) == channel


READERS = (
    lambda data: nl80211.read_radios([data]),
    nl80211.read_interface,
    nl80211.read_station,
    lambda data: nl80211.read_regulatory([data]),
    lambda data: list(links.read_links([Message(RTM_NEWLINK, data)])),
    lambda data: links.read_default_routes([Message(RTM_NEWROUTE, data)]),
    lambda data: list(messages(data)),
)
bodies = st.sampled_from([body for told in TOLD.values() for body in told])


@st.composite
def bent(draw):
    """Something that a kernel told, with some bytes changed and the end cut."""
    body = bytearray(draw(bodies))
    for _ in range(draw(st.integers(0, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))])


@pytest.mark.parametrize("reader", READERS)
@given(data=st.one_of(st.binary(max_size=300), bent()))
def test_any_bytes_give_something_or_a_transport_error(reader, data):
    with suppress(TransportError):
        reader(data)


numbers = st.integers(1, 300)
values = st.binary(max_size=40)


@given(st.lists(st.tuples(numbers, values), max_size=5))
def test_reading_attributes_undoes_writing_them(pairs):
    written = b"".join(attribute(number, value) for number, value in pairs)
    assert list(attributes(written)) == pairs
    assert list(attributes(nested(7, written))) == [(7, written)]


@given(kind=numbers, value=st.integers(0, 2**32 - 1), word=st.text(max_size=10))
def test_numbers_and_names_are_read_as_written(kind, value, word):
    ((_, told),) = attributes(u32(kind, value))
    assert number(told) == value
    ((_, told),) = attributes(name(kind, word.replace("\0", "")))
    assert text(told) == word.replace("\0", "")


def test_the_cell_has_one_bssid_for_each_network():
    assert bssid_of("meshpeer") != bssid_of("village")
    assert bssid_of("meshpeer")[0] & 3 == 2
