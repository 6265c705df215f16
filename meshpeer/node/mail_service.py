"""Messages in their boxes, as the API asks for them."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from meshpeer.core.formats.bundle import Priority
from meshpeer.core.identity import idtext
from meshpeer.core.mail.letters import UNDERWAY, message_state
from meshpeer.core.mail.outbox import DEFAULT_LIFETIME, Draft
from meshpeer.core.mail.people import Contact, Own, Status
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    EraseMessage,
    PutCarried,
    PutEvent,
    SetRead,
)
from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node import facade
from meshpeer.node.desk import PRIORITY_NAMES, Desk, number_cursor, page_limit
from meshpeer.node.facade import DRAFTS_LIMIT
from store.rows import DeliveryRow, MessageRow

SEALED_AT_ONCE: Final = 32
"""Messages sealed before the loop's other work, and the first of them, get their turn."""


class MailService(Desk):
    """What people here write and read."""

    async def send(self, drafts: Sequence[facade.Draft]) -> list[facade.Sent]:
        """Queue all or none, in this order."""
        self._node.check_disk()
        if not 1 <= len(drafts) <= DRAFTS_LIMIT:
            raise UsageError(f"{len(drafts)} messages; give 1 to {DRAFTS_LIMIT} at once")
        checked = [self._checked(index, draft) for index, draft in enumerate(drafts)]
        sent = []
        for index, (own, contact, draft) in enumerate(checked, 1):
            message_id = self._peer.send(own, contact, draft, self._node.now())
            to = idtext.encode(contact.person)
            sent.append(facade.Sent(id=message_id.hex(), to=to, state="queued"))
            if index % SEALED_AT_ONCE == 0:
                self._node.soon()
                await asyncio.sleep(0)
        await self._node.durable()
        return sent

    async def messages(
        self,
        box: facade.BoxName,
        after: str | None,
        limit: int,
        *,
        unread: bool,
        who: str | None,
        newest: bool = False,
    ) -> facade.Page[facade.Message]:
        """List a box, oldest or newest first."""
        rows = self._store.messages(
            _BOXES[box],
            number_cursor(after),
            page_limit(limit),
            unread=unread,
            contact=self.find(who).person if who else None,
            newest=newest,
        )
        following = str(rows[-1].number) if len(rows) == limit else None
        return facade.Page(self._views(rows), following)

    async def message(self, which: str) -> facade.Message:
        """Give one message."""
        return self._views([self.find_message(which)])[0]

    async def mark_read(self, which: Sequence[str], read: bool) -> None:
        """Mark received messages as read or unread."""
        rows = [self.find_message(one) for one in which]
        for row in rows:
            if row.box is Box.OUTBOX:
                raise UsageError(f"message {row.number} was written here, not received")
        for row in rows:
            self._peer.journal.add(
                SetRead(row.message_id, row.contact, read),
                PutEvent.of("read", id=row.message_id.hex(), read=read),
            )
        await self._node.durable()

    async def delete(self, which: Sequence[str]) -> None:
        """Erase messages here."""
        rows = [self.find_message(one) for one in which]
        for row in rows:
            id, box = row.message_id.hex(), row.box.name.lower()
            self._peer.journal.add(
                EraseMessage(row.message_id, row.contact, sent=row.box is Box.OUTBOX),
                PutEvent.of("erased", id=id, box=box),
            )
        await self._node.durable()
        for row in rows:
            self._peer.mail.inbox.erased(row.contact)
            if row.box is Box.REQUESTS:
                self._peer.mail.inbox.request_ended(row.contact)
        self.made_room()

    async def recall(self, which: str) -> facade.Message:
        """Ask every carrier to drop a message of ours."""
        row = self.find_message(which, box=Box.OUTBOX)
        self._peer.recall(row.message_id, self._node.now())
        await self._node.durable()
        return await self.message(str(row.number))

    def _checked(self, index: int, draft: facade.Draft) -> tuple[Own, Contact, Draft]:
        try:
            own = self.find_own(draft.sender)
            contact = self.find(draft.to)
            if contact.status is Status.STRANGER:
                raise UsageError(
                    "that person only wrote a request; `meshpeer requests accept` it first"
                )
            ready = Draft(
                text=draft.text,
                lifetime=(
                    DEFAULT_LIFETIME if draft.lifetime_s is None else draft.lifetime_s
                ),
                priority=Priority[draft.priority.upper()],
                reply_to=self._replied(draft.reply_to),
            )
            self._peer.mail.outbox.check(ready, contact)
        except (UsageError, NotFoundError) as error:
            if index:
                raise type(error)(f"message {index + 1} of the batch: {error}") from error
            raise
        return own, contact, ready

    def _replied(self, which: str | None) -> bytes | None:
        return None if which is None else self.find_message(which).message_id

    def _views(self, rows: Sequence[MessageRow]) -> list[facade.Message]:
        sent = [row.number for row in rows if row.box is Box.OUTBOX]
        deliveries = {
            number: list(group)
            for number, group in groupby(
                self._store.deliveries(sent), key=lambda delivery: delivery.number
            )
        }
        return [self._view(row, deliveries.get(row.number, [])) for row in rows]

    def _view(self, row: MessageRow, deliveries: list[DeliveryRow]) -> facade.Message:
        return facade.Message(
            number=row.number,
            id=row.message_id.hex(),
            box=_BOX_NAMES[row.box],
            person=self.who(row.person).id,
            contact=self.who(row.contact),
            text=row.text,
            kind=row.kind,
            written=row.written,
            stored=row.stored_wall,
            read=row.read,
            reply_to=row.reply_to.hex() if row.reply_to else None,
            delivery=self._delivery(row, deliveries) if deliveries else None,
        )

    def _delivery(self, row: MessageRow, deliveries: list[DeliveryRow]) -> facade.Delivery:
        now = self._node.now()
        files = self._store.attachments(row.message_id, row.contact, sent=True)
        state = message_state(
            [delivery.state for delivery in deliveries],
            files_lack=any(file.state == UNDERWAY for file in files),
            over=now >= row.stored + row.lifetime,
        )
        return facade.Delivery(
            state=STATE_NAMES[state],
            carriers=self._carriers(self._store.carriers([row.number]), now),
            remaining_s=max(0, int(max(d.expires for d in deliveries) - now)),
            priority=PRIORITY_NAMES[deliveries[0].priority],
            devices=len({delivery.device for delivery in deliveries}),
        )

    def _carriers(self, rows: Iterable[PutCarried], now: float) -> list[facade.Carrier]:
        first: dict[bytes, float] = {}
        for row in rows:
            first.setdefault(row.peer, row.at)
        return [
            facade.Carrier(idtext.encode(peer), self.name_at(peer), int(now - at))
            for peer, at in first.items()
        ]


STATE_NAMES: Final[dict[DeliveryState, facade.StateName]] = {
    DeliveryState.QUEUED: "queued",
    DeliveryState.CARRIED: "carried",
    DeliveryState.RECALL_ASKED: "recall_asked",
    DeliveryState.DROPPED: "dropped",
    DeliveryState.EXPIRED: "expired",
    DeliveryState.ARRIVED: "arrived",
}
_BOXES: Final[dict[facade.BoxName, Box]] = {
    "inbox": Box.INBOX,
    "requests": Box.REQUESTS,
    "outbox": Box.OUTBOX,
}
_BOX_NAMES: Final[dict[Box, facade.BoxName]] = {box: name for name, box in _BOXES.items()}
