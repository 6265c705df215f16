"""A neighbour gone bad: its link is a real one, what it says over it is up to the test."""

import os
import select
import socket
import time

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.events import LinkDown, LinkUp, Readable
from meshpeer.core.link.link import Link
from meshpeer.core.link.path import Datagram, Path
from tests.system.daemon import PATIENCE
from tests.system.fuzz import LARGEST


class Intruder:
    """One UDP socket and the real link protocol over it."""

    def __init__(self, sock: socket.socket, peer_id: bytes, address: tuple[str, int]):
        self._sock = sock
        self._peer_id = peer_id
        self._path = Path("udp", address)
        self._endpoint = Endpoint(
            static=KeyPair.generate(os.urandom), now=time.monotonic(), rng=os.urandom
        )
        self.link: Link | None = None
        self.heard = b""
        """What the other side said on stream 0 of the first link."""
        self.links = 0

    def say(self, *objects: tuple[int, bytes]) -> None:
        """Make a link, and write (stream, bytes) over it.

        The other side may have closed it before the last: it was bad manners.
        """
        self._endpoint.connect(self._peer_id, self._path, time.monotonic())
        self._pump(lambda: self.link)
        link = self.link
        for stream, data in objects:
            link.write(stream, data)
        self._pump(lambda: link.closed or not any(map(link.buffered, range(4))))

    def seal(self, frames: bytes) -> None:
        """Send a packet with these frames, as none that keeps to the rules would."""
        if self.link:
            packet = self.link._sealer.seal(frames)
            self._sock.sendto(packet, self._path.address)

    def leave(self) -> None:
        """Close the link; what the other side hasn't read by now it never will."""
        if self.link:
            self.link.close("")
        self._pump(lambda: self.link is None)

    def listen(self) -> bytes:
        """Make a link, say nothing, and give the first that the other side says."""
        self.say()
        self._pump(lambda: self.heard)
        self.leave()
        return self.heard

    def _pump(self, done) -> None:
        deadline = time.monotonic() + PATIENCE
        self._flush()
        while not done():
            assert time.monotonic() < deadline, f"no way on: {self._endpoint.counters}"
            wakeup = self._endpoint.next_wakeup()
            wait = PATIENCE if wakeup is None else max(0.0, wakeup - time.monotonic())
            if select.select([self._sock], [], [], min(wait, 1.0))[0]:
                data = self._sock.recv(LARGEST)
                self._endpoint.receive([Datagram(self._path, data)], time.monotonic())
            self._endpoint.wake(time.monotonic())
            self._flush()

    def _flush(self) -> None:
        for datagram in self._endpoint.outgoing(time.monotonic()):
            self._sock.sendto(datagram.data, self._path.address)
        for event in self._endpoint.events():
            match event:
                case LinkUp(link):
                    self.link = link
                    self.links += 1
                case LinkDown():
                    self.link = None
                case Readable(link, stream):
                    said = link.read(stream)
                    if self.links == 1 and stream == 0:
                        self.heard += said
