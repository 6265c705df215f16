"""From the rows of a database to a peer that knows again what it knew.

Used by the node at start and by the simulation after a simulated crash, so both restart alike.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from meshpeer.core.chains.archive import RestoredChains
from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.files.exchange import RestoredExchange
from meshpeer.core.files.shelf import RestoredFiles
from meshpeer.core.formats.attachment import Attachment
from meshpeer.core.formats.bundle import MAX_LIFETIME, Header
from meshpeer.core.formats.want import SUITE_WANT
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.link.path import Path
from meshpeer.core.mail import lamport
from meshpeer.core.mail.letters import ARRIVED, Letter
from meshpeer.core.mail.mail import Restored
from meshpeer.core.mail.people import Own, People
from meshpeer.core.mail.sealing_keys import KeyRing
from meshpeer.core.mail.underway import Pending
from meshpeer.core.peer import Peer, Remembered
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.policy import Policy, SimplePolicy
from meshpeer.core.sync.queue import Queue
from meshpeer.core.sync.shares import Limits
from meshpeer.core.writes import Box, DeliveryState, PutCarried, PutOver
from store.store import Store

REQUESTS_READ: Final = 1_000


def restore_peer(
    store: Store,
    *,
    static: KeyPair,
    own: Iterable[Own],
    limits: Limits,
    rng: Callable[[int], bytes],
    wall: Callable[[], float],
    now: float,
    prefix: Callable[[Path], str],
    policy: Policy | None = None,
    chain_limits: ChainLimits | None = None,
    ring: KeyRing | None = None,
    new_log: bool = False,
) -> Peer:
    """Give the peer with these keys and persons, and all that the database holds for it.

    `new_log` where the database is a copy: who lives here goes on in logs of their own.
    """
    journal = Journal()
    return Peer(
        static=static,
        people=People(own, store.contacts()),
        queue=_restore_queue(store, journal, limits, policy or SimplePolicy()),
        journal=journal,
        disk=store,
        remembered=Remembered(
            restore_mail(store, now),
            restore_chains(store, new_log=new_log),
            restore_exchange(store),
        ),
        rng=rng,
        wall=wall,
        now=now,
        prefix=prefix,
        chain_limits=chain_limits,
        ring=ring,
    )


def _restore_queue(store: Store, journal: Journal, limits: Limits, policy: Policy) -> Queue:
    """The index of what is held, what is over, the values, and who has what."""
    queue = Queue(journal=journal, policy=policy, limits=limits)
    for value in store.values():
        queue.restore_memory(value)
    for row in store.queue_index():
        queue.restore(row)
    for memory in chain[PutOver | PutCarried](store.overs(), store.carried()):
        queue.restore_memory(memory)
    return queue


def restore_mail(store: Store, now: float) -> Restored:
    """Give what `Mail` starts from; what expired long ago can't arrive any more."""
    pending = [
        Pending(
            row.message_id,
            row.contact,
            row.bundle,
            row.receipt,
            row.expires,
            row.state,
            row.device,
        )
        for row in store.pending(now - MAX_LIFETIME)
    ]
    requests = store.messages(Box.REQUESTS, limit=REQUESTS_READ)
    return Restored(
        lamport=store.settings().get(lamport.SETTING, b""),
        pending=pending,
        requests=[row.contact for row in requests],
        letters=list(_letters(store, now)),
        expected=[row for row in store.attachments_underway() if not row.sent],
    )


def _letters(store: Store, now: float) -> Iterator[Letter]:
    """Give the messages of ours of whose files not all arrived, but may."""
    underway = {row.message_id for row in store.attachments_underway() if row.sent}
    for message_id in underway:
        for row in store.messages_by_id(message_id.hex()):
            if row.box is not Box.OUTBOX or now > row.stored + row.lifetime + MAX_LIFETIME:
                continue
            files = store.attachments(message_id, row.contact, sent=True)
            states = [one.state for one in store.deliveries([row.number])]
            yield Letter(
                message_id,
                row.person,
                row.contact,
                tuple(Attachment(*file[4:9]) for file in files),
                row.lifetime,
                row.stored,
                row.written,
                frozenset(file.file for file in files if file.state == ARRIVED),
                DeliveryState.ARRIVED in states,
            )


def restore_chains(store: Store, *, new_log: bool = False) -> RestoredChains:
    """Give what `Chains` starts from; `new_log` where the database is a copy of another's."""
    return RestoredChains(
        store.logs(), store.authors(), store.follows(), store.forks(), new_log
    )


def restore_exchange(store: Store) -> RestoredExchange:
    """Give what `Exchange` starts from: fetches, wants, and what was answered."""
    held = (
        (row.id, header.tag, Account.parse(row.account))
        for row in store.queue_index()
        if (header := Header.parse(row.header)).suite == SUITE_WANT
    )
    return RestoredExchange(
        restore_files(store), store.wants(), store.answered(), list(held)
    )


def restore_files(store: Store) -> RestoredFiles:
    """Give what `Files` starts from: what is still being fetched, and what is here of it."""
    fetches = tuple(store.fetches_underway())
    known = {fetch.file: store.whole_file(fetch.file) for fetch in fetches}
    return RestoredFiles(
        fetches, {id: file for id, file in known.items() if file is not None}
    )
