"""How the queue's room is shared among accounts, and who gives way when it ends.

Shares are elastic: anybody may use what nobody else needs. When a newcomer doesn't fit, the
largest account gives up its worst bundle, by the policy's order, until it fits; the newcomer is
counted to its account first, and if it would itself be the worst it is refused and nothing goes.
That is max-min fairness without fixed quotas. All strangers are one account here; inside it the
largest address prefix gives way, and inside that the largest link.

Rooms lie inside each other, and the same rule fills each:
    large       bundles above 4 KiB, so that small ones keep the rest
    strangers   a small pool
    folders     a share that their owner sets
    all         own people's bundles count here only, and go when nothing else is left

A room is full when its bytes are, or its number of bundles: each costs memory. What is short is
what the accounts are weighed by, or many tiny bundles would leave no place to whoever has larger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.entry import Entry
from meshpeer.core.sync.sorted_set import Item, SortedSet

SMALL: Final = 4_096
"""Bytes up to which a bundle is small: sent without an offer, kept in a reserved share."""


class Limits(NamedTuple):
    """Bytes of all wires held, and the parts of them that some bundles have to keep to."""

    capacity: int = 1 << 30
    bundles: int = 200_000
    """Bundles of any size, for each costs memory (measured: 400 bytes)."""
    large: float = 15 / 16
    strangers: float = 1 / 8
    folders: float = 1 / 8


class Ledger:
    """What one account has in the queue, each in the order of going."""

    def __init__(self, number: int, account: Account) -> None:
        self.number = number
        self.account = account
        self.nest = account.nest
        self.small = SortedSet()
        self.large = SortedSet()
        self.small_bytes = 0
        self.large_bytes = 0

    @property
    def empty(self) -> bool:
        """Nothing is charged to it."""
        return not (self.small or self.large)

    def charge(self, key: int, entry: Entry) -> None:
        """Put a bundle in."""
        if entry.size > SMALL:
            self.large.add(key, entry.id)
            self.large_bytes += entry.size
        else:
            self.small.add(key, entry.id)
            self.small_bytes += entry.size

    def discharge(self, key: int, entry: Entry) -> None:
        """Take a bundle out."""
        if entry.size > SMALL:
            self.large.discard(key, entry.id)
            self.large_bytes -= entry.size
        else:
            self.small.discard(key, entry.id)
            self.small_bytes -= entry.size


class _Room(NamedTuple):
    limit: int
    bundles: int
    kinds: frozenset[Kind]
    small_too: bool = True

    @classmethod
    def part(cls, limits: Limits, share: float, kind: Kind) -> "_Room":
        """The room of one kind: so much of the bytes, and of the bundles."""
        bundles = int(limits.bundles * share)
        return cls(int(limits.capacity * share), bundles, frozenset({kind}))

    def holds(self, kind: Kind, large: bool) -> bool:
        return kind in self.kinds and (large or self.small_too)

    def sum(self, held: Mapping[tuple[Kind, bool], int]) -> int:
        return sum(amount for place, amount in held.items() if self.holds(*place))


class Shares:
    """The ledgers of all accounts that have something in the queue."""

    def __init__(self, limits: Limits, keep_key: Callable[[Entry], int]) -> None:
        self.limits = limits
        self._keep_key = keep_key
        self._ledgers: dict[int, Ledger] = {}
        self._by_account: dict[Account, Ledger] = {}
        self._last = 0
        places = [(kind, large) for kind in Kind for large in (True, False)]
        self._bytes = dict.fromkeys(places, 0)
        self._bundles = dict.fromkeys(places, 0)

    @property
    def used(self) -> int:
        """Bytes of all wires held."""
        return sum(self._bytes.values())

    def account(self, payer: int) -> Account:
        """Whose ledger has this number."""
        return self._ledgers[payer].account

    def payer(self, account: Account) -> int:
        """The number of the account's ledger, which exists from now on."""
        if account not in self._by_account:
            account = account.beside(len(self._by_account))
        ledger = self._by_account.get(account)
        if ledger is None:
            self._last += 1
            ledger = self._ledgers[self._last] = Ledger(self._last, account)
            self._by_account[account] = ledger
        return ledger.number

    def release(self, payer: int) -> None:
        """Close the ledger if nothing is in it."""
        ledger = self._ledgers.get(payer)
        if ledger and ledger.empty:
            del self._ledgers[payer]
            del self._by_account[ledger.account]

    def add(self, entry: Entry) -> None:
        """Charge a bundle that `room_for` found room for, or that was held before a restart."""
        ledger = self._ledgers[entry.payer]
        ledger.charge(self._keep_key(entry), entry)
        self._bytes[ledger.account.kind, entry.size > SMALL] += entry.size
        self._bundles[ledger.account.kind, entry.size > SMALL] += 1

    def remove(self, entry: Entry) -> None:
        """The bundle is no longer held."""
        ledger = self._ledgers[entry.payer]
        ledger.discharge(self._keep_key(entry), entry)
        self._bytes[ledger.account.kind, entry.size > SMALL] -= entry.size
        self._bundles[ledger.account.kind, entry.size > SMALL] -= 1
        self.release(entry.payer)

    def replace(self, entry: Entry, changed: Entry) -> None:
        """The bundle's place in the order of going may have moved."""
        ledger = self._ledgers[entry.payer]
        ledger.discharge(self._keep_key(entry), entry)
        ledger.charge(self._keep_key(changed), changed)

    def room_for(self, newcomer: Entry, size: Callable[[bytes], int]) -> list[bytes] | None:
        """The ids that have to go for it, often none; None: it is refused."""
        large, going = (
            newcomer.size > SMALL,
            _Going(newcomer, self._keep_key(newcomer), size),
        )
        for room in self._rooms(self._ledgers[newcomer.payer].account.kind, large=large):
            freed = going.freed(room)
            used = newcomer.size + room.sum(self._bytes) - freed.bytes
            count = 1 + room.sum(self._bundles) - freed.bundles
            if used <= room.limit and count <= room.bundles:
                continue
            going.enter(room, self._ledgers.values())
            while used > room.limit or count > room.bundles:
                given = going.give_way(by_bytes=used > room.limit)
                if given is None:
                    return None
                used, count = used - given, count - 1
        return going.ids

    def _rooms(self, kind: Kind, *, large: bool) -> Iterator[_Room]:
        limits, everybody = self.limits, frozenset(Kind)
        if large and kind is not Kind.OWN:
            limit = int(limits.capacity * limits.large)
            yield _Room(limit, limits.bundles, everybody - {Kind.OWN}, small_too=False)
        if kind is Kind.STRANGER:
            yield _Room.part(limits, limits.strangers, kind)
        if kind is Kind.FOLDER:
            yield _Room.part(limits, limits.folders, kind)
        yield _Room(limits.capacity, limits.bundles, everybody)


