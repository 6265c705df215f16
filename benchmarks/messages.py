"""2,000 messages from one request to the API to the last receipt stored, two daemons on loopback.

Both commit with synchronous=FULL. The two are contacts already, and nothing is sealed beforehand.
Bytes are UDP payload both ways, counted by the sender's transport: everything is in.
"""

import random
import string

from benchmarks._daemons import clock, daemons
from tests.system.daemon import Daemon

MESSAGES = 2_000
CHARACTERS = 200
LETTERS = string.ascii_letters + string.digits + " .,"


def traffic(daemon: Daemon) -> int:
    """Bytes of UDP payload so far, both ways."""
    counters = daemon.status()["counters"]
    return int(counters["udp.bytes sent"] + counters["udp.bytes received"])


def introduce(one: Daemon, other: Daemon) -> None:
    """Exchange cards and one message with receipt each way, over a link that is up."""
    for here, there in ((one, other), (other, one)):
        here.knows(there)
    for here, there in ((one, other), (other, one)):
        (message,) = here.send(there, "hello")
        here.hear("state", id=message, state="arrived")


def main() -> dict[str, float]:
    pick = random.Random(1)
    texts = ["".join(pick.choices(LETTERS, k=CHARACTERS)) for _ in range(MESSAGES)]
    with daemons("alice", "bob") as (alice, bob):
        alice.connects_to(bob)
        introduce(alice, bob)
        bytes_before = traffic(alice)
        begin = clock()
        alice.send(bob, *texts)
        accepted = clock() - begin
        alice.hear_all("state", MESSAGES, state="arrived")
        seconds = clock() - begin
        each = (traffic(alice) - bytes_before) / MESSAGES
    print(
        f"{MESSAGES} messages: accepted in {accepted:.2f} s, all proven in {seconds:.2f} s"
    )
    return {
        "durable_per_s": round(MESSAGES / seconds, 1),
        "wire_bytes_each": round(each, 1),
        "accepted_per_s": round(MESSAGES / accepted, 1),
    }
