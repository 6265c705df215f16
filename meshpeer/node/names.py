"""Petnames are ours, nicknames are theirs: how people are named and found.

A nickname is whatever its owner says, so two people may show the same one and a stranger may
show a friend's. Therefore a nickname is always written with `~` in front, a petname never can
be, and a bare word is looked up among petnames only.
"""

from collections.abc import Iterable

from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.facade import Contact, Who

PETNAME_LIMIT = 64
NICKNAME_MARK = "~"


def check_petname(name: str) -> str:
    """Give the name with spaces trimmed, or raise UsageError saying what a petname may be."""
    name = name.strip()
    if not 0 < len(name) <= PETNAME_LIMIT or not name.isprintable() or "/" in name:
        raise UsageError(
            f"a petname has 1 to {PETNAME_LIMIT} printable characters and no /, not {name!r}"
        )
    if name.startswith(NICKNAME_MARK):
        raise UsageError(f"a petname can't begin with ~, that marks nicknames: {name!r}")
    return name


def shown(who: Who | Contact) -> str:
    """Write a person the way every screen does: `bob`, or `~bob` if only it says so."""
    return who.petname if who.petname is not None else NICKNAME_MARK + who.nickname


def find(who: str, known: Iterable[Contact]) -> Contact:
    """Give the one that `who` names (petname, id text or ~nickname), or say why there is none."""
    if who.startswith(NICKNAME_MARK):
        found = [contact for contact in known if contact.nickname == who[1:]]
        if len(found) > 1:
            ids = ", ".join(contact.id for contact in found)
            raise UsageError(
                f"{len(found)} people call themselves {who}; name one by id: {ids}"
            )
    else:
        packed = _packed(who)
        found = [c for c in known if c.petname == who or _packed(c.id) == packed]
        found.sort(key=lambda contact: contact.petname != who)
    if not found:
        raise NotFoundError(
            f"nobody here goes by {who!r}; `meshpeer contacts` lists who does"
        )
    return found[0]


def _packed(id_text: str) -> str:
    return id_text.lower().replace(" ", "").replace("-", "")
