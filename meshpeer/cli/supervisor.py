"""Tells systemd that the peer is ready, that it is alive, and that it stops: sd_notify(3).

A datagram to the socket that NOTIFY_SOCKET names is all there is to it, and without that variable
nothing happens. The watchdog is fed from the loop that everything else runs in: a peer that hangs
feeds nothing and is started anew. It is fed twice in the time that systemd asks for; the units in
`deploy` ask for five minutes, so that an idle peer wakes up little.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

MICROSECONDS: Final = 1e6


class Supervisor:
    """Whoever started this process and wants to hear of it, if anybody does."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        meant = environment.get("WATCHDOG_PID") in (None, str(pid))
        told = environment.get("WATCHDOG_USEC", "") if meant else ""
        self.pause = int(told) / MICROSECONDS / 2 if told.isdigit() and int(told) else None
        """Seconds between two signs of life, or None if nobody waits for them."""

    @classmethod
    def of_this_process(cls) -> "Supervisor":
        """Give the one that the environment names."""
        return cls(os.environ, os.getpid())

    def ready(self) -> None:
        """The API answers."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    async def keep_telling(self) -> None:
        """Give signs of life until cancelled; returns at once if nobody waits for them."""
        while self.pause is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.pause)

    def _tell(self, what: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.setblocking(False)
            try:
                told.sendto(what.encode(), self._address)
            except OSError:
                return  # it is not there, or has no room now: then it will hear the next
