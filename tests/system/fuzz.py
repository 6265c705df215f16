"""What an attacker on the wire has: recorded packets, and ways to spoil them."""

import selectors
import socket
from random import Random
from threading import Thread

from meshpeer.core.link import packet
from tests.namespaces import inside

LARGEST = 65_535
WHOLE = 0.05
"""Share of packets that are sent as they were: replays."""


def spoil(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Give a packet that was good once, changed in one to four places."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 1 if at < len(changed):
                changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + random.randint(1, 16)]
            case 4:
                changed[at:at] = random.randbytes(random.randint(1, 64))
            case _:
                changed[at:] = random.choice(others)[at:]
    return bytes(changed)


def signed(data: bytes, peer_id: bytes) -> bytes:
    """Put the right mac1 under a spoilt handshake packet: whoever knows the peer id can."""
    if len(data) <= 2 * packet.MAC_SIZE or data[0] not in (
        packet.INITIATION,
        packet.RESPONSE,
    ):
        return data
    body = data[: -2 * packet.MAC_SIZE]
    mac1 = packet.mac(packet.mac1_key(peer_id), body)
    return body + mac1 + data[-packet.MAC_SIZE :]


class Tap:
    """A man in the middle: passes on what a peer and its target say, and keeps a copy.

    The peer reaches it at `address`; the target sees it at the host of `outside`.
    """

    def __init__(self, namespace: str, outside: str, target: tuple[str, int]) -> None:
        with inside(namespace):
            self._inner = udp("127.0.0.1")
            self.outer = udp(outside)
        self._target = target
        self._peer = None
        self.heard: list[bytes] = []
        self._end, self._ended = socket.socketpair()
        self._thread = Thread(target=self._pump)
        self._thread.start()

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._inner.getsockname())

    def close(self) -> None:
        """Stop passing on."""
        self._end.send(b".")
        self._thread.join()
        for sock in (self._inner, self.outer, self._end, self._ended):
            sock.close()

    def _pump(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._inner, self.outer, self._ended):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._ended:
                        return
                    self._pass_on(key.fileobj)

    def _pass_on(self, sock: socket.socket) -> None:
        data, sender = sock.recvfrom(LARGEST)
        if sock is self._inner:
            self._peer = sender
            self.outer.sendto(data, self._target)
        elif sender == self._target and self._peer:
            self._inner.sendto(data, self._peer)
        else:
            return
        self.heard.append(data)


def udp(host: str) -> socket.socket:
    """Give a bound UDP socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock
