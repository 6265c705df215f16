"""What lies between the air and a packet: lengths, frames, beacons, KISS; and what binds all to scapy.

Ether | SNAP (802.11) | Linux cooked, type 0x88B5   MeshAir -> MeshFrame -> packet, MeshFramedBeacon
UDP, port 6374                                                           packet
UDP, port 6375                                                           MeshBeacon
KISS (pcap type 202, or MeshKiss.of_line)            MeshKiss -> MeshFrame -> packet, MeshFramedBeacon
"""

from collections import Counter
from typing import Any, Final

from scapy.config import conf
from scapy.fields import (
    BitEnumField,
    BitField,
    ConditionalField,
    FlagsField,
    ShortField,
    StrFixedLenField,
    XByteField,
    XShortField,
    XStrFixedLenField,
)
from scapy.layers.inet import UDP
from scapy.layers.l2 import SNAP, CookedLinux, CookedLinuxV2, Dot1Q, Ether
from scapy.packet import Packet, Raw, bind_bottom_up, bind_layers, bind_top_down

from meshpeer.core.formats import beacon
from meshpeer.core.identity import idtext
from meshpeer.dissect.packets import PACKETS, MeshPacket
from transports.adhoc import frame, kiss
from transports.adhoc.frame import ETHERTYPE
from transports.lan import PORT as BEACON_PORT
from transports.udp import PORT as UDP_PORT

KINDS: Final = {int(kind): kind.name for kind in frame.Kind}
DLT_AX25_KISS: Final = 202
LINE_LIMIT: Final = 4_096


class MeshAir(Packet):
    """How long a frame is: below it, a driver may have padded."""

    name = "meshpeer air"
    fields_desc = [ShortField("length", None)]

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in the length."""
        return (len(pay).to_bytes(2) if self.length is None else pkt) + pay

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """Part the frame from what pads it."""
        return s[: self.length], s[self.length :]


class MeshFrame(Packet):
    """One frame; its kind tells what is in it."""

    name = "meshpeer frame"
    fields_desc = [
        BitField("version", frame.VERSION, 4),
        BitEnumField("kind", frame.Kind.DATAGRAM, 4, KINDS),
    ]

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Only version 1 is known."""
        if self.version != frame.VERSION:
            return Raw
        return super().guess_payload_class(payload)

    def mysummary(self) -> str:
        """Say what can't be read further; what can, speaks for itself."""
        return f"frame of version {self.version}, kind {self.kind}"


class MeshFramedBeacon(Packet):
    """Somebody is there: a beacon in a frame."""

    name = "meshpeer beacon"
    fields_desc = [
        FlagsField("flags", 0, 8, [flag.name or "" for flag in beacon.Flag]),
        XStrFixedLenField("nonce", bytes(8), 8),
        ConditionalField(
            XStrFixedLenField("peer_id", bytes(32), 32), lambda pkt: not pkt.flags & 1
        ),
        ConditionalField(
            XStrFixedLenField("mark", bytes(8), 8), lambda pkt: bool(pkt.flags & 1)
        ),
    ]

    @classmethod
    def dispatch_hook(
        cls,
        _pkt: bytes | None = None,
        *args: Any,  # noqa: ANN401
        **fields: Any,  # noqa: ANN401
    ) -> type[Packet]:
        """Raw for what is too short."""
        shortest = beacon.FRAMED.size + beacon.MARK_SIZE
        return cls if _pkt is None or len(_pkt) >= shortest else Raw

    def mysummary(self) -> str:
        """Say who it may be."""
        who = f"mark {self.mark.hex()}" if self.flags & 1 else idtext.encode(self.peer_id)
        return f"BEACON{' in answer' if self.flags & 2 else ''}: {who}"


