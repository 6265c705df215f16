"""How long a search takes over 200,000 records, with ranking and facets.

The records hold 10 to 60 words each, drawn as in real text (the n-th commonest word 1/n as often
as the commonest, 50,000 words); the same law draws the words of the queries. Of these, one to
three words each, 5 % hold the commonest word and 10 % a typing error. The database is built first,
in batches of 256 through the store; that is not part of the times, and `record_us` says what
a record cost there, its row and its indexes together. A page has 20 hits.
"""

import os
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from meshpeer.core.chain_writes import Item, PutBlock
from meshpeer.core.chains.question import Question
from store.store import Store

RECORDS = 200_000
VOCABULARY = 50_000
BATCH = 256
AUTHORS = 300
QUERIES = 600
WARMING = 30

KINDS = ("post", "post", "post", "file", "collection")
LANGUAGES = ("", "en", "de", "fr", "pt-BR")
MEDIA_TYPES = ("image/png", "image/jpeg", "video/mp4", "audio/ogg", "application/pdf")
LETTERS = "etaoinshrdlucmfwygpbvkxqjz"


def main() -> dict[str, float]:
    """Give times of a search, and what indexing costs."""
    random = Random(5)
    world = _World(random)
    with TemporaryDirectory(prefix="meshpeer-") as folder:
        path = Path(folder) / "search.db"
        figures = _fill(path, world)
        store = Store(path)
        for words in world.queries(WARMING):
            store.search(Question(words))
        kinds: dict[str, list[float]] = {}
        for words, kind in world.queries(QUERIES).items():
            start = perf_counter()
            found = store.search(Question(words))
            kinds.setdefault(kind, []).append(1_000 * (perf_counter() - start))
            assert found.facets.kinds or not found.total
        store.close()
    times = sorted(time for some in kinds.values() for time in some)
    print(f"{'queries':>24} {'number':>8} {'median ms':>10} {'worst ms':>9}")
    for kind, some in sorted(kinds.items()):
        print(f"{kind:>24} {len(some):>8} {median(some):>10.1f} {max(some):>9.1f}")
    return figures | {
        "p50_ms": round(median(times), 2),
        "p99_ms": round(times[int(0.99 * len(times))], 2),
        "worst_ms": round(times[-1], 2),
    }


class _World:
    """Words as common as in real text, and what is said and asked with them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            # commoner words are shorter, as everywhere
            size = 2 + int(random.triangular(0, 4, 0) + len(words).bit_length() / 2.5)
            words["".join(random.choices(LETTERS, range(26, 0, -1), k=size))] = None
        self._words = list(words)
        self._weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
        self._authors = [random.randbytes(32) for _ in range(AUTHORS)]

    def draw(self, many: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._weights, k=many)

    def record(self, number: int) -> PutBlock:
        """Give a block that says something."""
        random = self._random
        words = self.draw(random.randint(10, 60))
        kind = random.choice(KINDS)
        author = self._authors[min(int(random.expovariate(3 / AUTHORS)), AUTHORS - 1)]
        cut = random.randint(2, 6)
        item = Item(
            kind=kind,
            name=" ".join(words[:cut]),
            text=" ".join(words[cut:]),
            tags=tuple(dict.fromkeys(self.draw(random.randint(0, 3)))),
            language=random.choice(LANGUAGES),
            media_type=random.choice(MEDIA_TYPES) if kind == "file" else "",
            size=int(10 ** random.uniform(2, 9)) if kind != "post" else 0,
            file=random.randbytes(32) if kind != "post" else None,
            written=1_800_000_000 + number,
        )
        return PutBlock(
            id=random.randbytes(32),
            person=author,
            device=author,
            log=author[:16],
            sequence=number,
            lamport=number,
            header=bytes(262),
            body=" ".join(words).encode(),
            received=float(number),
            received_wall=1_800_000_000 + number,
            item=item,
        )

    def queries(self, many: int) -> dict[str, str]:
        """Give different queries, each with its kind."""
        found: dict[str, str] = {}
        while len(found) < many:
            words = self.draw(self._random.randint(1, 3))
            chance = self._random.random()
            kind = f"{len(words)} words"
            if chance < 0.05:
                words[0], kind = self._words[0], "with the commonest word"
            elif chance < 0.15:
                at = max(range(len(words)), key=lambda number: len(words[number]))
                if len(words[at]) < 5:
                    continue
                words[at], kind = self._mistype(words[at]), "with a typing error"
            found[" ".join(words)] = kind
        return found

    def _mistype(self, word: str) -> str:
        at = self._random.randrange(len(word) - 1)
        letter = self._random.choice(LETTERS)
        return self._random.choice(
            (
                word[:at] + word[at + 1 :],
                word[:at] + letter + word[at:],
                word[:at] + letter + word[at + 1 :],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            )
        )


def _fill(path: Path, world: _World) -> dict[str, float]:
    store = Store(path)
    with_index = 0.0
    for first in range(0, RECORDS, BATCH):
        batch = [world.record(n) for n in range(first, min(first + BATCH, RECORDS))]
        start = perf_counter()
        store.commit(batch)
        with_index += perf_counter() - start
    store.close()
    return {
        "record_us": round(1e6 * with_index / RECORDS, 1),
        "database_mb": round(os.path.getsize(path) / 1e6),
    }
