"""The simulated network."""

from random import Random

import pytest

from meshpeer.core.link.path import Datagram
from meshpeer.sim.loop import Loop
from meshpeer.sim.medium import Conditions, Medium, path_to


class Ears:
    """Notes what each peer hears and when."""

    def __init__(self, conditions, seed=1):
        self.loop = Loop()
        self.heard = []
        self.medium = Medium(self.loop, Random(seed), conditions, self._hear)

    def _hear(self, peer, batch):
        for path, data in batch:
            self.heard.append((self.loop.now, peer, path.address, data))

    def say(self, source, target, *messages):
        self.medium.send(source, [Datagram(path_to(target), data) for data in messages])


def test_a_datagram_takes_its_time_on_the_channel_and_then_the_latency():
    ears = Ears(Conditions(rate=1_000, latency=0.5))
    ears.medium.open(1, 2)
    ears.say(1, 2, b"x" * 100)
    ears.loop.run()
    assert ears.heard == [(0.6, 2, 1, b"x" * 100)]


def test_both_directions_share_the_rate():
    ears = Ears(Conditions(rate=10_000, latency=0.0))
    ears.medium.open(1, 2)
    ears.say(1, 2, *[b"a" * 1_000] * 10)
    ears.say(2, 1, *[b"b" * 1_000] * 10)
    ears.loop.run(until=1.0)
    assert [peer for _, peer, _, _ in ears.heard].count(1) == 5
    assert [peer for _, peer, _, _ in ears.heard].count(2) == 5
    ears.loop.run()
    assert ears.loop.now == pytest.approx(2.0)
    assert ears.medium.traffic.bytes == 20_000


def test_who_is_not_in_contact_hears_nothing():
    ears = Ears(Conditions())
    ears.medium.open(1, 2)
    ears.say(1, 3, b"nobody there")
    ears.say(2, 1, b"cut off")
    ears.medium.close(1, 2)
    ears.loop.run()
    assert ears.heard == []
    assert ears.medium.traffic.lost == 1


def test_a_full_buffer_and_a_large_datagram_overflow():
    ears = Ears(Conditions(buffer=2_000, mtu=1_000))
    ears.medium.open(1, 2)
    ears.say(1, 2, b"x" * 1_001, b"a" * 1_000, b"b" * 1_000, b"c")
    ears.loop.run()
    assert [data[:1] for *_, data in ears.heard] == [b"a", b"b"]
    assert ears.medium.traffic.overflowed == 2


def test_loss_doubling_and_overtaking_happen_about_as_often_as_asked():
    ears = Ears(Conditions(rate=1e9, loss=0.2, duplicate=0.1, reorder=0.3, buffer=10**9))
    ears.medium.open(1, 2)
    ears.say(1, 2, *[number.to_bytes(2, "big") for number in range(10_000)])
    ears.loop.run()
    heard = [data for *_, data in ears.heard]
    assert 7_800 < len(set(heard)) < 8_200
    assert 650 < len(heard) - len(set(heard)) < 950
    assert heard != sorted(heard)


def test_the_same_seed_gives_the_same_network():
    def heard(seed):
        ears = Ears(Conditions(loss=0.3, duplicate=0.3, reorder=0.3), seed)
        ears.medium.open(1, 2)
        ears.say(1, 2, *[bytes([number]) for number in range(50)])
        ears.loop.run()
        return ears.heard

    assert heard(5) == heard(5)
    assert heard(5) != heard(6)
