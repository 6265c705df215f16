"""The congestion control by itself, told of acknowledgements."""

from meshpeer.core.link.congestion import INITIAL_WINDOW, Acked, Bbr

DATAGRAM = 1_452


def test_a_quiet_start_does_not_slow_what_follows():
    bbr = Bbr(DATAGRAM)
    hello = Acked(
        now=0.01,
        size=80,
        in_flight=0,
        rtt=0.01,
        rate=8_000.0,
        app_limited=True,
        new_round=True,
    )
    bbr.acked(hello)
    assert bbr.rate >= INITIAL_WINDOW * DATAGRAM / 0.01
