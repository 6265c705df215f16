"""A serial port with a KISS modem behind it: packet radio, a LoRa board, or just a cable.

    in a KISS data frame:  destination station (2) | source station (2) | frame

A station draws its two bytes at random when it opens the port; who hears its own address from
somebody else draws anew, and so does the other. Links don't mind: who sends from elsewhere is
proved there, as on any new path. `ff ff` is everybody. That a station was drawn twice is rare; who
forges ours again and again would have each answer go where we are no more. So what is on its way
to the former address is taken, too, and a few times are enough.

A modem that takes 9,600 bit/s from us and sends 1,200 would swallow kilobytes before it says no,
and an urgent message would wait behind them for minutes. So the port is paced by the rate of the
air (`rate`, or the line's own): a new frame is taken only when the one before has gone by our
reckoning, and what is heard meanwhile moves that, for the air is half duplex and was taken. So
the modem holds a frame, the core all else, and there what is urgent overtakes. When to speak, the
modem decides (p-persistence); how eagerly, the settings tell it.

The standard library's termios does it all; pyserial would add other systems, which we don't run
on, and its own reading thread.
"""

import asyncio
import errno
import fcntl
import os
import termios
from collections import Counter, deque
from collections.abc import Callable, Sequence
from hashlib import blake2s
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.link.path import Traits
from meshpeer.core.link.slow import airtime
from meshpeer.errors import ConfigError, TransportError
from transports.adhoc.kiss import PORTS, Command, Decoder, Frame, encode
from transports.adhoc.medium import Deliver, Failed, Heard, Writable

STATION_SIZE: Final = 2
EVERYBODY: Final = b"\xff\xff"
HEAD_SIZE: Final = 2 * STATION_SIZE
MTU: Final = 500
"""Bytes of a frame, where nothing else is said: long enough for a message of 200 characters,
short enough that one takes seconds on most radios."""
LEAST_MTU: Final = 200
"""A link's first packet has 170 bytes."""
LARGEST_MTU: Final = 2_048
FRAMING: Final = 3
"""What a KISS frame costs on the line beside its content, escapes apart."""
LINE_BITS: Final = 10
"""Of a byte on a line with a start and a stop bit (8N1)."""
COST: Final = 1_000
"""Every other way is better, if there is one."""
LEAST_RATE: Final = 50
READ_AT_ONCE: Final = 4_096
ECHOES: Final = 16
"""Frames of our own that are known again: some modems repeat to us what they send."""
REDRAWN_EACH_S: Final = 600.0
REDRAWN_AT_ONCE: Final = 3
"""How often another station is drawn since somebody else has ours."""
FULL: Final = {errno.EAGAIN, errno.EINTR}


