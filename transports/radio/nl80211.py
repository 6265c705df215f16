"""What the kernel tells of radios (nl80211), read from bytes.

A radio (`phy0`) is told in many pieces, merged here by its index. Numbers are those of
linux/nl80211.h; what is not known is left out. Malformed bytes raise TransportError: they come
from the kernel, so they mean that we misread it.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from transports.netlink_format import attributes, number, text

GET_WIPHY, SET_WIPHY, GET_INTERFACE, SET_INTERFACE = 1, 2, 5, 6
NEW_INTERFACE, DEL_INTERFACE, GET_STATION, GET_REG = 7, 8, 17, 31
JOIN_IBSS, LEAVE_IBSS, JOIN_MESH, LEAVE_MESH = 43, 44, 68, 69

WIPHY, WIPHY_NAME, IFINDEX, IFNAME, IFTYPE, MAC = 1, 2, 3, 4, 5, 6
STA_INFO, WIPHY_BANDS, MNTR_FLAGS, MESH_ID = 21, 22, 23, 24
SUPPORTED_IFTYPES, REG_ALPHA2, MESH_CONFIG = 32, 33, 35
WIPHY_FREQ, WIPHY_CHANNEL_TYPE, SUPPORTED_COMMANDS, SSID, FREQ_FIXED = 38, 39, 50, 52, 60
MCAST_RATE, INTERFACE_COMBINATIONS, SOFTWARE_IFTYPES, FEATURE_FLAGS = 107, 120, 121, 143
SPLIT_WIPHY_DUMP, SOCKET_OWNER = 174, 204

BAND_FREQS, BAND_RATES, BAND_HT_MCS_SET = 1, 2, 3
FREQ, DISABLED, NO_IR, RADAR = 1, 2, 3, 5
LIMIT_MAX, LIMIT_TYPES = 1, 2
COMB_LIMITS, COMB_MAXNUM, COMB_NUM_CHANNELS = 1, 2, 4
INACTIVE, PLINK_STATE, SIGNAL, TX_BITRATE, SIGNAL_AVG, RX_BITRATE = 1, 6, 7, 8, 13, 14
RX_BYTES64, TX_BYTES64 = 23, 24
BITRATE, BITRATE32 = 1, 5
FEATURE_HT_IBSS: Final = 1 << 1
FEATURE_MAC_ON_CREATE: Final = 1 << 15
MESHCONF_FORWARDING: Final = 19
MNTR_FLAG_OTHER_BSS: Final = 4
NO_HT, HT20 = 0, 1
WORLD: Final = "00"
"""The regulatory domain that holds where nobody said which country this is."""
PLINKS: Final = ("listen", "asked", "was asked", "confirmed", "up", "holding", "blocked")


class Kind(IntEnum):
    """What an interface is; the numbers are the kernel's."""

    UNSPECIFIED = 0
    IBSS = 1
    MANAGED = 2
    AP = 3
    AP_VLAN = 4
    WDS = 5
    MONITOR = 6
    MESH = 7
    P2P_CLIENT = 8
    P2P_GO = 9
    P2P_DEVICE = 10
    OCB = 11
    NAN = 12

    @property
    def word(self) -> str:
        """The name by which `iw` and people know it."""
        return WORDS.get(self, self.name.replace("_", "-"))


WORDS: Final = {
    Kind.MANAGED: "managed",
    Kind.MONITOR: "monitor",
    Kind.MESH: "mesh point",
    Kind.P2P_DEVICE: "P2P-device",
    Kind.AP_VLAN: "AP/VLAN",
    Kind.UNSPECIFIED: "unspecified",
}


class Channel(NamedTuple):
    """One channel of a radio, with what the regulatory domain says of it."""

    frequency: int
    """In MHz."""
    disabled: bool
    no_ir: bool
    """Nothing may be sent here that nobody asked for: no cell, no mesh, no access point."""
    radar: bool

    @property
    def number(self) -> int:
        """The channel's number within its band, 0 if it has none."""
        return number_of(self.frequency)

    @property
    def usable(self) -> bool:
        """Whether a cell or mesh of ours may be there."""
        return not (self.disabled or self.no_ir or self.radar)


class Limit(NamedTuple):
    """At most so many interfaces of these kinds together."""

    most: int
    kinds: frozenset[Kind]


