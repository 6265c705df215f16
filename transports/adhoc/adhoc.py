"""The transport `adhoc`: peers that hear each other, with no IP between them.

One instance serves all mediums that the settings name; each opens when its interface or port is
there and comes back by itself. The kernel says when: interfaces by rtnetlink, ports by inotify of
their folder. What is missing is a warning, not an error: a USB stick may be plugged in later.

    [transports.adhoc]
    interfaces = ["mesh0", {name = "mon0", network = "village"}]
    serial = [{port = "/dev/ttyUSB0", baud = 9600, rate = 1200}]

An interface of the radiotap kind (803) is opened as monitor, any other as cell. Only the medium's
own modules know which; they are imported when the first of their kind is opened.

A path's address is text (`transports/adhoc/address.py`). Datagrams to everybody's path reach all
in range, and come from the sender's path as any other. A frame's head is one byte
(`transports/adhoc/frame.py`): so the hot path here is one look-up and one copy a datagram.
"""

import asyncio
import fcntl
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.errors import ConfigError, RemoteProtocolError, TransportError
from transports.adhoc.address import NAME, label_of, read_path
from transports.adhoc.attached import Attached
from transports.adhoc.beacons import Beacons
from transports.adhoc.frame import HEADS, Kind, parse
from transports.adhoc.medium import Heard, Medium
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

log = logging.getLogger("meshpeer.adhoc")

