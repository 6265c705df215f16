"""What a DATA packet seals, as scapy layers; PROTOCOL.md, "Frames", has the same names.

The frames of a packet are a list and no chain of layers: a neighbour may send a packet of 1,400
PINGs, and scapy nests layers by recursion. A new frame is a class and a row in FRAMES.
"""

from typing import Any, Final

from scapy.base_classes import BasePacket
from scapy.fields import (
    BitField,
    ByteEnumField,
    ConditionalField,
    FieldLenField,
    IntField,
    LongField,
    MultipleTypeField,
    PacketListField,
    ShortField,
    StrField,
    StrLenField,
    XStrFixedLenField,
    XStrLenField,
)
from scapy.packet import Packet, Raw

from meshpeer.core.link import frames

NAMES: Final = {
    frames.PADDING: "PADDING",
    frames.PING: "PING",
    frames.ACK: "ACK",
    frames.CLOSE: "CLOSE",
    frames.PATH_CHALLENGE: "PATH_CHALLENGE",
    frames.PATH_RESPONSE: "PATH_RESPONSE",
    frames.MAX_DATA: "MAX_DATA",
    frames.MAX_STREAM: "MAX_STREAM",
}
MOST: Final = 2_048
"""Frames of a packet that are shown."""


class _Frame(Packet):
    """A frame: what follows is the next one's."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """Leave the rest to the list."""
        return b"", s


class _Zeros(StrField):
    """All zeros that follow."""

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, bytes]:
        """Cut them off."""
        rest = s.lstrip(b"\0")
        return rest, s[: len(s) - len(rest)]


class MeshPadding(_Frame):
    """Any number of PADDING frames."""

    name = "PADDING"
    fields_desc = [_Zeros("zeros", b"\0")]

    def mysummary(self) -> str:
        """Say what it is."""
        return f"PADDING of {len(self.zeros)}"


class MeshPing(_Frame):
    """Asks to be acknowledged."""

    name = "PING"
    fields_desc = [ByteEnumField("type", frames.PING, NAMES)]

    def mysummary(self) -> str:
        """Say what it is."""
        return "PING"


class MeshAckRange(_Frame):
    """A range of counters that came, below the one before."""

    name = "range"
    fields_desc = [ShortField("gap", 0), ShortField("length", 0)]


class MeshAck(_Frame):
    """Counters that came."""

    name = "ACK"
    fields_desc = [
        ByteEnumField("type", frames.ACK, NAMES),
        IntField("largest", 0),
        ShortField("delay", 0),
        FieldLenField("n", None, fmt="B", count_of="ranges"),
        ShortField("first", 0),
        PacketListField("ranges", [], MeshAckRange, count_from=lambda pkt: pkt.n),
    ]

    def mysummary(self) -> str:
        """Say what it is."""
        start = self.largest - self.first
        spans = [(start, self.largest)]
        for each in self.ranges[: frames.ACK_RANGES_LIMIT]:
            if isinstance(each, MeshAckRange):
                end = start - each.gap - 2
                start = end - each.length
                spans.append((start, end))
        return "ACK " + " ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in spans)


class MeshClose(_Frame):
    """The end of a link."""

    name = "CLOSE"
    fields_desc = [
        ByteEnumField("type", frames.CLOSE, NAMES),
        FieldLenField("n", None, fmt="B", length_of="reason"),
        StrLenField("reason", b"", length_from=lambda pkt: pkt.n),
    ]

    def mysummary(self) -> str:
        """Say what it is."""
        text, _ = frames.parse_close(
            bytes((frames.CLOSE, len(self.reason))) + self.reason, 0
        )
        return f"CLOSE: {text}"


class MeshPathChallenge(_Frame):
    """Asks whether the peer is at the end of this path."""

    name = "PATH_CHALLENGE"
    fields_desc = [
        ByteEnumField("type", frames.PATH_CHALLENGE, NAMES),
        XStrFixedLenField("nonce", bytes(8), 8),
    ]

    def mysummary(self) -> str:
        """Say what it is."""
        return self.name or ""


class MeshPathResponse(MeshPathChallenge):
    """It is."""

    name = "PATH_RESPONSE"
    fields_desc = [
        ByteEnumField("type", frames.PATH_RESPONSE, NAMES),
        XStrFixedLenField("nonce", bytes(8), 8),
    ]


class MeshMaxData(_Frame):
    """How much may be sent on all streams."""

    name = "MAX_DATA"
    fields_desc = [ByteEnumField("type", frames.MAX_DATA, NAMES), LongField("limit", 0)]

    def mysummary(self) -> str:
        """Say what it is."""
        return f"MAX_DATA {self.limit}"


class MeshMaxStream(_Frame):
    """How much may be sent on one stream."""

    name = "MAX_STREAM"
    fields_desc = [
        ByteEnumField("type", frames.MAX_STREAM, NAMES),
        ShortField("stream", 0),
        LongField("limit", 0),
    ]

    def mysummary(self) -> str:
        """Say what it is."""
        return f"MAX_STREAM {self.stream} {self.limit}"


class MeshStream(_Frame):
    """A piece of a stream."""

    name = "STREAM"
    fields_desc = [
        BitField("type", frames.STREAM >> 3, 5),
        BitField("wide", 0, 1),
        BitField("sized", 0, 1),
        BitField("fin", 0, 1),
        ShortField("stream", 0),
        MultipleTypeField(
            [(LongField("offset", 0), lambda pkt: bool(pkt.wide))], IntField("offset", 0)
        ),
        ConditionalField(
            FieldLenField("n", None, fmt="H", length_of="data"),
            lambda pkt: bool(pkt.sized),
        ),
        XStrLenField(
            "data", b"", length_from=lambda pkt: pkt.n if pkt.sized else LARGEST_DATA
        ),
    ]

    def mysummary(self) -> str:
        """Say what it is."""
        end = ", the end" if self.fin else ""
        return f"STREAM {self.stream} at {self.offset}, {len(self.data)} bytes{end}"


LARGEST_DATA: Final = 1 << 20
"""More than any packet has: `all that is left`."""

FRAMES: Final[dict[int, type[Packet]]] = {
    frames.PADDING: MeshPadding,
    frames.PING: MeshPing,
    frames.ACK: MeshAck,
    frames.CLOSE: MeshClose,
    frames.PATH_CHALLENGE: MeshPathChallenge,
    frames.PATH_RESPONSE: MeshPathResponse,
    frames.MAX_DATA: MeshMaxData,
    frames.MAX_STREAM: MeshMaxStream,
    **{frames.STREAM | flags: MeshStream for flags in range(8)},
}


def _next(
    pkt: Packet,
    so_far: list[BasePacket],
    last: Packet | None,
    rest: bytes,
) -> type[Packet] | None:
    """The class of the next frame; Raw takes what is malformed to the end."""
    return FRAMES.get(rest[0], Raw) if rest and len(so_far) < MOST else None


class MeshFrames(Packet):
    """What a DATA packet holds, once it is opened: `MeshFrames(plain)`."""

    name = "meshpeer frames"
    fields_desc = [PacketListField("frames", [], next_cls_cb=_next, max_count=MOST + 1)]

    def mysummary(self) -> str:
        """Say what is in it."""
        return ", ".join(summary_of(each) for each in self.frames)


def summary_of(frame: Packet) -> str:
    """One frame in a few words."""
    said: Any = frame.mysummary() if type(frame) in FRAMES.values() else ""
    return str(said) or f"{len(frame)} bytes that are no frame"
