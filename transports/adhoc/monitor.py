"""The medium `monitor`: 802.11 data frames injected and captured on a monitor interface.

For long links at one low rate, by sticks whose driver can inject (ath9k_htc, mt76, rt2800usb).
There is no cell to join and nobody to associate with; whoever is tuned to the channel hears. The
price is that the radio helps with nothing:

- No acknowledgements and no repetitions below us. A monitor interface doesn't acknowledge, so
  waiting for it would have each unicast frame sent seven times in vain; we say so in radiotap.
  Unicast is as lossy as broadcast here, and the core's recovery does all the mending. Where
  that is too little, a cell is the better medium: only there unicast has the radio's retries.
- No rate control: each frame goes at the `rate` set, 6 Mbit/s unless told, the lowest that both
  the 2.4 and the 5 GHz band have. Peers may use different rates: all hear all.
- Frames show everybody our station, and to who knows the network's name that it is this one.

Headers are made once and joined to each frame; struct does the rest. Microseconds for a frame of
1,200 bytes on a TAP that counts as monitor interface (a server's x86 core, Python 3.11, system
calls included):

              here   scapy
    send       2.4   1,710
    receive    4.9     600   (without its system call; ours is 2.7 then)

The station is the interface's own address, so that an owner can choose it (`ip link set address`),
and for a radio in active monitor mode; one without a usable address gets a random one.

A frame has at most 1,453 bytes: with all headers that makes 1,500, the MTU that drivers give a
monitor interface, and leaves the core the 1,452 that it has by UDP. 802.11 could carry 2,304, but
a longer frame is lost more often where the signal is weak, and takes 12 ms at 1 Mbit/s already.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshpeer.core.link.path import Traits
from meshpeer.errors import ConfigError, RemoteProtocolError, TransportError
from transports.adhoc import air_filter, dot11, radiotap
from transports.adhoc.frame import ADDRESS_SIZE, EVERYBODY
from transports.adhoc.medium import Deliver, Failed, Heard, Writable
from transports.adhoc.packet_socket import (
    ARPHRD_RADIOTAP,
    Room,
    hardware_of,
    mtu_of,
    need_raw,
)

RATE: Final = 6_000_000
MTU: Final = 1_500
COST: Final = 20
"""Above a cell's 10, whose radio repeats what was lost."""
ETH_P_ALL: Final = 0x0003
READ_AT_ONCE: Final = 64
LARGEST: Final = 4_096
"""Longer than any 802.11 frame with its radiotap."""
BUFFER: Final = 1 << 20
STATIONS_KEPT: Final = 256
"""Stations whose signal is remembered; the one not heard for longest goes first."""
OVERHEAD: Final = len(radiotap.sent_header(RATE)) + dot11.OVERHEAD
"""Bytes before a frame."""


