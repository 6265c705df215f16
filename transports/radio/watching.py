"""What becomes of an interface of ours while it is up, and the wish to end.

Signals and the kernel's news of links are waited for at one place, without polling.
"""

import selectors
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import Final, Self

from meshpeer.errors import TransportError
from transports.netlink_format import messages
from transports.radio.kernel import READ_SIZE, Conversation
from transports.radio.links import Link, ask_links, read_links

RTMGRP_LINK: Final = 1
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watch:
    """Hears of links and of signals from the moment it is made."""

    def __init__(self) -> None:
        self.ended = False
        """Whether a signal asked us to end."""
        self._links = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            socket.NETLINK_ROUTE,
        )
        self._links.bind((0, RTMGRP_LINK))
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._links, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._handlers = {one: signal.signal(one, self._end) for one in ENDINGS}
        self._former = signal.set_wakeup_fd(self._waker.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._former)
        for one, handler in self._handlers.items():
            signal.signal(one, handler)
        self._selector.close()
        for end in (self._links, self._woken, self._waker):
            end.close()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.ended = True

    def until_carrier(self, ifindex: int, seconds: float) -> bool:
        """Wait until frames can go out; False after so many seconds, or if asked to end."""
        while not self.ended:
            if not self._selector.select(seconds):
                return False
            if any(link.is_up and link.has_carrier for link in self._news(ifindex)):
                return True
        return False

    def until_over(self, ifindex: int, name: str) -> None:
        """Return when asked to end; TransportError when the interface is gone or set down."""
        while not self.ended:
            self._selector.select()
            if not all(link.is_up for link in self._news(ifindex)):
                raise TransportError(f"{name} is gone, or something set it down")

    def _news(self, ifindex: int) -> list[Link]:
        """Give the states that one link has gone through since."""
        with suppress(BlockingIOError):
            self._woken.recv(64)
        try:
            told = list(read_links(messages(self._links.recv(READ_SIZE))))
        except BlockingIOError:
            return []
        except OSError:  # ENOBUFS: the kernel dropped some of what happened
            with Conversation(socket.NETLINK_ROUTE) as route:
                told = ask_links(route)
            if ifindex not in {link.ifindex for link in told}:
                return [Link(ifindex, "", 0, frozenset(), 0)]
        return [link for link in told if link.ifindex == ifindex]
