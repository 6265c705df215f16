"""What a cell and a monitor interface have in common: an AF_PACKET socket and its troubles.

Each opens, frames and reads in its own way, written flat where it is hot. What is rare is here: may
it be opened, what the interface is, the kernel's filter, and what to do when a frame can't go.
"""

import asyncio
import errno
import socket
from array import array
from collections import Counter
from collections.abc import Callable
from fcntl import ioctl
from struct import Struct
from typing import Final

from meshpeer.errors import TransportError

NO_BUFFERS_PAUSE: Final = 0.005
"""Seconds till `writable` after ENOBUFS: a full device queue sends no event when it drains."""
ARPHRD_ETHER: Final = 1
ARPHRD_RADIOTAP: Final = 803
"""Kinds of device: one that carries Ethernet frames, a monitor interface with radiotap."""
INSTRUCTION: Final = Struct("=HBBI")
"""Of classic BPF: code, distance of the jump if true, if false, value."""

FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}
GONE: Final = {errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.EBADF}
SIOCGIFMTU: Final = 0x8921
SIOCGIFHWADDR: Final = 0x8927
SO_ATTACH_FILTER: Final = 26
_ASKED: Final = Struct("=16s24x")
_MTU: Final = Struct("=16xi20x")
_HARDWARE: Final = Struct("=16xH6s16x")
_PROGRAM: Final = Struct("@HP")


def need_raw() -> None:
    """Raise TransportError, with what helps, unless this process may use AF_PACKET at all."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError as error:
        raise TransportError(
            "adhoc needs the capability CAP_NET_RAW: run meshpeer by a systemd unit with "
            "AmbientCapabilities=CAP_NET_RAW, as the Debian package does (deploy/README.md), or "
            "`sudo setpriv --reuid=$(id -u) --regid=$(id -g) --init-groups --inh-caps=+net_raw "
            '--ambient-caps=+net_raw env HOME="$HOME" $(which meshpeer) run`'
        ) from error


def mtu_of(sock: socket.socket, name: str) -> int:
    """Give the MTU of an interface; OSError if it is gone."""
    (mtu,) = _MTU.unpack(ioctl(sock, SIOCGIFMTU, _ASKED.pack(name.encode())))
    return int(mtu)


def hardware_of(sock: socket.socket, name: str) -> tuple[int, bytes]:
    """Give the kind of device that an interface is (ARPHRD) and its address; OSError if it is
    gone."""
    kind, address = _HARDWARE.unpack(ioctl(sock, SIOCGIFHWADDR, _ASKED.pack(name.encode())))
    return kind, address


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Give the kernel a filter, in classic BPF; OSError if it doesn't take it."""
    instructions = array("B", program)
    address, size = instructions.buffer_info()
    option = _PROGRAM.pack(size // INSTRUCTION.size, address)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)


class Room:
    """Whether an open socket takes frames now; needs a running loop."""

    def __init__(
        self,
        sock: socket.socket,
        counters: Counter[str],
        *,
        writable: Callable[[], None],
        gone: Callable[[str], None],
    ) -> None:
        """`writable` is called when there is room again, `gone` with the reason if the interface
        takes nothing any more."""
        self.full = False
        """Whether `writable` is still to come."""
        self._socket, self._counters = sock, counters
        self._writable, self._gone = writable, gone
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def refused(self, error: OSError) -> bool:
        """A frame could not go: whether it counts as taken all the same, as one that never can."""
        number = error.errno or 0
        if number in GONE:
            self._gone(error.strerror or str(error))
            return False
        if number not in FULL:
            self._counters[f"unsent {errno.errorcode.get(number, 'error')}"] += 1
            self._counters["sent"] -= 1
            return True
        self.full = True
        self._counters["full"] += 1
        if number == errno.ENOBUFS:
            self._pause = self._loop.call_later(NO_BUFFERS_PAUSE, self._drained)
        else:
            self._loop.add_writer(self._socket, self._drained)
        return False

    def close(self) -> None:
        """Wait for nothing any more; call it before the socket is closed."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_writer(self._socket)

    def _drained(self) -> None:
        self._loop.remove_writer(self._socket)
        self._pause, self.full = None, False
        self._writable()
