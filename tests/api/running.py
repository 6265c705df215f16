"""A village whose first peer answers on a real socket, for tests that call it from outside."""

import asyncio
import threading
from contextlib import contextmanager

from meshpeer.api.server import Server
from meshpeer.node.state import State
from tests.api.village import Village


class Running:
    """The village's loop in a thread; `ann` is served, the others are her neighbours."""

    def __init__(self, state, server, village, ann, loop):
        self.state, self.server, self.village, self.ann = state, server, village, ann
        self._loop = loop

    def do(self, function, *arguments):
        """Call something of the village in its own thread and wait for it."""

        async def call():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def wait(self, operation):
        """Run one of the facade's operations and give what it gives."""
        return asyncio.run_coroutine_threadsafe(operation, self._loop).result(10)


@contextmanager
def running(folder, *, loopback=False):
    """Serve a village's first peer, ann, until the end of the block."""
    state = State(folder)
    state.create()
    village = Village()
    ann = village.settle("ann")
    server = Server(ann, state)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        start = server.start(loopback_port=0 if loopback else None)
        asyncio.run_coroutine_threadsafe(start, loop).result(10)
        yield Running(state, server, village, ann, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
