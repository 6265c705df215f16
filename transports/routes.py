"""By which interface a host is reached: the kernel is asked for its route, 20 µs a question.

The answer is there when the question has been sent, so nothing waits. Asking beats reading the
interface off what arrives (IP_PKTINFO): that costs each datagram, and knows nothing of a path by
which nothing came yet. What counts is by which interface we send, and that is what this tells.
"""

import socket
import struct
from typing import Final

from meshpeer.errors import TransportError
from transports.netlink_format import ATTRIBUTE, NLM_F_REQUEST, NLMSG, U32, attributes

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, prefix lengths (2), tos, table … flags
RTA_DST, RTA_OIF = 1, 4
ANSWER: Final = 4_096


class Routes:
    """Asks the kernel; without netlink every answer is that it is not known."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Open the socket. A second call does nothing."""
        if self._socket is None:
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            try:
                self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
            except OSError:
                return

    def close(self) -> None:
        """Let the socket go. A second call does nothing."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def interface_to(self, host: str) -> str | None:
        """Give the name of the interface by which a numeric host is reached now, or None."""
        if self._socket is None:
            return None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket.send(_question(family, socket.inet_pton(family, host)))
            return socket.if_indextoname(_interface(self._socket.recv(ANSWER)))
        except (OSError, TransportError):
            return None


def _question(family: int, address: bytes) -> bytes:
    head = RTMSG.pack(family, 8 * len(address), 0, 0, 0, 0, 0, 0, 0)
    body = head + ATTRIBUTE.pack(ATTRIBUTE.size + len(address), RTA_DST) + address
    size = NLMSG.size + len(body)
    return NLMSG.pack(size, RTM_GETROUTE, NLM_F_REQUEST, 0, 0) + body


def _interface(answer: bytes) -> int:
    """Give the index that an answer names; 0 if it is a refusal."""
    start = NLMSG.size + RTMSG.size
    if len(answer) < start or NLMSG.unpack_from(answer)[1] != RTM_NEWROUTE:
        return 0
    index = dict(attributes(answer[start:])).get(RTA_OIF, b"")
    return int(U32.unpack(index)[0]) if len(index) == U32.size else 0
