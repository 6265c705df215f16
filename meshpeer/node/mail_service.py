"""Messages in their boxes, as the API asks for them."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby, islice
from typing import Final

from meshpeer.core.file_writes import PutAttachment
from meshpeer.core.formats.attachment import KEY_SIZE, MAX_ATTACHMENTS, Attachment
from meshpeer.core.formats.bundle import Priority
from meshpeer.core.formats.sealed_file import plain_size
from meshpeer.core.identity import idtext
from meshpeer.core.mail.draft import DEFAULT_LIFETIME, Draft, check
from meshpeer.core.mail.letters import UNDERWAY, message_state
from meshpeer.core.mail.people import Contact, Own, Status
from meshpeer.core.writes import (
    Box,
    DeliveryState,
    EraseMessage,
    PutCarried,
    PutEvent,
    SetRead,
)
from meshpeer.errors import (
    MeshpeerError,
    NotFoundError,
    RemoteProtocolError,
    UsageError,
)
from meshpeer.node import facade
from meshpeer.node.desk import (
    PRIORITY_NAMES,
    Desk,
    number_cursor,
    page_limit,
)
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
        if any(draft.attach for draft in drafts):
            checked = await self._with_files(drafts)
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
            self._drop_files(row)
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
        """Ask every carrier to drop a message of ours, and give its files to nobody any more."""
        row = self.find_message(which, box=Box.OUTBOX)
        self._peer.recall(row.message_id, self._node.now())
        for file in self._store.attachments(row.message_id, row.contact, sent=True):
            self._node.library.lost(file.file)
        await self._node.durable()
        return await self.message(str(row.number))

    def _drop_files(self, row: MessageRow) -> None:
        """What still comes with a message that goes, comes no more; sent files go when theirs is
        over. A file that came is its owner's, and stays."""
        sent = row.box is Box.OUTBOX
        files = self._store.attachments(row.message_id, row.contact, sent=sent)
        if sent and files:
            delivery = self._views([row])[0].delivery
            if delivery is not None and delivery.state in ("queued", "carried"):
                return
        for file in files:
            if sent:
                self._node.library.lost(file.file)
            elif file.state == UNDERWAY and len(self._store.attachments_of(file.file)) == 1:
                with suppress(NotFoundError):
                    self._node.library.cancel(file.file)

    async def _with_files(
        self, drafts: Sequence[facade.Draft]
    ) -> list[tuple[Own, Contact, Draft]]:
        """Seal what goes with each, so that it can be asked for; all is checked again then."""
        made: list[Attachment] = []
        try:
            for draft in drafts:
                for path in draft.attach:
                    made.append(await self._sealed(path))
            left = iter(made)
            return [
                self._checked(index, draft, tuple(islice(left, len(draft.attach))))
                for index, draft in enumerate(drafts)
            ]
        except MeshpeerError:
            for attachment in made:
                self._node.library.lost(attachment.file)
            await self._node.durable()
            raise

    async def _sealed(self, path: str) -> Attachment:
        key = os.urandom(KEY_SIZE)
        packed = path
        if await asyncio.to_thread(os.path.isdir, path):
            packed = await self._node.library.pack(path)
        file = await self._node.library.publish(packed, key=key, shown=path)
        return Attachment(file.file, file.size, file.name, file.media_type, key)

    def _checked(
        self, index: int, draft: facade.Draft, files: tuple[Attachment, ...] = ()
    ) -> tuple[Own, Contact, Draft]:
        try:
            own = self.find_own(draft.sender)
            contact = self.find(draft.to)
            if contact.status is Status.STRANGER:
                raise UsageError(
                    "that person only wrote a request; `meshpeer requests accept` it first"
                )
            self._check_attached(draft.attach)
            ready = Draft(
                text=draft.text if files or draft.text or not draft.attach else "files",
                lifetime=(
                    DEFAULT_LIFETIME if draft.lifetime_s is None else draft.lifetime_s
                ),
                priority=Priority[draft.priority.upper()],
                reply_to=self._replied(draft.reply_to),
                attachments=files,
            )
            check(ready, contact)
        except (UsageError, NotFoundError) as error:
            if index:
                raise type(error)(f"message {index + 1} of the batch: {error}") from error
            raise
        return own, contact, ready

    def _check_attached(self, paths: Sequence[str]) -> None:
        """Raise UsageError, saying what to do, for what can't go with a message."""
        if len(paths) > MAX_ATTACHMENTS:
            raise UsageError(
                f"{len(paths)} files; at most {MAX_ATTACHMENTS} go with one message"
            )
        if len(
            {os.path.realpath(self.not_ours(path, hidden=False)) for path in paths}
        ) != len(paths):
            raise UsageError("one file is named twice")
        for path in paths:
            if not os.path.isfile(path) and not os.path.isdir(path):
                raise UsageError(f"there is no file or folder {path}")

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
        files = self._store.attachments(
            row.message_id, row.contact, sent=row.box is Box.OUTBOX
        )
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
            delivery=self._delivery(row, deliveries, files) if deliveries else None,
            attachments=[self._attachment(file) for file in files],
        )

    def _attachment(self, row: PutAttachment) -> facade.Attachment:
        places = [place for place in self._store.places(row.file) if place.key == row.key]
        return facade.Attachment(
            file=idtext.encode(row.file),
            name=row.name,
            size=opened_size(row.size),
            media_type=row.media_type,
            state="underway" if row.state == UNDERWAY else "arrived",
            path=places[-1].path if places else None,
        )

    def _delivery(
        self,
        row: MessageRow,
        deliveries: list[DeliveryRow],
        files: Sequence[PutAttachment],
    ) -> facade.Delivery:
        now = self._node.now()
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
            text_arrived=any(d.state is DeliveryState.ARRIVED for d in deliveries),
        )

    def _carriers(self, rows: Iterable[PutCarried], now: float) -> list[facade.Carrier]:
        first: dict[bytes, float] = {}
        for row in rows:
            first.setdefault(row.peer, row.at)
        return [
            facade.Carrier(idtext.encode(peer), self.name_at(peer), int(now - at))
            for peer, at in first.items()
        ]


def opened_size(sealed: int) -> int:
    """Give the size of what is in a sealed file; as it is where a sender made that up."""
    with suppress(RemoteProtocolError):
        return plain_size(sealed)
    return sealed


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
