from itertools import pairwise
from random import Random

from meshpeer.core.dialer import FOUND_TRIES, LONGEST_WAIT, MAX_FOUND, PATHS_EACH, Dialer
from meshpeer.core.link.path import Path

PEER, OTHER = b"p" * 32, b"o" * 32
ETH = Path("udp", ("192.0.2.1", 6374))
WIFI = Path("udp", ("192.0.2.2", 6374))


def dialer() -> Dialer:
    return Dialer(Random(1).randbytes)


def test_a_configured_peer_is_tried_at_once_then_ever_more_seldom_but_for_ever():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=True)
    times = []
    now = 0.0
    for _ in range(30):
        now = d.next_wakeup()
        assert list(d.due(now)) == [(PEER, ETH)]
        assert list(d.due(now)) == [], "once each time"
        times.append(now)
    waits = [b - a for a, b in pairwise(times)]
    assert waits[0] < 6
    assert waits[-1] > LONGEST_WAIT / 2
    assert max(waits) <= LONGEST_WAIT * 1.25


def test_a_found_peer_is_given_up_after_some_tries():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=False)
    tries = 0
    while (now := d.next_wakeup()) is not None:
        tries += len(list(d.due(now)))
    assert tries == FOUND_TRIES
    assert PEER not in d


def test_nothing_is_tried_while_the_link_is_up_and_at_once_when_it_goes_down():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=True)
    list(d.due(0.0))
    d.came_up(PEER)
    assert d.next_wakeup() is None
    d.went_down(PEER, 50.0)
    assert list(d.due(50.0)) == [(PEER, ETH)]


def test_all_paths_are_offered_and_a_new_interface_tries_them_again():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=True)
    d.learn(PEER, WIFI, 0.0, configured=False)
    assert list(d.due(0.0)) == [(PEER, ETH), (PEER, WIFI)]
    d.everything_changed(1.0)
    assert len(list(d.due(1.0))) == 2


def test_a_flood_of_false_beacons_drops_found_peers_only():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=True)
    for n in range(2 * MAX_FOUND):
        d.learn(n.to_bytes(32), ETH, 0.0, configured=False)
    assert PEER in d
    assert len(list(d.due(0.0))) <= MAX_FOUND


def test_false_beacons_do_not_drive_out_the_path_that_was_configured():
    d = dialer()
    d.learn(PEER, ETH, 0.0, configured=True)
    for port in range(1_000, 1_100):
        d.learn(PEER, Path("udp", ("192.0.2.66", port)), 1.0, configured=False)
    assert ETH in d.paths(PEER)
    assert len(d.paths(PEER)) == 1 + PATHS_EACH
