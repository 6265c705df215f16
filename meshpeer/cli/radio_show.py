"""How radios look in a terminal, and as JSON."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from meshpeer.cli import show

if TYPE_CHECKING:
    from transports.radio.machine import Held, Machine
    from transports.radio.nl80211 import Radio, Station
    from transports.radio.planning import Plan
    from transports.radio.record import Record

CONFIG: Final = "[transports.adhoc]"
P2P_DEVICE: Final = "P2P-device"


def view(machine: "Machine", radio: "Radio") -> dict[str, Any]:
    """Give a radio as JSON."""
    from transports.radio.nl80211 import Kind
    from transports.radio.planning import abilities

    blocked = machine.blocked.get(radio.wiphy)
    together = [
        {"modes": [mode, other], "channels": radio.together((kind, partner))}
        for mode, kind in (("cell", Kind.IBSS), ("mesh", Kind.MESH))
        for other, partner in (("access point", Kind.AP), ("managed", Kind.MANAGED))
    ]
    return {
        "radio": radio.name,
        "driver": machine.drivers.get(radio.wiphy, ""),
        "modes": abilities(radio),
        "access_point": Kind.AP in radio.kinds,
        "injection": "unknown until tried" if Kind.MONITOR in radio.kinds else "no",
        "together": [pair for pair in together if pair["channels"]],
        "country": machine.country(radio),
        "channels": _numbers(c.number for c in radio.channels if c.usable),
        "listen_only": _numbers(
            c.number for c in radio.channels if not c.disabled and not c.usable
        ),
        "switched_off": {
            "by_program": bool(blocked and blocked.soft),
            "by_switch": bool(blocked and blocked.hard),
        },
        "interfaces": [held_view(held) for held in machine.of(radio)],
    }


def held_view(held: "Held") -> dict[str, Any]:
    """Give an interface as JSON."""
    from transports.radio.nl80211 import number_of
    from transports.radio.planning import how_to_free

    one = held.interface
    return {
        "name": one.name,
        "type": one.kind.word,
        "address": one.mac.hex(":"),
        "up": held.is_up,
        "network": one.network,
        "frequency": one.frequency,
        "channel": number_of(one.frequency),
        "default_route": held.default_route,
        "held_by": held.holder,
        "to_free": how_to_free(held) if held.holder else "",
    }


def _numbers(numbers: Iterable[int]) -> list[int]:
    return sorted({number for number in numbers if number})


def list_lines(radios: list[dict[str, Any]]) -> Iterator[str]:
    """Write all radios."""
    from transports.radio.planning import ranges

    for told in radios:
        yield f"{show.safe(told['radio'])}  {told['driver'] or 'driver unknown'}"
        can = list(told["modes"])
        if "monitor" in can:
            can[can.index("monitor")] = (
                "monitor (whether it can send so is known when tried)"
            )
        if told["access_point"]:
            can.append("access point")
        yield f"    can be:    {', '.join(can) or 'nothing of ours'}"
        pairs = [" and ".join(pair["modes"]) for pair in told["together"]]
        yield f"    together:  {', '.join(pairs) or 'one at a time'}"
        yield f"    channels:  {ranges(told['channels']) or 'none'}{_country(told)}"
        if told["switched_off"]["by_switch"]:
            yield "    off:       by a switch or key of this machine (rfkill)"
        elif told["switched_off"]["by_program"]:
            yield "    off:       by rfkill; `sudo rfkill unblock wifi`"
        for interface in told["interfaces"]:
            yield f"    {_interface_line(interface)}"


def _country(told: dict[str, Any]) -> str:
    from transports.radio.planning import ranges

    country = told["country"]
    rules = "no country is set" if country in {"00", ""} else f"rules of {country}"
    listen = ranges(told["listen_only"])
    return f" ({rules}{f'; listening only: {listen}' if listen else ''})"


def _interface_line(told: dict[str, Any]) -> str:
    parts = [told["type"], "up" if told["up"] else "down"]
    if told["network"]:
        parts.append(f"in {show.safe(told['network'])}")
    if told["channel"]:
        parts.append(f"on channel {told['channel']}")
    if told["default_route"]:
        parts.append("carries the default route")
    if told["type"] == P2P_DEVICE:
        parts.append("of wpa_supplicant's, in a cell's way; `p2p_disabled=1` there ends it")
    if told["held_by"]:
        parts.append(f"held by {told['held_by']}. {told['to_free']}")
    return f"{show.safe(told['name']) or '(no device)'}: {', '.join(parts)}"


def interruption(plan: "Plan") -> str:
    """Say what would be interrupted."""
    names = ", ".join(
        f"{held.interface.name} ({held.interface.kind.word}"
        f"{', in ' + show.safe(held.interface.network) if held.interface.network else ''})"
        for held in plan.interrupts
    )
    return f"{names} is up, and would be out of use until this ends."


def plan_view(plan: "Plan") -> dict[str, Any]:
    """Give what is up as JSON."""
    from transports.radio.nl80211 import number_of

    return {
        "interface": plan.name,
        "radio": plan.radio.name,
        "mode": plan.mode.value,
        "network": plan.network,
        "channel": number_of(plan.frequency),
        "frequency": plan.frequency,
        "way": plan.way,
        "set_down": [held.interface.name for held in plan.set_down],
        "config": [CONFIG, f"interfaces = [{_config_entry(plan)}]"],
    }


def _config_entry(plan: "Plan") -> str:
    """Write the interface as `config.toml` names it; a monitor's network is known only there."""
    from transports.radio.planning import DEFAULT_NETWORK, Mode

    name, network = (
        json.dumps(text, ensure_ascii=False) for text in (plan.name, plan.network)
    )
    if plan.mode is Mode.MONITOR and plan.network != DEFAULT_NETWORK:
        return f"{{name = {name}, network = {network}}}"
    return name


