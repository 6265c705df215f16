"""The devices of the people here: listed, added, joined, revoked.

Three steps make a device a person's. It shows its keys (a request); the device that has the
person's key signs the next list with it and shows the card; the new one takes the card and is that
person's from then on. Neither trusts the way between them: the request is compared by its id
text, and the card must name exactly the keys that lie here.

Whoever joins leaves the person behind that was made with its state folder. That one must not have
written or published anything: what is signed in one name can't become another's.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from meshpeer.core.chains.messages import Head
from meshpeer.core.formats import record
from meshpeer.core.formats.block import Header
from meshpeer.core.formats.card import MAX_DEVICES, Card, Cut, Revocation, is_newer
from meshpeer.core.formats.device_request import DeviceRequest
from meshpeer.core.identity import idtext
from meshpeer.core.identity.certificate import Certificate, check_distinct
from meshpeer.core.mail.people import Own
from meshpeer.core.writes import Box
from meshpeer.errors import NotFoundError, RemoteProtocolError, StoreError, UsageError
from meshpeer.node import device_facade, own_cards
from meshpeer.node.desk import Desk

ASK: Final = (
    "run `meshpeer device request` here, give what it prints to `meshpeer device add` on the "
    "device that has the key, and bring back the card that it prints"
)


class Last(NamedTuple):
    """The last block of a log."""

    device: bytes
    height: int
    lamport: int
    received: int
    """Wall seconds here."""


class DeviceService(Desk):
    """Who writes in whose name, and from where."""

    async def devices(self, person: str | None = None) -> device_facade.Devices:
        """List the devices of one of our persons."""
        return self._devices_view(self.find_own(person))

    async def device_request(
        self, person: str | None = None
    ) -> device_facade.DeviceRequest:
        """Give what this device shows to be listed by another."""
        own = self.find_own(person)
        request = DeviceRequest.sign(own.device, self._certificate(own))
        return device_facade.DeviceRequest(
            idtext.encode(own.device.public), request.to_uri()
        )

    async def add_device(self, new: device_facade.NewDevice) -> device_facade.Devices:
        """Sign and publish a list with one more device; needs the person's key."""
        own = self.find_own(new.person)
        asked = DeviceRequest.read(new.request).certificate
        if asked not in own.card.devices:
            _check_addition(own.card, asked)
            await self._sign(own, devices=[*own.card.devices, asked])
        return self._devices_view(self._people.own[own.person])

    async def join_person(self, joining: device_facade.Joining) -> device_facade.Devices:
        """Become a device of the person whose card lists this one; contacts stay."""
        own = self.find_own(joining.person)
        card = Card.read(joining.card)
        if self._certificate(own) not in card.devices:
            raise UsageError(f"that card does not list this device: {ASK}")
        if card.person != own.person:
            await self._become(own, card)
        elif is_newer(card, own.card):
            own_cards.keep(self._node.state, card)
            self._peer.journal.add(*self._people.renew_own(card))
        await self._node.durable()
        self._node.learn_hints(card)
        return self._devices_view(self._people.own[card.person])

    async def revoke_device(
        self, which: device_facade.WhichDevice
    ) -> device_facade.Devices:
        """Sign and publish a list without a device; its blocks up to now still count."""
        own = self.find_own(which.person)
        gone = _named(own.card, which.device)
        if gone.device == own.device.public:
            raise UsageError(
                "that is this device: revoke it from another one that has the person's key"
            )
        cuts = [
            Cut(head.log, head.height, head.head)
            for head in self._heads(own.person)
            if head.device == gone.device
        ]
        await self._sign(
            own,
            devices=[device for device in own.card.devices if device != gone],
            revoked=[*own.card.revoked, Revocation(gone.device, tuple(cuts))],
        )
        return self._devices_view(self._people.own[own.person])

    # ---- inside

    async def _sign(
        self,
        own: Own,
        *,
        devices: Iterable[Certificate],
        revoked: Iterable[Revocation] | None = None,
    ) -> None:
        """Keep the next list, then let everybody hear of it."""
        if any(one.device == own.device.public for one in own.card.revoked):
            raise UsageError("this device was revoked: use another of this person's")
        self._node.check_disk()
        card = own_cards.sign_next(
            self._node.state, own.card, devices=devices, revoked=revoked
        )
        self._peer.journal.add(*self._people.renew_own(card))
        renewed = self._people.own[own.person]
        if renewed.listed:
            said = record.Devices(card.to_bytes(), written=self._node.wall())
            self._peer.publish(renewed, said, self._node.now())
        await self._node.durable()

    async def _become(self, own: Own, card: Card) -> None:
        await self._node.durable()
        if card.person in self._people.own:
            raise UsageError("that person lives on this peer already")
        if self._heads(own.person) or any(
            row.person == own.person
            for box in Box
            for row in self._store.messages(box, limit=1)
        ):
            raise UsageError(
                f"{own.card.nickname} has written or published something from this device, "
                "and that can't become another's. Make a peer of its own for the person you "
                "join: `meshpeer init --state FOLDER`, run it, and request it there"
            )
        state = self._node.state
        place = own_cards.place_of(state, own.person)
        own_cards.keep_at(state, place, card, self._node.config.nickname)
        try:
            state.keep_person(place, state.persons()[place]._replace(person=None))
        except OSError as error:
            raise StoreError(
                f"the keys can't be written: {error}; the next start completes the joining"
            ) from error
        self._peer.journal.add(*self._people.join(own.person, card))

    def _devices_view(self, own: Own) -> device_facade.Devices:
        state, card = self._node.state, own.card
        secrets = state.persons()[own_cards.place_of(state, own.person)]
        written = self._last_written(own.person)
        newest = max(written, key=lambda block: block.lamport, default=None)
        peers = {device.device: device.peer for device in card.devices}
        revoked = [one.device for one in card.revoked]
        items = [
            device_facade.Device(
                number=number,
                id=idtext.encode(key),
                peer=idtext.encode(peers[key]) if key in peers else "",
                here=key == own.device.public,
                revoked=key not in peers,
                blocks=sum(last.height for last in written if last.device == key),
                newest=newest is not None and newest.device == key,
                received=max(
                    (last.received for last in written if last.device == key), default=None
                ),
            )
            for number, key in enumerate([*peers, *revoked], 1)
        ]
        return device_facade.Devices(
            person=idtext.encode(own.person),
            nickname=card.nickname,
            number=card.number,
            listed=own.listed,
            key_here=own_cards.person_key(secrets, own.person) is not None,
            card=card.with_hints(self._node.hints()).to_uri(),
            items=items,
        )

    def _heads(self, person: bytes) -> list[Head]:
        """What is durable of a person's logs, but for those in which nothing is."""
        return [head for head in self._peer.chains.heads(person) if head.height]

    def _last_written(self, person: bytes) -> list[Last]:
        rows = [(head, self._store.record_of(head.head)) for head in self._heads(person)]
        return [
            Last(
                head.device,
                head.height,
                Header.parse(row.header).lamport,
                row.received_wall,
            )
            for head, row in rows
            if row is not None
        ]

    def _certificate(self, own: Own) -> Certificate:
        return Certificate(own.device.public, own.sealing.public, self._peer.id)


