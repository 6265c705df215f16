"""The serial medium over ptys, with modems on a half-duplex channel between them."""

import asyncio
import os
from collections.abc import Callable

import pytest

from meshpeer.errors import ConfigError, TransportError
from tests.transports.modem import Channel
from transports.adhoc.kiss import encode
from transports.adhoc.serial import EVERYBODY, HEAD_SIZE, MTU, REDRAWN_AT_ONCE, Serial

PATIENCE = 20.0
FAST = 1_000_000


class Host:
    """One medium, and all that it called back."""

    def __init__(self, port: str, **options) -> None:
        self.medium = Serial(port, **options)
        self.heard: list = []
        self.failures: list[str] = []
        self.writable = 0
        self.changed = asyncio.Event()

    def start(self) -> "Host":
        self.medium.start(self.deliver, self.fail, self.on_writable)
        return self

    def deliver(self, heard) -> None:
        assert heard
        self.heard += heard
        self.changed.set()

    def fail(self, reason: str) -> None:
        self.failures.append(reason)
        self.changed.set()

    def on_writable(self) -> None:
        self.writable += 1
        self.changed.set()

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def send_all(self, frames) -> None:
        sent = 0
        while sent < len(frames):
            turn = self.writable
            sent += self.medium.send(frames[sent:])
            if sent < len(frames):
                await self.until(lambda turn=turn: self.writable > turn)


def story(told, count=2, line_rate=FAST, rngs=None, **options):
    """Run `told(channel, *hosts)` over a channel, with every host started."""

    async def run() -> None:
        air = Channel(count, rate=line_rate)
        hosts = [
            Host(port, baud=115_200, rng=rngs() if rngs else os.urandom, **options)
            for port in air.ports
        ]
        try:
            for host in hosts:
                host.start()
            await told(air, *hosts)
        finally:
            for host in hosts:
                host.medium.close()
            air.close()

    asyncio.run(run())


def scripted(*stations):
    """Randomness that draws these stations, and then any."""
    drawn = list(stations)
    return lambda size: drawn.pop(0) if drawn else os.urandom(size)


def test_a_frame_to_one_station_and_one_to_everybody():
    async def told(air, ann, bob, carla):
        await ann.send_all(
            [(bob.medium.station, b"\xc0\xdb for bob"), (EVERYBODY, b"for all")]
        )
        await bob.until(lambda: len(bob.heard) == 2)
        await carla.until(lambda: carla.heard)
        assert [frame for _, frame in bob.heard] == [b"\xc0\xdb for bob", b"for all"]
        assert {station for station, _ in bob.heard} == {ann.medium.station}
        assert [frame for _, frame in carla.heard] == [b"for all"]
        assert carla.medium.counters["dropped: foreign"] == 1
        assert not ann.heard

    story(told, count=3)


def test_many_frames_of_all_sizes_arrive_in_order():
    frames = [bytes((size % 256,)) * size for size in range(1, MTU + 1, 7)]

    async def told(air, ann, bob):
        await ann.send_all([(bob.medium.station, frame) for frame in frames])
        await bob.until(lambda: len(bob.heard) == len(frames))
        assert [frame for _, frame in bob.heard] == frames

    story(told)


def test_a_slow_modem_behind_a_fast_line_holds_no_more_than_a_frame():
    frames = [os.urandom(100) for _ in range(8)]

    async def told(air, ann, bob):
        await ann.send_all([(bob.medium.station, frame) for frame in frames])
        await bob.until(lambda: len(bob.heard) == len(frames))
        assert [frame for _, frame in bob.heard] == frames
        assert air.modems[0].most_held < 2 * len(encode(frames[0] + bytes(HEAD_SIZE)))

    story(told, line_rate=6_000, rate=4_800)


def test_while_another_is_on_the_air_a_frame_of_ours_waits():
    """Both send as fast as they may: neither modem gathers frames that it can't get rid of."""
    frames = [bytes(100) for _ in range(8)]

    async def told(air, ann, bob):
        await asyncio.gather(
            ann.send_all([(bob.medium.station, frame) for frame in frames]),
            bob.send_all([(ann.medium.station, frame) for frame in frames]),
        )
        await bob.until(lambda: len(bob.heard) == len(frames))
        await ann.until(lambda: len(ann.heard) == len(frames))
        for modem in air.modems:
            assert modem.most_held <= 3 * len(encode(bytes(100 + HEAD_SIZE)))

    story(told, line_rate=12_000, rate=9_600)


def test_two_that_drew_the_same_station():
    """Who hears itself from somebody else draws anew; what comes next it hears."""
    same = b"\x12\x34"

    async def told(air, ann, bob):
        assert ann.medium.station == bob.medium.station == same
        await ann.send_all([(EVERYBODY, b"here I am"), (EVERYBODY, b"again")])
        await bob.until(lambda: bob.heard)
        assert bob.heard == [(same, b"again")]
        assert bob.medium.counters["stations drawn anew"] == 1
        assert bob.medium.station != same
        await bob.send_all([(same, b"and so am I")])
        await ann.until(lambda: ann.heard)
        assert ann.heard == [(bob.medium.station, b"and so am I")]
        assert ann.medium.station == same

    story(told, rngs=lambda: scripted(same, same))


