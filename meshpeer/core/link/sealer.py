"""Seals packets: the counter that never repeats, and the moment to take a new key."""

from typing import Final

from meshpeer.core.link.keys import Keys
from meshpeer.core.link.packet import DATA, DATA_HEADER

LOW: Final = 0xFFFFFFFF
"""What of a counter travels."""


class Sealer:
    """The sending half of a link's keys. `_send_bulk` in sender.py does `seal` for many."""

    __slots__ = (
        "_phase",
        "_renewed_at",
        "_renewed_counter",
        "keys",
        "next_counter",
        "remote_id",
    )

    def __init__(self, keys: Keys, remote_id: bytes, *, now: float) -> None:
        self.keys = keys
        self.remote_id = remote_id
        """The connection id by which the other side knows the link."""
        self.next_counter = 0
        self._renewed_at, self._renewed_counter = now, 0
        self._phase = keys.send_phase

    def seal(self, plain: bytes, flags: int = 0) -> bytes:
        """Give the data packet with these frames."""
        counter = self.next_counter
        self.next_counter += 1
        kind = DATA | self.keys.send_phase | flags
        header = DATA_HEADER.pack(kind, self.remote_id, counter & LOW)
        return header + self.keys.send.encrypt(counter.to_bytes(12), plain, header)

    def renew(self, packets: int, seconds: float, acked: int, now: float) -> bool:
        """Take the next key if this one sealed so many packets or is so old; True if so.

        Not before a packet under this one was acknowledged (`acked` is the highest counter that
        was), as in RFC 9001 section 6.1: who moves twice in a flight can't be followed.
        """
        if self._phase != self.keys.send_phase:  # the other side moved, and we followed
            self._moved(now)
        if (
            (
                self.next_counter - self._renewed_counter < packets
                and now - self._renewed_at < seconds
            )
            or acked < self._renewed_counter
            or self.keys.send_phase != self.keys.receive_phase
        ):
            return False
        self.keys.renew()
        self._moved(now)
        return True

    def _moved(self, now: float) -> None:
        self._phase = self.keys.send_phase
        self._renewed_at, self._renewed_counter = now, self.next_counter
