"""From the state folder to a peer that knows again what it knew."""

import os
from collections.abc import Callable, Iterable

from meshpeer.core.chains.limits import ChainLimits
from meshpeer.core.chains.log import Log
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.path import Path
from meshpeer.core.mail.people import Own
from meshpeer.core.peer import Peer
from meshpeer.core.sync.shares import Limits
from meshpeer.node.key_ring import KeyFiles
from meshpeer.node.machine import needs_new_log
from meshpeer.node.own_cards import load_own
from meshpeer.node.state import State
from store.restore import restore_peer
from store.store import Store


def load_peer(
    state: State,
    store: Store,
    *,
    nickname: str,
    queue_bytes: int,
    prefix: Callable[[Path], str],
    wall: Callable[[], float],
    now: float,
    chain_limits: ChainLimits | None = None,
    rng: Callable[[int], bytes] = os.urandom,
) -> Peer:
    """Give the peer of this folder with all that its database holds."""
    heard = {author.person: author.card for author in store.authors()}
    own = load_own(state, nickname, fresh=store.saved_clock() is None, heard=heard)
    return restore_peer(
        store,
        static=KeyPair(state.peer_key()),
        own=own,
        limits=Limits(queue_bytes),
        rng=rng,
        wall=wall,
        now=now,
        prefix=prefix,
        chain_limits=chain_limits,
        new_log=must_begin_logs(state, store, own),
        ring=KeyFiles(state),
    )


def must_begin_logs(state: State, store: Store, own: Iterable[Own]) -> bool:
    """Whether the people here go on in new logs, since another copy may write the old ones."""
    devices = {person.device.public for person in own}
    mine = (row for row in store.logs() if row.device in devices)
    return needs_new_log(state, (Log.restore(row).started for row in mine))
