"""Messages, what a sender knows of each bundle of them, and what was shown once.

Lists go by number, oldest first, with the last number seen as cursor; a million messages do
not slow them, for every filter has its index.
"""

from collections.abc import Iterable
from typing import Final

from meshpeer.core.writes import (
    MESSAGE_COST,
    Box,
    DeliveryState,
    EraseMessage,
    MoveMessage,
    PutCarried,
    PutDelivery,
    PutMessage,
    PutSeen,
    SetDelivery,
    SetRead,
)
from store.plan import Plan, Statement
from store.reader import Reader
from store.rows import DeliveryRow, MessageRow

PLAN: Final[Plan] = {
    PutMessage: (
        Statement(
            """INSERT OR IGNORE INTO message(id, box, person, contact, text, kind, lamport,
                   written, stored, stored_wall, lifetime, reply_to, read)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            lambda write, names: (
                write.message_id,
                write.box,
                names.key(write.person),
                names.key(write.contact),
                write.text,
                write.kind,
                write.lamport,
                write.written,
                write.stored,
                write.stored_wall,
                write.lifetime,
                write.reply_to,
                write.box == Box.OUTBOX,
            ),
        ),
    ),
    PutDelivery: (
        Statement(
            """INSERT OR IGNORE INTO
                   delivery(message, bundle, device, receipt, expires, priority)
               SELECT n, ?, ?, ?, ?, ? FROM message WHERE id = ? AND box = 2""",
            lambda write, names: (
                write.bundle,
                names.key(write.device),
                write.receipt,
                write.expires,
                write.priority,
                write.message_id,
            ),
        ),
    ),
    SetDelivery: (
        Statement(
            "UPDATE delivery SET state = ?1, at = ?2 WHERE bundle = ?3 AND state < ?1",
            lambda write, names: (write.state, write.at, write.bundle),
        ),
    ),
    SetRead: (
        Statement(
            "UPDATE message SET read = ? WHERE id = ? AND contact = ? AND box <> 2",
            lambda write, names: (write.read, write.message_id, names.key(write.contact)),
        ),
    ),
    MoveMessage: (
        Statement(
            "UPDATE message SET box = ? WHERE id = ? AND contact = ? AND box <> 2",
            lambda write, names: (write.box, write.message_id, names.key(write.contact)),
        ),
    ),
    EraseMessage: (
        Statement(
            """DELETE FROM message WHERE id = ?1 AND contact = ?2
               AND (?3 IS NULL OR (box = 2) = ?3)""",
            lambda write, names: (write.message_id, names.key(write.contact), write.sent),
        ),
    ),
    PutSeen: (
        Statement(
            "INSERT OR IGNORE INTO seen(sender, message, at) VALUES (?, ?, ?)",
            lambda write, names: (names.key(write.sender), write.message_id, write.at),
        ),
    ),
}

MESSAGES: Final = """SELECT message.n, message.id, box, person.id, contact.id, text, kind, lamport,
    written, stored, stored_wall, lifetime, reply_to, read
    FROM message JOIN key AS person ON person.n = message.person
    JOIN key AS contact ON contact.n = message.contact """

DELIVERIES: Final = """SELECT message.n, message.id, contact.id, bundle, device.id, receipt,
    expires, priority, state, at
    FROM delivery JOIN message ON message.n = delivery.message
    JOIN key AS contact ON contact.n = message.contact
    JOIN key AS device ON device.n = delivery.device """

PAGE: Final = "AND message.n > ? ORDER BY message.n LIMIT ?"
NEWEST_PAGE: Final = "AND message.n < ? ORDER BY message.n DESC LIMIT ?"
AFTER_ALL: Final = 2**63 - 1


class MailReads(Reader):
    """What the mail layer and the boxes on screens ask."""

    def messages(
        self,
        box: Box,
        after: int = 0,
        limit: int = 100,
        *,
        unread: bool = False,
        contact: bytes | None = None,
        newest: bool = False,
    ) -> list[MessageRow]:
        """List a box, oldest first, above the number `after`; or newest first, below it."""
        where, values = "WHERE box = ? ", [int(box)]
        if unread:
            where += "AND read = 0 "
        if contact is not None:
            number = self._one("SELECT n FROM key WHERE id = ?", contact)
            where += "AND contact = ? "
            values += number or [0]
        if newest:
            return self._messages(where + NEWEST_PAGE, *values, after or AFTER_ALL, limit)
        return self._messages(where + PAGE, *values, after, limit)

    def message(self, number: int) -> MessageRow | None:
        """Give the message of this number."""
        return next(iter(self._messages("WHERE message.n = ?", number)), None)

    def messages_by_id(self, prefix: str, limit: int = 10) -> list[MessageRow]:
        """Give messages whose id, in hexadecimal, begins so; a whole id may be two's."""
        low, high = prefix.ljust(32, "0"), prefix.ljust(32, "f")
        return self._messages(
            "WHERE message.id BETWEEN ? AND ? LIMIT ?",
            bytes.fromhex(low),
            bytes.fromhex(high),
            limit,
        )

    def deliveries(self, numbers: Iterable[int]) -> list[DeliveryRow]:
        """Give what is known of every bundle of these messages."""
        where = "WHERE message.n = ?"
        return [row for number in numbers for row in self._deliveries(where, number)]

    def delivery(self, bundle: bytes) -> DeliveryRow | None:
        """Give what is known of one bundle of ours."""
        return next(iter(self._deliveries("WHERE bundle = ?", bundle)), None)

    def pending(self, alive: float = 0.0) -> list[DeliveryRow]:
        """Give every delivery that hasn't arrived and expires after `alive`."""
        return self._deliveries("WHERE state < 5 AND expires > ?", alive)

    def carriers(self, numbers: Iterable[int]) -> list[PutCarried]:
        """Give the neighbours that took bundles of these messages, earliest first."""
        sql = """SELECT bundle, key.id, carrier.at FROM delivery
                 JOIN carrier ON carrier.delivery = delivery.n
                 JOIN key ON key.n = carrier.peer WHERE message = ? ORDER BY carrier.at"""
        return [PutCarried(*row) for number in numbers for row in self._all(sql, number)]

    def was_seen(self, sender: bytes, message_id: bytes) -> bool:
        """Say whether this sender's message was stored once, ever."""
        row = self._one(
            """SELECT 1 FROM seen JOIN key ON key.n = seen.sender
               WHERE key.id = ? AND message = ?""",
            sender,
            message_id,
        )
        return row is not None

    def stored_bytes(self, contact: bytes) -> int:
        """Give what is kept of what this person wrote: text, and MESSAGE_COST for each message."""
        (size,) = self._one(
            """SELECT coalesce(sum(length(CAST(text AS BLOB)) + ?), 0)
               FROM message JOIN key ON key.n = message.contact
               WHERE key.id = ? AND box <> 2""",
            MESSAGE_COST,
            contact,
        )
        return int(size)

    def _messages(self, where: str, *values: object) -> list[MessageRow]:
        return [
            MessageRow._make((*row[:2], Box(row[2]), *row[3:13], row[13] == 1))
            for row in self._all(MESSAGES + where, *values)
        ]

    def _deliveries(self, where: str, *values: object) -> list[DeliveryRow]:
        return [
            DeliveryRow._make((*row[:8], DeliveryState(row[8]), row[9]))
            for row in self._all(DELIVERIES + where, *values)
        ]
