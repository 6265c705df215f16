"""A port whose plug has a bad contact comes and goes, again and again."""

import asyncio

from tests.transports.modem import Channel
from transports.adhoc.adhoc import Adhoc

FLAPS = 1_000


def alive():
    """What the loop will still do."""
    return [
        timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()
    ]


def test_a_port_that_flaps_leaves_one_timer_and_none_after_the_end():
    """A medium opened by a forgotten timer would hold the port of a peer that has ended."""

    async def story():
        air = Channel(1, rate=1e6)
        adhoc = Adhoc(serial=[{"port": air.ports[0], "baud": 115_200}])
        events = []
        adhoc.start(lambda batch: None, events.append)
        (attached,) = adhoc._attached.values()
        before = len(alive())
        for _ in range(FLAPS):
            attached.medium._fail(OSError(5, "unplugged"))
            adhoc._ports_changed()
        assert attached.medium is not None
        assert len(alive()) - before <= 1
        await adhoc.close()
        assert not alive()
        air.close()

    asyncio.run(story())
