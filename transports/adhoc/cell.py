"""A cell: one interface that carries Ethernet frames, used by AF_PACKET, with no IP on it.

IBSS and 802.11s interfaces, radio bridges, batman-adv and plain cables are all alike here.

    0             6        12          14       16
    +-------------+--------+-----------+--------+-------+
    | destination | source | EtherType | length | frame |
    +-------------+--------+-----------+--------+-------+
          6           6       0x88b5       2

The EtherType is IEEE 802's first one for local experiments. The length counts the frame, for
Ethernet pads what is shorter than 46 bytes. On 802.11 the kernel puts the same after LLC/SNAP.

The socket is raw and bound, and reads by `recv`: for `recvfrom` and `sendto` Python asks the
kernel for the interface's name or number each time, one more system call a frame. A filter of
four instructions runs in the kernel, so frames to others never wake us, even where something
else made the interface promiscuous. A frame of 1,200 bytes costs 2.9 us to send and 3.6 to
receive, through the whole transport and the kernel (benchmarks/adhoc.py, a server's x86 core).

PACKET_MMAP's rings were left: they would save the system call, 2 of the 15 us that a packet costs
a link in all, and take megabytes in a daemon that has sixty.
"""

import asyncio
import errno
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshpeer.core.link.path import Traits
from meshpeer.errors import TransportError
from transports.adhoc.frame import ETHERTYPE, EVERYBODY
from transports.adhoc.medium import Deliver, Failed, Heard, Writable
from transports.adhoc.packet_socket import (
    ARPHRD_ETHER,
    INSTRUCTION,
    Room,
    attach_filter,
    mtu_of,
    need_raw,
)

HEADER: Final = struct.Struct(">6s6sHH")
"""Destination, source, EtherType, length of what follows."""
LENGTH: Final = struct.Struct(">H")
LARGEST_MTU: Final = 2_304
"""What 802.11 carries at most. A cable may allow more, but who else is on it may not."""
SMALLEST_MTU: Final = 576
"""Below, the first packet of a handshake has no room for data."""
COST: Final = 10
"""Above udp's 0: where an interface has IP too, udp moves forty datagrams in one system call."""
READ_AT_ONCE: Final = 256
"""Frames taken before the loop's other work gets its turn."""
BUFFER: Final = 4 << 20
"""Asked of the kernel for receiving; it grants what net.core.rmem_max allows."""
FOR_US: Final = (
    (0x30, 0, 0, 0xFFFFF004),  # load the packet type
    (0x25, 1, 0, 1),  # above 1 (to this host, or to all): go to the last line
    (0x06, 0, 0, 0xFFFFFFFF),  # take it whole
    (0x06, 0, 0, 0),  # drop it
)
"""Classic BPF. Multicast is 2, another host's 3, our own 4."""

_new = tuple.__new__


def encapsulate(destination: bytes, source: bytes, frame: bytes) -> bytes:
    """Give the Ethernet frame that carries a frame of ours."""
    return HEADER.pack(destination, source, ETHERTYPE, len(frame)) + frame


def decapsulate(data: bytes) -> Heard | None:
    """Read what came under our EtherType; None if its length field doesn't fit."""
    start = HEADER.size
    if len(data) <= start:
        return None
    end = start + (data[14] << 8 | data[15])
    if not start < end <= len(data):
        return None
    return Heard(data[6:12], data[start:end])


class Cell:
    """The medium of one Ethernet-like interface; see `Medium`."""

    everybody = EVERYBODY

    def __init__(self, name: str) -> None:
        self.name = name
        self.station = bytes(6)
        self.traits = Traits(payload_limit=SMALLEST_MTU - LENGTH.size, cost=COST)
        self.counters: Counter[str] = Counter()
        self._middle = b""
        """Source and EtherType, which stand in each frame."""
        self._read_size = 0
        self._socket: socket.socket | None = None
        self._room: Room
        self._loop: asyncio.AbstractEventLoop
        self._deliver: Deliver
        self._failed: Failed

    def start(self, deliver: Deliver, failed: Failed, writable: Writable) -> None:
        """Open it; see `Medium.start`."""
        self._deliver, self._failed = deliver, failed
        self._loop = asyncio.get_running_loop()
        need_raw()
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            self._prepare(sock)
        except OSError as error:
            sock.close()
            reason = error.strerror or str(error)
            raise TransportError(f"{self.name} can't be opened: {reason}") from error
        except TransportError:
            sock.close()
            raise
        self._socket = sock
        self._room = Room(sock, self.counters, writable=writable, gone=self._fail)
        self._loop.add_reader(sock, self._readable)

    def send(self, frames: Sequence[tuple[bytes, bytes]]) -> int:
        """Take frames from the front; see `Medium.send`."""
        sock = self._socket
        if sock is None:
            return len(frames)
        if self._room.full:
            return 0
        send, middle, pack = sock.send, self._middle, LENGTH.pack
        sent = taken = 0
        for station, frame in frames:
            try:
                sent += send(station + middle + pack(len(frame)) + frame)
            except OSError as error:
                if not self._room.refused(error):
                    break
            except struct.error:
                self._room.refused(OSError(errno.EMSGSIZE, "longer than its length says"))
            taken += 1
        self.counters["sent"] += taken
        self.counters["bytes sent"] += sent
        return taken if self._socket is not None else len(frames)

    def close(self) -> None:
        """Close the socket; see `Medium.close`."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._loop.remove_reader(sock)
        self._room.close()
        sock.close()

    # -- opening

    def _prepare(self, sock: socket.socket) -> None:
        """Bind only after the filter is there, so that nothing of another interface is read."""
        attach_filter(sock, b"".join(INSTRUCTION.pack(*line) for line in FOR_US))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.bind((self.name, ETHERTYPE))
        if reason := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(reason, "it is down" if reason == errno.ENETDOWN else "")
        _, _, _, device, station = sock.getsockname()
        if device != ARPHRD_ETHER:
            raise TransportError(
                f"{self.name} carries no Ethernet frames (device type {device})"
            )
        mtu = min(mtu_of(sock, self.name), LARGEST_MTU)
        if mtu < SMALLEST_MTU:
            raise TransportError(
                f"{self.name} has an MTU of {mtu}, at least {SMALLEST_MTU} is needed"
            )
        self.station = station
        self._middle = station + ETHERTYPE.to_bytes(2)
        self._read_size = HEADER.size + mtu
        self.traits = Traits(payload_limit=mtu - LENGTH.size, cost=COST)

    # -- receiving

    def _readable(self) -> None:
        """Deliver what the socket holds, at most READ_AT_ONCE frames, as one batch."""
        assert self._socket is not None
        recv, size, start = self._socket.recv, self._read_size, HEADER.size
        heard: list[Heard] = []
        append, new, kind = heard.append, _new, Heard
        failure = ""
        count = total = 0
        try:
            for count in range(READ_AT_ONCE):  # noqa: B007 (it is counted)
                data = recv(size)
                total += len(data)
                if len(data) > start:
                    end = start + (data[14] << 8 | data[15])
                    if start < end <= len(data):
                        append(new(kind, (data[6:12], data[start:end])))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            failure = error.strerror or str(error)
        else:
            count += 1
        self.counters["received"] += len(heard)
        self.counters["bytes received"] += total
        if count > len(heard):
            self.counters["dropped: length"] += count - len(heard)
        if heard:
            self._deliver(heard)
        if failure and self._socket is not None:
            self._fail(failure)

    def _fail(self, reason: str) -> None:
        self.close()
        self.counters["failed"] += 1
        self._failed(f"{self.name}: {reason}")