_Place: TypeAlias = tuple[Ledger, bool]
"""A ledger, and whether its large or its small bundles are meant."""


class _Amount(NamedTuple):
    bytes: int = 0
    bundles: int = 0

    def plus(self, bytes: int, bundles: int) -> "_Amount":
        return _Amount(self.bytes + bytes, self.bundles + bundles)


class _Going:
    """Who goes for one newcomer; only planned, until all is known to fit."""

    def __init__(self, newcomer: Entry, key: int, size: Callable[[bytes], int]) -> None:
        self.ids: list[bytes] = []
        self._newcomer = newcomer
        self._key = key
        self._size = size
        self._freed: dict[_Place, _Amount] = {}
        self._orders: dict[_Place, Iterator[Item]] = {}
        self._heads: dict[_Place, Item | None] = {}

    def freed(self, room: _Room) -> _Amount:
        """How much those who go leave free in this room."""
        total = _Amount()
        for (ledger, large), freed in self._freed.items():
            if room.holds(ledger.account.kind, large):
                total = total.plus(*freed)
        return total

    def enter(self, room: _Room, ledgers: Iterable[Ledger]) -> None:
        """From now on bytes, or places for bundles, are missing in this room."""
        self._room = room
        self._weights = {ledger: self._weight(ledger) for ledger in ledgers}

    def give_way(self, *, by_bytes: bool) -> int | None:
        """Let the largest account's worst go; gives its bytes, None if it is the newcomer."""
        heads = [
            (head, large, ledger)
            for ledger in self._largest(by_bytes=by_bytes)
            for large in (False, True)
            if self._room.holds(ledger.account.kind, large)
            and (head := self._head(ledger, large))
        ]
        if not heads:
            return None
        worst, large, ledger = max(heads, key=lambda head: head[0])
        if self._newcomer.payer == ledger.number and worst.number < self._key:
            return None
        size, place = self._size(worst.id), (ledger, large)
        self._heads.pop(place)
        self._freed[place] = self._freed.get(place, _Amount()).plus(size, 1)
        self._weights[ledger] = self._weights[ledger].plus(-size, -1)
        self.ids.append(worst.id)
        return size

    def _largest(self, *, by_bytes: bool) -> list[Ledger]:
        """The one ledger that has to give way; own people's only if nobody else is left."""
        weigh = {
            ledger: amount.bytes if by_bytes else amount.bundles
            for ledger, amount in self._weights.items()
        }
        others = [ledger for ledger in weigh if ledger.account.kind is not Kind.OWN]
        inside = [ledger for ledger in others if weigh[ledger]] or list(weigh)
        for level in range(3):
            if len(inside) == 1:
                break
            weights: dict[str, int] = {}
            for ledger in inside:
                group = ledger.nest[level]
                weights[group] = weights.get(group, 0) + weigh[ledger]
            largest = max(weights, key=weights.__getitem__)
            inside = [ledger for ledger in inside if ledger.nest[level] == largest]
        return inside

    def _weight(self, ledger: Ledger) -> _Amount:
        """What it has in this room, the newcomer counted to it."""
        mine = ledger.number == self._newcomer.payer
        weight = _Amount(self._newcomer.size, 1) if mine else _Amount()
        for large, size, order in (
            (False, ledger.small_bytes, ledger.small),
            (True, ledger.large_bytes, ledger.large),
        ):
            if self._room.holds(ledger.account.kind, large):
                freed = self._freed.get((ledger, large), _Amount())
                weight = weight.plus(size - freed.bytes, len(order) - freed.bundles)
        return weight

    def _head(self, ledger: Ledger, large: bool) -> Item | None:
        place = ledger, large
        if place not in self._heads:
            worst_first = reversed(ledger.large if large else ledger.small)
            self._heads[place] = next(self._orders.setdefault(place, worst_first), None)
        return self._heads[place]
