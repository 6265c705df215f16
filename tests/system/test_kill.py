"""kill -9 at random moments: what was acknowledged arrives, and nothing is shown twice.

What `POST /messages` answered is acknowledged. What it was killed over may have been queued or
not; it must arrive at most once.
"""

import os
from contextlib import suppress
from random import Random
from threading import Thread, Timer

import pytest

from meshpeer.errors import NotRunningError

pytestmark = pytest.mark.system
KILLS = int(os.environ.get("MESHPEER_KILLS", "5"))
LONGEST_LIFE = 0.8
"""Seconds from when all is under way to the kill, at most."""
BATCHES, IN_A_BATCH = 8, 5


class Writer:
    """Somebody who keeps writing while peers die, and knows what was acknowledged."""

    def __init__(self, peer, to):
        self.peer, self.to = peer, to
        self.written = 0
        self.acknowledged: list[str] = []
        self.messages: list[str] = []

    def write(self):
        """Hand over some batches, until done or the peer is killed."""
        with suppress(NotRunningError, OSError, ValueError):
            for _ in range(BATCHES):
                texts = [f"{self.peer.name} {self.written + n}" for n in range(IN_A_BATCH)]
                self.written += IN_A_BATCH
                self.messages += self.peer.send(self.to, *texts)
                self.acknowledged += texts


@pytest.mark.parametrize("victim", ["ann", "bob", "carla"])
def test_a_peer_that_is_killed_again_and_again(gap, victim):
    random = Random(victim)
    writers = [Writer(gap.ann, gap.carla), Writer(gap.carla, gap.ann)]
    doomed = next(peer for peer in gap.peers if peer.name == victim)
    near, far = gap.ann, gap.carla
    for _ in range(KILLS):
        near, far = far, near
        gap.unplug(far)
        gap.plug(near)
        kill_while_they_write(doomed, writers, random.uniform(0, LONGEST_LIFE))
        doomed.begin()
        die_at(doomed, random.uniform(0, LONGEST_LIFE))
        doomed.start()
    gap.plug(far)
    for writer in writers:
        writer.peer.until(
            lambda w=writer: all_arrived(w), "arrival of what was acknowledged"
        )
    for writer in writers:
        shown = writer.to.texts()
        assert set(writer.acknowledged) <= set(shown)
        assert len(shown) == len(set(shown))
        told = [
            event.body["id"]
            for event in writer.to.history()
            if event.kind == "message" and event.body["box"] == "inbox"
        ]
        assert len(told) == len(set(told)) == len(shown)
    for peer in gap.peers:
        peer.stop()


def kill_while_they_write(doomed, writers, after):
    """Kill it while two threads write, each at its own pace."""
    writing = [Thread(target=writer.write) for writer in writers]
    for thread in writing:
        thread.start()
    die_at(doomed, after)
    for thread in writing:
        thread.join()


def die_at(doomed, after):
    """The moment is random, so a timer chooses it; nothing is waited for by it."""
    end = Timer(after, doomed.process.kill)
    end.start()
    end.join()
    doomed.kill()


def all_arrived(writer):
    """Whether its sender has seen everything arrive that was acknowledged to it."""
    states = {
        message["id"]: message["delivery"]["state"]
        for message in writer.peer.api.all("messages", box="outbox")
    }
    return all(states[message] == "arrived" for message in writer.messages)