class Combination(NamedTuple):
    """A set of interfaces that a radio can have up at the same time."""

    limits: tuple[Limit, ...]
    most: int
    channels: int

    def allows(self, kinds: Iterable[Kind]) -> bool:
        """Whether these kinds can be up together."""
        room = [limit.most for limit in self.limits]
        wanted = list(kinds)
        for kind in wanted:
            places = [n for n, limit in enumerate(self.limits) if kind in limit.kinds]
            if not places:
                return False
            for place in places:
                room[place] -= 1
        return len(wanted) <= self.most and min(room, default=0) >= 0


class Radio(NamedTuple):
    """A radio and what it can do."""

    wiphy: int
    name: str
    kinds: frozenset[Kind]
    software: frozenset[Kind]
    """Kinds that can always be there beside others."""
    combinations: tuple[Combination, ...]
    channels: tuple[Channel, ...]
    rates: dict[int, frozenset[int]]
    """For each band, the rates in units of 100 kbit/s."""
    ht_bands: frozenset[int]
    commands: frozenset[int]
    features: int

    def together(self, kinds: Iterable[Kind]) -> int:
        """Say on how many channels these kinds can be up together; 0 if they can't."""
        wanted = [kind for kind in kinds if kind not in self.software]
        if len(wanted) <= 1:
            return 1 if self.kinds.issuperset(wanted) else 0
        fitting = [c.channels for c in self.combinations if c.allows(wanted)]
        return max(fitting, default=0)

    def channel(self, frequency: int) -> Channel | None:
        """Give one of its channels."""
        return next((c for c in self.channels if c.frequency == frequency), None)


class Interface(NamedTuple):
    """A wireless interface as it is now."""

    radio: int
    ifindex: int
    """0 for one that is no network device, such as a P2P-device."""
    name: str
    kind: Kind
    mac: bytes
    network: str
    """What it is joined or connected to, if the kernel says; else empty."""
    frequency: int
    """In MHz, 0 where it is on none."""


class Station(NamedTuple):
    """Somebody whom an interface hears."""

    mac: bytes
    quiet_ms: int | None
    signal: int | None
    """In dBm, of the last frame."""
    signal_average: int | None
    send_rate: int | None
    """In bit/s, as the radio's rate control has it."""
    receive_rate: int | None
    sent: int
    received: int
    plink: str
    """Of a mesh: how far the two are with each other; `up` is good."""


class Regulatory(NamedTuple):
    """A regulatory domain: for one radio, or for all that have none of their own (None)."""

    radio: int | None
    country: str


def number_of(frequency: int) -> int:
    """Give the channel's number within its band, 0 if it has none."""
    if frequency == 2484:
        return 14
    if 2407 < frequency < 2484:
        return (frequency - 2407) // 5
    if 5000 < frequency < 5925:
        return (frequency - 5000) // 5
    return (frequency - 5950) // 5 if 5950 < frequency < 7125 else 0


def frequency_of(channel: int) -> int:
    """Give the frequency in MHz of a channel of the bands of 2.4 and 5 GHz, 0 if there is none."""
    if channel == 14:
        return 2484
    if 1 <= channel <= 13:
        return 2407 + 5 * channel
    return 5000 + 5 * channel if 32 <= channel <= 184 else 0


def read_radios(bodies: Iterable[bytes]) -> list[Radio]:
    """Read the answers to GET_WIPHY, split or not."""
    found: dict[int, _Pieces] = {}
    for body in bodies:
        told = dict(attributes(body))
        if WIPHY in told:
            index = number(told[WIPHY])
            found.setdefault(index, _Pieces(index)).add(told)
    return [pieces.radio() for pieces in found.values()]


