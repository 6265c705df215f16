"""From the rows of a database to what the core held before: queue and mail.

Used by the node at start and by the simulation after a simulated crash, so both restart alike.
"""

from itertools import chain
from typing import Final

from meshpeer.core.formats.bundle import MAX_LIFETIME
from meshpeer.core.journal import Journal
from meshpeer.core.mail import lamport
from meshpeer.core.mail.mail import Restored
from meshpeer.core.mail.outbox import Pending
from meshpeer.core.sync.policy import Policy, SimplePolicy
from meshpeer.core.sync.queue import Queue
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import Box, PutCarried, PutOver, PutValue
from store.store import Store

REQUESTS_READ: Final = 1_000


def restore_queue(
    store: Store, journal: Journal, limits: Limits, policy: Policy | None = None
) -> Queue:
    """Give the queue with its index, what is over, the values and who has what."""
    queue = Queue(journal=journal, policy=policy or SimplePolicy(), limits=limits)
    for row in store.queue_index():
        queue.restore(row)
    for memory in chain[PutOver | PutValue | PutCarried](
        store.overs(), store.values(), store.carried()
    ):
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
