"""A plan carried out, and undone.

Doing needs CAP_NET_ADMIN alone. What is new or joined belongs to the socket of `Setup`: the
kernel takes it away when that closes. `put_back` does the rest, for what was set down or got
another type; it may run any number of times, and after any part of the doing.
"""

import errno
from typing import Final, NamedTuple, Self

from meshpeer.errors import TransportError
from transports.adhoc.dot11 import bssid_of
from transports.netlink_format import attribute, name, nested, u32
from transports.radio import nl80211
from transports.radio.kernel import Conversation, Family
from transports.radio.links import Link, ask_links, keep_quiet, set_link
from transports.radio.machine import NETLINK_ROUTE, Held
from transports.radio.nl80211 import Interface, Kind
from transports.radio.planning import Mode, Plan

BROADCAST_RATE: Final = 60
"""In 100 kbit/s. Frames to all go at 1 Mbit/s otherwise, and take six times as long."""
FORWARDING_OFF: Final = bytes((0,))
"""Peers pass on what is for others themselves: a mesh that forwards would flood each beacon."""


class Former(NamedTuple):
    """An interface as it was before."""

    ifindex: int
    name: str
    kind: int
    up: bool


class Undo(NamedTuple):
    """All that it takes to put a machine's radios back as they were."""

    ours: str
    """The interface that we make; empty if none is made."""
    formers: tuple[Former, ...]


def undo_of(plan: Plan) -> Undo:
    """Give what will put back whatever of the plan was done."""
    return Undo("" if plan.changed else plan.name, tuple(map(_former, plan.touched)))


def _former(held: Held) -> Former:
    one = held.interface
    return Former(one.ifindex, one.name, int(one.kind), held.is_up)


class Setup:
    """One interface set up by us; gone or idle when this is closed."""

    def __init__(self) -> None:
        self._route = Conversation(NETLINK_ROUTE)
        self._radio = Family("nl80211")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go: the kernel takes away what we made or joined."""
        self._radio.close()
        self._route.close()

    def carry_out(self, plan: Plan) -> int:
        """Do it and give the interface's index; TransportError says what was refused.

        Whatever was done of it until then is undone by `put_back`.
        """
        doing = "set down"
        try:
            for held in plan.set_down:
                set_link(self._route, held.interface.ifindex, up=False)
            doing = "make" if plan.changed is None else "change"
            index = (
                self._make(plan)
                if plan.changed is None
                else self._change(plan.changed, plan)
            )
            doing = "set up"
            set_link(self._route, index, up=True)
            doing = "join"
            self._join(plan, index)
        except OSError as error:
            raise TransportError(_refusal(plan, doing, error)) from error
        return index

    def _make(self, plan: Plan) -> int:
        parts = [
            u32(nl80211.WIPHY, plan.radio.wiphy),
            name(nl80211.IFNAME, plan.name),
            u32(nl80211.IFTYPE, plan.mode.kind),
            attribute(nl80211.SOCKET_OWNER),
        ]
        if plan.mode is Mode.MONITOR:
            parts.append(_monitor_flags())
        (told,) = self._radio.order(nl80211.NEW_INTERFACE, *parts)
        index = nl80211.read_interface(told).ifindex
        if plan.mode is not Mode.MONITOR:
            keep_quiet(self._route, index)
        return index

    def _change(self, held: Held, plan: Plan) -> int:
        index = held.interface.ifindex
        set_link(self._route, index, up=False)
        self._radio.order(
            nl80211.SET_INTERFACE,
            u32(nl80211.IFINDEX, index),
            u32(nl80211.IFTYPE, plan.mode.kind),
            *([_monitor_flags()] if plan.mode is Mode.MONITOR else []),
        )
        return index

    def _join(self, plan: Plan, index: int) -> None:
        at = (u32(nl80211.IFINDEX, index), u32(nl80211.WIPHY_FREQ, plan.frequency))
        owned = attribute(nl80211.SOCKET_OWNER)
        rate = u32(nl80211.MCAST_RATE, BROADCAST_RATE)
        wide = u32(nl80211.WIPHY_CHANNEL_TYPE, nl80211.HT20 if plan.ht else nl80211.NO_HT)
        network = plan.network.encode()
        if plan.mode is Mode.MONITOR:
            if not plan.tunes:
                return
            narrow = u32(nl80211.WIPHY_CHANNEL_TYPE, nl80211.NO_HT)
            self._radio.order(nl80211.SET_WIPHY, *at, narrow)
        elif plan.mode is Mode.CELL:
            if not plan.radio.features & nl80211.FEATURE_HT_IBSS:
                wide = u32(nl80211.WIPHY_CHANNEL_TYPE, nl80211.NO_HT)
            self._radio.order(
                nl80211.JOIN_IBSS,
                *at,
                wide,
                attribute(nl80211.SSID, network),
                attribute(nl80211.MAC, bssid_of(plan.network)),
                attribute(nl80211.FREQ_FIXED),
                rate,
                owned,
            )
        else:
            forwarding = attribute(nl80211.MESHCONF_FORWARDING, FORWARDING_OFF)
            self._radio.order(
                nl80211.JOIN_MESH,
                *at,
                wide,
                attribute(nl80211.MESH_ID, network),
                nested(nl80211.MESH_CONFIG, forwarding),
                rate,
                owned,
            )


def _monitor_flags() -> bytes:
    """Frames of other cells are wanted, acknowledgements and frames with errors aren't."""
    return nested(nl80211.MNTR_FLAGS, attribute(nl80211.MNTR_FLAG_OTHER_BSS))


