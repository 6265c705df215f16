"""Beacons through a whole `Adhoc`, on a medium that has no room when one is due."""

import asyncio
from collections.abc import Callable

from meshpeer.core.formats.beacon import Beacon
from tests.transports.modem import Channel
from transports.adhoc.adhoc import Adhoc
from transports.interface import Datagram, PathFound

PATIENCE = 20.0
FILL = 400


class End:
    """An `Adhoc` on one modem, and whom it found."""

    def __init__(self, port: str, peer_id: bytes) -> None:
        self.adhoc = Adhoc(serial=[{"port": port, "baud": 9_600}])
        self.found, self.everybody = [], None
        self.changed = asyncio.Event()
        self.adhoc.introduce(peer_id, hidden=False, found=self._found)

    def start(self) -> None:
        self.adhoc.start(lambda batch: None, self._on_path)

    def _found(self, found) -> None:
        self.found.append(found)
        self.changed.set()

    def _on_path(self, event) -> None:
        if isinstance(event, PathFound):
            self.everybody = event.path
            self.changed.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not happened():
                self.changed.clear()
                await self.changed.wait()


def test_a_beacon_for_which_a_modem_has_no_room_goes_once_there_is():
    async def told() -> None:
        channel = Channel(2, rate=9_600)
        ann, bob = (
            End(port, peer_id * 32)
            for port, peer_id in zip(channel.ports, (b"A", b"B"), strict=True)
        )
        try:
            bob.start()
            ann.start()
            await ann.until(lambda: ann.everybody)
            while ann.adhoc.send([Datagram(ann.everybody, bytes(FILL))]):
                pass  # until it is full
            carla = b"C" * 32
            more = Beacon.of(carla, nonce=b"nonce...", hidden=False).encode_frame()
            ann.adhoc._send_beacon(ann.everybody, more)
            assert ann.adhoc._unsaid == {ann.everybody: more}
            await bob.until(lambda: carla in [found.peer_id for found in bob.found])
            assert not ann.adhoc._unsaid
        finally:
            for end in (ann, bob):
                await end.adhoc.close()
            channel.close()

    asyncio.run(told())
