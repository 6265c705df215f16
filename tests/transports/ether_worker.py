"""The process of `ether.Ether`: moves frames between TAP devices. It ends with its control socket."""

import json
import os
import select
import socket
import sys
import time
from collections import Counter
from random import Random

from tests.transports.air import Air

LARGEST = 4_096
AT_ONCE = 64
MESSAGE = 1 << 20
WAITING = 32
"""Frames of a station that wait for the air; the others stay in its interface's queue."""


class Worker:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.epoll = select.epoll()
        self.epoll.register(control, select.EPOLLIN)
        self.taps: dict[int, int] = {}
        """Station numbers by file descriptor."""
        self.fds: dict[int, int] = {}
        self.numbers: dict[bytes, int] = {}
        self.heard_by: dict[int, list[int]] = {}
        self.hears: set[tuple[int, int]] = set()
        self.loss: dict[tuple[int, int], float] = {}
        self.counters: Counter[str] = Counter()
        self.air: Air | None = None
        self.paused: set[int] = set()

    # -- what the test says

    def begin(self, stations, rate, retries, seed, by_address):
        self.rng, self.retries, self.by_address = Random(seed), retries, by_address
        self.numbers = {bytes.fromhex(text): n for n, text in enumerate(stations)}
        if rate is not None:
            self.air = Air(
                len(stations),
                rate=rate,
                hears=lambda listener, source: (listener, source) in self.hears,
                loss=lambda listener, source: self.loss.get((source, listener), 0.0),
                retries=retries if by_address else 0,
                rng=self.rng,
            )

    def plug(self, number):
        old = self.fds.get(number)
        if old is not None:
            self.unplug(old)
        self.taps[self.fd] = number
        self.fds[number] = self.fd
        self.epoll.register(self.fd, select.EPOLLIN)

    def unplug(self, fd):
        number = self.taps.pop(fd)
        del self.fds[number]
        self.epoll.unregister(fd)
        os.close(fd)
        self.paused.discard(fd)

    def set_loss(self, pairs):
        self.loss = {(one, other): share for one, other, share in pairs}

    def set_hears(self, pairs):
        self.hears = {(one, other) for one, other in pairs}
        self.heard_by = {}
        for listener, source in sorted(self.hears):
            self.heard_by.setdefault(source, []).append(listener)

    def count(self):
        if self.air is None:
            return self.counters
        return {**self.air.counters, "busy_s": self.air.busy_s}

    def obey(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self.control, MESSAGE, 1)
        if not message:
            return False
        words = json.loads(message)
        verb = words.pop("verb")
        self.fd = fds[0] if fds else -1
        acts = {"begin": self.begin, "plug": self.plug, "count": self.count}
        acts |= {"loss": self.set_loss, "hears": self.set_hears}
        answer = acts[verb](**words)
        self.control.send(json.dumps(answer).encode())
        return True

    # -- moving

    def run(self) -> None:
        now = time.monotonic
        while True:
            timeout = -1.0
            if self.air is not None and (at := self.air.next_wakeup()) is not None:
                timeout = max(at - now(), 0.0)
            for fd, _ in self.epoll.poll(timeout):
                if fd == self.control.fileno():
                    if not self.obey():
                        return
                elif fd in self.taps:
                    self.move(fd)
            if self.air is not None:
                self.breathe(now())

    def move(self, fd: int) -> None:
        source = self.taps[fd]
        try:
            for _ in range(AT_ONCE):
                data = os.read(fd, LARGEST)
                to = self.numbers.get(data[:6]) if self.by_address else None
                if self.air is not None:
                    self.air.offer(source, data, to, time.monotonic())
                    if self.air.waiting(source) >= WAITING:
                        self.epoll.modify(fd, 0)
                        self.paused.add(fd)
                        return
                elif to is not None:
                    self.to_one(source, to, data)
                else:
                    self.to_all(source, data)
        except BlockingIOError:
            return
        except OSError:
            self.unplug(fd)

    def to_one(self, source: int, to: int, data: bytes) -> None:
        if (to, source) not in self.hears:
            return
        share = self.loss.get((source, to), 0.0)
        for _ in range(self.retries + 1):
            self.counters["frames"] += 1
            self.counters["bytes"] += len(data)
            if not share or self.rng.random() >= share:
                self.deliver(to, data)
                return
            self.counters["lost"] += 1

    def to_all(self, source: int, data: bytes) -> None:
        self.counters["frames"] += 1
        self.counters["bytes"] += len(data)
        for listener in self.heard_by.get(source, ()):
            share = self.loss.get((source, listener), 0.0)
            if share and self.rng.random() < share:
                self.counters["lost"] += 1
            else:
                self.deliver(listener, data)

    def breathe(self, now: float) -> None:
        """Let the air move on; what arrives for somebody else a cell's hardware drops."""
        assert self.air is not None
        for listener, _, data in self.air.advance(now):
            if not self.by_address or self.numbers.get(data[:6]) in (None, listener):
                self.deliver(listener, data)
        for fd in list(self.paused):
            if self.air.waiting(self.taps[fd]) < WAITING:
                self.paused.remove(fd)
                self.epoll.modify(fd, select.EPOLLIN)

    def deliver(self, listener: int, data: bytes) -> None:
        fd = self.fds.get(listener)
        if fd is None:
            return
        try:
            os.write(fd, data)
        except OSError:
            self.counters["not delivered"] += 1


if __name__ == "__main__":
    Worker(socket.socket(fileno=int(sys.argv[1]))).run()
