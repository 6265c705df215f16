"""Peers, links, the queue and the history, as the API asks for them."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from math import ceil
from typing import Final, get_args

from meshpeer import __version__
from meshpeer.core.formats.bundle import Header
from meshpeer.core.identity import idtext
from meshpeer.core.peer import Neighbour
from meshpeer.core.sync.queue import Held
from meshpeer.core.writes import DropPeer, PutPeer
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import facade
from meshpeer.node.addresses import path_text, read_path
from meshpeer.node.desk import PRIORITY_NAMES, Desk, number_cursor, page_limit
from store.rows import EventRow

EVENTS_AT_ONCE: Final = 500
PEERS_KEPT: Final = 100_000


class NetworkService(Desk):
    """How the peer is doing and with whom."""

    async def status(self) -> facade.Status:
        """Give the whole picture in one answer."""
        node, now = self._node, self._node.now()
        counts = self._store.counts(now)
        queue = self._peer.sync.queue
        return facade.Status(
            version=__version__,
            peer=idtext.encode(self._peer.id),
            pid=os.getpid(),
            uptime_s=int(now - node.started),
            online=node.online,
            listening=node.listening(),
            persons=await self.persons(),
            neighbours=len(self._peer.neighbours),
            contacts=counts.contacts,
            unread=counts.unread,
            requests=counts.requests,
            underway=counts.underway,
            followed=len(self._peer.chains.interest.wanted - self._people.own.keys()),
            records=counts.records,
            files=counts.files,
            fetches=len(self._peer.files.fetches()),
            queue_bundles=len(queue),
            queue_bytes=queue.shares.used,
            queue_limit_bytes=node.config.queue.bytes,
            last_event=str(self._store.event_range()[1]),
            warnings=self._warnings(),
            counters=self._counters(),
        )

    async def set_online(self, online: bool) -> facade.Status:
        """False closes every link and sends nothing until True."""
        self._node.set_online(online)
        await self._node.durable()
        return await self.status()

    async def peers(self, after: str | None, limit: int) -> facade.Page[facade.Peer]:
        """List neighbours first, then remembered peers."""
        start = number_cursor(after)
        known = list(self._peer.neighbours)
        remembered: dict[bytes, list[PutPeer]] = {}
        for row in self._store.peers(PEERS_KEPT):
            remembered.setdefault(row.peer, []).append(row)
        known += [peer for peer in remembered if peer not in self._peer.neighbours]
        part = known[start : start + page_limit(limit)]
        end = start + len(part)
        return facade.Page(
            [self._peer_view(peer, remembered.get(peer, [])) for peer in part],
            str(end) if end < len(known) else None,
        )

    async def link_keys(self) -> list[facade.LinkKeys]:
        """Give the keys of the links that are up."""
        return [
            facade.LinkKeys(
                idtext.encode(peer),
                self.name_at(peer),
                *(
                    facade.Secret(
                        each.connection.hex(), each.secret.hex(), each.phase, each.counter
                    )
                    for each in neighbour.link.secrets
                ),
            )
            for peer, neighbour in self._peer.neighbours.items()
        ]

    async def add_peer(self, peer: str, address: str) -> facade.Peer:
        """Remember an address of this peer and try it at once."""
        id, path = self.read_peer(peer), read_path(address)
        if id == self._peer.id:
            raise UsageError("that is this peer's own id; give the other peer's")
        text = path_text(path)
        self._peer.journal.add(PutPeer(id, path.transport, text, True, self._node.now()))
        self._node.dialer.learn(id, path, self._node.now(), configured=True)
        await self._node.durable()
        return self._peer_view(id, self._store.paths(id))

    async def remove_peer(self, peer: str) -> None:
        """Close the link, forget the paths, and don't connect unless it is found anew."""
        id = self.read_peer(peer)
        if (
            id not in self._peer.neighbours
            and id not in self._node.dialer
            and not self._store.paths(id)
        ):
            raise NotFoundError("no such peer; `meshpeer peers` lists them")
        self._node.dialer.forget(id)
        self._peer.disconnect(id, self._node.now(), "removed")
        self._peer.journal.add(DropPeer(id))
        await self._node.durable()

    async def queue(self, after: str | None, limit: int) -> facade.Page[facade.QueueItem]:
        """List held bundles by id."""
        try:
            start = bytes.fromhex(after or "")
        except ValueError as error:
            raise UsageError(f"{after!r} is no cursor of this list") from error
        rows = self._store.queue_page(start, page_limit(limit))
        following = rows[-1].id.hex() if len(rows) == limit else None
        return facade.Page([self._item(row) for row in rows], following)

    async def events(self, after: str | None) -> AsyncIterator[facade.Event]:
        """Give every event after the cursor, then each as it happens."""
        low, high = self._store.event_range()
        seq = high if after is None else number_cursor(after)
        if after is not None and seq < low - 1:
            seq = low - 1
            yield facade.Event(str(seq), "gap", "{}")
        while True:
            news = self._node.next_news()
            rows = self._store.events_after(seq, EVENTS_AT_ONCE)
            for row in rows:
                seq = row.seq
                yield self._event(row)
            if not rows:
                await news.wait()

    def _event(self, row: EventRow) -> facade.Event:
        body = json.loads(row.body)
        for name in _PERSONS.get(row.kind, ()):
            body[name] = _plain(self.who(bytes.fromhex(body[name])))
        for name in _IDS.get(row.kind, ()):
            if name in body:
                body[name] = idtext.encode(bytes.fromhex(body[name]))
        if row.kind == "fetch" and body["state"] == "done":
            places = self._store.places(idtext.decode(body["file"]))
            body["path"] = places[-1].path if places else None
        return facade.Event(str(row.seq), _KINDS[row.kind], json.dumps(body))

    def _item(self, row: Held) -> facade.QueueItem:
        header = Header.parse(row.header)
        now = self._node.now()
        age = header.age + max(0, ceil(now - row.received))
        left = min(header.lifetime - age, row.first_seen + header.lifetime - now)
        return facade.QueueItem(
            id=row.id.hex(),
            bytes=row.size,
            priority=PRIORITY_NAMES[header.priority],
            own=row.own,
            account=row.account,
            hops=header.hops,
            hop_limit=header.hop_limit,
            age_s=age,
            remaining_s=max(0, int(left)),
        )

    def _peer_view(self, peer: bytes, rows: list[PutPeer]) -> facade.Peer:
        neighbour = self._peer.neighbours.get(peer)
        active = neighbour.link.path if neighbour else None
        remembered = [
            facade.PathInfo(
                row.transport,
                row.address,
                row.configured,
                active is not None and path_text(active) == row.address,
            )
            for row in rows
        ]
        named = {row.address for row in rows}
        now = [
            facade.PathInfo(path.transport, path_text(path), False, path == active)
            for path in (neighbour.link.paths if neighbour else ())
            if path_text(path) not in named
        ]
        paths = sorted([*now, *remembered], key=lambda path: not path.active)
        return facade.Peer(
            id=idtext.encode(peer),
            name=self.name_at(peer),
            up=neighbour is not None,
            up_s=int(self._node.now() - neighbour.since) if neighbour else None,
            rtt_ms=_rtt_ms(neighbour),
            paths=paths,
        )

    def _warnings(self) -> list[str]:
        found = []
        if self._node.trouble:
            found.append(
                f"The disk takes nothing: {self._node.trouble}. Nothing held is lost; "
                "make room and it goes on by itself."
            )
        if not self._node.online:
            found.append("This peer was set offline: it sends and receives nothing.")
        found += self._node.transport_warnings()
        for own in self._people.own.values():
            if not own.listed:
                found.append(_unlisted(own.card.nickname))
        return found

    def _counters(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for name, counters in self._node.counters().items():
            for what, count in counters.items():
                total[f"{name}.{what}"] += count
        return dict(total)


_KINDS: Final[dict[str, facade.EventKind]] = {
    kind: kind for kind in get_args(facade.EventKind)
}
_PERSONS: Final = {
    "message": ("contact",),
    "record": ("author",),
    "fork": ("person",),
    "device": ("person",),
}
"""Fields of an event's body that name a person whole."""
_IDS: Final = {
    "contact": ("id",),
    "state": ("peer",),
    "record": ("id",),
    "fetch": ("file",),
    "want": ("file", "peer"),
    "attachment": ("file",),
}
"""Fields that are ids."""


def _unlisted(nickname: str) -> str:
    return (
        f"This device is not in the list of {nickname}'s devices: it was revoked, or its join "
        "has not come yet. Others take nothing that it signs. If you are that person, see "
        "`meshpeer device` on the device that has the key."
    )


def _plain(who: facade.Who) -> dict[str, str | None]:
    return {"id": who.id, "petname": who.petname, "nickname": who.nickname}


def _rtt_ms(neighbour: Neighbour | None) -> float | None:
    return round(neighbour.link.rtt * 1_000, 1) if neighbour else None
