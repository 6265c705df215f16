"""Who pays for what is held: the neighbour that brought it, never a field that a sender chooses."""

from enum import StrEnum
from typing import Final, NamedTuple


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


OWN: Final = Account(Kind.OWN, "")
