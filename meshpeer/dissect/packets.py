"""The packets of a link as scapy layers; PROTOCOL.md, "Link", has the same names.

What seals hide stays sealed here, and mac1 can't be checked without the receiver's peer id: a
layer says what anybody can see. A new packet is a class and a row in PACKETS.

Linux joins datagrams of one sender on the loopback and on virtual cables (GSO), and so does a
capture there: then several DATA packets of one link follow each other as layers.
"""

from typing import Any, Final

from scapy.fields import (
    BitField,
    ByteEnumField,
    ByteField,
    FieldListField,
    IntField,
    ShortField,
    StrField,
    XByteField,
    XIntField,
    XStrField,
    XStrFixedLenField,
    XStrLenField,
)
from scapy.packet import Packet, Raw

from meshpeer.core.link import packet

TYPES: Final = {
    packet.INITIATION: "INITIATION",
    packet.RESPONSE: "RESPONSE",
    packet.COOKIE: "COOKIE",
    packet.VERSIONS: "VERSIONS",
    packet.BROADCAST: "BROADCAST",
}
"""DATA and SHORT have no row: their first byte has flags."""
LARGEST: Final = packet.HANDSHAKE_LIMIT
"""No packet on UDP is longer; what is, was joined."""


class AllBut(XStrField):
    """Bytes up to so many before the end."""

    __slots__ = ["left"]

    def __init__(self, name: str, default: bytes, left: int) -> None:
        super().__init__(name, default)
        self.left = left

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, bytes]:
        """Cut the field off."""
        end = max(0, len(s) - self.left)
        return s[end:], s[:end]


class MeshPacket(Packet):
    """Any packet of a link; dissects to the class that its first byte tells."""

    name = "meshpeer packet"
    fields_desc = [ByteField("type", 0), StrField("rest", b"")]

    @classmethod
    def dispatch_hook(
        cls,
        _pkt: bytes | None = None,
        *args: Any,  # noqa: ANN401
        **fields: Any,  # noqa: ANN401
    ) -> type[Packet]:
        """Choose the class; Raw for what is no packet of ours."""
        return class_of(_pkt) if _pkt is not None else cls


