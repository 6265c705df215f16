"""UDP over IPv4 and IPv6: many datagrams to one system call where the kernel can.

asyncio's datagram endpoints move one datagram a call and can't pass control messages, so the
sockets are ours, watched with `add_reader`. Sending, a run of datagrams of one size to one
path (the last may be shorter) goes down as one buffer that the kernel cuts (UDP_SEGMENT);
receiving, the kernel hands up such a run uncut with the size of its pieces (UDP_GRO). Where a
kernel, a device or a path can't, each datagram takes its own call and nothing else differs.

The address of a path is `(host, port)`, the host a numeric address in its shortest form, with
"%interface" behind an IPv6 link-local one: the name survives being read by people, the index
does not survive the interface. Datagrams longer than the device's MTU are fragmented rather
than lost (Linux's default), since a tunnel on the way is commoner than a lost fragment.

The medium of a path is the interface by which it goes: its own, or that of the kernel's route,
remembered until addresses change.

There is no queue here. When the socket's buffer is full, `send` says how far it came.
"""

import asyncio
import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, cast

from meshpeer.core.bucket import Bucket
from meshpeer.core.link.path import Datagram, Path, Traits
from meshpeer.errors import ConfigError, TransportError
from transports.interface import Deliver, OnPath, PathLost, Writable, ignore
from transports.routes import Routes

PORT: Final = 6374
"""MESH on a telephone's keys; not assigned by IANA, below Linux's ephemeral range (32768)."""
PAYLOAD_LIMIT: Final = 1_452
"""Ethernet's 1,500 bytes less IPv6 (40) and UDP (8); IPv4 alone would leave 20 more."""
TRAITS: Final = Traits(payload_limit=PAYLOAD_LIMIT)
"""Of a path whose interface is not known."""
BUFFER: Final = 4 << 20
"""Asked of the kernel for both directions; it grants what net.core.[rw]mem_max allows."""
READ_AT_ONCE: Final = 256
"""Datagrams taken from one socket before the loop's other work gets its turn."""
PATHS_KEPT: Final = 4_096
"""Sender addresses and GSO refusals remembered; over it the table starts anew."""
LOOKUPS: Final = 200
"""Routes asked for in a second; a flood from false addresses costs no more."""
FREE_PORT_TRIES: Final = 5
"""A port that is free for IPv4 may be taken for IPv6; then another is tried."""
NO_BUFFERS_PAUSE: Final = 0.005
"""Seconds till `writable` after ENOBUFS: a full device queue sends no event when it drains."""

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SEGMENTS_LIMIT: Final = 64
RUN_LIMIT: Final = 65_000
"""Bytes in one GSO send; a UDP payload over IPv4 ends at 65,507."""
LARGEST: Final = 65_535

FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}
DEAD_PATH: Final = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.ENODEV,
    errno.ENXIO,
}
DEAD_SOCKET: Final = {errno.EBADF, errno.ENOTSOCK}


class Target(NamedTuple):
    """What the kernel wants to know to send by a path."""

    socket: socket.socket
    address: tuple[str, int] | tuple[str, int, int, int]


def path_to(host: str, port: int) -> Path:
    """Give the one path that names this numeric host and port, or raise ConfigError."""
    address, _, scope = host.partition("%")
    if not 0 < port < 65_536:
        raise ConfigError(f"a UDP port lies between 1 and 65535, not {port}")
    if not scope.isprintable():
        raise ConfigError(f"{scope!r} names no interface")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            address = socket.inet_ntop(family, socket.inet_pton(family, address))
        except OSError:
            continue
        return Path(Udp.name, (f"{address}%{scope}" if scope else address, port))
    raise ConfigError(f"{host!r} is not a numeric IPv4 or IPv6 address")


