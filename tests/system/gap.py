"""Three peers in namespaces: Bob has a cable to Ann and one to Carla, who never meet.

Each runs with the default configuration. The cables begin unplugged.
"""

from pathlib import Path

from tests.namespaces import Network
from tests.system.daemon import Daemon


class Gap:
    """Ann and Carla, each other's contacts, and Bob, who knows neither."""

    def __init__(self, folder: Path, network: Network) -> None:
        self._network = network
        self.ann, self.bob, self.carla = self.peers = [
            Daemon(folder / name, namespace=network.add_namespace(name))
            for name in ("ann", "bob", "carla")
        ]
        self._join(self.ann, "eth0", "192.0.2")
        self._join(self.carla, "eth1", "198.51.100")

    def _join(self, one: Daemon, bobs: str, subnet: str) -> None:
        host, bob = one.namespace, self.bob.namespace
        self._network.add_cable(host, "eth0", bob, bobs)
        self._network.ip(host, "address", "add", f"{subnet}.2/24", "dev", "eth0")
        self._network.ip(bob, "address", "add", f"{subnet}.1/24", "dev", bobs)
        self._network.ip(bob, "link", "set", bobs, "up")

    def start(self) -> None:
        """Start all three, and exchange cards by hand."""
        for peer in self.peers:
            peer.begin()
        for peer in self.peers:
            peer.ready()
        self.ann.knows(self.carla)
        self.carla.knows(self.ann)

    def plug(self, one: Daemon) -> None:
        """Plug in the cable between one of them and Bob."""
        self._network.ip(one.namespace, "link", "set", "eth0", "up")

    def unplug(self, one: Daemon) -> None:
        """Take it out again."""
        self._network.ip(one.namespace, "link", "set", "eth0", "down")

    def meet(self, one: Daemon) -> None:
        """Plug in, and wait for the link."""
        self.plug(one)
        one.hear("link", peer=self.bob.peer, up=True)
        self.bob.linked_with(one)

    def part(self, one: Daemon) -> None:
        """Unplug, and wait till both have noticed."""
        self.unplug(one)
        one.until(lambda: not one.neighbours(), "parting")
        self.bob.until(lambda: one.peer not in self.bob.neighbours(), "parting")

    def close(self) -> None:
        """End what runs."""
        for peer in self.peers:
            peer.kill()
