"""An ether for tests and benchmarks: TAP devices, each in a namespace, joined by a process.

    ether = Ether(3, loss={(0, 1): 0.2}, hears={(0, 1), (1, 2)}, rate=6e6)
    ether.stations[0].namespace, .interface, .address
    ether.close()

Without `rate` frames move as fast as the process can; with it the stations share one channel, as
`air.Air` tells. Pairs in `hears` count both ways, in `loss` from the first to the second; a number
for `loss` counts for all. `link_type` 803 makes interfaces that count as monitor (radiotap);
these have no address of their own, and all stations get every frame.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.namespaces import Network, inside

TUNSETIFF, TUNSETLINK = 0x400454CA, 0x400454CD
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
ETHERNET, RADIOTAP = 1, 803
WORKER = Path(__file__).with_name("ether_worker.py")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Station:
    """One end of the ether."""

    namespace: str
    interface: str
    address: bytes


class Ether(Network):
    """So many stations, their interfaces up, and the process that moves frames between them."""

    def __init__(
        self,
        stations: int,
        *,
        interface: str = "mesh0",
        loss: float | Mapping[tuple[int, int], float] = 0.0,
        hears: Iterable[tuple[int, int]] | None = None,
        rate: float | None = None,
        retries: int = 6,
        link_type: int = ETHERNET,
        mtu: int = 1_500,
        queue: int = 1_000,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self._link_type, self._mtu, self._queue = link_type, mtu, queue
        self.stations = [
            Station(
                self.add_namespace(f"s{number}", ipv6=False),
                interface,
                bytes((2, 0xCA, 0xFE, 0, number >> 8, number & 0xFF)),
            )
            for number in range(stations)
        ]
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._worker = subprocess.Popen(
                [sys.executable, str(WORKER), str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
            )
        self._say(
            "begin",
            stations=[station.address.hex() for station in self.stations],
            rate=rate,
            retries=retries,
            seed=seed,
            by_address=link_type == ETHERNET,
        )
        self.change(loss=loss, hears=self._pairs() if hears is None else hears)
        try:
            for number in range(stations):
                self.plug(number)
        except BaseException:
            self.close()
            raise

    def plug(self, number: int) -> None:
        """Make a station's interface, up; for one that was unplugged, anew."""
        station = self.stations[number]
        with inside(station.namespace):
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            try:
                name = station.interface.encode()
                request = struct.pack("16sH22x", name, IFF_TAP | IFF_NO_PI)
                fcntl.ioctl(tap, TUNSETIFF, request)
                if self._link_type != ETHERNET:
                    fcntl.ioctl(tap, TUNSETLINK, self._link_type)
            except BaseException:
                os.close(tap)
                raise
        address = station.address.hex(":")
        settings = f"address {address} mtu {self._mtu} txqueuelen {self._queue} up"
        self.ip(
            station.namespace, "link", "set", "dev", station.interface, *settings.split()
        )
        self._say("plug", fds=[tap], number=number)
        os.close(tap)

    def unplug(self, number: int) -> None:
        """Take a station's interface away, as a USB stick that is pulled."""
        station = self.stations[number]
        self.ip(station.namespace, "link", "del", station.interface)

    def change(
        self,
        *,
        loss: float | Mapping[tuple[int, int], float] | None = None,
        hears: Iterable[tuple[int, int]] | None = None,
    ) -> None:
        """Say anew what is lost, or who hears whom; it holds once this returns."""
        if loss is not None:
            shares = (
                loss if isinstance(loss, Mapping) else dict.fromkeys(self._pairs(), loss)
            )
            self._say("loss", pairs=[[*pair, share] for pair, share in shares.items()])
        if hears is not None:
            both_ways = {
                pair for one, other in hears for pair in ((one, other), (other, one))
            }
            self._say("hears", pairs=sorted(both_ways))

    def _pairs(self) -> list[tuple[int, int]]:
        numbers = range(len(self.stations))
        return [(one, other) for one in numbers for other in numbers if one != other]

    def counted(self) -> dict[str, float]:
        """What was on the air: frames, bytes, lost, collisions, busy_s."""
        counted: dict[str, float] = self._say("count")
        return counted

    def close(self) -> None:
        """End the process and remove all interfaces."""
        self._control.close()
        self._worker.wait(10)
        super().close()

    def _say(self, verb: str, *, fds: Iterable[int] = (), **words: object) -> Any:
        """Tell the process, and wait for its answer."""
        message = json.dumps({"verb": verb, **words}).encode()
        socket.send_fds(self._control, [message], list(fds))
        answer = self._control.recv(65_536)
        assert answer, "the ether's process ended"
        return json.loads(answer)