def test_who_forges_our_station_makes_us_move_a_few_times_and_no_answer_is_lost():
    async def told(air, ann, bob):
        first = ann.medium.station
        forged = encode(bob.medium.station + first + b"forged")
        answer = encode(first + bob.medium.station + b"in answer to the first")
        air.modems[0].give(forged + answer)
        await ann.until(lambda: ann.heard)
        assert ann.heard == [(bob.medium.station, b"in answer to the first")]
        assert ann.medium.station != first
        for number in range(50):
            forged = bob.medium.station + ann.medium.station + bytes((number,))
            air.modems[0].give(encode(forged) + encode(EVERYBODY + forged[:2] + b"on"))
            await ann.until(lambda number=number: len(ann.heard) == number + 2)
        assert ann.medium.counters["stations drawn anew"] == REDRAWN_AT_ONCE
        assert ann.medium.counters["dropped: forged"] == 51 - REDRAWN_AT_ONCE

    story(told)


def test_what_another_radio_of_the_modem_hears_does_not_take_our_air():
    """A busy one there would keep us silent for ever."""

    async def told(air, ann, bob):
        elsewhere = encode(bytes(400), port=1)
        ann.medium._free_at = ann.medium._loop.time() + 0.05
        before = ann.medium._free_at
        for _ in range(5):
            air.modems[0].give(elsewhere)
        air.modems[0].give(encode(EVERYBODY + bob.medium.station + b"!"))
        await ann.until(lambda: ann.heard)
        assert ann.medium._free_at - before <= 0.1

    story(told, rate=1_200)


def test_a_modem_that_repeats_to_us_what_it_sends():
    async def told(air, ann, bob):
        station = ann.medium.station
        await ann.send_all([(bob.medium.station, b"heard by all")])
        await bob.until(lambda: bob.heard)
        echo, answer = air.frames[0], encode(station + bob.medium.station + b"answer")
        air.modems[0].give(echo + answer)
        await ann.until(lambda: ann.heard)
        assert ann.heard == [(bob.medium.station, b"answer")]
        assert ann.medium.counters["echoes"] == 1
        assert ann.medium.station == station

    story(told)


def test_noise_and_frames_that_are_none_are_counted():
    async def told(air, ann, bob):
        station = ann.medium.station
        other = bytes(2)
        lines = (
            encode(b"abc"),
            encode(station + other + b"x", port=3),
            encode(station + other + b"x", command=6),
            encode(station + EVERYBODY + b"x"),
            encode(station + other + bytes(MTU + 1)),
            b"\xc0\x00\xdbx\xc0",
            encode(station + other + b"good"),
        )
        air.modems[0].give(b"noise" + b"".join(lines))
        await ann.until(lambda: ann.heard)
        assert ann.heard == [(other, b"good")]
        counters = ann.medium.counters
        assert counters["dropped: length"] == 2
        assert counters["dropped: kiss"] == 1
        assert counters["dropped: foreign"] == 3

    story(told)


def test_the_modem_is_told_what_the_settings_say():
    async def told(air, ann, bob):
        await ann.send_all([(bob.medium.station, b"x")])
        await bob.until(lambda: bob.heard)
        wanted = [
            encode(bytes((value,)), port=1, command=command)
            for command, value in ((1, 20), (2, 64), (3, 10))
        ]
        setup = [frame for frame in air.frames if frame[1] != 0x10]
        assert sorted(setup) == sorted([*wanted, *wanted])

    story(told, kiss_port=1, txdelay_ms=200, persistence=64, slottime_ms=100)


def test_a_port_that_is_unplugged_and_opened_again():
    async def run():
        air, again = Channel(2, rate=FAST), Channel(2, rate=FAST)
        ann = Host(air.ports[0], baud=115_200).start()
        air.close()
        await ann.until(lambda: ann.failures)
        assert len(ann.failures) == 1
        assert air.ports is not None
        assert ann.medium.send([(EVERYBODY, b"into the void")]) == 1
        ann.medium.close()
        ann.medium.name = again.modems[0].port
        bob = Host(again.modems[1].port, baud=115_200).start()
        ann.start()
        await ann.send_all([(EVERYBODY, b"back")])
        await bob.until(lambda: bob.heard)
        ann.medium.close()
        bob.medium.close()
        again.close()

    asyncio.run(run())


def test_a_frame_that_cannot_go_harms_no_other():
    async def told(air, ann, bob):
        to = bob.medium.station
        await ann.send_all([(to, bytes(MTU + 1)), (b"x", b"x"), (to, b"good")])
        await bob.until(lambda: bob.heard)
        assert bob.heard[0].frame == b"good"
        assert ann.medium.counters["unsent EMSGSIZE"] == 2

    story(told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": "ttyUSB0"},
        {"port": 7},
        {"baud": 0},
        {"baud": "9600"},
        {"rate": 1},
        {"rate": True},
        {"mtu": 100},
        {"mtu": 9_000},
        {"kiss_port": 16},
        {"txdelay_ms": -1},
        {"persistence": 256},
        {"slottime_ms": 10_000},
    ],
)
def test_settings_that_are_refused(wrong):
    with pytest.raises(ConfigError):
        Serial(**{"port": "/dev/ttyUSB0", **wrong})


def test_ports_that_cannot_be_opened_say_why(tmp_path):
    async def start(port, **options):
        with pytest.raises(TransportError) as caught:
            Host(str(port), **options).start()
        return str(caught.value)

    (tmp_path / "file").touch()
    assert "plugged in" in asyncio.run(start(tmp_path / "none"))
    assert "no serial port" in asyncio.run(start(tmp_path / "file"))
    assert "12345" in asyncio.run(start(tmp_path / "file", baud=12_345))


def test_what_it_says_of_itself():
    cable, radio = (
        Serial("/dev/ttyS0", baud=9_600),
        Serial("/dev/ttyS1", rate=1_200, mtu=250),
    )
    assert cable.traits.rate == 7_680  # of ten bits on the line eight are data
    assert radio.traits.rate == 1_200
    assert radio.traits.payload_limit == 250
    assert Serial("/dev/ttyS0", baud=1_200, rate=9_600).traits.rate == 960
