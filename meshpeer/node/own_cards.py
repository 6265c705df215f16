"""The cards of the people here: signed once, kept, and signed anew only when something changes.

The number of a device list may be used once: whoever holds number 3 takes no other number 3. So
the newest card of each person is a file beside its keys, written before anybody is shown it, and
what differs gets the next number. A folder that ran before cards were kept starts at number 2,
since nobody can tell any more which nickname its number 1 had.

The person's key may be kept off line. Then this device shows the card it has, and what needs a
new one says so. A newer card that another device signed comes through the chain, into the
database first (PutAuthor); whichever is newer at a start wins.

A folder that came from a backup may not know the newest list. The first that it signs therefore
leaps ahead: what its owner decides there, such as revoking a lost device, must hold, and a device
that was added after the backup was made has to be added again.

Which nickname the settings had is kept with the card: two devices may have different ones in
their settings, and each must change the person's nickname only when its owner changed it there,
else they would rename the person in turns for ever.
"""

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from meshpeer.core.formats.card import Card, Revocation, is_newer
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.mail.people import Own
from meshpeer.errors import (
    ConfigError,
    NotFoundError,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from meshpeer.node.state import KeptCard, PersonSecrets, State

log = logging.getLogger("meshpeer.node")

FIRST_LIST: Final = 1
LEAP: Final = 1_000
"""Lists that may have been signed after a backup was made."""
AWAY: Final = (
    "the key of this person is not on this device: do it on the device that has it, "
    "or bring it here with `meshpeer device import-key`"
)


def load_own(
    state: State,
    nickname: str,
    *,
    fresh: bool,
    heard: Mapping[bytes, bytes] = MappingProxyType({}),
) -> list[Own]:
    """Give everybody who lives here with the newest card, signed anew where it has to be.

    `fresh` says that no peer ever ran on this folder; `heard` are cards that came by the chain,
    by person.
    """
    peer = KeyPair(state.peer_key()).public
    return [
        _load_one(state, index, secrets, peer, nickname, fresh=fresh, heard=heard)
        for index, secrets in enumerate(state.persons())
    ]


def sign_next(
    state: State,
    held: Card,
    *,
    nickname: str | None = None,
    devices: Iterable[Certificate] | None = None,
    revoked: Iterable[Revocation] | None = None,
) -> Card:
    """Sign and keep the list that follows `held`; UsageError where the key is away."""
    index = place_of(state, held.person)
    key = person_key(state.persons()[index], held.person)
    if key is None:
        raise UsageError(AWAY)
    kept = state.kept_card(index)
    card = Card.sign(
        key,
        number=held.number + (LEAP if kept and kept.restored else 1),
        nickname=held.nickname if nickname is None else nickname,
        devices=held.devices if devices is None else devices,
        revoked=held.revoked if revoked is None else revoked,
    )
    keep_at(state, index, card, kept.nickname if kept else card.nickname)
    return card


def keep(state: State, card: Card) -> None:
    """Keep a newer card of a person here; what the settings say of it stays."""
    index = place_of(state, card.person)
    before = state.kept_card(index)
    nickname = before.nickname if before else card.nickname
    restored = before is not None and before.restored
    keep_at(state, index, card, nickname, restored=restored)


def keep_at(
    state: State, index: int, card: Card, nickname: str, *, restored: bool = False
) -> None:
    """Keep the card of the person at this place; `nickname` is what the settings have."""
    kept = KeptCard(card.with_hints(()).to_bytes(), nickname, restored)
    try:
        state.keep_card(index, kept)
    except OSError as error:
        raise StoreError(f"the card can't be kept, so it isn't used: {error}") from error


def place_of(state: State, person: bytes) -> int:
    """Give the place of this person among those here."""
    for index, secrets in enumerate(state.persons()):
        kept = state.kept_card(index)
        if kept and _read(kept).person == person:
            return index
        if not kept and secrets.person and PersonKey(secrets.person).public == person:
            return index
    raise NotFoundError("the keys of this person are not in the folder `keys`")


def person_key(secrets: PersonSecrets, person: bytes) -> PersonKey | None:
    """Give the person's key if it is here."""
    if secrets.person is None:
        return None
    key = PersonKey(secrets.person)
    return key if key.public == person else None


def certificate_of(secrets: PersonSecrets, peer: bytes) -> Certificate:
    """Give what a list says of the device here."""
    device, sealing = DeviceKey(secrets.device), KeyPair(secrets.sealing)
    return Certificate(device.public, sealing.public, peer)


def _load_one(
    state: State,
    index: int,
    secrets: PersonSecrets,
    peer: bytes,
    nickname: str,
    *,
    fresh: bool,
    heard: Mapping[bytes, bytes],
) -> Own:
    kept = state.kept_card(index)
    here = certificate_of(secrets, peer)
    if kept is None:
        card = _first(secrets, here, nickname, fresh=fresh, heard=heard)
        keep_at(state, index, card, nickname)
    else:
        card = _read(kept)
        newer = _heard(heard, card.person)
        if newer and is_newer(newer, card):
            card = newer
            keep(state, card)
        _finish_joining(state, index, secrets, card, here)
        if nickname != kept.nickname:
            card = _rename(state, index, secrets, card, nickname)
    return Own(card, DeviceKey(secrets.device), KeyPair(secrets.sealing))


def _first(
    secrets: PersonSecrets,
    here: Certificate,
    nickname: str,
    *,
    fresh: bool,
    heard: Mapping[bytes, bytes],
) -> Card:
    """Give the card of a person of whom none is kept: the first, unless its file was lost."""
    if secrets.person is None:
        raise ConfigError(
            "a person's key and its card are both missing in the folder `keys`: "
            "put back one of them"
        )
    key = PersonKey(secrets.person)
    if known := _heard(heard, key.public):
        return known
    number = FIRST_LIST if fresh else FIRST_LIST + 1
    return Card.sign(key, number=number, nickname=nickname, devices=[here])


def _rename(
    state: State, index: int, secrets: PersonSecrets, card: Card, nickname: str
) -> Card:
    key = person_key(secrets, card.person)
    if key is None:
        log.warning("the nickname stays: the person's key is not on this device")
        return card
    if nickname != card.nickname:
        card = sign_next(state, card, nickname=nickname)
    kept = state.kept_card(index)
    keep_at(state, index, card, nickname, restored=kept is not None and kept.restored)
    return card


def _finish_joining(
    state: State, index: int, secrets: PersonSecrets, card: Card, here: Certificate
) -> None:
    """Forget the key of the person that lived here before it joined another."""
    if secrets.person is None or person_key(secrets, card.person):
        return
    if here not in card.devices:
        raise ConfigError(
            "the key and the card of a person don't fit: put back the folder `keys` whole"
        )
    state.keep_person(index, secrets._replace(person=None))


def _heard(heard: Mapping[bytes, bytes], person: bytes) -> Card | None:
    """Give the card that came by the chain, if one did and the database didn't spoil it."""
    try:
        return Card.parse(heard[person]) if person in heard else None
    except RemoteProtocolError as error:
        log.warning("a card in the database is damaged", extra={"reason": str(error)})
        return None


def _read(kept: KeptCard) -> Card:
    try:
        return Card.parse(kept.card)
    except RemoteProtocolError as error:
        raise ConfigError(
            f"a card in the folder `keys` is damaged ({error}): put back your copy"
        ) from error
