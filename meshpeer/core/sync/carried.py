"""Which neighbours are known to have which held bundles.

A bundle's neighbours are the bits of one number, for a busy relay remembers some for each of
100,000 bundles. A neighbour's bit is given to another once no bundle has it.
"""


class Carried:
    """Pairs of a bundle and a peer that needs no copy from us."""

    def __init__(self) -> None:
        self._peers: dict[bytes, int] = {}
        self._bits: dict[int, bytes] = {}
        self._uses: dict[int, int] = {}
        self._masks: dict[bytes, int] = {}

    def add(self, bundle: bytes, peer: bytes) -> bool:
        """Remember that the peer has it; False if that was known."""
        bit = self._bit(peer)
        mask = self._masks.get(bundle, 0)
        if mask >> bit & 1:
            return False
        self._masks[bundle] = mask | 1 << bit
        self._uses[bit] = self._uses.get(bit, 0) + 1
        return True

    def has(self, bundle: bytes, peer: bytes) -> bool:
        """The peer is known to have it."""
        bit = self._peers.get(peer)
        return bit is not None and bool(self._masks.get(bundle, 0) >> bit & 1)

    def count(self, bundle: bytes) -> int:
        """How many peers are known to have it."""
        return self._masks.get(bundle, 0).bit_count()

    def remove(self, bundle: bytes, peer: bytes) -> None:
        """The peer says that it hasn't got it."""
        if self.has(bundle, peer):
            bit = self._peers[peer]
            self._masks[bundle] ^= 1 << bit
            self._unused(bit)

    def forget(self, bundle: bytes) -> None:
        """The bundle is no longer held."""
        mask = self._masks.pop(bundle, 0)
        while mask:
            bit = mask.bit_length() - 1
            mask ^= 1 << bit
            self._unused(bit)

    def _unused(self, bit: int) -> None:
        self._uses[bit] -= 1
        if not self._uses[bit]:
            del self._uses[bit]
            del self._peers[self._bits.pop(bit)]

    def _bit(self, peer: bytes) -> int:
        bit = self._peers.get(peer)
        if bit is None:
            bit = next(n for n in range(len(self._bits) + 1) if n not in self._bits)
            self._peers[peer] = bit
            self._bits[bit] = peer
        return bit
