"""A radio channel for tests and benchmarks: ptys, each with a KISS modem behind it, on one frequency.

Half duplex: one frame at a time is on the air, and takes as long as its bytes do at the channel's
rate; then every other modem gives it to its host. Who waits takes turns: carrier sense without
collisions. What is counted is what the hosts wrote, framing and escapes in.
"""

import os
import pty
import selectors
import threading
import time
import tty
from collections import deque
from random import Random

FEND = 0xC0


class Modem:
    """One pty: `port` is what a medium opens."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.port = os.ttyname(self.slave)
        self.frames: deque[bytes] = deque()
        self.most_held = 0
        """Bytes that waited here at most."""
        self._rest = b""

    def read(self) -> None:
        """Take what the host wrote, cut into whole frames."""
        self._rest += os.read(self.master, 65_536)
        *whole, self._rest = _cut(self._rest)
        self.frames += whole
        self.most_held = max(self.most_held, sum(map(len, self.frames)))

    def give(self, frame: bytes) -> None:
        """Let the host read a frame; one that doesn't read loses it."""
        try:
            os.write(self.master, frame)
        except BlockingIOError:
            return

    def unplug(self) -> None:
        """Let the port end."""
        for fd in (self.master, self.slave):
            os.close(fd)


class Channel:
    """Modems on one frequency, served by a thread of their own."""

    def __init__(
        self,
        count: int = 2,
        *,
        rate: float,
        bits: int = 10,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        """`rate` in bit/s, of which a byte takes `bits`: 10 with a start and a stop bit."""
        self.modems = [Modem() for _ in range(count)]
        self.bytes_on_air = 0
        self.frames: list[bytes] = []
        """All that went over, in order."""
        self._seconds = bits / rate
        self._loss, self._random = loss, Random(seed)
        self._turn = 0
        self._waker, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def ports(self) -> list[str]:
        """What mediums open."""
        return [modem.port for modem in self.modems]

    def close(self) -> None:
        """Stop, and unplug every modem that still is there."""
        os.write(self._wake, b"x")
        self._thread.join()
        for modem in self.modems:
            modem.unplug()
        for fd in (self._waker, self._wake):
            os.close(fd)

    def _serve(self) -> None:
        busy: tuple[float, Modem, bytes] | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._waker, selectors.EVENT_READ)
            for modem in self.modems:
                selector.register(modem.master, selectors.EVENT_READ, modem)
            while True:
                timeout = max(0.0, busy[0] - time.monotonic()) if busy else None
                for key, _ in selector.select(timeout):
                    if key.data is None:
                        return
                    key.data.read()
                if busy and busy[0] <= time.monotonic():
                    self._arrive(*busy[1:])
                    busy = None
                if busy is None:
                    busy = self._begin()

    def _begin(self) -> tuple[float, Modem, bytes] | None:
        """Put the next frame on the air: from whom, and when it ends."""
        for step in range(len(self.modems)):
            at = (self._turn + step) % len(self.modems)
            if self.modems[at].frames:
                self._turn = at + 1
                frame = self.modems[at].frames.popleft()
                return time.monotonic() + len(frame) * self._seconds, self.modems[at], frame
        return None

    def _arrive(self, sender: Modem, frame: bytes) -> None:
        self.bytes_on_air += len(frame)
        self.frames.append(frame)
        for modem in self.modems:
            if modem is not sender and self._random.random() >= self._loss:
                modem.give(frame)


def _cut(data: bytes) -> list[bytes]:
    """Whole frames, FENDs in, and what is left."""
    found = []
    while (start := data.find(FEND)) >= 0:
        end = data.find(FEND, start + 1)
        if end < 0:
            break
        found.append(data[start : end + 1])
        data = data[end + 1 :]
    return [*found, data]
