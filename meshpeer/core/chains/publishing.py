"""What the persons here publish, each into the one log of its device that goes on.

Nothing of a block leaves this peer before it is on the disk, so a crash can't make a fork. A
state that comes from a backup or was copied goes on in new logs (`RestoredChains.new_log`); so
does a device that hears a block of its own log which it doesn't hold: another copy of it writes.

A new log begins with its first block: a device may have few, and who only starts and stops, or
has begun them all, needs none. Until then the old ones are marked as nobody's to go on with, by
the negative of the number that counts them, so that later starts know it too.
"""

from collections.abc import Callable
from typing import Final

from meshpeer.core.chains.archive import OwnLike, PeopleLike
from meshpeer.core.chains.authors import Authors
from meshpeer.core.chains.book import Book
from meshpeer.core.chains.intake import Intake
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import Log
from meshpeer.core.formats.block import LOG_SIZE, NO_BLOCK, Block, skip_of
from meshpeer.core.formats.record import Record, Withdraw
from meshpeer.errors import StoreError, UsageError

FIRST: Final = 1


class Publisher:
    """Writes on in the logs of the devices here."""

    def __init__(
        self,
        *,
        book: Book,
        authors: Authors,
        people: PeopleLike,
        intake: Intake,
        limits: ChainLimits,
        rng: Callable[[int], bytes],
        new_log: bool,
    ) -> None:
        self._book, self._authors, self._people = book, authors, people
        self._intake, self._limits, self._rng = intake, limits, rng
        self._current: dict[bytes, Log] = {}
        for log in book.logs.values():
            if new_log and log.started > 0:
                log.started = -log.started
                book.touch(log)
            known = self._current.get(log.device)
            if log.started > 0 and (known is None or log.started > known.started):
                self._current[log.device] = log

    def log_of(self, own: OwnLike) -> Log:
        """The log that takes what is published next; UsageError if there can't be one."""
        device = own.device.public
        if not self._may_write(own):
            raise UsageError(
                "this device is not in your device list any more, so nobody would take what it "
                "publishes; add it again from one of your other devices"
            )
        log = self._current.get(device)
        if (
            log is None
            or self._book.logs.get(log.log_key) is not log
            or log.fork_at is not None
            or log in self._intake.overtaken
        ):
            log = self.start_new_log(own)
        return log

    def start_new_log(self, own: OwnLike) -> Log:
        """Begin a log of this device; UsageError if it has all that a device may have."""
        logs = self._book.logs_of_device(own.person, own.device.public)
        if len(logs) >= self._limits.logs:
            raise UsageError(
                f"this device has begun {len(logs)} logs, which is all it may have; "
                "make a new device for yourself and publish there"
            )
        log = Log(own.person, own.device.public, self._rng(LOG_SIZE))
        log.started = 1 + max(abs(one.started) for one in [log, *self._book.logs.values()])
        self._intake.begin(log)
        self._current[own.device.public] = log
        return log

    def publish(self, own: OwnLike, record: Record, now: float) -> Block:
        """Sign the next block and journal it; UsageError says why it can't be."""
        body = record.to_bytes()
        if isinstance(record, Withdraw):
            self._check_target(own, record.target)
        log = self.log_of(own)
        sequence = log.height + 1
        block = Block.sign(
            own.device,
            person=own.person,
            log=log.id,
            sequence=sequence,
            lamport=self._book.tick(),
            previous=self._id_of(log, sequence - 1),
            skip=self._id_of(log, skip_of(sequence)),
            body=body,
        )
        self._intake.publish(log, block, record, now)
        return block

    def _check_target(self, own: OwnLike, target: bytes) -> None:
        header = self._book.find(target)
        if header is not None and header.person != own.person:
            raise UsageError(
                "that is somebody else's; you can withdraw only what you wrote"
            )
        if self._intake.effects.lasts(target):
            raise UsageError(
                "that took effect already and can't be withdrawn; publish its opposite instead "
                "(unfollow, or a newer device list)"
            )

    def _id_of(self, log: Log, sequence: int) -> bytes:
        if sequence < FIRST:
            return NO_BLOCK
        id = self._book.id_of(log, sequence)
        if id is None:
            raise StoreError(f"block {sequence} of your own log is lost; restore a backup")
        return id

    def _may_write(self, own: OwnLike) -> bool:
        standing = self._authors.standing(own.person)
        return standing is not None and own.device.public in standing.devices
