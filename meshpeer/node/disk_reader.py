"""Bytes that neighbours wait for, read from the database in a thread of their own.

Bundles are read together, one lot at a time; blocks as they are asked for.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from meshpeer.core.chains.serving import ReadBlocks
from meshpeer.errors import StoreError

if TYPE_CHECKING:
    from meshpeer.node.node import Node

log = logging.getLogger("meshpeer.node")


class DiskReader:
    """Reads what one node's peer wants; what can't be read counts as gone, and is logged."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._reading = False

    def turn(self) -> None:
        """Begin to read what the peer wants now."""
        peer = self._node.peer
        for request in peer.chains.reads():
            self._node.background(self._serve_blocks(request))
        if self._reading:
            return
        ids = peer.loads()
        if ids:
            self._reading = True
            loop = asyncio.get_running_loop()
            done = loop.run_in_executor(self._thread, self._wires, ids)
            done.add_done_callback(self._was_read)

    def close(self) -> None:
        """Wait for what is being read, and read no more."""
        self._thread.shutdown()

    async def _serve_blocks(self, request: ReadBlocks) -> None:
        node, loop = self._node, asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(
                self._thread, lambda: node.store.log_blocks(*request[1:])
            )
        except StoreError as error:
            log.error("the disk can't be read", extra={"reason": str(error)})
            rows = []
        node.peer.blocks_read(request, rows, node.now())
        node.soon()

    def _wires(self, ids: list[bytes]) -> dict[bytes, bytes | None]:
        return {id: self._wire(id) for id in ids}

    def _wire(self, id: bytes) -> bytes | None:
        """None also for what can't be read: whoever waits for it must not wait for ever."""
        try:
            return self._node.store.wires([id]).get(id)
        except StoreError as error:
            log.error("the disk can't be read", extra={"reason": str(error)})
            return None

    def _was_read(self, done: asyncio.Future[dict[bytes, bytes | None]]) -> None:
        self._reading = False
        self._node.peer.loaded(done.result(), self._node.now())
        self._node.soon()
