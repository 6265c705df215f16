"""Which radio for what is wanted, and in which way; or why not. Nothing is done here.

There are three ways, tried in this order, since each does more harm than the one before:

    beside   a new interface of ours, next to those that are there and go on
    instead  a new interface of ours; others of the radio are set down as long as it is there
    changed  an interface that is there gets another type: all that some radios can do, such
             as a Raspberry Pi's own (brcmfmac), whose driver makes no new interface for a cell

In the first two the kernel takes our interface away when our process ends, however it ends.
What is set down or changed is put back by us (see `guardian`).

The channel is fixed and the same everywhere, and the cell's BSSID is a hash of the network's
name: two radios that start a cell together without that make two cells and never meet.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from meshpeer.errors import NotFoundError, TransportError, UsageError
from transports.radio.machine import NETWORK_MANAGER, SUPPLICANT, Held, Machine
from transports.radio.nl80211 import NEW_INTERFACE, WORLD, Kind, Radio, frequency_of

DEFAULT_CHANNEL: Final = 1
DEFAULT_NETWORK: Final = "meshpeer"
NETWORK_BYTES: Final = 32
"""The longest name that 802.11 has room for, of a cell or of a mesh."""
NAME_BYTES: Final = 15


RESTORABLE: Final = frozenset({Kind.MANAGED, Kind.MONITOR})
"""What is as it was when its type is set and it is up or down again; a cell must be joined."""


class Mode(Enum):
    """What an interface is set up as."""

    CELL = "cell"
    MESH = "mesh"
    MONITOR = "monitor"

    @property
    def kind(self) -> Kind:
        """The kernel's type for it."""
        return {Mode.CELL: Kind.IBSS, Mode.MESH: Kind.MESH, Mode.MONITOR: Kind.MONITOR}[
            self
        ]

    @property
    def device(self) -> str:
        """The beginning of our interface's name."""
        return {Mode.CELL: "cell", Mode.MESH: "mesh", Mode.MONITOR: "mon"}[self]


class Wish(NamedTuple):
    """What somebody wants."""

    mode: Mode = Mode.CELL
    target: str = ""
    """An interface or a radio by name; empty: any."""
    channel: int = DEFAULT_CHANNEL
    network: str = DEFAULT_NETWORK
    name: str = ""
    """What the new interface is called; empty: cell0, mesh0 or mon0."""
    take_default_route: str = ""
    """The one interface that may be touched though a default route leads over it."""
    in_place: bool = False
    """Only the third way: the interface keeps its name, whatever its driver can."""


class Plan(NamedTuple):
    """One way to do it."""

    radio: Radio
    mode: Mode
    network: str
    frequency: int
    ht: bool
    """Whether 802.11n may be used, on 20 MHz."""
    name: str
    """The interface that will be there."""
    changed: Held | None
    """The interface that gets another type; None: a new one is made."""
    set_down: tuple[Held, ...]
    """Others, set down meanwhile."""
    tunes: bool
    """Whether the channel is ours to set; a monitor beside others is on theirs."""

    @property
    def touched(self) -> list[Held]:
        """All that is not ours and won't go on as it is."""
        return [*([self.changed] if self.changed else []), *self.set_down]

    @property
    def way(self) -> str:
        """The way's name, as above."""
        return "changed" if self.changed else "instead" if self.set_down else "beside"

    @property
    def interrupts(self) -> list[Held]:
        """Of those, the ones that are in use now."""
        return [held for held in self.touched if held.is_up]


def ways(machine: Machine, wish: Wish) -> list[Plan]:
    """Give what can be tried, the most harmless first; an error says why nothing can."""
    _check(machine, wish)
    refusals: list[Exception] = []
    found: list[Plan] = []
    for radio in candidates(machine, wish):
        try:
            found += ways_of(machine, radio, wish)
        except (UsageError, TransportError) as refusal:
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return sorted(found, key=lambda plan: (len(plan.interrupts), plan.changed is not None))


