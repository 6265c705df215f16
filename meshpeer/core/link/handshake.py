"""The handshake: Noise IK in one round trip, and what both sides tell each other in it.

    payload 1:  instance (8) | link window u32 | stream window u32 | versions u8 n, n bytes | early data
    payload 2:  instance (8) | link window u32 | stream window u32 | versions u8 n, n bytes

The prologue is "meshpeer link" and the version byte of the packet. An instance is random for each
start of a peer: it tells a restart from a second handshake that crossed the first. The list of
versions inside is what a forged VERSIONS packet can't change: a responder that sees a better
common version there than the one used refuses.

A first packet can be replayed by whoever recorded it. So a responder only answers it and waits:
nothing of it takes effect before a packet under the new keys, which a replayer can't make.
"""

from collections.abc import Callable
from math import inf
from struct import Struct
from typing import Final, NamedTuple

from meshpeer.core.identity.noise import Handshake, KeyPair, Pattern
from meshpeer.core.link import packet
from meshpeer.core.link.air import Air
from meshpeer.core.link.keys import Keys
from meshpeer.core.link.path import Path
from meshpeer.core.link.slow import first_retry
from meshpeer.errors import RemoteProtocolError

PROLOGUE: Final = b"meshpeer link" + bytes((packet.VERSION,))
SPOKEN: Final = bytes((packet.VERSION,))
INSTANCE_SIZE: Final = 8
EARLY_LIMIT: Final = 1_024
"""Bytes of data that a first packet may carry."""

FIRST_RETRY: Final = 0.25
"""Seconds till the first repetition of an initiation; each later one waits twice as long."""
TRIES: Final = 6
SLOW_TRIES: Final = 3
"""By a path that takes long, where the air is others' too."""

_HEAD: Final = Struct(">8sIIB")


class Parameters(NamedTuple):
    """What each side tells the other in the handshake."""

    instance: bytes
    link_window: int
    stream_window: int

    def encode(self) -> bytes:
        """Write them with the versions spoken here."""
        return _HEAD.pack(*self, len(SPOKEN)) + SPOKEN


def parse_payload(payload: bytes) -> tuple[Parameters, bytes]:
    """Read a handshake payload: parameters and early data; refuse a downgraded version."""
    if len(payload) < _HEAD.size:
        raise RemoteProtocolError(
            "handshake", f"{len(payload)} bytes, at least {_HEAD.size}"
        )
    instance, link_window, stream_window, count = _HEAD.unpack_from(payload)
    theirs = payload[_HEAD.size : _HEAD.size + count]
    if len(theirs) < count or not 1 <= count <= packet.VERSIONS_LIMIT:
        raise RemoteProtocolError("handshake", f"{count} versions")
    common = set(theirs) & set(SPOKEN)
    if not common or max(common) != packet.VERSION:
        raise RemoteProtocolError("version", f"{packet.VERSION} is not the best in common")
    early = payload[_HEAD.size + count :]
    if len(early) > EARLY_LIMIT:
        raise RemoteProtocolError("handshake", f"{len(early)} early bytes")
    return Parameters(instance, link_window, stream_window), early


class Established(NamedTuple):
    """What a handshake leaves behind for the link."""

    peer_id: bytes
    keys: Keys
    binding: bytes
    remote_id: bytes
    """The connection id that the other side listens to."""
    remote: Parameters


class Call:
    """One path by which an initiation goes, and when it goes there again."""

    __slots__ = ("_pause", "_tries", "due", "spent")

    def __init__(self, rate: float | None, now: float) -> None:
        self._pause = first_retry(FIRST_RETRY, rate)
        self._tries = 0
        self.due = now
        self.spent = False
        """It was tried as often as it may be, and there was time for an answer."""

    @property
    def takes_long(self) -> bool:
        """Whether a first packet and its answer need so long that none goes there before it is due."""
        return self._pause > FIRST_RETRY

    def take(self, now: float, air: Air | None = None) -> bool:
        """Count a try if one is due; False if none is, or none is left, or the air is taken."""
        if self.due > now or self.spent:
            return False
        if air is not None and air.free_at > now:
            self.due = air.free_at
            return False
        self.spent = self._tries >= (SLOW_TRIES if self.takes_long else TRIES)
        crowd = 1 if air is None else air.crowd(now)
        self.due = now + self._pause * 2**self._tries * crowd
        self._tries += 1
        return not self.spent


