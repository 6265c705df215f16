"""Where captured packets come from, interfaces and pcap files, and the file that they go to.

Interfaces are read by a packet socket, as sniffers do, but without libpcap: scapy needs that for
filters only, and a few bytes at known places sort out what can't be ours faster than a dissector
does (1 us against 300). What passes the sorting may still be somebody else's.

Whatever a file holds, reading it ends in an error of ours or not at all: scapy raises many kinds.
"""

import os
import socket
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple, cast

from scapy.config import conf
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import PcapReader

from meshpeer.core.formats.beacon import MAGIC
from meshpeer.dissect.air import MeshKiss
from meshpeer.errors import MeshpeerError, TransportError, UsageError
from transports.adhoc.frame import ETHERTYPE
from transports.udp import PORT

ETH_P_ALL: Final = 0x0003
OUTGOING: Final = 4
LARGEST: Final = 1 << 18
"""Longer than any packet, joined ones too."""
HEADERS: Final = 192
"""Bytes in which what makes a packet ours has to stand."""
BUFFER: Final = 8 << 20
LOOPBACK: Final = 772
SOL_PACKET, PACKET_STATISTICS = 263, 6
STATISTICS: Final = Struct("=II")
"""Packets that came, and how many of them were dropped."""
LAYERS: Final[dict[int, type[Packet]]] = {
    1: Ether,
    LOOPBACK: Ether,
    801: Dot11,
    803: RadioTap,
}
"""By the kind of interface (ARPHRD)."""

FILE_HEAD: Final = Struct("<IHHiIII")
RECORD_HEAD: Final = Struct("<IIII")
MAGIC_MICROSECONDS: Final = 0xA1B2C3D4
FILE_TYPES: Final[dict[type[Packet], int]] = {
    Ether: 1,
    IP: 101,
    IPv6: 101,
    Dot11: 105,
    RadioTap: 127,
    MeshKiss: 202,
}
"""What pcap calls them (DLT)."""


class Seen(NamedTuple):
    """A packet as it was seen."""

    at: float
    interface: str
    layer: type[Packet]
    raw: bytes


class Sorting:
    """Tells quickly what can't be ours; `ports` are those of peers."""

    def __init__(self, ports: frozenset[int] = frozenset()) -> None:
        marks = [MAGIC, ETHERTYPE.to_bytes(2), *(p.to_bytes(2) for p in {PORT, *ports})]
        self._marks = tuple(marks)

    def may_be_ours(self, seen: Seen) -> bool:
        """False is certain."""
        if seen.layer is MeshKiss:
            return True
        head = seen.raw[:HEADERS]
        return any(mark in head for mark in self._marks)


def of_file(path: str) -> Iterator[Seen]:
    """Give the packets of a pcap or pcapng file; UsageError for what is none, or ends amid one."""
    if not os.path.exists(path):
        raise UsageError(f"there is no {path}")
    count = 0
    try:
        with open(path, "rb") as file, PcapReader(cast(Any, file)) as reader:
            for packet in reader:
                count += 1
                interface = getattr(packet, "sniffed_on", None) or ""
                yield Seen(
                    float(packet.time), str(interface), type(packet), packet.original
                )
    except (MeshpeerError, GeneratorExit):
        raise
    except Exception as error:
        raise UsageError(
            f"{path} can't be read as pcap or pcapng after {count} packets: {error}"
        ) from error


class Listening:
    """The packets of an interface, or of all, as they come; TransportError if it can't be."""

    def __init__(self, name: str | None, clock: Callable[[], float]) -> None:
        self._name, self._clock = name, clock
        self._socket = _open(name)

    def __iter__(self) -> Iterator[Seen]:
        """Give each packet once, without end."""
        while True:
            try:
                raw, (interface, _, way, kind, _) = self._socket.recvfrom(LARGEST)
            except OSError as error:
                raise TransportError(
                    f"{self._name or 'the interfaces'}: {error.strerror or error}"
                ) from error
            if kind == LOOPBACK and way == OUTGOING:
                continue  # it comes again, as received
            yield Seen(self._clock(), str(interface), LAYERS.get(kind) or _plain(raw), raw)

    def close(self) -> int:
        """Listen no more; give how many packets the kernel dropped as we were too slow."""
        counts = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size)
        self._socket.close()
        return int(STATISTICS.unpack(counts)[1])


def _open(name: str | None) -> socket.socket:
    try:
        every = socket.htons(ETH_P_ALL) if name is None else 0
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every)
    except PermissionError as error:
        raise TransportError(
            "listening takes the capability CAP_NET_RAW: `sudo setpriv --reuid=$(id -u) "
            "--regid=$(id -g) --init-groups --inh-caps=+net_raw --ambient-caps=+net_raw "
            'env HOME="$HOME" $(which meshpeer) capture`'
        ) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        if name is not None:
            sock.bind((name, ETH_P_ALL))
    except OSError as error:
        sock.close()
        raise TransportError(
            f"cannot listen on {name}: {error.strerror or error}"
        ) from error
    return sock


def _plain(raw: bytes) -> type[Packet]:
    """What a tunnel carries: IP with nothing before it."""
    return IPv6 if raw[:1] and raw[0] >> 4 == 6 else IP


class Recording:
    """A pcap file that is written as packets come, readable by its owner only."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.left_out = 0
        """Packets of another link type than the first: a pcap file has one."""
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise UsageError(f"{path} is there already") from error
        self._file: BinaryIO = cast(BinaryIO, os.fdopen(made, "wb"))
        self._type: int | None = None

    def add(self, seen: Seen) -> None:
        """Write one packet."""
        kind = FILE_TYPES.get(seen.layer)
        if kind is None:
            kind = int(conf.l2types.layer2num.get(seen.layer, 0))
        if self._type is None:
            self._type = kind
            self._file.write(FILE_HEAD.pack(MAGIC_MICROSECONDS, 2, 4, 0, 0, LARGEST, kind))
        if kind != self._type:
            self.left_out += 1
            return
        seconds, rest = divmod(int(seen.at * 1e6), 1_000_000)
        size = len(seen.raw)
        self._file.write(
            RECORD_HEAD.pack(seconds & 0xFFFFFFFF, rest, size, size) + seen.raw
        )
        self._file.flush()

    def close(self) -> None:
        """Make it whole: one without packets is a file all the same."""
        if self._type is None:
            self._file.write(
                FILE_HEAD.pack(MAGIC_MICROSECONDS, 2, 4, 0, 0, LARGEST, FILE_TYPES[Ether])
            )
        self._file.close()
