"""A facade without a network: a few people in one process, for tests of the API and the CLI.

`Village` holds the peers; what one sends lies in its own queue until `meet` lets two of them
exchange, so every state of a message can be walked through without links.
"""

import asyncio
import itertools
import json

from msgspec.structs import replace

from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.facade import (
    Card,
    Carrier,
    Contact,
    Delivery,
    Event,
    Message,
    Page,
    PathInfo,
    Peer,
    Person,
    QueueItem,
    Sent,
    Status,
    Who,
)

HOUR = 3600
OVER = ("arrived", "expired")


class Village:
    """Where the peers of a test live."""

    def __init__(self):
        self.peers = {}

    def settle(self, nickname):
        """Make one more peer."""
        peer = Villager(self, nickname, len(self.peers) + 1)
        self.peers[peer.me.id] = peer
        return peer

    def meet(self, one, other):
        """Let two peers exchange everything, both ways, and part."""
        for a, b in ((one, other), (other, one)):
            a.event("link", {"peer": b.peer_id, "up": True})
            for bundle in [*a.held.values()]:
                if bundle[0] not in b.values:
                    b.take(bundle, a)
        for a, b in ((one, other), (other, one)):
            a.values |= b.values
            a.settle_values()
            a.event("link", {"peer": b.peer_id, "up": False})