class Initiator:
    """Our side of a handshake that we began: repeats itself until answered or given up."""

    def __init__(
        self,
        peer_id: bytes,
        local_id: bytes,
        *,
        static: KeyPair,
        parameters: Parameters,
        early: bytes,
        now: float,
        rng: Callable[[int], bytes],
    ) -> None:
        self.peer_id = peer_id
        self.local_id = local_id
        self.early = early
        self.paths: dict[Path, Call] = {}
        self.called = 0
        """By how many paths it went, of those given up too."""
        self.started = now
        self.held_until = now
        """Nothing leaves before: the other side's own handshake goes first."""
        self.cookie: bytes | None = None
        self._noise = Handshake(
            Pattern.IK,
            initiator=True,
            prologue=PROLOGUE,
            static=static,
            remote_static=peer_id,
            ephemeral=KeyPair.generate(rng),
        )
        self._message = self._noise.write(parameters.encode() + early)
        self._mac1_key = packet.mac1_key(peer_id)

    def first_packet(self) -> bytes:
        """The initiation, with a mac2 once a cookie was given."""
        return packet.initiation(self.local_id, self._message, self._mac1_key, self.cookie)

    @property
    def mac1(self) -> bytes:
        """The mac1 of our initiation: what a cookie is sealed to."""
        sent = self.first_packet()
        return sent[-2 * packet.MAC_SIZE : -packet.MAC_SIZE]

    @property
    def due(self) -> float:
        """When to call `take`."""
        first = min((call.due for call in self.paths.values()), default=self.held_until)
        return max(self.held_until, first)

    def call(self, path: Path, rate: float | None, now: float) -> None:
        """Go by this path too."""
        if path not in self.paths:
            self.called += 1
            self.paths[path] = Call(rate, now)

    def take(
        self, now: float, air_of: Callable[[Path], Air | None] = lambda path: None
    ) -> list[Path]:
        """Give the paths by which to send now; one that never answered is dropped."""
        if self.held_until > now:
            return []
        paths = self.paths.items()
        due = [path for path, call in paths if call.take(now, air_of(path))]
        for path in [path for path, call in self.paths.items() if call.spent]:
            del self.paths[path]
        return due

    def go_on(self, now: float) -> None:
        """A medium that was full has room again."""
        for call in self.paths.values():
            if call.due == inf:
                call.due = now

    def finish(self, answer: packet.Response) -> Established:
        """Read the response, or raise RemoteProtocolError and go on waiting."""
        remote, _ = parse_payload(self._noise.read(answer.noise))
        ours, theirs = self._noise.split()
        return Established(
            self.peer_id, Keys(ours, theirs), self._noise.hash, answer.sender, remote
        )


class Answered(NamedTuple):
    """What a responder knows after one initiation."""

    established: Established
    response: bytes
    early: bytes


def respond(
    first: packet.Initiation,
    local_id: bytes,
    *,
    static: KeyPair,
    parameters: Parameters,
    rng: Callable[[int], bytes],
) -> Answered:
    """Answer an initiation, or raise RemoteProtocolError. Changes nothing."""
    noise = Handshake(
        Pattern.IK,
        initiator=False,
        prologue=PROLOGUE,
        static=static,
        remote_static=None,
        ephemeral=KeyPair.generate(rng),
    )
    remote, early = parse_payload(noise.read(first.noise))
    message = noise.write(parameters.encode())
    theirs, ours = noise.split()
    peer_id = noise.remote_static or b""
    response = packet.response(local_id, first.sender, message, packet.mac1_key(peer_id))
    keys = Keys(ours, theirs)
    return Answered(
        Established(peer_id, keys, noise.hash, first.sender, remote), response, early
    )
