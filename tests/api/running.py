"""Real peers in one process, for tests that speak to one of them from outside.

All nodes run in one loop, in a thread of its own: the test is the program that calls the API.
Nobody meets by chance, for the LAN is off; what a test waits for is an event of a peer's history.
"""

import asyncio
import json
import threading
import time
from contextlib import ExitStack, aclosing, contextmanager

from meshpeer.api.server import Server
from meshpeer.node.clock import Clock
from meshpeer.node.config import Config, Lan, Udp
from meshpeer.node.facade import Draft
from meshpeer.node.node import Node
from meshpeer.node.service import Service
from meshpeer.node.state import State

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


class Mesh:
    """Where the peers of a test live; the end of the block ends them all."""

    def __init__(self, folder):
        self._folder = folder
        self._settled = 0
        self._ends = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        try:
            self._ends.close()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def wait(self, operation):
        """Run a coroutine in the peers' loop and give what it gives."""
        patient = asyncio.wait_for(operation, PATIENCE)
        return asyncio.run_coroutine_threadsafe(patient, self._loop).result()

    def settle(self, nickname, *, clock=Clock):
        """Start one more peer."""
        self._settled += 1
        state = State(self._folder / f"{self._settled}-{nickname}")
        state.create()
        node = self.wait(_started(state, nickname, clock))
        self._ends.callback(lambda: self.wait(node.close()))
        return Peer(self, node)

    def serve(self, peer, *, loopback):
        """Answer on the peer's sockets."""
        server = Server(peer.service, peer.state)
        self._ends.callback(lambda: self.wait(server.close()))
        self.wait(server.start(loopback_port=0 if loopback else None))
        return server


async def _started(state, nickname, clock):
    quiet = Config(
        nickname=nickname, udp=Udp(listen=["127.0.0.1"], port=0), lan=Lan(on=False)
    )
    node = Node(state, quiet, clock)
    await node.start()
    return node


class Peer:
    """One of them, and the person who lives there."""

    def __init__(self, mesh, node):
        self.mesh, self.node, self.state = mesh, node, node.state
        self.service = Service(node)
        self.server = None
        self.card = self.wait(self.service.card())
        self.id = self.card.person
        self.peer_id = self.wait(self.service.status()).peer

    def wait(self, operation):
        """Run one of the service's operations and give what it gives."""
        return self.mesh.wait(operation)

    def knows(self, other, petname=None):
        """Take the other's card."""
        self.wait(self.service.add_contact(other.card.uri, petname))

    def writes(self, other, text):
        """Queue a message and give its id."""
        (sent,) = self.wait(self.service.send([Draft(other.id, text)]))
        return sent.id

    def texts(self, box):
        """What lies in a box."""
        page = self.service.messages(box, None, 100, unread=False, who=None)
        return [message.text for message in self.wait(page).items]

    def hears(self, kind, *, after="0", **fields):
        """Wait until the history after this cursor tells of such an event."""
        self.wait(self._heard(kind, after, fields))

    async def _heard(self, kind, after, fields):
        async with aclosing(self.service.events(after)) as events:
            async for event in events:
                if event.kind == kind and fields.items() <= json.loads(event.body).items():
                    return

    def until(self, holds):
        """Ask until this holds of the status: only for what no event tells."""
        deadline = time.monotonic() + PATIENCE
        while not holds(self.wait(self.service.status())):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    @contextmanager
    def meets(self, other):
        """Link the two until the end of the block."""
        before = [(peer, peer.wait(peer.service.status())) for peer in (self, other)]
        address = f"127.0.0.1:{other.node.udp.port}"
        self.wait(self.service.add_peer(other.peer_id, address))
        for (peer, status), there in zip(before, (other, self), strict=True):
            peer.hears("link", after=status.last_event, peer=there.peer_id, up=True)
        yield
        self.wait(self.service.remove_peer(other.peer_id))
        for (peer, status), there in zip(before, (other, self), strict=True):
            peer.hears("link", after=status.last_event, peer=there.peer_id, up=False)


@contextmanager
def running(folder, *, loopback=False):
    """Give ann's peer, who answers on real sockets until the end of the block."""
    with Mesh(folder) as mesh:
        ann = mesh.settle("ann")
        ann.server = mesh.serve(ann, loopback=loopback)
        yield ann
