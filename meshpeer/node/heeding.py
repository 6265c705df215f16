"""Whose labels count here: a choice apart from whom one follows, told to nobody.

If nothing is said of a person, the labels of persons here, of contacts and of whom they follow
count. `heed` makes somebody's count all the same, as long as labels of theirs are held (a contact
who follows them brings those, too); `unheed` makes a contact's count no more. Whom one chose comes
first where the persons are more than a search can weigh.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from meshpeer.core.chain_writes import PutHeed
from meshpeer.errors import UsageError
from store.search_opinions import HEEDED

if TYPE_CHECKING:
    from store.store import Store

CHOICES: Final = 1_000
"""Persons of whom something is said; a search weighs the labels of HEEDED at most."""


class Heeding:
    """Of whom it was said here whether their labels count."""

    def __init__(self, store: "Store") -> None:
        self._said = {row.person: row.heeded for row in store.heeds()}

    def said(self, person: bytes) -> bool | None:
        """Whether the labels of a person were said to count; None if nothing was said."""
        return self._said.get(person)

    @property
    def all(self) -> Iterator[tuple[bytes, bool]]:
        """Of whom something was said, and what."""
        return iter(self._said.items())

    def say(self, person: bytes, heeded: bool) -> PutHeed:
        """Let the labels of a person count, or not; UsageError where that are too many."""
        if person not in self._said and len(self._said) >= CHOICES:
            raise UsageError(f"of {CHOICES:,} people it was said whether to heed them")
        chosen = sum(self._said.values())
        if heeded and not self._said.get(person) and chosen >= HEEDED:
            raise UsageError(
                f"you heed {HEEDED} people by choice, and a search weighs the labels of no "
                "more; `meshpeer unheed` one first"
            )
        self._said[person] = heeded
        return PutHeed(person, heeded)

    def heeded(self, usual: Iterable[bytes]) -> list[bytes]:
        """Whose labels count, of at most so many: whom one chose, then the usual ones in order."""
        chosen = [person for person, heeded in self._said.items() if heeded]
        others = [person for person in usual if person not in self._said]
        return [*chosen, *others][:HEEDED]
