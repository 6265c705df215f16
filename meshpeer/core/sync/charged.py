"""A bounded memory whose every item is charged to an account.

When it is full the largest account's oldest goes, so who floods it forgets only what he brought.
All strangers are one account here; inside it the largest address prefix gives way, and inside
that the largest link: else a crowd with little each would leave everybody else as little.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import Generic, TypeVar

from meshpeer.core.sync.account import Account

V = TypeVar("V")


class Charged(Generic[V]):
    """A dictionary of at most `limit` items, each with the account that pays for it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: dict[bytes, tuple[V, Account]] = {}
        self._by_account: dict[Account, dict[bytes, None]] = {}
        self._inside: dict[Hashable, Counter[Hashable]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: bytes) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[tuple[bytes, V]]:
        return ((key, value) for key, (value, _) in self._items.items())

    def get(self, key: bytes) -> V | None:
        """The value, or None."""
        item = self._items.get(key)
        return item[0] if item else None

    def payer(self, key: bytes) -> Account | None:
        """Who pays for a key, if it is there."""
        item = self._items.get(key)
        return item[1] if item else None

    def put(self, key: bytes, value: V, account: Account) -> tuple[bytes, V] | None:
        """Set a value; gives what had to go for it, which may be the newcomer itself.

        A known key stays charged to whoever brought it first."""
        if account not in self._by_account:
            account = account.beside(len(self._by_account))
        known = self.payer(key)
        payer = known or account
        self._items[key] = value, payer
        self._by_account.setdefault(payer, {})[key] = None
        if known is None:
            self._count(payer, 1)
        if len(self._items) <= self._limit:
            return None
        oldest = next(iter(self._by_account[self._largest()]))
        forgotten = self._items[oldest][0]
        self.pop(oldest)
        return oldest, forgotten

    def pop(self, key: bytes) -> V | None:
        """Forget a key; gives what it had."""
        item = self._items.pop(key, None)
        if item is None:
            return None
        value, payer = item
        keys = self._by_account[payer]
        del keys[key]
        if not keys:
            del self._by_account[payer]
        self._count(payer, -1)
        return value

    def _count(self, account: Account, more: int) -> None:
        """Count it in each of its groups, from wide to narrow."""
        for group, part in pairwise(_road(account)):
            counts = self._inside.setdefault(group, Counter())
            counts[part] += more
            if not counts[part]:
                del counts[part]
            if not counts:
                del self._inside[group]

    def _largest(self) -> Account:
        found: Hashable = ()
        while not isinstance(found, Account):
            counts = self._inside[found]
            found = max(counts, key=counts.__getitem__)
        return found


def _road(account: Account) -> tuple[Hashable, ...]:
    """From all accounts down to this one."""
    return (), account.nest[:1], account.nest[:2], account
