"""All that the persons of this peer write and receive."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from meshpeer.core.journal import Journal
from meshpeer.core.mail.inbox import Archive, Inbox
from meshpeer.core.mail.lamport import Lamport
from meshpeer.core.mail.outbox import Outbox, Pending
from meshpeer.core.mail.people import People


class Restored(NamedTuple):
    """What a mail starts from: what the disk held."""

    lamport: bytes = b""
    pending: Sequence[Pending] = ()
    requests: Sequence[bytes] = ()
    """The strangers whose messages wait in the requests box."""


class Mail:
    """The persons here with their boxes."""

    def __init__(
        self,
        *,
        people: People,
        journal: Journal,
        rng: Callable[[int], bytes],
        wall: Callable[[], float],
        archive: Archive,
        restored: Restored,
    ) -> None:
        lamport = Lamport(restored.lamport)
        self.people = people
        self.outbox = Outbox(
            people=people,
            journal=journal,
            lamport=lamport,
            rng=rng,
            wall=wall,
            pending=restored.pending,
        )
        self.inbox = Inbox(
            people=people,
            journal=journal,
            lamport=lamport,
            wall=wall,
            archive=archive,
            requests=restored.requests,
        )
