"""Seals packets: the counter that never repeats, and the moment to take a new key."""

from typing import Final

from meshpeer.core.link.keys import Keys
from meshpeer.core.link.packet import DATA, DATA_HEADER

LOW: Final = 0xFFFFFFFF
"""What of a counter travels."""


class Sealer:
    """The sending half of a link's keys. `_send_bulk` in sender.py does `seal` for many."""

    __slots__ = ("_renewed_at", "_renewed_counter", "keys", "next_counter", "remote_id")

    def __init__(self, keys: Keys, remote_id: bytes, *, now: float) -> None:
        self.keys = keys
        self.remote_id = remote_id
        """The connection id by which the other side knows the link."""
        self.next_counter = 0
        self._renewed_at, self._renewed_counter = now, 0

    def seal(self, plain: bytes, flags: int = 0) -> bytes:
        """Give the data packet with these frames."""
        counter = self.next_counter
        self.next_counter += 1
        kind = DATA | self.keys.send_phase | flags
        header = DATA_HEADER.pack(kind, self.remote_id, counter & LOW)
        return header + self.keys.send.encrypt(counter.to_bytes(12), plain, header)

    def renew(self, packets: int, seconds: float, now: float) -> bool:
        """Take the next key if this one sealed so many packets or is so old, and the other side
        has followed the last move; True if so."""
        if (
            self.next_counter - self._renewed_counter < packets
            and now - self._renewed_at < seconds
        ) or self.keys.send_phase != self.keys.receive_phase:
            return False
        self.keys.renew()
        self._renewed_at, self._renewed_counter = now, self.next_counter
        return True