RETRY: Final = 1.0
"""Seconds after a medium failed till it is looked at once more: its interface may be up still."""
TARGETS: Final = 4_096
"""Paths sent to that are remembered; over it the table starts anew."""
SIOCGIFHWADDR: Final = 0x8927
IFREQ_HWADDR: Final = struct.Struct("16sH22x")
ARPHRD_RADIOTAP: Final = 803
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
        self._attached: dict[str, Attached] = {}
        self._names: dict[str, str] = {}
        """Labels of the mediums that are interfaces, by the interface's name."""
        self._counters: Counter[str] = Counter()
        self._targets: dict[Path, tuple[Attached, bytes]] = {}
        self._introduced: tuple[bytes, bool, Found] | None = None
        self._beacons: Beacons | None = None
        self._interfaces = Interfaces()
        self._full = False
        self._running = False
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._deliver: Deliver
        self._on_path: OnPath
        self._writable: Writable = ignore
        self._loop: asyncio.AbstractEventLoop
        self._read_settings(interfaces, serial)

    # -- what it is and how it is doing

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened here, by name; of each medium under its label."""
        total = Counter(self._counters)
        for label, attached in self._attached.items():
            if attached.medium is not None:
                for what, count in attached.medium.counters.items():
                    total[f"{label}.{what}"] += count
        return total

    def listening(self) -> list[str]:
        """Give the mediums that are open, with our address there."""
        return [
            f"{NAME} {each.described()}" for each in self._attached.values() if each.medium
        ]

    def warnings(self) -> list[str]:
        """Give the mediums that are not, and why."""
        return [
            f"adhoc does without {each.described()}. It is used as soon as it is there."
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
        if self._names:
            from transports.adhoc.cell import need_raw

            need_raw()
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
        if self._names:
            self._interfaces.follow_links(self._links_changed)
            self._interfaces.start()

    async def close(self) -> None:
        """Close all mediums; nothing is called back afterwards."""
        self._running = False
        self._interfaces.close()
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
            frames: list[tuple[bytes, bytes]] = []
            while taken < end and batch[taken].path == path:
                taken += 1
            if target is None or target[0].medium is None:
                self._counters["unsent: no such medium"] += taken - first
                self._lose([path], "its medium is not there")
                continue
            attached, station = target
            frames = [(station, head + data) for _, data in batch[first:taken]]
            sent = attached.send(frames)
            if sent < len(frames):
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
            attached.send([(station, HEADS[Kind.BEACON] + beacon)])

    def _has_room(self, attached: Attached) -> None:
        attached.drain()
        if self._full and not attached.held:
            self._full = False
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
                partial(self._has_room, attached),
            )
        except TransportError as error:
            if attached.trouble != str(error):
                log.warning(
                    "medium", extra={"medium": attached.label, "reason": str(error)}
                )
            attached.trouble = str(error)
            return
        attached.opened(medium)
        log.info("medium", extra={"medium": attached.label, "is": attached.described()})
        self._loop.call_soon(self._say, PathFound(attached.everybody))
        self._set_beacons()

    def _failed(self, attached: Attached, reason: str) -> None:
        """A medium is closed: its paths are lost, and it is tried again when something changes."""
        log.warning("medium", extra={"medium": attached.label, "reason": reason})
        gone = {*attached.paths.values(), attached.everybody}
        gone |= {path for path, target in self._targets.items() if target[0] is attached}
        attached.failed(reason)
        for path in gone:
            self._targets.pop(path, None)
        self._lose(list(gone), reason)
        self._set_beacons()
        if self._full:
            self._full = False
            self._loop.call_soon(self._say_writable)
        self._retries[attached.label] = self._loop.call_later(RETRY, self._retry, attached)

    def _retry(self, attached: Attached) -> None:
        """Open what failed but whose interface is up all the same: it went and came at once."""
        self._retries.pop(attached.label, None)
        name = self._names.get(attached.label)
        if attached.medium is None and (name is None or name in self._interfaces.up):
            self._open(attached)

    def _links_changed(self) -> None:
        for label, name in self._names.items():
            attached = self._attached[label]
            up = name in self._interfaces.up
            if up and attached.medium is None:
                self._open(attached)
            elif not up and attached.medium is not None:
                attached.medium.close()
                self._failed(attached, f"{name}: it went down")

    def _set_beacons(self) -> None:
        if self._beacons is not None:
            up = [each.everybody for each in self._attached.values() if each.medium]
            self._beacons.set_mediums(up)

    def _lose(self, paths: list[Path], reason: str) -> None:
        for path in paths:
            self._loop.call_soon(self._say, PathLost(path, reason))

    def _say(self, event: PathFound | PathLost) -> None:
        if self._running:
            self._on_path(event)

    def _say_writable(self) -> None:
        if self._running:
            self._writable()

    # -- settings

    def _read_settings(
        self,
        interfaces: Sequence[str | Mapping[str, Any]],
        serial: Sequence[Mapping[str, Any]],
    ) -> None:
        if isinstance(interfaces, str) or isinstance(serial, str | Mapping):
            raise ConfigError("transports.adhoc: interfaces and serial are lists")
        for entry in interfaces:
            options = {"name": entry} if isinstance(entry, str) else dict(entry)
            name = options.pop("name", None)
            if not isinstance(name, str) or not name or "/" in name or len(name) > 15:
                raise ConfigError(f"transports.adhoc: {entry!r} names no interface")
            if options:
                _monitor(name, options)  # what it refuses is refused now
            self._add(name, Attached(name, partial(_make, name, options)))
            self._names[name] = name
        for table in serial:
            if not isinstance(table, Mapping) or "port" not in table:
                raise ConfigError('transports.adhoc: serial wants {port = "/dev/..."}')
            from transports.adhoc.serial import Serial

            medium = Serial(**table)
            self._add(medium.name, Attached(label_of(medium.name), partial(_same, medium)))
        if not self._attached:
            raise ConfigError("transports.adhoc: name interfaces, or serial ports")

    def _add(self, name: str, attached: Attached) -> None:
        if attached.label in self._attached:
            raise ConfigError(f"transports.adhoc: {name} is there twice")
        self._attached[attached.label] = attached


def _make(name: str, options: dict[str, Any]) -> Medium:
    """Make the medium that an interface can be used as now."""
    if device_of(name) == ARPHRD_RADIOTAP:
        return _monitor(name, options)
    if options:
        raise TransportError(
            f"{name} is no monitor interface, and only these have settings"
        )
    from transports.adhoc.cell import Cell

    return Cell(name)


def _same(medium: Medium) -> Medium:
    """Give a serial port: it is what it is, there or not."""
    return medium


def _monitor(name: str, options: dict[str, Any]) -> Medium:
    from transports.adhoc.monitor import Monitor

    return Monitor(name, **options)


def device_of(name: str) -> int:
    """Give the kind of device that an interface is (ARPHRD); TransportError if there is none."""
    request = IFREQ_HWADDR.pack(name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFHWADDR, request)
        except OSError as error:
            raise TransportError(f"there is no interface {name} now") from error
    return int(IFREQ_HWADDR.unpack(answer)[1])
