"""A peer gone bad: `python -m tests.system.liar ...` is `meshpeer ...`, but for what it serves.

One part in a hundred of each file that it gives is not what the manifest says. All else is real.
"""

from meshpeer.__main__ import main
from meshpeer.node.library.reading import Reading

EACH = 100
FIRST = 7
"""The number of the first part that it lies about."""

honest = Reading.chunk


def lying(reading: Reading, file: bytes, index: int) -> bytes | None:
    data = honest(reading, file, index)
    if data and index % EACH == FIRST:
        return bytes([data[0] ^ 1]) + data[1:]
    return data


if __name__ == "__main__":
    Reading.chunk = lying  # type: ignore[method-assign]
    main()