def _refusal(plan: Plan, doing: str, error: OSError) -> str:
    said = (error.strerror or str(error)).rstrip(".")
    text = f"{plan.name} on {plan.radio.name}: the kernel refuses to {doing} it: {said}"
    helps = {
        errno.EPERM: "this needs CAP_NET_ADMIN",
        errno.ERFKILL: "the radio is switched off: `sudo rfkill unblock wifi`",
        errno.EBUSY: "something else uses the radio; `meshpeer radio list` shows what",
        errno.EOPNOTSUPP: "the driver or firmware can't",
        errno.ENODEV: "the radio went away",
    }
    help_ = helps.get(error.errno or 0)
    return f"{text} ({help_})" if help_ else text


def put_back(undo: Undo) -> list[str]:
    """Make all as it was; gives what could not be, as sentences. Harmless when all is."""
    failed = []
    try:
        family = Family("nl80211")
    except FileNotFoundError:  # the last radio went away, and its driver
        return []
    with family, Conversation(NETLINK_ROUTE) as route:
        there = _interfaces(family)
        ours = next(
            (one for one in there.values() if undo.ours and one.name == undo.ours), None
        )
        if ours is not None:
            try:
                family.order(nl80211.DEL_INTERFACE, u32(nl80211.IFINDEX, ours.ifindex))
            except OSError as error:
                if error.errno != errno.ENODEV:  # the kernel was faster
                    failed.append(f"{ours.name} is still there: {error.strerror}")
        for former in undo.formers:
            now = there.get(former.ifindex)
            if now is not None:
                links = {link.ifindex: link for link in ask_links(route)}
                failed += _put_one_back(route, family, former, now, links)
    return failed


def _interfaces(family: Family) -> dict[int, Interface]:
    found = map(nl80211.read_interface, family.ask(nl80211.GET_INTERFACE))
    return {one.ifindex: one for one in found if one.ifindex}


def _put_one_back(
    route: Conversation,
    family: Family,
    former: Former,
    now: Interface,
    links: dict[int, Link],
) -> list[str]:
    index = former.ifindex
    up = index in links and links[index].is_up
    try:
        if now.kind != former.kind:
            if up:
                set_link(route, index, up=False)
            kind = u32(nl80211.IFTYPE, former.kind)
            family.order(nl80211.SET_INTERFACE, u32(nl80211.IFINDEX, index), kind)
            up = False
        if up != former.up:
            set_link(route, index, up=former.up)
    except OSError as error:
        was = f"{Kind(former.kind).word} and {'up' if former.up else 'down'}"
        return [f"{now.name} was {was}, and can't be so again: {error.strerror}"]
    return []
