"""Receipts and recalls that this peer keeps and passes on: one set of 16-byte values.

Which bundle a value speaks of shows only by hashing: H(H(v)) is the header hash of the bundle it
is the receipt of, H(v) of the one it is the recall of. Values of bundles never seen are kept too,
and found when the bundle comes. Whole hours travel with a value; the time that a message may be
under way is taken off and the rest rounded down, so that a value that neighbours pass to and fro
dies all the same. A known value takes the higher hours: could a neighbour lower them, each could
end any receipt by saying it back with one hour. A receipt makes its recall superfluous: the
recall goes, and isn't taken again.
"""

from typing import Final

from meshpeer.core.formats.receipt import MAX_HOURS, Meaning, ValueEntry, value_hashes
from meshpeer.core.identity.preimage import VALUE_SIZE
from meshpeer.core.journal import Journal
from meshpeer.core.sync.account import Account
from meshpeer.core.sync.charged import Charged
from meshpeer.core.sync.sorted_set import SortedSet
from meshpeer.core.writes import DropValue, PutValue

MAX_VALUES: Final = 65_536
AT_ONCE: Final = 4_096
"""Values that go in one turn: the links must not wait."""
HOUR: Final = 3_600.0
FLIGHT_S: Final = 120.0
"""Longer than a message may be under way: a link that is silent for 90 s is down."""


class Values:
    """The set; `order` is what is reconciled with neighbours."""

    def __init__(self, journal: Journal, limit: int = MAX_VALUES) -> None:
        self._journal = journal
        self._expires: Charged[float] = Charged(limit)
        self._receipts: dict[bytes, bytes] = {}
        self._recalls: dict[bytes, bytes] = {}
        self._deadlines = SortedSet(VALUE_SIZE)
        self.order = SortedSet(VALUE_SIZE)

    def __len__(self) -> int:
        return len(self._expires)

    def __contains__(self, value: bytes) -> bool:
        return value in self._expires

    def add(self, value: bytes, hours: int, account: Account, now: float) -> bool:
        """Keep a value; True if it is news here. Hours of a known one only rise."""
        expires = now + min(hours, MAX_HOURS) * HOUR
        known = self._expires.get(value)
        if known is not None:
            if expires >= known + HOUR:
                self._put(value, expires, account)
            return False
        if self.superfluous(value):
            return False
        once, _ = value_hashes(value)
        self.drop(once)
        self._put(value, expires, account)
        return value in self._expires

    def promise(self, value: bytes, hours: int, account: Account, now: float) -> None:
        """Journal a value of our own that nobody may see before the batch is durable."""
        self._journal.add(PutValue(value, now + min(hours, MAX_HOURS) * HOUR, str(account)))

    def restore(self, row: PutValue) -> None:
        """Take up a row from the disk."""
        self._index(row.value, row.expires, Account.parse(row.account))

    def superfluous(self, value: bytes) -> bool:
        """It is the recall to a receipt held."""
        return value in self._recalls

    def meaning(self, receipt_hash: bytes) -> Meaning | None:
        """What a value held here says of a bundle with this header hash."""
        if receipt_hash in self._receipts:
            return Meaning.RECEIPT
        return Meaning.RECALL if receipt_hash in self._recalls else None

    def of(self, receipt_hash: bytes) -> list[bytes]:
        """The values held here that speak of bundles with this header hash."""
        found = self._receipts.get(receipt_hash), self._recalls.get(receipt_hash)
        return [value for value in found if value is not None]

    def entry(self, value: bytes, now: float) -> ValueEntry | None:
        """The value as it travels, or None if it is gone."""
        expires = self._expires.get(value)
        hours = int((expires - now - FLIGHT_S) // HOUR) if expires is not None else 0
        return ValueEntry(value, hours) if hours >= 1 else None

    def expire(self, now: float) -> None:
        """Drop what has less than an hour left, so many at once: it could not travel."""
        for _ in range(AT_ONCE):
            if not self._deadlines or self._deadlines[0].number > now:
                break
            self.drop(self._deadlines[0].id)

    def next_expiry(self) -> float | None:
        """When `expire` has something to do."""
        return float(self._deadlines[0].number) if self._deadlines else None

    def drop(self, value: bytes) -> None:
        """Forget a value, if it is there."""
        expires = self._expires.pop(value)
        if expires is not None:
            self._gone(value, expires)

    def _put(self, value: bytes, expires: float, account: Account) -> None:
        crowded_out = self._index(value, expires, account)
        payer = self._expires.payer(value) or account
        self._journal.add(PutValue(value, expires, str(payer)))
        if crowded_out is not None:
            self._gone(*crowded_out)

    def _index(
        self, value: bytes, expires: float, account: Account
    ) -> tuple[bytes, float] | None:
        known = self._expires.get(value)
        if known is None:
            once, twice = value_hashes(value)
            self._recalls[once] = self._receipts[twice] = value
            self.order.add(0, value)
        else:
            self._deadlines.discard(_deadline(known), value)
        self._deadlines.add(_deadline(expires), value)
        return self._expires.put(value, expires, account)

    def _gone(self, value: bytes, expires: float) -> None:
        once, twice = value_hashes(value)
        self._recalls.pop(once, None)
        self._receipts.pop(twice, None)
        self.order.discard(0, value)
        self._deadlines.discard(_deadline(expires), value)
        self._journal.add(DropValue(value))


def _deadline(expires: float) -> int:
    """The second from which less than a whole hour is left to tell."""
    return max(0, int(expires - FLIGHT_S - HOUR))