def _check(machine: Machine, wish: Wish) -> None:
    if not 1 <= len(wish.network.encode()) <= NETWORK_BYTES:
        raise UsageError(
            f"a network's name has 1 to {NETWORK_BYTES} bytes, "
            f"not {len(wish.network.encode())}"
        )
    if not frequency_of(wish.channel):
        raise UsageError(f"there is no channel {wish.channel}; try 1 to 13 or 36 to 177")
    if wish.name:
        if wish.in_place:
            raise UsageError("an interface that is changed in place keeps its name")
        if len(wish.name.encode()) > NAME_BYTES or set(wish.name) & set("/: \t\n"):
            raise UsageError(f"{wish.name!r} can't be an interface's name")
        if wish.name in machine.names:
            raise UsageError(f"there is a {wish.name} already")


def candidates(machine: Machine, wish: Wish) -> list[Radio]:
    """Give the radios that are meant; NotFoundError if there is none."""
    if not machine.radios:
        raise NotFoundError(
            "this machine has no radio that Linux knows (nl80211). Is the stick in, and its "
            "driver and firmware there? `dmesg | grep -i firmware` tells"
        )
    meant = [
        radio
        for radio in machine.radios
        if wish.target in {"", radio.name}
        or any(held.interface.name == wish.target for held in machine.of(radio))
    ]
    if not meant:
        there = [radio.name for radio in machine.radios]
        there += [held.interface.name for held in machine.held if held.interface.name]
        raise NotFoundError(
            f"there is no radio or wireless interface {wish.target!r}; "
            f"there are {', '.join(there)}"
        )
    return meant


def ways_of(machine: Machine, radio: Radio, wish: Wish) -> list[Plan]:
    """Give the ways of one radio; an error says why there is none."""
    kind = wish.mode.kind
    if kind not in radio.kinds:
        can = ", ".join(word for word in abilities(radio)) or "neither"
        raise UsageError(
            f"{radio.name} ({machine.drivers.get(radio.wiphy) or 'unknown driver'}) can't be "
            f"{kind.word}: its driver or firmware has no such mode. "
            f"Of cell, mesh and monitor it can: {can}"
        )
    check_channel(machine, radio, wish)
    check_switch(machine, radio)
    found: list[Plan] = []
    refusals: list[UsageError] = []
    for plan in _all_ways(machine, radio, wish):
        try:
            _check_touched(machine, plan, wish)
        except UsageError as refusal:
            refusals.append(refusal)
        else:
            found.append(plan)
    if not found:
        raise (
            refusals[0] if refusals else UsageError(f"{radio.name} has no interface to use")
        )
    return found


def abilities(radio: Radio) -> list[str]:
    """Name what of ours a radio can be."""
    return [mode.value for mode in Mode if mode.kind in radio.kinds]


def check_channel(machine: Machine, radio: Radio, wish: Wish) -> None:
    """Raise UsageError if nothing of ours may be on the channel, by this radio's rules."""
    channel = radio.channel(frequency_of(wish.channel))
    if channel is not None and channel.usable:
        return
    country = machine.country(radio)
    rules = "the rules that hold where no country is set" if country == WORLD else country
    if channel is None:
        why = f"{radio.name} has no channel {wish.channel}"
    elif channel.disabled:
        why = f"channel {wish.channel} must not be used in {rules}"
    elif channel.radar:
        why = f"channel {wish.channel} belongs to radar first, and no cell may begin there"
    else:
        why = f"on channel {wish.channel} only listening is allowed in {rules}"
    usable = ranges(one.number for one in radio.channels if one.usable)
    help_ = f"usable are {usable}" if usable else "no channel is usable"
    if country == WORLD:
        help_ += (
            ". If this machine doesn't know its country, tell the system, not meshpeer: "
            "`sudo iw reg set CC`, on a Raspberry Pi `sudo raspi-config`"
        )
    raise UsageError(f"{why}; {help_}")