class Villager:
    """One peer: implements the Facade over dicts."""

    def __init__(self, village, nickname, number):
        self.village = village
        self.me = Person(f"person-{number:04}", nickname)
        self.peer_id = f"peer-{number:04}"
        self.known = {}
        self.stored = []
        self.numbers = itertools.count(1)
        self.held = {}
        self.values = set()
        self.history = []
        self.news = asyncio.Event()
        self.paths = {}
        self.online = True

    def event(self, kind, body):
        self.history.append(Event(str(len(self.history) + 1), kind, json.dumps(body)))
        self.news.set()
        self.news = asyncio.Event()

    # what happens between peers

    def take(self, bundle, carrier):
        key, sender, to, text, reply_to = bundle
        if to != self.me.id:
            if key not in self.held:
                self.held[key] = bundle
                carrier.carried(key, self)
            return
        self.values.add(key)
        if any(m.id == key and m.box != "outbox" for m in self.stored):
            return
        contact = self.known.get(sender.id)
        if contact is None:
            contact = Contact(sender.id, None, sender.nickname, "stranger", False, 1, 0)
            self.known[sender.id] = contact
        if contact.status == "blocked":
            return
        box = "requests" if contact.status == "stranger" else "inbox"
        self.store(key, box, contact, text, reply_to, None)

    def store(self, key, box, contact, text, reply_to, delivery):
        who = Who(contact.id, contact.petname, contact.nickname)
        self.stored.append(
            Message(
                number=next(self.numbers),
                id=key,
                box=box,
                person=self.me.id,
                contact=who,
                text=text,
                kind="text",
                written=1_000_000,
                stored=1_000_001,
                read=box == "outbox",
                reply_to=reply_to,
                delivery=delivery,
            )
        )
        body = {"id": key, "box": box, "contact": {"id": who.id, "petname": who.petname}}
        body["contact"]["nickname"] = who.nickname
        self.event("message", body)

    def carried(self, key, peer):
        for message in self.stored:
            if message.id == key and message.box == "outbox":
                carriers = [*message.delivery.carriers, Carrier(peer.peer_id, None, 0)]
                self.change(message, state="carried", carriers=carriers)
                self.event("state", {"id": key, "state": "carried", "peer": peer.peer_id})

    def settle_values(self):
        for key in self.values:
            self.held.pop(key, None)
            for message in self.stored:
                if (
                    message.id == key
                    and message.delivery
                    and message.delivery.state != "arrived"
                ):
                    self.change(message, state="arrived")
                    self.event("state", {"id": key, "state": "arrived"})

    def expire(self, key):
        """Let a message's lifetime run out."""
        self.held.pop(key, None)
        self.change(self.find(key), state="expired")
        self.event("state", {"id": key, "state": "expired"})

    def change(self, message, **delivery):
        place = self.stored.index(message)
        self.stored[place] = replace(
            message, delivery=replace(message.delivery, **delivery)
        )
        return self.stored[place]

    def find(self, which):
        found = [m for m in self.stored if which in (m.id, str(m.number))]
        if not found:
            raise NotFoundError(f"no message {which!r}")
        return min(found, key=lambda m: m.box == "outbox")

    # the Facade

    async def status(self):
        return Status(
            version="0",
            peer=self.peer_id,
            pid=1,
            uptime_s=5,
            online=self.online,
            listening=["udp 127.0.0.1:1"],
            persons=[self.me],
            neighbours=0,
            contacts=len(self.known),
            unread=sum(not m.read for m in self.stored if m.box == "inbox"),
            requests=sum(m.box == "requests" for m in self.stored),
            underway=sum(
                m.box == "outbox" and m.delivery.state not in OVER for m in self.stored
            ),
            queue_bundles=len(self.held),
            queue_bytes=400 * len(self.held),
            queue_limit_bytes=1 << 30,
            last_event=str(len(self.history)),
            warnings=[],
            counters={},
        )

    async def set_online(self, online):
        self.online = online
        return await self.status()

    async def persons(self):
        return [self.me]

    async def card(self, person=None):
        if person not in (None, self.me.id):
            raise NotFoundError(f"{person} does not live here")
        return Card(
            self.me.id, self.me.nickname, f"meshpeer:{self.me.id}", self.me.id.encode()
        )

    async def contacts(self, after, limit):
        return page(sorted(self.known.values(), key=lambda c: c.id), after, limit, "id")

    async def contact(self, who):
        return find(who, self.known.values())

    async def add_contact(self, card, petname):
        person = (
            card.decode() if isinstance(card, bytes) else card.removeprefix("meshpeer:")
        )
        if person not in self.village.peers:
            raise UsageError("this is no card")
        name = petname
        nickname = self.village.peers[person].me.nickname
        return self.put(Contact(person, name, nickname, "contact", False, 1, 1_000_000))

    def put(self, contact):
        same = [c for c in self.known.values() if c.petname == contact.petname]
        if contact.petname is not None and any(c.id != contact.id for c in same):
            raise UsageError(f"{contact.petname} is the petname of somebody else")
        self.known[contact.id] = contact
        self.event("contact", {"id": contact.id, "status": contact.status})
        return contact

    async def rename_contact(self, who, petname):
        name = petname
        return self.put(replace(await self.contact(who), petname=name))

    async def verify_contact(self, who, verified):
        return self.put(replace(await self.contact(who), verified=verified))

    async def block_contact(self, who, blocked):
        status = "blocked" if blocked else "contact"
        return self.put(replace(await self.contact(who), status=status))

    async def remove_contact(self, who):
        contact = await self.contact(who)
        del self.known[contact.id]
        self.event("contact", {"id": contact.id, "status": "removed"})

    async def send(self, drafts):
        people = [await self.contact(draft.to) for draft in drafts]
        sent = []
        for draft, contact in zip(drafts, people, strict=True):
            key = f"{int(self.peer_id[-4:]):04x}{len(self.stored):028x}"
            lifetime = draft.lifetime_s or 7 * 24 * HOUR
            delivery = Delivery("queued", [], lifetime, draft.priority, 1)
            self.held[key] = (key, self.me, contact.id, draft.text, draft.reply_to)
            self.store(key, "outbox", contact, draft.text, draft.reply_to, delivery)
            sent.append(Sent(key, contact.id, "queued"))
        return sent

    async def messages(self, box, after, limit, *, unread, who, newest=False):
        person = (await self.contact(who)).id if who else None
        items = [
            m
            for m in self.stored
            if m.box == box
            and not (unread and m.read)
            and (person is None or m.contact.id == person)
        ]
        return page(items[::-1] if newest else items, after, limit, "number")

    async def message(self, which):
        return self.find(which)

    async def mark_read(self, which, read):
        for one in which:
            message = self.find(one)
            self.stored[self.stored.index(message)] = replace(message, read=read)
            self.event("read", {"id": message.id, "read": read})

    async def delete(self, which):
        for one in which:
            message = self.find(one)
            self.stored.remove(message)
            self.event("erased", {"id": message.id, "box": message.box})

    async def recall(self, which):
        message = self.find(which)
        if message.box != "outbox":
            raise NotFoundError(f"no message of ours {which!r}")
        if message.delivery.state in OVER:
            raise UsageError(f"it has {message.delivery.state} already")
        self.event("state", {"id": message.id, "state": "recall_asked"})
        return self.change(message, state="recall_asked")

    async def accept_request(self, who, petname):
        contact = await self.contact(who)
        if contact.status != "stranger":
            raise UsageError(f"{who} is no stranger")
        contact = self.put(replace(contact, status="contact", petname=petname))
        self.stored = [
            replace(m, box="inbox")
            if m.box == "requests" and m.contact.id == contact.id
            else m
            for m in self.stored
        ]
        return contact

    async def refuse_request(self, who, *, block):
        contact = await self.contact(who)
        self.stored = [m for m in self.stored if m.contact.id != contact.id]
        if block:
            self.put(replace(contact, status="blocked"))
        else:
            await self.remove_contact(contact.id)

    async def peers(self, after, limit):
        peers = [
            Peer(p, None, False, None, None, [PathInfo("udp", a, True, False)])
            for p, a in sorted(self.paths.items())
        ]
        return page(peers, after, limit, "id")

    async def add_peer(self, peer, address):
        if ":" not in address:
            raise UsageError(f"{address!r} is not host:port")
        self.paths[peer] = address
        return (await self.peers(None, 1000)).items[-1]

    async def remove_peer(self, peer):
        if self.paths.pop(peer, None) is None:
            raise NotFoundError(f"no peer {peer!r}")

    async def queue(self, after, limit):
        items = [
            QueueItem(key, 400, "normal", bundle[1] == self.me, "own", 0, 5, 10, HOUR)
            for key, bundle in sorted(self.held.items())
        ]
        return page(items, after, limit, "id")

    async def events(self, after):
        if after is not None and not after.isdecimal():
            raise UsageError(f"{after!r} is no cursor")
        place = len(self.history) if after is None else int(after)
        while True:
            news = self.news
            for event in self.history[place:]:
                place += 1
                yield event
            await news.wait()


def find(who, known):
    """Give the one that `who` names: a petname, an id, or ~nickname."""
    for contact in known:
        if who in (contact.petname, contact.id, "~" + contact.nickname):
            return contact
    raise NotFoundError(f"nobody here goes by {who!r}")


def page(items, after, limit, key):
    """Give what comes after the cursor, which is the last item's key."""
    keys = [str(getattr(item, key)) for item in items]
    start = keys.index(after) + 1 if after in keys else 0
    part = items[start : start + limit]
    more = start + limit < len(items)
    return Page(part, keys[start + limit - 1] if more else None)