def _check_addition(card: Card, asked: Certificate) -> None:
    """Raise UsageError where this device can't be put on the list."""
    if any(one.device == asked.device for one in card.revoked):
        raise UsageError(
            "that device was revoked, and its keys with it: make new ones there with "
            "`meshpeer init --state FOLDER`, in a new folder"
        )
    if len(card.devices) >= MAX_DEVICES:
        raise UsageError(f"a person has at most {MAX_DEVICES} devices: revoke one first")
    try:
        check_distinct(card.person, [*card.devices, asked])
    except RemoteProtocolError as error:
        raise UsageError(
            "a key of that device is another device's already: it seems to be a copy of "
            "one. Make new keys there with `meshpeer init --state FOLDER`"
        ) from error


def _named(card: Card, which: str) -> Certificate:
    """Give the listed device of this number or id text."""
    which = which.strip()
    if which.isdecimal() and len(which) < 3:
        if 1 <= int(which) <= len(card.devices):
            return card.devices[int(which) - 1]
        raise NotFoundError(f"there is no device {which}; `meshpeer device` lists them")
    key = idtext.decode(which)
    for device in card.devices:
        if device.device == key:
            return device
    if any(one.device == key for one in card.revoked):
        raise UsageError("that device is revoked already")
    raise NotFoundError(
        "no device of this person has that id; `meshpeer device` lists them"
    )
