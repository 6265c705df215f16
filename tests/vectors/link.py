"""A conversation of two peers over a link, from fixed keys and fixed randomness.

Each packet is shown with what was asked of the random source for it, in order, and a data packet
with its counter and the frames inside.
"""

from hashlib import blake2s

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link import packet
from meshpeer.core.link.config import LinkConfig
from meshpeer.core.link.endpoint import Endpoint
from meshpeer.core.link.path import Datagram, Path

CONFIG = LinkConfig(renew_packets=4)


class Side:
    """One endpoint that tells what randomness it took."""

    def __init__(self, name):
        self.name = name
        self.taken = []
        self.static = KeyPair(f"{name} peer".encode().ljust(32, b"."))
        self.endpoint = Endpoint(
            static=self.static, now=0.0, rng=self._random, config=CONFIG
        )
        self.path = Path("memory", name)

    def _random(self, size):
        seed = f"{self.name} {len(self.taken)}".encode()
        self.taken.append(blake2s(seed).digest()[:size])
        return self.taken[-1]

    def link(self):
        (link,) = self.endpoint.links.values()
        return link


def frames_of(link, data):
    """The counter and the frames of a data packet, by the key that sealed it."""
    counter = int.from_bytes(data[5:9])
    nonce = counter.to_bytes(12)
    return {
        "counter": counter,
        "frames": link._sealer.keys.send.decrypt(nonce, data[9:], data[:9]),
    }


def exchange(sender, receiver, now, shown):
    """Carry everything that the sender has to say over, and show it."""
    for datagram in sender.endpoint.outgoing(now):
        data = bytes(datagram.data)
        line = {"from": sender.name, "packet": data}
        if data[0] & ~3 == packet.DATA:
            line |= frames_of(sender.link(), data)
        shown.append(line)
        receiver.endpoint.receive([Datagram(sender.path, data)], now)
        for event in receiver.endpoint.events():
            if hasattr(event, "stream"):
                event.link.read(event.stream)


def conversation():
    """The first packet with early data, its answer, streams both ways, new keys, goodbye."""
    ada, bob = Side("ada"), Side("bob")
    shown = []
    ada.endpoint.connect(bob.static.public, bob.path, 0.0, early=b"early")
    for step in range(12):
        now = step * 0.001
        exchange(ada, bob, now, shown)
        exchange(bob, ada, now, shown)
        if 3 <= step < 9:
            ada.link().write(step, b"from ada " + bytes([48 + step]))
            bob.link().write(step, b"from bob " + bytes([48 + step]))
    ada.link().finish(3)
    exchange(ada, bob, 0.05, shown)
    ada.link().close("going home")
    words = ada.link().last_words
    shown.append({"from": "ada", "packet": words})
    return {
        "ada": {"private": ada.static.private, "random": ada.taken},
        "bob": {"private": bob.static.private, "random": bob.taken},
        "binding": bob.link().binding,
        "packets": shown,
    }
