"""Files between two neighbours over one link: both halves, and what is read of streams 5 and 6.

The one place where malformed input about files is caught: it is counted, and when it happens again
and again, or where the next message or part starts can't be known, this link is closed, and no
other. Parts are read only as far as the disk keeps up; flow control makes the neighbour wait.
"""

from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.files import messages
from meshpeer.core.files.giving import Giving
from meshpeer.core.files.incoming import Incoming
from meshpeer.core.files.link_like import LinkLike
from meshpeer.core.files.messages import (
    CONTROL,
    Ask,
    Cancel,
    Coming,
    Forget,
    Frames,
    Have,
    Hold,
    Message,
    No,
    Seek,
    Slow,
)
from meshpeer.core.files.saying import UNREAD_LIMIT, Saying
from meshpeer.core.files.source import Source
from meshpeer.core.files.swarm import Swarm
from meshpeer.errors import RemoteProtocolError

STRIKES: Final = 8
"""Malformed messages, or parts that nobody asked for, after which the link is closed."""
READ: Final = 65_536
"""Bytes of control messages read in a turn; others wait for theirs."""
TELLS_BURST: Final = 2_000
TELLS_PER_S: Final = 400.0
"""Have and Coming messages taken from a neighbour."""
RUNS_FREE: Final = 64
"""So many runs in one count for as much as a further message: many take a millisecond."""


class Session:
    """The protocol over one link, which is up when this is made."""

    def __init__(self, swarm: Swarm, link: LinkLike, now: float) -> None:
        self.peer = link.peer_id
        self.link = link
        self._swarm = swarm
        self._saying = Saying(link)
        self.source = Source(swarm, link, self._saying)
        self.giving = Giving(swarm, link, self._saying, now)
        self._frames = Frames()
        self._incoming = Incoming(link, self.source.wants)
        self._tells = Bucket(rate=TELLS_PER_S, burst=TELLS_BURST, now=now)
        self._strikes = 0
        self.behind = False
        """Something may lie unread."""

    @property
    def up(self) -> bool:
        """Something may still be said."""
        return self.link.closed is None

    def readable(self, now: float) -> None:
        """Bytes came, or may be read again."""
        if not self.up:
            return
        try:
            data = self.link.read(CONTROL, READ)
            for number, body in list(self._frames.feed(data)):
                self._hear(number, body, now)
            self.behind = len(data) == READ
            self._read_parts(now)
        except RemoteProtocolError as error:
            self._swarm.counters[error.field] += 1
            self.link.close("malformed stream")
        self._swarm.touch(self.peer)

    def _read_parts(self, now: float) -> None:
        self._incoming.came = 0
        if self._swarm.open:
            for part in self._incoming.parts():
                try:
                    self.source.take(part, now)
                except RemoteProtocolError as error:
                    self._strike(error)
                if not self._swarm.open:
                    break
        if not self._swarm.open:
            self.behind = True
        if self._incoming.came:
            self.source.heard(self._incoming.came, now)

    def go_on(self, now: float) -> None:
        """Ask for what may be asked for, and say what was gathered."""
        if self.up:
            self.source.pump(now)
        self._saying.flush()

    def close(self) -> None:
        """The link is down."""
        self.source.close()
        self.giving.close()
        self._swarm.turns.pop(self.giving, None)

    def _hear(self, number: int, body: bytes, now: float) -> None:
        try:
            if self._saying.unread > UNREAD_LIMIT:
                raise RemoteProtocolError("unread", f"{UNREAD_LIMIT} bytes are not read")
            message = messages.unpack(number, body)
            if message is not None:
                self._handle(message, now)
        except RemoteProtocolError as error:
            self._strike(error)

    def _strike(self, error: RemoteProtocolError) -> None:
        self._strikes += 1
        if self._strikes >= STRIKES:
            raise error
        self._swarm.counters[error.field] += 1

    def _may_tell(self, runs: int, now: float) -> bool:
        return self._tells.take(now, 1 + runs / RUNS_FREE)

    def _handle(self, message: Message, now: float) -> None:
        source, giving = self.source, self.giving
        match message:
            case Seek(wanted):
                for handle, tag in wanted:
                    giving.seek(handle, tag, now)
            case Hold(handles):
                for handle in handles:
                    source.hold(handle)
            case Have() | Coming() if not self._may_tell(len(message.runs), now):
                raise RemoteProtocolError("have", f"more than {TELLS_PER_S:.0f} a second")
            case Have(handle, runs):
                source.have(handle, runs)
            case Coming(handle, runs):
                source.coming(handle, runs, now)
            case Ask(parts):
                for handle, part in parts:
                    giving.ask(handle, part, now)
            case No(parts=refused):
                for handle, part, why in refused:
                    source.no(handle, part, why, now)
            case Cancel(parts):
                for handle, part in parts:
                    giving.cancel(handle, part)
            case Slow(handles):
                for handle in handles:
                    giving.give_slowly(handle)
            case Forget(handles):
                for handle in handles:
                    giving.forget(handle)
