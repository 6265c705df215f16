"""What radios there are here and who uses them: nl80211, rtnetlink, /sys and /proc together.

Nobody tells for sure which program holds an interface; three traces are looked for: the file
that NetworkManager keeps for each device, the socket that wpa_supplicant opens for each of its
interfaces, and the command lines of the programs that are known to hold one. Each can be read
without any right.
"""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from meshpeer.errors import TransportError
from transports.netlink_format import attribute, u32
from transports.radio import nl80211
from transports.radio.kernel import Conversation, Family
from transports.radio.links import Link, ask_default_routes, ask_links, carrying
from transports.radio.nl80211 import Interface, Kind, Radio, Regulatory, Station

NETLINK_ROUTE: Final = 0
NETWORK_MANAGER: Final = "NetworkManager"
SUPPLICANT: Final = "wpa_supplicant"
HOLDERS: Final = frozenset({NETWORK_MANAGER, SUPPLICANT, "hostapd", "iwd"})
CAP_NET_ADMIN: Final = 12


class Blocked(NamedTuple):
    """What rfkill says of a radio."""

    soft: bool
    """Switched off by a program: `rfkill unblock wifi` undoes it."""
    hard: bool
    """Switched off by a switch or key of the machine."""


class Held(NamedTuple):
    """An interface as this machine uses it."""

    interface: Interface
    link: Link | None
    """None for one that is no network device."""
    default_route: bool
    holder: str
    """The program that holds it, as far as can be told; else empty."""

    @property
    def is_up(self) -> bool:
        """Whether it takes part in what the radio does now."""
        return self.link.is_up if self.link is not None else False


class Machine(NamedTuple):
    """All radios of this machine, at one moment."""

    radios: tuple[Radio, ...]
    held: tuple[Held, ...]
    regulatory: tuple[Regulatory, ...]
    drivers: dict[int, str]
    blocked: dict[int, Blocked]
    running: frozenset[str]
    """Programs that set up wireless interfaces by themselves."""
    names: frozenset[str]
    """Of all network devices."""

    def of(self, radio: Radio) -> list[Held]:
        """Give the interfaces of a radio."""
        return [held for held in self.held if held.interface.radio == radio.wiphy]

    def country(self, radio: Radio) -> str:
        """Give the country whose rules hold for a radio; `00` if nobody said which."""
        own = {told.radio: told.country for told in self.regulatory}
        return own.get(radio.wiphy, own.get(None, nl80211.WORLD))


def look() -> Machine:
    """Give what there is now; no right is needed. Without any radio all is empty."""
    with Conversation(NETLINK_ROUTE) as route:
        links = {link.ifindex: link for link in ask_links(route)}
        busy = carrying(ask_default_routes(route), links.values())
    try:
        family = Family("nl80211")
    except FileNotFoundError:
        radios, interfaces, regulatory = [], [], []
    else:
        with family:
            radios = _radios(family)
            asked = family.ask(nl80211.GET_INTERFACE)
            interfaces = [nl80211.read_interface(body) for body in asked]
            regulatory = nl80211.read_regulatory(family.ask(nl80211.GET_REG))
    running = dict(_running())
    return Machine(
        radios=tuple(sorted(radios, key=lambda radio: radio.wiphy)),
        held=tuple(
            Held(one, links.get(one.ifindex), one.ifindex in busy, holder_of(one, running))
            for one in sorted(interfaces, key=lambda one: (one.radio, one.ifindex))
        ),
        regulatory=tuple(regulatory),
        drivers={radio.wiphy: _driver(radio) for radio in radios},
        blocked={radio.wiphy: _blocked(radio) for radio in radios},
        running=frozenset(running),
        names=frozenset(link.name for link in links.values()),
    )


def _radios(family: Family) -> list[Radio]:
    split = attribute(nl80211.SPLIT_WIPHY_DUMP)
    return nl80211.read_radios(family.ask(nl80211.GET_WIPHY, split))


def ask_stations(index: int) -> list[Station]:
    """Give whom an interface hears; none where the kernel keeps no list, as for monitor."""
    with Family("nl80211") as family:
        try:
            told = family.ask(nl80211.GET_STATION, u32(nl80211.IFINDEX, index))
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.ENODEV, errno.ENOLINK}:
                return []
            raise TransportError(
                f"the stations can't be listed: {error.strerror}"
            ) from error
    return [nl80211.read_station(body) for body in told]


def _driver(radio: Radio) -> str:
    try:
        return _sys(radio).joinpath("device", "driver").resolve(strict=True).name
    except OSError:
        return ""


def _blocked(radio: Radio) -> Blocked:
    switches = list(_sys(radio).glob("rfkill*"))
    return Blocked(*(any(_says_1(s / how) for s in switches) for how in ("soft", "hard")))


def _sys(radio: Radio) -> Path:
    return Path("/sys/class/ieee80211", radio.name)


def _says_1(path: Path) -> bool:
    try:
        return path.read_text().strip() == "1"
    except OSError:
        return False


def _running() -> Iterator[tuple[str, str]]:
    """Give the programs that may hold interfaces, each with its command lines."""
    found: dict[str, str] = {}
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            program = comm.read_text().strip()
            if program in HOLDERS:
                words = comm.with_name("cmdline").read_bytes().decode(errors="replace")
                found[program] = found.get(program, "") + words + "\0"
        except OSError:  # it ended meanwhile
            continue
    yield from found.items()


def holder_of(interface: Interface, running: dict[str, str]) -> str:
    """Name the program that holds an interface, as far as its traces tell."""
    if not interface.ifindex:
        return ""
    if NETWORK_MANAGER in running and _network_manager_has(interface.ifindex):
        return NETWORK_MANAGER
    for program in (SUPPLICANT, "hostapd", "iwd"):
        if program in running and (
            _is_there(Path("/run", program, interface.name))
            or named_in(running[program], interface.name)
            or program == "iwd"
        ):
            return program
    return "an access point's program" if interface.kind is Kind.AP else ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that only its program may look into
        return False


def named_in(command: str, name: str) -> bool:
    """Whether a command line gives an interface: `-i wlan0`, `-iwlan0` or `--interface=wlan0`."""
    words = command.split("\0")
    return any(word in {name, f"-i{name}", f"--interface={name}"} for word in words)


def _network_manager_has(index: int) -> bool:
    """Read NetworkManager's own note; while there is none, it will take the device."""
    try:
        said = Path("/run/NetworkManager/devices", str(index)).read_text()
    except OSError:
        return True
    return "managed=false" not in said.replace(" ", "").lower()


def may_set_up() -> bool:
    """Whether this process has CAP_NET_ADMIN now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return False
