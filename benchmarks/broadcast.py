"""1 MiB to 8 neighbours that each lose 20 % of all frames: bytes on the air, to one lossless copy.

Nine real peers in virtual time on one simulated frequency of 6 Mbit/s, so the figures are the same
on every machine, but for the code's. The sender is linked to all others; it makes four bundles of
256 KiB, for nobody there. Each frame is lost for each receiver by itself, and no radio repeats
one. Counted are all bytes of all frames in both directions, from the first offer until the sender
knows of the last neighbour that it holds the last bundle, and two seconds on: offers, answers,
announcements, symbols, the acknowledgements of links and what they repeat, each frame with the 17
bytes that a cell adds (14 of Ethernet, 2 of length, 1 of ours). The copy to which that is compared
goes to one neighbour over its link, without loss, counted in the same way.

`air_bytes_ratio` is the worst of the seeds, `at_30_ratio` the same at 30 %. In `wifi_bytes_ratio`
each frame has the 36 bytes of 802.11 (header, LLC, checksum) in place of Ethernet's 14.
`each_bytes_ratio` and `each_seconds` are what it costs when each neighbour gets its own copy by
its link. `repair_us`, `take_us` and `end_us` are the code's: to make a repair symbol, to take one
in, and to end a bundle of which a fifth was lost.
"""

from collections.abc import Callable
from random import Random
from statistics import median
from time import perf_counter
from typing import NamedTuple

from meshpeer.core.broadcast.code import Decoder, Encoder
from tests.core.broadcast.air import Place, bundle

BUNDLES = 4
NEIGHBOURS = 8
LOSSES = (0.2, 0.3)
SEEDS = (1, 2, 3)
WIFI_HEAD = 24 + 8 + 4 - 14
SYMBOL = 1_425


class Cost(NamedTuple):
    """What it took to bring the bundles to all neighbours."""

    bytes: int
    frames: int
    seconds: float

    @property
    def wifi_bytes(self) -> int:
        """With the headers of 802.11."""
        return self.bytes + WIFI_HEAD * self.frames


def cost(neighbours: int, loss: float, seed: int, *, broadcast: bool = True) -> Cost:
    """Bring the bundles there."""
    place = Place(neighbours, seed, loss=loss, broadcast=broadcast)
    bundles = [bundle(number) for number in range(BUNDLES)]
    before, frames, begin = place.air.bytes, place.air.frames, place.loop.now
    place.submit(*bundles)
    place.run_until(lambda: place.durable(bundles), 600)
    seconds = place.loop.now - begin
    place.run(2)
    return Cost(place.air.bytes - before, place.air.frames - frames, seconds)


def microseconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    begin = perf_counter()
    action()
    return (perf_counter() - begin) * 1e6


def code_costs() -> dict[str, float]:
    """What the code takes for one bundle, in microseconds."""
    data = Random(1).randbytes(256 * 1024)
    encoder, decoder = Encoder(data, SYMBOL, b"seed"), Decoder(len(data), SYMBOL, b"seed")
    repair, take = [], []
    for number in range(2 * encoder.count):
        made: list[bytes] = []
        spent = microseconds(lambda: made.append(encoder.symbol(number)))  # noqa: B023
        if number >= encoder.count:
            repair.append(spent)
        if number % 5 and decoder.missing:
            spent = microseconds(lambda: decoder.add(number, made[0]))  # noqa: B023
            if number >= encoder.count:
                take.append(spent)
    return {
        "repair_us": round(median(repair), 1),
        "take_us": round(median(take), 1),
        "end_us": round(microseconds(decoder.data), 1),
    }


def main() -> dict[str, float]:
    """Give the worst ratios of all seeds."""
    one = cost(1, 0.0, 1)
    worst: dict[float, list[float]] = {}
    print(f"{'loss':>10} {'seed':>6} {'ratio':>7} {'wifi':>7} {'seconds':>8}")
    for loss in LOSSES:
        worst[loss] = [0.0, 0.0, 0.0]
        for seed in SEEDS:
            found = cost(NEIGHBOURS, loss, seed)
            row = [
                found.bytes / one.bytes,
                found.wifi_bytes / one.wifi_bytes,
                found.seconds,
            ]
            print(
                f"{loss:>10.0%} {seed:>6} {row[0]:>7.3f} {row[1]:>7.3f} {row[2]:>8.2f}",
                flush=True,
            )
            worst[loss] = [max(pair) for pair in zip(worst[loss], row, strict=True)]
    each = cost(NEIGHBOURS, 0.2, SEEDS[0], broadcast=False)
    return {
        "air_bytes_ratio": round(worst[0.2][0], 3),
        "wifi_bytes_ratio": round(worst[0.2][1], 3),
        "at_30_ratio": round(worst[0.3][0], 3),
        "seconds": round(worst[0.2][2], 2),
        "each_bytes_ratio": round(each.bytes / one.bytes, 3),
        "each_seconds": round(each.seconds, 2),
        **code_costs(),
    }
