"""Which radio for what is wanted, in which way, or why not; without any radio."""

from dataclasses import dataclass

import pytest

from meshpeer.errors import NotFoundError, TransportError, UsageError
from transports.netlink_format import IFF_UP
from transports.radio import machine as machines
from transports.radio.changing import Former, Undo, undo_of
from transports.radio.links import Link
from transports.radio.machine import Blocked, Held, Machine, holder_of, named_in
from transports.radio.nl80211 import (
    JOIN_IBSS,
    NEW_INTERFACE,
    Channel,
    Combination,
    Interface,
    Kind,
    Limit,
    Radio,
    Regulatory,
)
from transports.radio.planning import Mode, Wish, ranges, ways

CHANNELS = (
    *(Channel(2407 + 5 * number, False, number > 11, False) for number in range(1, 14)),
    Channel(5180, False, True, False),
    Channel(5260, False, True, True),
)
APART = Combination((Limit(2, frozenset({Kind.MANAGED, Kind.AP})),), 2, 1)
ALL = Combination(
    (Limit(9, frozenset({Kind.MANAGED, Kind.AP, Kind.MESH, Kind.IBSS})),), 9, 1
)


def radio(
    number=0, kinds=(Kind.MANAGED, Kind.IBSS, Kind.MESH, Kind.MONITOR), combination=ALL
):
    return Radio(
        number,
        f"phy{number}",
        frozenset(kinds),
        frozenset({Kind.MONITOR}),
        (combination,),
        CHANNELS,
        {0: frozenset({10, 60})},
        frozenset({0}),
        frozenset({NEW_INTERFACE, JOIN_IBSS}),
        0,
    )


ON = Blocked(soft=False, hard=False)


@dataclass
class Here:
    """A machine in the making."""

    radios: tuple = (radio(),)
    held: tuple = ()
    country: str = "DE"
    blocked: Blocked = ON

    def machine(self):
        return Machine(
            self.radios,
            self.held,
            (Regulatory(None, self.country),),
            {one.wiphy: "ath9k_htc" for one in self.radios},
            {one.wiphy: self.blocked for one in self.radios},
            frozenset(),
            frozenset(held.interface.name for held in self.held),
        )

    def ways(self, *wish, **more):
        return ways(self.machine(), Wish(*wish, **more))


def held(number=0, *, up=False, kind=Kind.MANAGED, frequency=0, default=False, holder=""):
    one = Interface(number, number + 3, f"wlan{number}", kind, b"", "", frequency)
    link = Link(one.ifindex, one.name, IFF_UP if up else 0, frozenset(), 0)
    return Held(one, link, default, holder)


def test_a_new_interface_beside_what_is_there():
    plan, second = Here(held=(held(up=True),)).ways()
    assert (plan.way, plan.name, plan.frequency) == ("beside", "cell0", 2412)
    assert plan.interrupts == []
    assert undo_of(plan) == Undo("cell0", ())
    assert (second.way, second.name) == ("changed", "wlan0")
    assert undo_of(second) == Undo("", (Former(3, "wlan0", Kind.MANAGED, True),))


def test_one_changed_in_place_keeps_its_name():
    (plan,) = Here(held=(held(up=True),)).ways(in_place=True)
    assert (plan.way, plan.name) == ("changed", "wlan0")
    with pytest.raises(UsageError, match="keeps its name"):
        Here(held=(held(),)).ways(in_place=True, name="air0")


def test_where_two_kinds_cannot_be_together_the_other_is_set_down():
    there = Here(radios=(radio(combination=APART),), held=(held(up=True),))
    plan, _ = there.ways(Mode.MESH)
    assert (plan.way, plan.name) == ("instead", "mesh0")
    assert [one.interface.name for one in plan.set_down] == ["wlan0"]
    assert undo_of(plan).formers == (Former(3, "wlan0", Kind.MANAGED, True),)


def test_an_interface_that_is_down_is_in_nobodys_way():
    there = Here(radios=(radio(combination=APART),), held=(held(),))
    assert there.ways()[0].way == "beside"


def test_another_channel_than_that_of_the_others_needs_them_down():
    there = Here(held=(held(up=True, frequency=2437),))
    assert there.ways(channel=6)[0].way == "beside"
    assert there.ways(channel=1)[0].way == "instead"


def test_a_monitor_tunes_only_a_radio_that_is_its_own():
    alone, listening = Here(held=(held(),)), Here(held=(held(up=True, frequency=2412),))
    idle = Here(held=(held(up=True),))
    assert alone.ways(Mode.MONITOR)[0].tunes
    assert not listening.ways(Mode.MONITOR)[0].tunes
    assert idle.ways(Mode.MONITOR)[0].way == "instead"


def test_the_radio_that_interrupts_nothing_is_taken():
    there = Here(
        radios=(radio(0, combination=APART), radio(1, combination=APART)),
        held=(held(0, up=True), held(1)),
    )
    assert there.ways()[0].radio.name == "phy1"
    assert there.ways(target="wlan0")[0].radio.name == "phy0"