class Udp:
    """The transport `udp`. Paths are `Path("udp", (host, port))`; see `path_to`.

    `port` None takes 6374, or any free one if another program has it; 0 takes any free one.
    `listen` names local addresses; the unspecified ones hear on every interface.
    `offload` False does without GSO and GRO.
    """

    name = "udp"

    def __init__(
        self,
        port: int | None = None,
        listen: Sequence[str] = ("0.0.0.0", "::"),
        *,
        offload: bool = True,
    ) -> None:
        self.port = port if port is not None else PORT
        """The UDP port; after `start` the one really taken."""
        self.counters: Counter[str] = Counter()
        """What happened here, by name: datagrams and system calls both ways, and drops."""
        self._any_port_will_do = port is None
        self._listen = tuple(listen)
        self._offload = offload
        self._sockets: list[socket.socket] = []
        self._targets: dict[Path, Target] = {}
        self._paths: dict[tuple[object, ...], Path] = {}
        self._no_gso: set[Path] = set()
        self._routes = Routes()
        self._traits: dict[Path, Traits] = {}
        self._lookups: Bucket
        self._deliver: Deliver
        self._on_path: OnPath
        self._writable: Writable = ignore
        self._loop: asyncio.AbstractEventLoop
        self._full: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None

    def start(self, deliver: Deliver, on_path: OnPath, writable: Writable = ignore) -> None:
        """Bind and begin to listen; TransportError if no address or not the port can be had."""
        self._deliver, self._on_path, self._writable = deliver, on_path, writable
        self._loop = asyncio.get_running_loop()
        self._sockets = self._bind()
        self._routes.start()
        self._lookups = Bucket(rate=LOOKUPS, burst=LOOKUPS, now=self._loop.time())
        for sock in self._sockets:
            self._loop.add_reader(sock, self._readable, sock)

    def traits_of(self, path: Path) -> Traits:
        """See `Transport.traits_of`; paths differ by the interface that they take."""
        return self._traits.get(path) or self._look_up(path)

    def addresses_changed(self) -> None:
        """Find out anew by which interfaces paths go."""
        self._traits.clear()

    def send(self, batch: Sequence[Datagram]) -> int:
        """Take datagrams from the front of the batch; see `Transport.send`."""
        if not self._sockets:
            raise TransportError("udp is closed")
        if self._full is not None or self._pause is not None:
            return 0
        taken = 0
        for run in runs(batch, self._no_gso if self._offload else None):
            sent = self._send_run(run)
            taken += sent
            self.counters["bytes sent"] += sum(len(each.data) for each in run[:sent])
            if sent < len(run):
                break
        self.counters["sent"] += taken
        return taken

    async def close(self) -> None:
        """Close the sockets; nothing is called back afterwards."""
        if self._pause is not None:
            self._pause.cancel()
        if self._full is not None:
            self._loop.remove_writer(self._full)
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets, self._full, self._pause = [], None, None
        self._routes.close()
        self._traits.clear()

    # -- opening

    def _bind(self) -> list[socket.socket]:
        free = [0] * FREE_PORT_TRIES
        wanted = [self.port] if self.port else []
        for port in [*wanted, *(free if self._any_port_will_do or not self.port else [])]:
            try:
                return self._bind_all(port)
            except OSError as error:
                reason = error
                if error.errno != errno.EADDRINUSE:
                    break
        advice = (
            "; another program or peer has it: `meshpeer config set udp.port 0` takes a free one"
            if reason.errno == errno.EADDRINUSE
            else ""
        )
        where = f"UDP port {self.port} of {', '.join(self._listen)}"
        raise TransportError(
            f"cannot listen on {where}: {reason.strerror or reason}{advice}"
        ) from reason

    def _bind_all(self, port: int) -> list[socket.socket]:
        """Bind every address that this machine has to one port; OSError if none, or it is taken."""
        bound: list[socket.socket] = []
        missing: OSError | None = None
        for host in self._listen:
            try:
                sock = open_socket(host, port, offload=self._offload)
            except OSError as error:
                missing = error
                if error.errno != errno.EADDRINUSE:
                    continue
                for other in bound:
                    other.close()
                raise
            bound.append(sock)
            port = sock.getsockname()[1]
        if missing is not None and not bound:
            raise missing
        self.port = port
        return bound

    def _look_up(self, path: Path) -> Traits:
        if not self._sockets or not self._lookups.take(self._loop.time()):
            return TRAITS
        host, _, scope = cast(tuple[str, int], path.address)[0].partition("%")
        medium = scope or self._routes.interface_to(host)
        if len(self._traits) >= PATHS_KEPT:
            self._traits.clear()
        traits = self._traits[path] = TRAITS._replace(medium=medium)
        return traits

    # -- sending

    def _send_run(self, run: Sequence[Datagram]) -> int:
        """Send one run of equal datagrams to one path; return how many were taken."""
        path = run[0].path
        target = self._targets.get(path) or self._aim(path)
        if target is None:
            return len(run)
        try:
            if len(run) == 1:
                target.socket.sendto(run[0].data, target.address)
            else:
                segment = struct.pack("=H", len(run[0].data))
                target.socket.sendmsg(
                    [datagram.data for datagram in run],
                    [(SOL_UDP, UDP_SEGMENT, segment)],
                    0,
                    target.address,
                )
        except OSError as error:
            return self._refused(run, target, error)
        self.counters["sends"] += 1
        return len(run)

    def _refused(self, run: Sequence[Datagram], target: Target, error: OSError) -> int:
        path = run[0].path
        if error.errno in FULL:
            self._wait_for_room(target.socket, error)
            return 0
        if error.errno in DEAD_SOCKET:
            raise TransportError(f"udp: {error}") from error
        if error.errno in DEAD_PATH:
            self._lose(path, error.strerror or str(error))
        elif len(run) > 1:
            self._without_gso(path, error)
            return self._send_singly(run)
        elif error.errno == errno.EINVAL and "%" in str(path.address):
            self._lose(path, "its interface is gone")
        else:
            self.counters[f"unsent {errno.errorcode.get(error.errno or 0, 'error')}"] += 1
        return len(run)

    def _send_singly(self, run: Sequence[Datagram]) -> int:
        for taken, datagram in enumerate(run):
            if not self._send_run((datagram,)):
                return taken
        return len(run)

    def _without_gso(self, path: Path, error: OSError) -> None:
        """EIO: the device can't checksum; EINVAL or EMSGSIZE: a datagram exceeds its MTU."""
        if error.errno == errno.ENOPROTOOPT:
            self._offload = False
        if len(self._no_gso) >= PATHS_KEPT:
            self._no_gso.clear()
        self._no_gso.add(path)
        self.counters["gso refused"] += 1

    def _lose(self, path: Path, reason: str) -> None:
        """Drop what is remembered of a path and say, once the caller is done, that it is lost."""
        self._targets.pop(path, None)
        self.counters["paths lost"] += 1
        self._loop.call_soon(self._say_lost, PathLost(path, reason))

    def _say_lost(self, lost: PathLost) -> None:
        if self._sockets:
            self._on_path(lost)

    def _aim(self, path: Path) -> Target | None:
        """Find the socket and the kernel's form of an address; None, and said so, if there is none."""
        name, port = cast(tuple[str, int], path.address)
        host, _, scope = name.partition("%")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = next((each for each in self._sockets if each.family == family), None)
        try:
            if sock is None:
                raise OSError(errno.EAFNOSUPPORT, f"no socket for {family.name}")
            if family == socket.AF_INET:
                target = Target(sock, (host, port))
            else:
                index = socket.if_nametoindex(scope) if scope else 0
                target = Target(sock, (host, port, 0, index))
        except OSError as error:
            self._lose(path, error.strerror or str(error))
            return None
        if len(self._targets) >= PATHS_KEPT:
            self._targets.clear()
        self._targets[path] = target
        return target

    def _wait_for_room(self, sock: socket.socket, error: OSError) -> None:
        self.counters["full"] += 1
        if error.errno == errno.ENOBUFS:
            self._pause = self._loop.call_later(NO_BUFFERS_PAUSE, self._has_room)
        else:
            self._full = sock
            self._loop.add_writer(sock, self._has_room)

    def _has_room(self) -> None:
        if self._full is not None:
            self._loop.remove_writer(self._full)
        self._full = self._pause = None
        self._writable()

    # -- receiving

    def _readable(self, sock: socket.socket) -> None:
        """Deliver what one socket holds, at most about READ_AT_ONCE datagrams, as one batch."""
        batch: list[Datagram] = []
        control_size = socket.CMSG_SPACE(4)
        while len(batch) < READ_AT_ONCE:
            try:
                data, control, _, sender = sock.recvmsg(LARGEST, control_size)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.counters[
                    f"unread {errno.errorcode.get(error.errno or 0, 'error')}"
                ] += 1
                break
            self.counters["receives"] += 1
            self.counters["bytes received"] += len(data)
            path = self._paths.get(sender) or self._from(sender)
            size = struct.unpack("=i", control[0][2][:4])[0] if control else 0
            if 0 < size < len(data):
                batch += [
                    Datagram(path, data[start : start + size])
                    for start in range(0, len(data), size)
                ]
            else:
                batch.append(Datagram(path, data))
        if batch:
            self.counters["received"] += len(batch)
            self._deliver(batch)

    def _from(self, sender: tuple[str, int] | tuple[str, int, int, int]) -> Path:
        host = sender[0]
        if len(sender) == 4 and sender[3]:
            try:
                host = f"{host}%{socket.if_indextoname(sender[3])}"
            except OSError:
                host = f"{host}%{sender[3]}"
        path = Path(self.name, (host, sender[1]))
        if len(self._paths) >= PATHS_KEPT:
            self._paths.clear()
        self._paths[sender] = path
        return path


