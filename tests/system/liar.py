"""A peer gone bad: `python -m tests.system.liar ...` is `meshpeer ...`, but for what it serves.

One part in a hundred of those that it gives is not what the manifest says. All else is real.
"""

from itertools import count

from meshpeer.__main__ import main
from meshpeer.core.formats.manifest import Manifest
from meshpeer.node.library.reading import Reading

EACH = 100
FIRST = 7

honest = Reading.chunk
given = count()


def lying(
    reading: Reading, file: bytes, index: int, manifest: Manifest | None = None
) -> bytes | None:
    data = honest(reading, file, index, manifest)
    if data and next(given) % EACH == FIRST:
        return bytes([data[0] ^ 1]) + data[1:]
    return data


if __name__ == "__main__":
    Reading.chunk = lying  # type: ignore[method-assign]
    main()
