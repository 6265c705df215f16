"""By which interface a host is reached: the kernel is asked for its route, 20 µs a question.

The answer is there when the question has been sent, so nothing waits. Asking beats reading the
interface off what arrives (IP_PKTINFO): that costs each datagram, and knows nothing of a path by
which nothing came yet. What counts is by which interface we send, and that is what this tells.
"""

import socket
from typing import Final

from meshpeer.errors import TransportError
from transports.netlink_format import (
    NLM_F_REQUEST,
    RTA_DST,
    RTA_OIF,
    RTM_GETROUTE,
    RTM_NEWROUTE,
    RTMSG,
    attribute,
    attributes,
    message,
    messages,
    number,
)

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
    body = RTMSG.pack(family, 8 * len(address), 0, 0, 0, 0, 0, 0, 0)
    return message(RTM_GETROUTE, NLM_F_REQUEST, body + attribute(RTA_DST, address))


def _interface(answer: bytes) -> int:
    """Give the index that an answer names; 0 if it is a refusal."""
    for told in messages(answer):
        if told.kind == RTM_NEWROUTE and len(told.body) >= RTMSG.size:
            return number(dict(attributes(told.body[RTMSG.size :])).get(RTA_OIF))
    return 0
