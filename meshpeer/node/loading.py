"""From the state folder to a peer that knows again what it knew."""

import os
from collections.abc import Callable

from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.path import Path
from meshpeer.core.peer import Peer
from meshpeer.core.sync.shares import Limits
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
    rng: Callable[[int], bytes] = os.urandom,
) -> Peer:
    """Give the peer of this folder with all that its database holds."""
    return restore_peer(
        store,
        static=KeyPair(state.peer_key()),
        own=load_own(state, nickname, fresh=store.saved_clock() is None),
        limits=Limits(queue_bytes),
        rng=rng,
        wall=wall,
        now=now,
        prefix=prefix,
    )
