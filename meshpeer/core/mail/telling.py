"""The history that clients follow: what the mail adds to it, durable with what it tells of."""

import json

from meshpeer.core.journal import Journal
from meshpeer.core.writes import PutEvent


def tell(journal: Journal, kind: str, **body: str) -> None:
    """Journal one event; ids in `body` are hexadecimal."""
    journal.add(PutEvent(kind, json.dumps(body)))
