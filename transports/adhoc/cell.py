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
import fcntl
import socket
import struct
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshpeer.core.link.path import Traits
from meshpeer.errors import TransportError
from transports.adhoc.medium import Deliver, Failed, Heard, Writable

ETHERTYPE: Final = 0x88B5
HEADER: Final = struct.Struct(">6s6sHH")
"""Destination, source, EtherType, length of what follows."""
LENGTH: Final = struct.Struct(">H")
EVERYBODY: Final = b"\xff" * 6
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
NO_BUFFERS_PAUSE: Final = 0.005
"""Seconds till `writable` after ENOBUFS: a full device queue sends no event when it drains."""

ARPHRD_ETHER: Final = 1
SIOCGIFMTU: Final = 0x8921
IFREQ: Final = struct.Struct("16si20x")
SO_ATTACH_FILTER: Final = 26
FOR_US: Final = (
    (0x30, 0, 0, 0xFFFFF004),  # load the packet type
    (0x25, 1, 0, 1),  # above 1 (to this host, or to all): go to the last line
    (0x06, 0, 0, 0xFFFFFFFF),  # take it whole
    (0x06, 0, 0, 0),  # drop it
)
"""Classic BPF. Multicast is 2, another host's 3, our own 4."""

FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}
GONE: Final = {errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.EBADF}
_new = tuple.__new__


def need_raw() -> None:
    """Raise TransportError, with what helps, unless this process may use AF_PACKET at all."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError as error:
        raise TransportError(
            "adhoc needs the capability CAP_NET_RAW: run meshpeer by the systemd unit of "
            "deploy/ (AmbientCapabilities=CAP_NET_RAW), or `sudo setpriv --reuid=$(id -u) "
            "--regid=$(id -g) --init-groups --inh-caps=+net_raw --ambient-caps=+net_raw "
            "meshpeer run`"
        ) from error


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
        self._pause: asyncio.TimerHandle | None = None
        self._waiting = False
        self._loop: asyncio.AbstractEventLoop
        self._deliver: Deliver
        self._failed: Failed
        self._writable: Writable

    def start(self, deliver: Deliver, failed: Failed, writable: Writable) -> None:
        """Open it; see `Medium.start`."""
        self._deliver, self._failed, self._writable = deliver, failed, writable
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
        self._loop.add_reader(sock, self._readable)

    def send(self, frames: Sequence[tuple[bytes, bytes]]) -> int:
        """Take frames from the front; see `Medium.send`."""
        sock = self._socket
        if sock is None:
            return len(frames)
        if self._waiting:
            return 0
        send, middle, pack = sock.send, self._middle, LENGTH.pack
        sent = taken = 0
        for station, frame in frames:
            try:
                sent += send(station + middle + pack(len(frame)) + frame)
            except (OSError, struct.error) as error:
                if not self._refused(error):
                    break
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
        self._loop.remove_writer(sock)
        sock.close()
        if self._pause is not None:
            self._pause.cancel()
        self._pause, self._waiting = None, False

    # -- opening

    def _prepare(self, sock: socket.socket) -> None:
        """Bind only after the filter is there, so that nothing of another interface is read."""
        program = array("B", b"".join(struct.pack("=HBBI", *line) for line in FOR_US))
        fprog = struct.pack("HP", len(FOR_US), program.buffer_info()[0])
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
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

    # -- sending

    def _refused(self, error: OSError | struct.error) -> bool:
        """Decide what an error means: True if that frame counts as taken, with none sent."""
        number = error.errno if isinstance(error, OSError) else errno.EMSGSIZE
        if number in FULL:
            self._wait_for_room(number)
            return False
        if number in GONE:
            self._fail(str(error))
            return False
        self.counters[f"unsent {errno.errorcode.get(number or 0, 'error')}"] += 1
        self.counters["sent"] -= 1
        return True

    def _wait_for_room(self, number: int | None) -> None:
        assert self._socket is not None
        self.counters["full"] += 1
        self._waiting = True
        if number == errno.ENOBUFS:
            self._pause = self._loop.call_later(NO_BUFFERS_PAUSE, self._has_room)
        else:
            self._loop.add_writer(self._socket, self._has_room)

    def _has_room(self) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
        self._pause, self._waiting = None, False
        self._writable()

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


def mtu_of(sock: socket.socket, name: str) -> int:
    """Give the MTU of an interface; OSError if it is gone."""
    answer = fcntl.ioctl(sock, SIOCGIFMTU, IFREQ.pack(name.encode(), 0))
    return int(IFREQ.unpack(answer)[1])