class MeshInitiation(Packet):
    """The first packet of a link: Noise IK message 1, cut where its parts are."""

    name = "meshpeer INITIATION"
    fields_desc = [
        ByteEnumField("type", packet.INITIATION, TYPES),
        ByteField("version", packet.VERSION),
        XIntField("sender", 0),
        XStrFixedLenField("ephemeral", bytes(32), 32),
        XStrFixedLenField("sealed_static", bytes(48), 48),
        AllBut("sealed_payload", bytes(16), 2 * packet.MAC_SIZE),
        XStrFixedLenField("mac1", bytes(16), 16),
        XStrFixedLenField("mac2", bytes(16), 16),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        proof = ", with a cookie" if any(self.mac2) else ""
        return f"INITIATION of {self.sender:08x}, version {self.version}{proof}"


class MeshResponse(Packet):
    """The answer: Noise IK message 2."""

    name = "meshpeer RESPONSE"
    fields_desc = [
        ByteEnumField("type", packet.RESPONSE, TYPES),
        ByteField("version", packet.VERSION),
        XIntField("sender", 0),
        XIntField("receiver", 0),
        XStrFixedLenField("ephemeral", bytes(32), 32),
        AllBut("sealed_payload", bytes(16), 2 * packet.MAC_SIZE),
        XStrFixedLenField("mac1", bytes(16), 16),
        XStrFixedLenField("mac2", bytes(16), 16),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        return f"RESPONSE of {self.sender:08x} to {self.receiver:08x}"


class MeshCookie(Packet):
    """`Prove your address first.`"""

    name = "meshpeer COOKIE"
    fields_desc = [
        ByteEnumField("type", packet.COOKIE, TYPES),
        XIntField("receiver", 0),
        XStrFixedLenField("nonce", bytes(24), 24),
        XStrFixedLenField("sealed_cookie", bytes(32), 32),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        return f"COOKIE to {self.receiver:08x}"


class MeshVersions(Packet):
    """The versions that are spoken there."""

    name = "meshpeer VERSIONS"
    fields_desc = [
        ByteEnumField("type", packet.VERSIONS, TYPES),
        XIntField("receiver", 0),
        FieldListField(
            "versions",
            None,
            ByteField("version", 0),
            max_count=packet.VERSIONS_LIMIT,
        ),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        spoken = ", ".join(map(str, self.versions or ()))
        return f"VERSIONS to {self.receiver:08x}: {spoken}"


class MeshBroadcast(Packet):
    """A symbol of a transfer to several neighbours."""

    name = "meshpeer BROADCAST"
    fields_desc = [
        ByteEnumField("type", packet.BROADCAST, TYPES),
        XIntField("transfer", 0),
        ShortField("number", 0),
        XStrField("sealed", bytes(16)),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        return (
            f"BROADCAST of transfer {self.transfer:08x}, symbol {self.number}, "
            f"{len(self.sealed)} sealed"
        )


class MeshData(Packet):
    """What all else travels in; `MeshFrames` reads it once opened."""

    name = "meshpeer DATA"
    fields_desc = [
        BitField("type", packet.DATA >> 2, 6),
        BitField("ack_now", 0, 1),
        BitField("phase", 0, 1),
        XIntField("receiver", 0),
        IntField("counter", 0),
        XStrLenField("sealed", bytes(16), length_from=lambda pkt: pkt.sealed_size),
    ]

    __slots__ = ["sealed_size"]

    def pre_dissect(self, s: bytes) -> bytes:
        """Find where this packet ends: mostly where all does."""
        self.sealed_size = first_size(s) - packet.DATA_HEADER.size
        return s

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Another packet of the same link, joined by the kernel."""
        return class_of(payload)

    def mysummary(self) -> str:
        """Say what happens."""
        asks = ", acknowledge now" if self.ack_now else ""
        return (
            f"DATA to {self.receiver:08x}, counter {self.counter}, phase {self.phase}, "
            f"{len(self.sealed)} sealed{asks}"
        )


class MeshShort(Packet):
    """A DATA packet on a slow path, its header shortened."""

    name = "meshpeer SHORT"
    fields_desc = [
        BitField("type", packet.SHORT >> 2, 6),
        BitField("ack_now", 0, 1),
        BitField("phase", 0, 1),
        XByteField("receiver", 0),
        ShortField("counter", 0),
        XStrField("sealed", bytes(16)),
    ]

    def mysummary(self) -> str:
        """Say what happens."""
        asks = ", acknowledge now" if self.ack_now else ""
        return (
            f"SHORT to {self.receiver:02x}..., counter ...{self.counter}, phase {self.phase}, "
            f"{len(self.sealed)} sealed{asks}"
        )


PACKETS: Final[dict[int, tuple[type[Packet], int, int]]] = {
    packet.INITIATION: (MeshInitiation, 152, packet.HANDSHAKE_LIMIT),
    packet.RESPONSE: (MeshResponse, 108, packet.HANDSHAKE_LIMIT),
    packet.COOKIE: (MeshCookie, 61, 61),
    packet.VERSIONS: (MeshVersions, 6, 5 + packet.VERSIONS_LIMIT),
    packet.BROADCAST: (MeshBroadcast, 26, 65_535),
    **{
        packet.DATA | flags: (MeshData, packet.DATA_OVERHEAD + 1, 65_535)
        for flags in range(4)
    },
    **{
        packet.SHORT | flags: (MeshShort, packet.SHORT_OVERHEAD + 1, packet.HANDSHAKE_LIMIT)
        for flags in range(4)
    },
}
"""First byte, class, smallest and largest size."""


def class_of(data: bytes) -> type[Packet]:
    """The layer that a packet is; Raw for none of ours."""
    row = PACKETS.get(data[0]) if data else None
    if row is None or not row[1] <= len(data) <= row[2]:
        return Raw
    return row[0]


def first_size(data: bytes) -> int:
    """Bytes of the first of several DATA packets that were joined; they have one size but the last."""
    if len(data) <= LARGEST:
        return len(data)
    connection = data[1:5]
    at = data.find(connection, packet.DATA_OVERHEAD)
    while 0 < at <= LARGEST + 1:
        if data[at - 1] & ~3 == packet.DATA:
            return at - 1
        at = data.find(connection, at + 1)
    return len(data)


def split(data: bytes) -> list[bytes]:
    """Part what the kernel joined."""
    parts = []
    while data and data[0] & ~3 == packet.DATA and (size := first_size(data)) < len(data):
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]
