"""Who is behind a mark: found once for each nonce, and never at any price."""

from meshpeer.core.formats.beacon import mark
from meshpeer.node.marks import HASHES_BURST, HASHES_RATE, KEPT, RECENT, Marks

NONCE = b"nonce..."


def peer(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Known:
    """Marks of so many peers, and how often they were all looked through."""

    def __init__(self, count: int) -> None:
        self.peers = [peer(number) for number in range(count)]
        self.changes = 0
        self.reads = 0
        self.marks = Marks(self._read, lambda: self.changes, now=0.0)

    def _read(self):
        self.reads += 1
        return self.peers

    def behind(self, number: int, nonce: bytes = NONCE, now: float = 0.0) -> bytes | None:
        return self.marks.peer_behind(nonce, mark(nonce, peer(number)), now)


def test_a_peer_that_is_known_is_recognised_and_another_is_not():
    known = Known(10)
    assert known.behind(7) == peer(7)
    assert known.behind(11) is None
    assert known.marks.peer_behind(b"another.", mark(NONCE, peer(7)), 0.0) is None


def test_a_mark_is_looked_at_once_though_it_comes_again_and_again():
    known = Known(int(HASHES_BURST))
    for _ in range(1_000):
        assert known.behind(7) == peer(7)
    assert known.behind(8, b"another.") is None, "the budget is used up"
    assert known.behind(8, b"another.", now=HASHES_BURST / HASHES_RATE + 1) == peer(8)


def test_more_peers_than_the_budget_are_looked_through_all_the_same():
    known = Known(int(2 * HASHES_BURST))
    assert known.behind(7) == peer(7)


def test_whoever_becomes_known_later_is_recognised_by_the_same_beacon():
    known = Known(3)
    assert known.behind(5) is None
    known.peers.append(peer(5))
    known.changes += 1
    assert known.behind(5) == peer(5)
    known.peers.remove(peer(5))
    known.changes += 1
    assert known.behind(5) is None


def test_a_flood_of_fresh_nonces_costs_so_many_hashes_and_takes_no_room():
    known = Known(100)
    looked = 0
    for number in range(10_000):
        nonce = number.to_bytes(8, "big")
        looked += known.behind(number % 100, nonce, now=number / 10_000) is not None
    assert looked <= (HASHES_BURST + HASHES_RATE) / 100
    assert len(known.marks._found) <= KEPT
    assert len(known.marks._recent) <= RECENT
    assert known.behind(3, b"honest..", now=1.1) == peer(3), "and soon it looks again"
    assert known.reads == 1