def ranges(numbers: Iterable[int]) -> str:
    """Write 1, 2, 3, 6 as 1-3, 6; the channels of 5 GHz lie four apart."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers) - {0}):
        if runs and number - runs[-1][-1] == (4 if number > 30 else 1):
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def check_switch(machine: Machine, radio: Radio) -> None:
    """Raise TransportError if rfkill keeps the radio off."""
    blocked = machine.blocked.get(radio.wiphy)
    if blocked is not None and blocked.hard:
        raise TransportError(
            f"{radio.name} is switched off by a switch or key of this machine (rfkill)"
        )
    if blocked is not None and blocked.soft:
        raise TransportError(
            f"{radio.name} is switched off (rfkill): `sudo rfkill unblock wifi`; on a Raspberry "
            "Pi it stays off until a country is set, `sudo raspi-config`"
        )


def _all_ways(machine: Machine, radio: Radio, wish: Wish) -> Iterator[Plan]:
    """Give every way that the radio's abilities don't exclude."""
    frequency = frequency_of(wish.channel)
    there = [held for held in machine.of(radio) if held.interface.ifindex]
    up = [held for held in there if held.is_up]
    beside = Plan(
        radio=radio,
        mode=wish.mode,
        network=wish.network,
        frequency=frequency,
        ht=_band(frequency) in radio.ht_bands,
        name=wish.name or _free_name(machine, wish.mode.device),
        changed=None,
        set_down=(),
        tunes=True,
    )
    if NEW_INTERFACE in radio.commands and not wish.in_place:
        if _fits(radio, wish.mode, frequency, up):
            listens = wish.mode is Mode.MONITOR
            yield beside._replace(tunes=not (listens and _others(up)))
        elif up:
            yield beside._replace(set_down=tuple(up))
    for held in there:
        if wish.target in {"", radio.name, held.interface.name} and not wish.name:
            others = tuple(other for other in up if other is not held)
            yield beside._replace(name=held.interface.name, changed=held, set_down=others)


def _fits(radio: Radio, mode: Mode, frequency: int, up: list[Held]) -> bool:
    """Whether ours can be beside the others, that go on where they are."""
    channels = radio.together([mode.kind, *(held.interface.kind for held in up)])
    used = {held.interface.frequency for held in up} - {0}
    if mode is Mode.MONITOR and any(
        h.interface.frequency != frequency for h in _others(up)
    ):
        return False  # Linux tunes a radio for a monitor only where it has nothing else
    if any(held.default_route and not held.interface.frequency for held in up):
        return False  # ours would keep it from the channel where it finds its network again
    return channels > 0 and len(used | {frequency}) <= channels


def _others(up: list[Held]) -> list[Held]:
    """Give those that are more than listeners."""
    return [held for held in up if held.interface.kind is not Kind.MONITOR]


def _band(frequency: int) -> int:
    """Give the kernel's number of a band."""
    return 0 if frequency < 3000 else 1


def _free_name(machine: Machine, beginning: str) -> str:
    number = 0
    while f"{beginning}{number}" in machine.names:
        number += 1
    return f"{beginning}{number}"


def _check_touched(machine: Machine, plan: Plan, wish: Wish) -> None:
    """Raise UsageError if the plan touches what it must not."""
    for held in plan.touched:
        name = held.interface.name
        if held.default_route and wish.take_default_route != name:
            raise UsageError(
                f"{name} carries the default route: this machine may be reached or reach the "
                f"internet by it, and would lose that.{_other_channel(machine, plan)} "
                f"If you want that: --take-default-route {name}"
            )
        if held.holder:
            raise UsageError(f"{held.holder} holds {name}. {how_to_free(held)}")
        if held.is_up and held.interface.kind not in RESTORABLE:
            raise UsageError(
                f"{name} is up as {held.interface.kind.word}, which could not be put back as "
                "it is; end that first"
            )


def _other_channel(machine: Machine, plan: Plan) -> str:
    """Say whether the channel is all that keeps ours from being beside the others."""
    up = [held for held in machine.of(plan.radio) if held.is_up and held.interface.ifindex]
    used = {held.interface.frequency for held in up} - {0}
    if len(used) == 1 and plan.radio.together(
        [plan.mode.kind, *(held.interface.kind for held in up)]
    ):
        (frequency,) = used
        channel = plan.radio.channel(frequency)
        if channel is not None and channel.usable:
            return (
                f" On its channel both can be: --channel {channel.number}, the same "
                "at everybody's."
            )
    return ""


def how_to_free(held: Held) -> str:
    """Say how to make the program that holds an interface let go of it."""
    name = held.interface.name
    if held.holder == NETWORK_MANAGER:
        return f"Free it: `sudo nmcli dev set {name} managed no`"
    if held.holder == SUPPLICANT:
        return (
            f"Free it: `sudo systemctl disable --now wpa_supplicant@{name}`, or whatever "
            "started it; a wpa_supplicant that goes on needs `p2p_disabled=1` in its settings"
        )
    return f"Stop {held.holder} first, or tell it to leave {name} alone"
