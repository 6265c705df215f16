"""Who pays for what is held: the neighbour that brought it, never a field that a sender chooses."""

from enum import StrEnum
from typing import Final, NamedTuple

CROWD: Final = 512
"""Accounts above which strangers share: each costs 2 kB, and keys cost a stranger nothing."""


class Kind(StrEnum):
    """What a neighbour, or a folder, is to us."""

    OWN = "own"
    CONTACT = "contact"
    STRANGER = "stranger"
    FOLDER = "folder"


class Account(NamedTuple):
    """One payer. A stranger's key is its address prefix, a slash, and its peer id."""

    kind: Kind
    key: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> "Account":
        """Read what str() gave; ValueError for another kind."""
        kind, _, key = text.partition(":")
        return cls(Kind(kind), key)

    @property
    def nest(self) -> tuple[str, str, str]:
        """From wide to narrow, the groups among which room is shared fairly."""
        if self.kind is Kind.STRANGER:
            return "strangers", self.key.rpartition("/")[0], self.key
        return str(self), "", ""

    def beside(self, others: int) -> "Account":
        """The account for a newcomer beside so many others: of a crowd of strangers one for each
        network, and above twice as many one for all."""
        if self.kind is not Kind.STRANGER or others < CROWD:
            return self
        network = self.nest[1] if others < 2 * CROWD else ""
        return Account(self.kind, f"{network}/")


OWN: Final = Account(Kind.OWN, "")