class MeshBeacon(Packet):
    """Somebody is there, and can be reached at a UDP port."""

    name = "meshpeer beacon"
    fields_desc = [
        StrFixedLenField("magic", beacon.MAGIC, 4),
        XByteField("version", beacon.VERSION),
        FlagsField("flags", 0, 8, [flag.name or "" for flag in beacon.Flag]),
        ShortField("port", UDP_PORT),
        XStrFixedLenField("nonce", bytes(8), 8),
        ConditionalField(
            XStrFixedLenField("peer_id", bytes(32), 32), lambda pkt: not pkt.flags & 1
        ),
        ConditionalField(
            XStrFixedLenField("mark", bytes(8), 8), lambda pkt: bool(pkt.flags & 1)
        ),
    ]

    @classmethod
    def dispatch_hook(
        cls,
        _pkt: bytes | None = None,
        *args: Any,  # noqa: ANN401
        **fields: Any,  # noqa: ANN401
    ) -> type[Packet]:
        """Raw for what is no beacon."""
        return cls if _pkt is None or is_beacon(_pkt) else Raw

    def mysummary(self) -> str:
        """Say who it may be."""
        who = f"mark {self.mark.hex()}" if self.flags & 1 else idtext.encode(self.peer_id)
        return f"BEACON{' in answer' if self.flags & 2 else ''}: {who}, port {self.port}"


class MeshKiss(Packet):
    """A frame between a host and a modem, without FENDs and escapes."""

    name = "meshpeer kiss"
    fields_desc = [
        BitField("port", 0, 4),
        BitEnumField(
            "kiss_command", 0, 4, {int(command): command.name for command in kiss.Command}
        ),
        XShortField("destination", 0xFFFF),
        XShortField("source", 0),
    ]

    @classmethod
    def of_line(cls, line: bytes) -> list["MeshKiss"]:
        """Read what was recorded on a serial line."""
        found = kiss.Decoder(LINE_LIMIT, Counter()).feed(line)
        return [
            cls(bytes((each.port << 4 | each.command,)) + each.content) for each in found
        ]

    def on_line(self) -> bytes:
        """Write it as it goes over the line."""
        wire = bytes(self)
        return kiss.encode(wire[1:], port=wire[0] >> 4, command=wire[0] & 0x0F)

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Only data frames are ours; other commands set the modem up."""
        return MeshFrame if self.kiss_command == kiss.Command.DATA else Raw


def is_beacon(data: bytes) -> bool:
    """Whether this is a beacon of a version known here."""
    return (
        len(data) >= beacon.FIXED.size + beacon.MARK_SIZE
        and data[:4] == beacon.MAGIC
        and data[4] == beacon.VERSION
    )


def class_of_payload(data: bytes) -> type[Packet]:
    """What a UDP payload on a port that nobody told of may be: only beacons are certain."""
    return MeshBeacon if is_beacon(data) else Raw


def on_port(port: int) -> None:
    """Take packets on this UDP port for a peer's, too."""
    bind_bottom_up(UDP, MeshPacket, dport=port)
    bind_bottom_up(UDP, MeshPacket, sport=port)


def bind() -> None:
    """Tell scapy where our layers are found."""
    bind_layers(Ether, MeshAir, type=ETHERTYPE)
    bind_layers(Dot1Q, MeshAir, type=ETHERTYPE)
    bind_layers(SNAP, MeshAir, OUI=0, code=ETHERTYPE)
    bind_layers(CookedLinux, MeshAir, proto=ETHERTYPE)
    bind_layers(CookedLinuxV2, MeshAir, proto=ETHERTYPE)
    bind_layers(MeshAir, MeshFrame)
    bind_layers(MeshKiss, MeshFrame, kiss_command=int(kiss.Command.DATA))
    bind_layers(MeshFrame, MeshPacket, kind=int(frame.Kind.DATAGRAM))
    bind_layers(MeshFrame, MeshFramedBeacon, kind=int(frame.Kind.BEACON))
    for layer in {row[0] for row in PACKETS.values()}:  # which it is, MeshPacket tells
        bind_top_down(MeshFrame, layer, kind=int(frame.Kind.DATAGRAM))
        bind_top_down(UDP, layer, sport=UDP_PORT, dport=UDP_PORT)
    bind_bottom_up(UDP, MeshBeacon, dport=BEACON_PORT)
    on_port(UDP_PORT)
    conf.l2types.register(DLT_AX25_KISS, MeshKiss)


bind()
