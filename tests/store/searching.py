"""Items to search for."""

from typing import Any

from meshpeer.core.chain_writes import Item, PutBlock
from meshpeer.core.chains.question import Question
from store.search import Found
from store.store import Store

ANNA, BOB, CARLA, DAN = (bytes([n]) * 32 for n in range(1, 5))


def block(number: int, person: bytes = ANNA, **said: Any) -> PutBlock:
    """A block that says something; its id and lamport number are `number`."""
    parts = {"kind": "post", "name": "", "text": ""} | said
    return PutBlock(
        id=number.to_bytes(32, "big"),
        person=person,
        device=person,
        log=person[:16],
        sequence=number,
        lamport=number,
        header=b"header",
        body=b"body",
        received=float(number),
        received_wall=number,
        item=Item(**parts),
    )


def names(found: Found) -> list[str]:
    """What was found, by name."""
    return [hit.record.item.name for hit in found.hits if hit.record.item]


def look(store: Store, words: str = "", **filters: Any) -> list[str]:
    """The names of what is found for these words."""
    return names(store.search(Question(words, **filters)))