def up_lines(told: dict[str, Any]) -> Iterator[str]:
    """Write what is up."""
    yield (
        f"{told['interface']} is up: {told['mode']} on {told['radio']}, "
        f"channel {told['channel']} ({told['frequency']} MHz), "
        f"network {show.safe(told['network'])}"
    )


def advice(plan: "Plan", machine: "Machine") -> Iterator[str]:
    """Say what the person needs to do beside."""
    yield "It stays so until Ctrl-C. For the peer, in its config.toml:"
    yield from (f"    {line}" for line in plan_view(plan)["config"])
    if plan.set_down:
        names = ", ".join(held.interface.name for held in plan.set_down)
        yield f"{names} is set down meanwhile."
    beside = [
        held.interface.name
        for held in machine.of(plan.radio)
        if held.is_up and held not in plan.touched
    ]
    if beside:
        yield f"{', '.join(beside)} may meanwhile find no network on another channel."
    if "NetworkManager" in machine.running and plan.changed is None:
        yield (
            f"NetworkManager may take {plan.name} for its own: "
            f"`sudo nmcli dev set {plan.name} managed no`"
        )


def status_view(
    machine: "Machine",
    held: "Held",
    record: "Record | None",
    stations: "list[Station]",
) -> dict[str, Any]:
    """Give an interface that is up, and its stations, as JSON."""
    radios = {radio.wiphy: radio.name for radio in machine.radios}
    return {
        **held_view(held),
        "radio": radios.get(held.interface.radio, ""),
        "network": held.interface.network or (record.network if record else ""),
        "kept_by": record.pid if record else None,
        "stations": [_station_view(station) for station in stations],
    }


def _station_view(station: "Station") -> dict[str, Any]:
    return {
        "address": station.mac.hex(":"),
        "signal_dbm": station.signal,
        "signal_average_dbm": station.signal_average,
        "send_rate": station.send_rate,
        "receive_rate": station.receive_rate,
        "quiet_ms": station.quiet_ms,
        "sent": station.sent,
        "received": station.received,
        "link": station.plink,
    }


def status_lines(interfaces: list[dict[str, Any]]) -> Iterator[str]:
    """Write what is up, each with its stations."""
    for told in interfaces:
        kept = f"process {told['kept_by']}" if told["kept_by"] else "somebody else"
        channel = f" on channel {told['channel']}" if told["channel"] else ""
        network = f", network {show.safe(told['network'])}" if told["network"] else ""
        state = "up" if told["up"] else "down"
        yield (
            f"{show.safe(told['name'])}: {told['type']}, {state}, {told['radio']}"
            f"{channel}{network}, kept by {kept}"
        )
        head = ("  station", "signal", "sends at", "receives at", "heard", "link")
        rows = [
            (
                f"  {station['address']}",
                "" if station["signal_dbm"] is None else f"{station['signal_dbm']} dBm",
                _rate(station["send_rate"]),
                _rate(station["receive_rate"]),
                ""
                if station["quiet_ms"] is None
                else f"{station['quiet_ms'] / 1000:.1f} s ago",
                station["link"],
            )
            for station in told["stations"]
        ]
        yield from show.table(head, rows)


def _rate(rate: int | None) -> str:
    return "" if rate is None else f"{rate / 1e6:g} Mbit/s"


def down_lines(names: list[str]) -> list[str]:
    """Write which interfaces are gone."""
    return [f"{name}: all is as it was" for name in names]