def test_a_default_route_is_only_touched_if_named_plainly():
    there = Here(radios=(radio(combination=APART),), held=(held(up=True, default=True),))
    with pytest.raises(UsageError, match="--take-default-route wlan0"):
        there.ways()
    with pytest.raises(UsageError, match="default route"):
        there.ways(take_default_route="wlan1")
    plan = there.ways(take_default_route="wlan0")[0]
    assert [one.interface.name for one in plan.set_down] == ["wlan0"]


def test_beside_a_default_route_nothing_is_touched_on_its_own_channel():
    there = Here(held=(held(up=True, default=True, frequency=2437),))
    (plan,) = there.ways(channel=6)
    assert plan.touched == []
    with pytest.raises(UsageError, match="--channel 6"):
        there.ways(channel=1)


def test_a_default_route_that_is_on_no_channel_now_may_need_any():
    there = Here(held=(held(up=True, default=True),))
    with pytest.raises(UsageError, match="--take-default-route wlan0"):
        there.ways()


@pytest.mark.parametrize(
    ("holder", "help_"),
    [
        ("NetworkManager", "nmcli dev set wlan0 managed no"),
        ("wpa_supplicant", "p2p_disabled=1"),
        ("hostapd", "Stop hostapd"),
    ],
)
def test_what_another_program_holds_is_left_to_it(holder, help_):
    there = Here(radios=(radio(combination=APART),), held=(held(up=True, holder=holder),))
    with pytest.raises(UsageError, match=help_):
        there.ways()


def test_somebody_elses_cell_could_not_be_put_back():
    there = Here(radios=(radio(combination=APART),), held=(held(up=True, kind=Kind.IBSS),))
    with pytest.raises(UsageError, match="end that first"):
        there.ways()


@pytest.mark.parametrize(
    ("channel", "country", "why"),
    [
        (12, "DE", "only listening is allowed in DE"),
        (12, "00", "iw reg set"),
        (52, "DE", "radar"),
        (40, "DE", "no channel 40"),
        (15, "DE", "there is no channel 15"),
        (-1, "DE", "there is no channel -1"),
    ],
)
def test_the_rules_of_the_country_are_heeded(channel, country, why):
    with pytest.raises(UsageError, match=why):
        Here(country=country).ways(channel=channel)


def test_a_channel_that_is_forbidden():
    forbidden = radio()._replace(channels=(Channel(2412, True, False, False),))
    with pytest.raises(UsageError, match="must not be used in DE; no channel is usable"):
        Here(radios=(forbidden,)).ways()


@pytest.mark.parametrize(
    ("blocked", "help_"),
    [
        (Blocked(True, False), "rfkill unblock wifi"),
        (Blocked(False, True), "switch or key"),
    ],
)
def test_a_radio_that_is_off_is_told_with_what_to_do(blocked, help_):
    with pytest.raises(TransportError, match=help_):
        Here(blocked=blocked).ways()


def test_a_firmware_that_cannot():
    there = Here(radios=(radio(kinds=(Kind.MANAGED, Kind.IBSS)),))
    with pytest.raises(UsageError, match=r"can't be mesh point.*it can: cell"):
        there.ways(Mode.MESH)


def test_no_radio_and_no_such_radio():
    with pytest.raises(NotFoundError, match="no radio"):
        Here(radios=()).ways()
    with pytest.raises(NotFoundError, match="there are phy0, wlan0"):
        Here(held=(held(),)).ways(target="wlan7")


@pytest.mark.parametrize("name", ["wlan0", "a/b", "x" * 16, "with space"])
def test_a_name_that_cannot_be(name):
    with pytest.raises(UsageError):
        Here(held=(held(),)).ways(name=name)


@pytest.mark.parametrize("network", ["", "n" * 33, "ä" * 17])
def test_a_network_name_that_802_11_has_no_room_for(network):
    with pytest.raises(UsageError, match="1 to 32 bytes"):
        Here().ways(network=network)


def test_names_are_given_in_order():
    taken = held()._replace(interface=held().interface._replace(name="cell0"))
    assert Here(held=(taken,)).ways()[0].name == "cell1"
    assert Here(held=(taken,)).ways(name="radio")[0].name == "radio"


def test_programs_are_known_by_their_command_lines():
    assert named_in("wpa_supplicant\0-B\0-iwlan0\0-c/etc/w.conf\0", "wlan0")
    assert named_in("wpa_supplicant\0-i\0wlan0\0", "wlan0")
    assert not named_in("wpa_supplicant\0-u\0-s\0", "wlan0")
    assert not named_in("wpa_supplicant\0-iwlan01\0", "wlan0")
    assert holder_of(held().interface, {}) == ""
    mine = held().interface
    assert holder_of(mine, {"wpa_supplicant": "w\0-iwlan0\0"}) == "wpa_supplicant"
    assert holder_of(mine, {machines.NETWORK_MANAGER: ""}) == machines.NETWORK_MANAGER


def test_ranges_of_channels():
    assert ranges([1, 2, 3, 6, 36, 40, 44, 100, 0]) == "1-3, 6, 36-44, 100"
    assert ranges([]) == ""
