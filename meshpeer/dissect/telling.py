"""Says in a line, or for programs, what a captured packet is: ours, found wherever it lies."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from scapy.fields import ConditionalField
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet, Raw

from meshpeer.core.link.packet import DATA_HEADER
from meshpeer.dissect.air import (
    MeshBeacon,
    MeshFrame,
    MeshFramedBeacon,
    MeshKiss,
    is_beacon,
)
from meshpeer.dissect.frames import MeshFrames, MeshStream, summary_of
from meshpeer.dissect.opening import Opened, Opening
from meshpeer.dissect.packets import PACKETS, MeshData, MeshShort
from meshpeer.dissect.reading import Seen
from meshpeer.dissect.streams import Streams

OURS: Final[tuple[type[Packet], ...]] = (
    MeshBeacon,
    MeshFramedBeacon,
    *{row[0] for row in PACKETS.values()},
)
HEADS: Final[dict[type[Packet], int]] = {MeshData: DATA_HEADER.size, MeshShort: 4}
"""Bytes before the seal."""
IDS: Final = {
    "sender": 4,
    "receiver": 4,
    "transfer": 4,
}
"""Fields that are ids of so many bytes, and so shown in hexadecimal."""

logging.getLogger("scapy.runtime").setLevel(logging.CRITICAL)


class Told(NamedTuple):
    """One packet of ours."""

    fields: dict[str, Any]
    text: str


class Teller:
    """Tells of packets, and looks into those for which `opening` has keys.

    `ask` is called when a packet could not be opened; each of its steps may bring further keys.
    """

    def __init__(
        self,
        opening: Opening | None = None,
        ask: Callable[[], Iterable[None]] = tuple,
    ) -> None:
        self._opening, self._ask = opening, ask
        self._streams = Streams()
        self.stumbles = 0
        """Packets that could not be dissected."""

    def tell(self, seen: Seen) -> list[Told]:
        """What is in it of ours; nothing for all else, and for what can't be dissected."""
        try:
            packet = seen.layer(seen.raw)
            where = _where(seen, packet)
            return [self._tell(where, layer) for layer in ours_in(packet)]
        except Exception:  # whatever scapy stumbles over in what strangers sent
            self.stumbles += 1
            return []

    def _tell(self, where: dict[str, Any], layer: Packet) -> Told:
        name = _name(layer)
        said = layer.mysummary()
        fields = {**where, "packet": name, "bytes": len(layer.original), **_fields(layer)}
        opened = self._open(layer)
        if opened is None:
            return Told(fields, str(said))
        frames = MeshFrames(opened.plain).frames
        inside = [self._inside(opened, each) for each in frames]
        whose = f"{'to' if opened.sent else 'from'} {opened.peer}"
        fields |= {
            "peer": opened.peer,
            "sent": opened.sent,
            "counter": opened.counter,
            "frames": inside,
        }
        return Told(
            fields,
            f"{name} {whose}, counter {opened.counter}: "
            + ", ".join(each["text"] for each in inside),
        )

    def _open(self, layer: Packet) -> Opened | None:
        head = HEADS.get(type(layer))
        if self._opening is None or head is None:
            return None
        data = layer.original[: head + len(layer.sealed)]
        opened = self._opening.open(data)
        if opened is not None:
            return opened
        for _ in self._ask():
            opened = self._opening.open(data)
            if opened is not None:
                break
        return opened

    def _inside(self, opened: Opened, frame: Packet) -> dict[str, Any]:
        text = summary_of(frame)
        told = {"frame": frame.name or "", **_fields(frame)}
        if isinstance(frame, MeshStream):
            direction = opened.peer, opened.sent
            told["messages"] = self._streams.named(
                direction, frame.stream, frame.offset, bytes(frame.data)
            )
            text += f" ({', '.join(told['messages'])})" if told["messages"] else ""
        return {**told, "text": text}


def ours_in(packet: Packet) -> Iterator[Packet]:
    """Give the layers of ours, innermost only: packets, beacons, frames that can't be read."""
    layer: Any = packet
    while not isinstance(layer, NoPayload):
        inner = layer.payload
        unread = isinstance(layer, MeshFrame) and not isinstance(inner, OURS)
        if isinstance(layer, OURS) or unread:
            yield layer
        elif isinstance(layer, UDP) and isinstance(inner, Raw) and is_beacon(inner.load):
            yield MeshBeacon(inner.load)  # an answer goes to a port of the asker's own
        layer = inner


def line(told: Told) -> str:
    """The packet in a line, after its time."""
    fields = told.fields
    where = f"{fields['interface']} " if fields["interface"] else ""
    return f"{where}{fields['from']} > {fields['to']}  {told.text}"


def as_json(told: Told) -> str:
    """The packet as a JSON object in a line."""
    return json.dumps(told.fields)


def _where(seen: Seen, packet: Packet) -> dict[str, Any]:
    """From where to where; each layer knows better than those around it."""
    found: dict[str, Any] = {
        "at": seen.at,
        "interface": seen.interface,
        "via": "",
        "from": "?",
        "to": "?",
    }
    layer: Any = packet
    while not isinstance(layer, NoPayload):
        if isinstance(layer, Ether):
            found |= {"via": "ethernet", "from": layer.src, "to": layer.dst}
        elif isinstance(layer, RadioTap):
            if layer.dBm_AntSignal is not None:
                found["signal"] = layer.dBm_AntSignal
        elif isinstance(layer, Dot11):
            found |= {"via": "802.11", "from": layer.addr2, "to": layer.addr1}
        elif isinstance(layer, IP | IPv6):
            found |= {"via": "ip", "from": layer.src, "to": layer.dst}
        elif isinstance(layer, UDP):
            found["via"] = "udp"
            found["from"] = _host(found["from"], layer.sport)
            found["to"] = _host(found["to"], layer.dport)
            break
        elif isinstance(layer, MeshKiss):
            found |= {
                "via": "kiss",
                "from": f"{layer.source:04x}",
                "to": f"{layer.destination:04x}",
            }
        layer = layer.payload
    return found


def _host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _name(layer: Packet) -> str:
    return (layer.name or "").removeprefix("meshpeer ").upper()


def _fields(layer: Packet) -> dict[str, Any]:
    """The fields that are there, ready for JSON."""
    found = {}
    for field in layer.fields_desc:
        value = layer.getfieldval(field.name)
        absent = isinstance(field, ConditionalField) and not field.cond(layer)
        if value is not None and not absent and field.name != "type":
            found[field.name] = _plain(field.name, value)
    return found


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(name, each) for each in value]
    if isinstance(value, Packet):
        return _fields(value)
    return f"{int(value):0{2 * IDS[name]}x}" if name in IDS else int(value)