class Serial:
    """The medium of one serial port, or of a pty that a sound-card modem offers."""

    everybody = EVERYBODY

    def __init__(
        self,
        port: str,
        *,
        baud: int = 9_600,
        rate: float | None = None,
        mtu: int = MTU,
        kiss_port: int = 0,
        txdelay_ms: int | None = None,
        persistence: int | None = None,
        slottime_ms: int | None = None,
        rng: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`rate` is what the air carries in bits of data a second, if that is less than the
        line does; txdelay, persistence and slottime are told to the modem, if given."""
        _check("baud", baud, 50, 4_000_000)
        _check("rate", LEAST_RATE if rate is None else rate, LEAST_RATE, 10_000_000)
        _check("mtu", mtu, LEAST_MTU, LARGEST_MTU)
        _check("kiss_port", kiss_port, 0, PORTS - 1)
        _check("txdelay_ms", txdelay_ms or 0, 0, 2_550)
        _check("persistence", persistence or 0, 0, 255)
        _check("slottime_ms", slottime_ms or 0, 0, 2_550)
        if not isinstance(port, str) or not port.startswith("/"):
            raise ConfigError(f"serial: port is a path such as /dev/ttyUSB0, not {port!r}")
        self.name = port
        self.counters: Counter[str] = Counter()
        line = baud * 8 / LINE_BITS
        self._rate = line if rate is None else min(float(rate), line)
        self._traits = Traits(payload_limit=mtu, cost=COST, rate=self._rate, medium=port)
        self._baud, self._kiss_port, self._rng = baud, kiss_port, rng
        self._setup = _told_to_modem(kiss_port, txdelay_ms, persistence, slottime_ms)
        self._station = self._former = self._draw()
        self._redraws: Bucket
        self._fd = -1
        self._rest = b""
        """What the kernel didn't take of the last frame."""
        self._free_at = 0.0
        """When the modem has sent all that it got, by our reckoning."""
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = False
        """Somebody was told to wait for `writable`."""
        self._echoes: deque[bytes] = deque(maxlen=ECHOES)
        self._loop: asyncio.AbstractEventLoop
        self._deliver: Deliver
        self._failed: Failed
        self._writable: Writable

    @property
    def traits(self) -> Traits:
        """See `Medium.traits`."""
        return self._traits

    @property
    def station(self) -> bytes:
        """Our own address; it may change while the port is open."""
        return self._station

    def start(self, deliver: Deliver, failed: Failed, writable: Writable) -> None:
        """Open the port, set its line, and draw a station."""
        self._loop = asyncio.get_running_loop()
        self._deliver, self._failed, self._writable = deliver, failed, writable
        self._fd = _open(self.name, self._baud)
        limit = self._traits.payload_limit + HEAD_SIZE
        self._decoder = Decoder(limit, self.counters)
        self._station = self._former = self._draw()
        self._redraws = Bucket(
            rate=1 / REDRAWN_EACH_S, burst=REDRAWN_AT_ONCE, now=self._loop.time()
        )
        self._rest, self._wanted, self._free_at = b"", False, 0.0
        self._loop.add_reader(self._fd, self._readable)
        if self._setup:
            self._write(self._setup)

    def send(self, frames: Sequence[tuple[bytes, bytes]]) -> int:
        """Take a frame as often as the air has room for one."""
        taken = 0
        for station, frame in frames:
            if self._fd < 0:
                return len(frames)
            if not self._has_room():
                self._wanted = True
                break
            taken += 1
            if len(frame) > self._traits.payload_limit or len(station) != STATION_SIZE:
                self.counters["unsent EMSGSIZE"] += 1
            else:
                self._send(station + self._station + frame)
        return taken

    def close(self) -> None:
        """Let go of the port."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        os.close(self._fd)
        self._fd = -1

    # ---- sending

    def _has_room(self) -> bool:
        """Whether the modem holds nothing of ours any more; if it does, look again then."""
        wait = self._free_at - self._loop.time()
        if not self._rest and wait <= 0:
            return True
        if self._timer is None and not self._rest:
            self._timer = self._loop.call_later(wait, self._look_again)
        return False

    def _look_again(self) -> None:
        self._timer = None
        if self._wanted and self._has_room():
            self._wanted = False
            self._writable()

    def _send(self, content: bytes) -> None:
        line = encode(content, port=self._kiss_port)
        self._echoes.append(_print_of(content))
        self.counters["sent"] += 1
        self.counters["bytes sent"] += len(line)
        self._free_at = max(self._free_at, self._loop.time()) + self._airtime(len(line))
        self._write(line)

    def _airtime(self, size: int) -> float:
        return airtime(self._rate, size)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            if error.errno not in FULL:
                self._fail(error)
                return
            written = 0
        self._rest = line[written:]
        if self._rest:
            self._loop.add_writer(self._fd, self._go_on)

    def _go_on(self) -> None:
        """The kernel takes more of the last frame."""
        self._loop.remove_writer(self._fd)
        self._write(self._rest)
        if not self._rest and self._fd >= 0:
            self._look_again()

    # ---- receiving

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_AT_ONCE)
        except OSError as error:
            if error.errno not in FULL:
                self._fail(error)
            return
        if not data:
            self._fail(OSError(errno.EIO, "it was unplugged"))
            return
        self.counters["bytes received"] += len(data)
        frames = list(self._decoder.feed(data))
        ours = [len(frame.content) for frame in frames if frame.port == self._kiss_port]
        self._note_busy(sum(ours) + FRAMING * len(ours))
        heard = [one for frame in frames if (one := self._hear(frame))]
        if heard:
            self._deliver(heard)

    def _note_busy(self, size: int) -> None:
        """While this came nothing of ours went out: what the modem holds of it goes later.

        A modem gives whole frames; those that another radio of its heard took no air of ours.
        """
        now, taken = self._loop.time(), self._airtime(size)
        if self._free_at > now - taken:
            most = now + 2 * self._airtime(self._traits.payload_limit)
            self._free_at = min(self._free_at + taken, most)

    def _hear(self, frame: Frame) -> Heard | None:
        """Whom a frame came from, None if it is none for us."""
        content = frame.content
        if frame.command != Command.DATA or frame.port != self._kiss_port:
            self.counters["dropped: foreign"] += 1
            return None
        if len(content) <= HEAD_SIZE:
            self.counters["dropped: length"] += 1
            return None
        station, source = content[:STATION_SIZE], content[STATION_SIZE:HEAD_SIZE]
        if source == self._station:
            self._hear_ourselves(content)
            return None
        if station not in (self._station, self._former, EVERYBODY) or source == EVERYBODY:
            self.counters["dropped: foreign"] += 1
            return None
        self.counters["received"] += 1
        return Heard(source, content[HEAD_SIZE:])

    def _hear_ourselves(self, content: bytes) -> None:
        """Our own address: an echo of the modem's, or somebody who drew the same."""
        if _print_of(content) in self._echoes:
            self.counters["echoes"] += 1
            return
        if not self._redraws.take(self._loop.time()):
            self.counters["dropped: forged"] += 1
            return
        self.counters["stations drawn anew"] += 1
        self._former, self._station = self._station, self._draw()

    # ---- ends

    def _draw(self) -> bytes:
        while True:
            station = self._rng(STATION_SIZE)
            if station != EVERYBODY:
                return station

    def _fail(self, error: OSError) -> None:
        if self._fd >= 0:
            self.close()
            self._failed(f"{self.name}: {error.strerror}")


def _told_to_modem(
    port: int, txdelay_ms: int | None, persistence: int | None, slottime_ms: int | None
) -> bytes:
    """Write the commands that set a modem up, none for what is not set."""
    commands = (
        (Command.TXDELAY, None if txdelay_ms is None else txdelay_ms // 10),
        (Command.PERSISTENCE, persistence),
        (Command.SLOTTIME, None if slottime_ms is None else slottime_ms // 10),
    )
    return b"".join(
        encode(bytes((value,)), port=port, command=command)
        for command, value in commands
        if value is not None
    )


def _print_of(content: bytes) -> bytes:
    return blake2s(content, digest_size=8).digest()


def _check(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"serial: {name} is a number, not {value!r}")
    if not least <= value <= most:
        raise ConfigError(f"serial: {name} lies between {least} and {most}, not {value}")


def _open(port: str, baud: int) -> int:
    """Open a port for us alone, raw, 8N1; TransportError says what helps."""
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise TransportError(
            f"{port}: no line runs at {baud} baud; 9600 and 115200 are common"
        )
    try:
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TransportError(f"{port}: {error.strerror}{_advice(error.errno)}") from error
    try:
        _make_raw(fd, speed)
        fcntl.ioctl(fd, termios.TIOCEXCL)
    except (OSError, termios.error) as error:
        os.close(fd)
        raise TransportError(f"{port} is no serial port") from error
    return fd


def _make_raw(fd: int, speed: int) -> None:
    """No echo, no signals, no translation; no modem lines; what came before is dropped."""
    settings = termios.tcgetattr(fd)
    control = settings[6]
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    bits = termios.CS8 | termios.CREAD | termios.CLOCAL
    termios.tcsetattr(fd, termios.TCSAFLUSH, [0, 0, bits, 0, speed, speed, control])


def _advice(number: int | None) -> str:
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "; is it plugged in?"
    if number in (errno.EACCES, errno.EPERM):
        return (
            "; may this user open it? `sudo usermod -aG dialout $USER`, then log in again"
        )
    return "; another program has it" if number == errno.EBUSY else ""
