"""From the state folder to a peer that knows again what it knew."""

import os
from collections.abc import Callable
from typing import Final

from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.link.path import Path
from meshpeer.core.mail.people import Own
from meshpeer.core.peer import Peer
from meshpeer.core.sync.shares import Limits
from meshpeer.errors import ConfigError
from meshpeer.node.state import PersonSecrets, State
from store.restore import restore_peer
from store.store import Store

FIRST_LIST: Final = 1


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
    static = KeyPair(state.peer_key())
    return restore_peer(
        store,
        static=static,
        own=[_own_person(secrets, static.public, nickname) for secrets in state.persons()],
        limits=Limits(queue_bytes),
        rng=rng,
        wall=wall,
        now=now,
        prefix=prefix,
    )


def _own_person(secrets: PersonSecrets, peer: bytes, nickname: str) -> Own:
    """Give a person of this peer with a card that lists this one device."""
    if secrets.person is None:
        raise ConfigError(
            "a person's key is kept off line; this version needs it to sign the card"
        )
    device, sealing = DeviceKey(secrets.device), KeyPair(secrets.sealing)
    card = Card.sign(
        PersonKey(secrets.person),
        number=FIRST_LIST,
        nickname=nickname,
        devices=[Certificate(device.public, sealing.public, peer)],
    )
    return Own(card, device, sealing)
