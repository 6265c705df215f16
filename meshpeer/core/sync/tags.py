"""The destination tags of the persons at a neighbour, shown so that nobody else can read them.

Hashes are salted by the link's handshake: nobody can compare them between links, and only who
knows a tag can look it up. They rank what is sent first and grant nothing.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2s
from typing import Final

from meshpeer.core.sync.messages import MAX_TAGS, TAG_HASH_SIZE, Hello

PAD_TO: Final = 4
"""Tag hashes are shown in multiples of this number."""


class NeighbourTags:
    """Contains a destination tag if the neighbour said that a person with it lives there."""

    def __init__(self, binding: bytes, hashes: Iterable[bytes] = ()) -> None:
        self._binding = binding
        self._hashes = frozenset(hashes)

    def __contains__(self, tag: object) -> bool:
        return isinstance(tag, bytes) and salted(tag, self._binding) in self._hashes


def salted(tag: bytes, binding: bytes) -> bytes:
    """The hash of a tag that is shown on the link with this handshake hash."""
    return blake2s(tag, key=binding, digest_size=TAG_HASH_SIZE).digest()


def hello(tags: Iterable[bytes], binding: bytes, rng: Callable[[int], bytes]) -> Hello:
    """Show tags on a link, with random ones beside them so that their number isn't told."""
    hashes = [salted(tag, binding) for tag in tags][:MAX_TAGS]
    missing = PAD_TO - len(hashes) % PAD_TO if len(hashes) % PAD_TO or not hashes else 0
    hashes += [rng(TAG_HASH_SIZE) for _ in range(missing)]
    return Hello(tuple(sorted(hashes)))
