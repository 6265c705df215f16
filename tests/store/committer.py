"""A child that commits, and says on stdout what is acknowledged; killed by the tests.

    committer.py DATABASE COMMITS SYNCHRONOUS FIRST

Prints the highest number of every batch after its commit. Bundle n has the id n; messages and
receipts come and go beside them, so that every kind of page is rewritten.
"""

import os
import sys
from random import Random

from meshpeer.core.chain_writes import DropBody
from meshpeer.core.file_writes import DropFile, PutBlob, PutFile
from meshpeer.core.formats.bundle import HEADER_SIZE
from meshpeer.core.writes import DropValue, PutBundle, PutEvent, PutValue, Write
from store import database
from store.store import Store
from tests.store.author import Author

DATABASE, COMMITS, SYNCHRONOUS, FIRST = sys.argv[1:]
database.LOG_PAGES = 40  # so that a short run has many checkpoints
AUTHOR = Author(int(FIRST))


def batch(first: int, size: int, rng: Random) -> list[Write]:
    writes: list[Write] = []
    for number in range(first, first + size):
        id = number.to_bytes(32, "big")
        wire = bytes(HEADER_SIZE) + rng.randbytes(353)
        writes.append(PutBundle(id, wire, f"contact:{number % 7}", 1.0, 2.0, False))
        writes.append(PutValue(id[:16], 3.0, "folder:a"))
        writes.append(DropValue(rng.randbytes(16)))
        writes.append(PutFile(id, id[:16], 5_000, b"root", None))
        writes.append(PutBlob(id, rng.randbytes(50 + number % 3 * 3_000)))
        writes.append(AUTHOR.posts(f"post number{number}"))
        if number % 5 == 0:
            writes.append(DropFile((number - 3).to_bytes(32, "big")))
            writes.append(DropBody(AUTHOR.ids[-2]))
        writes.append(PutEvent("link", f'{{"number": {number}}}'))
    return writes


def main() -> None:
    store, rng, number = Store(DATABASE), Random(int(FIRST)), int(FIRST)
    store._db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    for _ in range(int(COMMITS)):
        size = rng.randint(1, 20)
        store.commit(batch(number, size, rng))
        number += size
        os.write(1, b"%d\n" % (number - 1))
    os._exit(0)  # as if the power went: nothing is closed


if __name__ == "__main__":
    main()