class _Pieces:
    """A radio while it is told of, piece by piece."""

    def __init__(self, wiphy: int) -> None:
        self.wiphy = wiphy
        self.told: dict[int, bytes] = {}
        self.channels: dict[int, Channel] = {}
        self.rates: dict[int, frozenset[int]] = {}
        self.ht_bands: set[int] = set()

    def add(self, told: dict[int, bytes]) -> None:
        bands = told.pop(WIPHY_BANDS, b"")
        self.told |= told
        for band, inside in attributes(bands):
            for kind, value in attributes(inside):
                if kind == BAND_FREQS:
                    for channel in _read_channels(value):
                        self.channels[channel.frequency] = channel
                elif kind == BAND_RATES:
                    self.rates[band] = frozenset(
                        number(dict(attributes(rate)).get(1))
                        for _, rate in attributes(value)
                    )
                elif kind == BAND_HT_MCS_SET and any(value):
                    self.ht_bands.add(band)

    def radio(self) -> Radio:
        told = self.told
        commands = attributes(told.get(SUPPORTED_COMMANDS, b""))
        return Radio(
            wiphy=self.wiphy,
            name=text(told.get(WIPHY_NAME, b"")),
            kinds=_read_kinds(told.get(SUPPORTED_IFTYPES, b"")),
            software=_read_kinds(told.get(SOFTWARE_IFTYPES, b"")),
            combinations=tuple(_read_combinations(told.get(INTERFACE_COMBINATIONS, b""))),
            channels=tuple(self.channels[f] for f in sorted(self.channels)),
            rates=self.rates,
            ht_bands=frozenset(self.ht_bands),
            commands=frozenset(number(value) for _, value in commands),
            features=number(told.get(FEATURE_FLAGS)),
        )


def _read_channels(data: bytes) -> Iterator[Channel]:
    for _, inside in attributes(data):
        told = dict(attributes(inside))
        if FREQ in told:
            yield Channel(
                number(told[FREQ]), DISABLED in told, NO_IR in told, RADAR in told
            )


def _read_kinds(data: bytes) -> frozenset[Kind]:
    known = set(Kind)
    return frozenset(Kind(kind) for kind, _ in attributes(data) if kind in known)


def _read_combinations(data: bytes) -> Iterator[Combination]:
    for _, inside in attributes(data):
        told = dict(attributes(inside))
        limits = []
        for _, limit in attributes(told.get(COMB_LIMITS, b"")):
            parts = dict(attributes(limit))
            limits.append(
                Limit(
                    number(parts.get(LIMIT_MAX)), _read_kinds(parts.get(LIMIT_TYPES, b""))
                )
            )
        yield Combination(
            tuple(limits),
            number(told.get(COMB_MAXNUM)),
            number(told.get(COMB_NUM_CHANNELS)),
        )


def read_interface(body: bytes) -> Interface:
    """Read one answer to GET_INTERFACE or NEW_INTERFACE."""
    told = dict(attributes(body))
    kind = number(told.get(IFTYPE))
    network = told.get(SSID, told.get(MESH_ID, b""))
    return Interface(
        radio=number(told.get(WIPHY)),
        ifindex=number(told.get(IFINDEX)),
        name=text(told.get(IFNAME, b"")),
        kind=Kind(kind) if kind in set(Kind) else Kind.UNSPECIFIED,
        mac=told.get(MAC, b""),
        network=network.decode("utf-8", "replace"),
        frequency=number(told.get(WIPHY_FREQ)),
    )


def read_station(body: bytes) -> Station:
    """Read one answer to GET_STATION."""
    told = dict(attributes(body))
    info = dict(attributes(told.get(STA_INFO, b"")))
    plink = number(info.get(PLINK_STATE), len(PLINKS))
    return Station(
        mac=told.get(MAC, b""),
        quiet_ms=number(info[INACTIVE]) if INACTIVE in info else None,
        signal=_signal(info.get(SIGNAL)),
        signal_average=_signal(info.get(SIGNAL_AVG)),
        send_rate=_rate(info.get(TX_BITRATE)),
        receive_rate=_rate(info.get(RX_BITRATE)),
        sent=number(info.get(TX_BYTES64)),
        received=number(info.get(RX_BYTES64)),
        plink=PLINKS[plink] if plink < len(PLINKS) else "",
    )


def read_regulatory(bodies: Iterable[bytes]) -> list[Regulatory]:
    """Read the answers to GET_REG."""
    found = []
    for body in bodies:
        told = dict(attributes(body))
        radio = number(told[WIPHY]) if WIPHY in told else None
        found.append(Regulatory(radio, text(told.get(REG_ALPHA2, b""))))
    return found


def _signal(value: bytes | None) -> int | None:
    return struct.unpack("b", value)[0] if value is not None and len(value) == 1 else None


def _rate(value: bytes | None) -> int | None:
    """Read a rate in bit/s; the kernel counts in 100 kbit/s."""
    if value is None:
        return None
    told = dict(attributes(value))
    rate = number(told.get(BITRATE32, told.get(BITRATE)))
    return rate * 100_000 or None