class Monitor:
    """A `Medium` on a monitor interface.

    `network` names the cell, `rate` is what each frame is sent at, in bit/s; ConfigError for
    what can't be.
    """

    everybody = EVERYBODY

    def __init__(
        self,
        name: str,
        *,
        network: str = "meshpeer",
        rate: int = RATE,
    ) -> None:
        if not isinstance(network, str) or not network:
            raise ConfigError(f"{name}: the network's name is a text, not {network!r}")
        self.name = name
        self.counters: Counter[str] = Counter()
        """Frames both ways, and drops, by reason."""
        self.signals: dict[bytes, int] = {}
        """dBm of the last frame of each station, where the driver tells."""
        self.rate = rate
        self._bssid = dot11.bssid_of(network)
        self._front = radiotap.sent_header(rate) + dot11.CONTROL
        self._limit = MTU - OVERHEAD
        self._station = b""
        self._middle = b""
        self._sequence = 0
        self._socket: socket.socket | None = None
        self._deliver: Deliver
        self._failed: Failed
        self._loop: asyncio.AbstractEventLoop
        self._room: Room

    @property
    def traits(self) -> Traits:
        """What a frame's way is like; the limit is that of a frame."""
        return Traits(payload_limit=self._limit, cost=COST, rate=float(self.rate))

    @property
    def station(self) -> bytes:
        """Our own address here, once started."""
        return self._station

    def start(self, deliver: Deliver, failed: Failed, writable: Writable) -> None:
        """Open the interface; see `Medium.start`."""
        self._deliver, self._failed = deliver, failed
        self._loop = asyncio.get_running_loop()
        need_raw()
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            self._open(sock)
        except OSError as error:
            sock.close()
            raise TransportError(
                f"cannot open {self.name}: {error.strerror or error}"
            ) from error
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        self._room = Room(sock, self.counters, writable=writable, gone=self._fail)
        self._loop.add_reader(sock, self._readable)

    def send(self, frames: Sequence[tuple[bytes, bytes]]) -> int:
        """Inject frames; see `Medium.send`."""
        if self._socket is None:
            return len(frames)
        if self._room.full:
            return 0
        front, middle, back, limit = self._front, self._middle, dot11.SNAP, self._limit
        send, join = self._socket.send, b"".join
        sequence_of, length_of = dot11.SEQUENCE.pack, dot11.LENGTH.pack
        sequence, total, taken = self._sequence, 0, 0
        for to, frame in frames:
            size = len(frame)
            if size <= limit:
                sequence = sequence + 0x10 & 0xFFFF
                middles = middle, sequence_of(sequence), back, length_of(size), frame
                try:
                    total += send(join((front, to, *middles)))
                except OSError as error:
                    if not self._room.refused(error):
                        break
            else:
                self.counters["unsent EMSGSIZE"] += 1
                self.counters["sent"] -= 1
            taken += 1
        self._sequence = sequence
        self.counters["sent"] += taken
        self.counters["bytes sent"] += total
        return taken if self._socket is not None else len(frames)

    def close(self) -> None:
        """Let go of the interface; see `Medium.close`."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._room.close()
        self._loop.remove_reader(sock)
        sock.close()

    # -- opening

    def _open(self, sock: socket.socket) -> None:
        """Bind last: before, nothing is received, so nothing gets in past the filter."""
        mtu = mtu_of(sock, self.name)
        kind, hardware = hardware_of(sock, self.name)
        if kind != ARPHRD_RADIOTAP:
            raise TransportError(
                f"{self.name} is no monitor interface with radiotap: "
                f"`iw dev {self.name} set type monitor` makes it one"
            )
        usable = any(hardware) and not hardware[0] & 1
        self._station = hardware if usable else random_station()
        self._limit = min(mtu, MTU) - OVERHEAD
        self._middle = self._station + self._bssid
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        air_filter.attach(sock, self._bssid, self._station)
        sock.bind((self.name, ETH_P_ALL))

    def _fail(self, reason: str) -> None:
        self.close()
        self._failed(f"{self.name}: {reason}")

    # -- receiving

    def _readable(self) -> None:
        """Deliver what came, at most READ_AT_ONCE frames, as one batch."""
        if self._socket is None:
            return
        heard: list[Heard] = []
        receive, take = self._socket.recv, self._take
        gone, total = "", 0
        for _ in range(READ_AT_ONCE):
            try:
                packet = receive(LARGEST)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                gone = error.strerror or str(error)
                break
            total += len(packet)
            taken = take(packet)
            if taken is not None:
                heard.append(taken)
        self.counters["bytes received"] += total
        if heard:
            self.counters["received"] += len(heard)
            self._deliver(heard)
        if gone and self._socket is not None:
            self._fail(gone)

    def _take(self, packet: bytes) -> Heard | None:
        """The frame of a packet that is for us and of our network."""
        try:
            found = dot11.read(packet, self._bssid)
        except RemoteProtocolError as error:
            self.counters[f"dropped: {error.field}"] += 1
            return None
        if found is None:
            self.counters["dropped: foreign"] += 1
            return None
        tap, (to, station, frame) = found
        if station == self._station or (to != self._station and to != EVERYBODY):
            self.counters["dropped: foreign"] += 1
            return None
        if tap.signal is not None:
            self._note(station, tap.signal)
        return Heard(station, frame)

    def _note(self, station: bytes, signal: int) -> None:
        self.signals.pop(station, None)
        self.signals[station] = signal
        if len(self.signals) > STATIONS_KEPT:
            del self.signals[next(iter(self.signals))]


def random_station() -> bytes:
    """Draw an address: locally administered, no group."""
    drawn = os.urandom(ADDRESS_SIZE)
    return bytes((drawn[0] & 0xFC | 0x02,)) + drawn[1:]
