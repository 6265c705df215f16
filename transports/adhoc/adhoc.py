"""The transport `adhoc`: peers that hear each other, with no IP between them.

One instance serves all mediums that the settings name; each opens when its interface or port is
there and comes back by itself. The kernel says when: interfaces by rtnetlink, ports by inotify of
their folder. What is missing is a warning, not an error: a USB stick may be plugged in later.

    [transports.adhoc]
    interfaces = ["mesh0", {name = "mon0", network = "village"}]
    serial = [{port = "/dev/ttyUSB0", baud = 9600, rate = 1200}]

An interface of the radiotap kind (803) is opened as monitor, any other as cell. Only the medium's
own modules know which; they are imported when the first of their kind is opened.

A batch is taken as far as the first medium that is full. So that a modem never holds up the radio
beside it, the node gives batches of one medium each where the traits declare a rate.

A path's address is text (`transports/adhoc/address.py`). Datagrams to everybody's path reach all
in range, and come from the sender's path as any other. A frame's head is one byte
(`transports/adhoc/frame.py`): so the hot path here is one look-up and one copy a datagram.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.errors import ConfigError, RemoteProtocolError, TransportError
from transports.adhoc.address import NAME, read_path
from transports.adhoc.attached import Attached
from transports.adhoc.beacons import Beacons
from transports.adhoc.frame import HEADS, Kind, parse
from transports.adhoc.medium import Heard
from transports.adhoc.settings import attach
from transports.interface import (
    Deliver,
    Found,
    OnPath,
    PathFound,
    PathLost,
    Writable,
    ignore,
)
from transports.netlink import Interfaces

if TYPE_CHECKING:
    from transports.adhoc.ports import PortFolders

log = logging.getLogger("meshpeer.adhoc")

RETRY: Final = 1.0
"""Seconds after a medium failed till it is looked at once more: its interface may be up still."""
TARGETS: Final = 4_096
"""Paths sent to that are remembered; over it the table starts anew."""
UNKNOWN: Final = Traits(payload_limit=200, cost=100)
"""Of a path whose medium is not there: what the narrowest medium carries."""
DATAGRAM: Final = HEADS[Kind.DATAGRAM]
_new = tuple.__new__


class Adhoc:
    """The transport over cells, monitor interfaces and serial ports; see `Transport`."""

    name = NAME

    def __init__(
        self,
        interfaces: Sequence[str | Mapping[str, Any]] = (),
        serial: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._attached = {each.label: each for each in attach(interfaces, serial)}
        self._counters: Counter[str] = Counter()
        self._targets: dict[Path, tuple[Attached, bytes]] = {}
        self._introduced: tuple[bytes, bool, Found] | None = None
        self._beacons: Beacons | None = None
        self._unsaid: dict[Path, bytes] = {}
        """Beacons for which a medium had no room: by a modem the next would be minutes away."""
        self._interfaces = Interfaces()
        self._folders: PortFolders | None = None
        self._full = False
        self._running = False
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._deliver: Deliver
        self._on_path: OnPath
        self._writable: Writable = ignore
        self._loop: asyncio.AbstractEventLoop

    # -- what it is and how it is doing

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened here, by name; of each medium under its label."""
        total = Counter(self._counters)
        for attached in self._attached.values():
            total += attached.counted()
        return total

    def listening(self) -> list[str]:
        """Give the mediums that are open, with our address there."""
        return [
            f"{NAME} {each.described()}" for each in self._attached.values() if each.medium
        ]

    def warnings(self) -> list[str]:
        """Give the mediums that are not, and why."""
        return [
            f"adhoc does without {each.label} ({each.trouble}), until it can be used"
            for each in self._attached.values()
            if not each.medium
        ]

    def traits_of(self, path: Path) -> Traits:
        """See `Transport.traits_of`."""
        target = self._targets.get(path) or self._aim(path)
        return target[0].traits if target and target[0].medium else UNKNOWN

    # -- from start to end

    def introduce(self, peer_id: bytes, *, hidden: bool, found: Found) -> None:
        """Beacon for this peer, and tell of others; see `Introduced`."""
        self._introduced = peer_id, hidden, found

    def start(self, deliver: Deliver, on_path: OnPath, writable: Writable = ignore) -> None:
        """Open what is there; TransportError if this process may open no interface at all."""
        self._deliver, self._on_path, self._writable = deliver, on_path, writable
        self._loop = asyncio.get_running_loop()
        if any(not each.port for each in self._attached.values()):
            from transports.adhoc.packet_socket import need_raw

            need_raw()
            self._interfaces.follow_links(self._links_changed)
            self._interfaces.start()
        if ports := [each.port for each in self._attached.values() if each.port]:
            from transports.adhoc.ports import PortFolders

            self._folders = PortFolders(ports, self._ports_changed)
            self._folders.start()
        self._running = True
        if self._introduced is not None:
            peer_id, hidden, found = self._introduced
            self._beacons = Beacons(
                peer_id,
                hidden=hidden,
                found=found,
                send=self._send_beacon,
                rng=os.urandom,
                counters=self._counters,
            )
        for attached in self._attached.values():
            self._open(attached)

    async def close(self) -> None:
        """Close all mediums; nothing is called back afterwards."""
        self._running = False
        self._interfaces.close()
        if self._folders is not None:
            self._folders.close()
        if self._beacons is not None:
            self._beacons.close()
        for timer in self._retries.values():
            timer.cancel()
        self._retries.clear()
        for attached in self._attached.values():
            if attached.medium is not None:
                attached.medium.close()
                attached.failed("closed")

    # -- sending

    def send(self, batch: Sequence[Datagram]) -> int:
        """Take datagrams from the front of the batch; see `Transport.send`."""
        if not self._running:
            raise TransportError("adhoc is closed")
        targets, head = self._targets, DATAGRAM
        taken, end = 0, len(batch)
        while taken < end:
            path = batch[taken].path
            target = targets.get(path) or self._aim(path)
            first = taken
            while taken < end and batch[taken].path == path:
                taken += 1
            medium = target[0].medium if target else None
            if target is None or medium is None:
                self._counters["unsent: no such medium"] += taken - first
                self._lose([path], "its medium is not there")
                continue
            station = target[1]
            sent = medium.send([(station, head + data) for _, data in batch[first:taken]])
            if sent < taken - first:
                self._full = True
                return first + sent
        return taken

    def _aim(self, path: Path) -> tuple[Attached, bytes] | None:
        """Find the medium and station that a path names; None if there is no such medium."""
        try:
            label, station = read_path(str(path.address))
        except ConfigError:
            return None
        attached = self._attached.get(label)
        if attached is None or attached.medium is None:
            return None
        if len(station) != len(attached.medium.everybody):
            return None
        if len(self._targets) >= TARGETS:
            self._targets.clear()
        target = self._targets[path] = attached, station
        return target

    def _send_beacon(self, path: Path, beacon: bytes) -> None:
        target = self._aim(path)
        if target is not None:
            attached, station = target
            if attached.medium is None:
                return
            if attached.may_beacon(len(beacon), self._loop.time()):
                frames = [(station, HEADS[Kind.BEACON] + beacon)]
                if not attached.medium.send(frames):
                    self._unsaid[path] = beacon
            else:
                self._counters["beacons spared"] += 1

    def _has_room(self) -> None:
        self._full = False
        unsaid, self._unsaid = self._unsaid, {}
        for path, beacon in unsaid.items():
            self._send_beacon(path, beacon)
        self._writable()

    # -- receiving

    def _heard(self, attached: Attached, batch: Sequence[Heard]) -> None:
        """Deliver the datagrams of a batch of frames, and let beacons have their effect."""
        paths, head = attached.paths, DATAGRAM
        out: list[Datagram] = []
        append, new, kind = out.append, _new, Datagram
        for station, frame in batch:
            path = paths.get(station) or attached.path_from(station)
            if path is None:
                self._counters["dropped: false station"] += 1
            elif frame[:1] == head and len(frame) > 1:
                append(new(kind, (path, frame[1:])))
            else:
                self._rare(attached, path, frame)
        if out:
            self._deliver(out)

    def _rare(self, attached: Attached, path: Path, frame: bytes) -> None:
        """Take a frame that carries no datagram."""
        try:
            _, payload = parse(frame)
        except RemoteProtocolError as error:
            self._counters[f"dropped: {error.field}"] += 1
            return
        if self._beacons is not None:
            self._beacons.heard(payload, path, attached.everybody)

    # -- mediums that come and go

    def _open(self, attached: Attached) -> None:
        """Open a medium if it can be; what it says is a warning, and it is tried again."""
        try:
            medium = attached.make()
            medium.start(
                partial(self._heard, attached),
                partial(self._failed, attached),
                self._has_room,
            )
        except TransportError as error:
            if attached.trouble != str(error):
                log.warning(
                    "a medium can't be used",
                    extra={"medium": attached.label, "reason": str(error)},
                )
            attached.trouble = str(error)
            return
        attached.opened(medium)
        log.info(
            "a medium is there",
            extra={"medium": attached.label, "is": attached.described()},
        )
        self._loop.call_soon(self._say, PathFound(attached.everybody))
        self._set_beacons()

    def _failed(self, attached: Attached, reason: str) -> None:
        """A medium is closed: its paths are lost, and it is tried again when something changes."""
        log.warning("a medium failed", extra={"medium": attached.label, "reason": reason})
        self._counters["mediums failed"] += 1
        if attached.medium is not None and not attached.port:
            self._counters += attached.counted()  # the next is made anew
        gone = {*attached.paths.values(), attached.everybody}
        gone |= {path for path, target in self._targets.items() if target[0] is attached}
        attached.failed(reason)
        for path in gone:
            self._targets.pop(path, None)
        self._lose(list(gone), reason)
        self._set_beacons()
        if self._full:
            self._loop.call_soon(self._say_writable)
        if attached.label not in self._retries:
            retry = self._loop.call_later(RETRY, self._retry, attached)
            self._retries[attached.label] = retry

    def _retry(self, attached: Attached) -> None:
        """Open what failed but whose interface is up all the same: it went and came at once."""
        self._retries.pop(attached.label, None)
        may_be_there = attached.port or attached.label in self._interfaces.up
        if attached.medium is None and may_be_there:
            self._open(attached)

    def _links_changed(self) -> None:
        for name, attached in self._attached.items():
            if attached.port:
                continue
            link = self._interfaces.up.get(name)
            changed = link not in (attached.link, None) and attached.link is not None
            attached.link = link
            if attached.medium is not None and (changed or link is None):
                attached.medium.close()
                self._failed(attached, f"it {'changed' if link else 'went down'}")
            if attached.medium is None and link is not None:
                self._open(attached)

    def _ports_changed(self) -> None:
        for attached in self._attached.values():
            if attached.port and not attached.medium and os.path.exists(attached.port):
                self._open(attached)

    def _set_beacons(self) -> None:
        if self._beacons is not None:
            up = [each for each in self._attached.values() if each.medium]
            self._beacons.set_mediums({each.everybody: each.traits.rate for each in up})

    def _lose(self, paths: list[Path], reason: str) -> None:
        for path in paths:
            self._loop.call_soon(self._say, PathLost(path, reason))

    def _say(self, event: PathFound | PathLost) -> None:
        if self._running:
            self._on_path(event)

    def _say_writable(self) -> None:
        if self._running:
            self._has_room()