def runs(
    batch: Sequence[Datagram], no_gso: set[Path] | None
) -> Iterator[Sequence[Datagram]]:
    """Cut a batch into what one system call can send; each datagram alone if `no_gso` is None."""
    start, end = 0, len(batch)
    while start < end:
        path, size = batch[start].path, len(batch[start].data)
        stop = start + 1
        if no_gso is not None and 0 < size <= PAYLOAD_LIMIT and path not in no_gso:
            last = min(end, start + min(SEGMENTS_LIMIT, RUN_LIMIT // size))
            while stop < last and batch[stop].path == path:
                length = len(batch[stop].data)
                if not 0 < length <= size:
                    break
                stop += 1
                if length < size:
                    break
        yield batch[start:stop]
        start = stop


def open_socket(host: str, port: int, *, offload: bool) -> socket.socket:
    """Give a bound, non-blocking UDP socket with large buffers, and GRO where there is any."""
    info = socket.getaddrinfo(
        host.encode(),  # as text it would bring in the IDNA codec, 0.3 MB
        port,
        type=socket.SOCK_DGRAM,
        flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE,
    )
    family, kind, _, _, address = info[0]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        if offload:
            _with_gro(sock)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _with_gro(sock: socket.socket) -> None:
    """Ask for GRO; kernels before 5.0 have none, and each datagram then comes by itself."""
    try:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return
