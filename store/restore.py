"""From the rows of a database to what the core held before: queue, mail and contacts.

Used by the node at start and by the simulation after a simulated crash, so both restart alike.
"""

from collections.abc import Iterator

from meshpeer.core.formats.bundle import MAX_LIFETIME
from meshpeer.core.journal import Journal
from meshpeer.core.mail import lamport
from meshpeer.core.mail.mail import Restored
from meshpeer.core.mail.outbox import Pending
from meshpeer.core.sync.policy import Policy, SimplePolicy
from meshpeer.core.sync.queue import Held, Queue
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import Box, PutCarried, PutContact, PutOver, PutValue
from store.store import Store

REQUESTS_READ = 1_000


def restore_contacts(store: Store) -> Iterator[PutContact]:
    """Give everybody known, for `People`."""
    return (PutContact(**row._asdict()) for row in store.contacts())


def restore_queue(
    store: Store, journal: Journal, limits: Limits, policy: Policy | None = None
) -> Queue:
    """Give the queue with its index, what is over, the values and who has what."""
    queue = Queue(journal=journal, policy=policy or SimplePolicy(), limits=limits)
    for row in store.queue_index():
        queue.restore(Held(*row))
    for memory in _memory(store):
        queue.restore_memory(memory)
    return queue


def restore_mail(store: Store, now: float) -> Restored:
    """Give what `Mail` starts from; what expired long ago can't arrive any more."""
    pending = [
        Pending(
            row.message_id, row.contact, row.bundle, row.receipt, row.expires, row.state
        )
        for row in store.pending(now - MAX_LIFETIME)
    ]
    requests = store.messages(Box.REQUESTS, limit=REQUESTS_READ)
    return Restored(
        lamport=store.settings().get(lamport.SETTING, b""),
        pending=pending,
        requests=[row.contact for row in requests],
    )


def _memory(store: Store) -> Iterator[PutOver | PutValue | PutCarried]:
    yield from (PutOver(*row) for row in store.overs())
    yield from (PutValue(*row) for row in store.values())
    yield from (PutCarried(*row) for row in store.carried())
