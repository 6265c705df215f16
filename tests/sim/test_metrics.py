"""What a simulation counts."""

from meshpeer.core.writes import Box, PutBundle, PutMessage
from meshpeer.sim.contacts import Planned
from meshpeer.sim.metrics import Metrics

PLAN = Planned(created=100.0, src=1, dst=2, size=1_000, lifetime=50.0, name="m1")


def held(own):
    return PutBundle(bytes(32), bytes(1_000), "own:", 100.0, 100.0, own)


def shown(message_id, box=Box.INBOX):
    return PutMessage(message_id, box, b"p", b"c", "text", "text", 1, 0, 0.0, 0, 50, None)


def test_a_message_carried_by_one_peer_and_delivered():
    metrics = Metrics()
    metrics.written(b"m1", PLAN)
    metrics.durable([shown(b"m1", Box.OUTBOX), held(own=True)], now=100.0)
    metrics.durable([held(own=False)], now=110.0)
    metrics.durable([shown(b"m1")], now=130.0)
    figures = metrics.figures(carried=2_600)
    assert figures.delivery_ratio == 1.0
    assert figures.median_delay_s == 30.0
    assert figures.relays_per_delivered == 2.0
    assert figures.control_bytes == 600
    assert figures.shown_twice == 0


def test_late_is_not_delivered_and_twice_is_noticed():
    metrics = Metrics()
    metrics.written(b"m1", PLAN)
    metrics.durable([shown(b"m1")], now=150.5)
    assert metrics.figures(carried=0).delivered == 0
    metrics.durable([shown(b"m1")], now=160.0)
    assert metrics.figures(carried=0).shown_twice == 1


def test_nothing_written_and_nothing_delivered_are_figures_too():
    metrics = Metrics()
    assert metrics.figures(carried=0).as_dict()["median_delay_s"] is None
    metrics.written(None, PLAN)
    figures = metrics.figures(carried=0)
    assert (figures.messages, figures.delivery_ratio) == (1, 0.0)
    assert "median delay              none" in figures.as_text()
