"""2,000 messages from one request to the API to the last receipt stored, two daemons on loopback.

Both commit with synchronous=FULL. The two are contacts already, and nothing is sealed beforehand.
Bytes are UDP payload both ways, counted by the sender's transport: everything is in.
"""

import random
import string

from benchmarks._daemons import Daemon, clock, daemons

MESSAGES = 2_000
CHARACTERS = 200
LETTERS = string.ascii_letters + string.digits + " .,"


def traffic(daemon: Daemon) -> int:
    """Bytes of UDP payload so far, both ways."""
    return daemon.counter("udp.bytes sent") + daemon.counter("udp.bytes received")


def main() -> dict[str, float]:
    pick = random.Random(1)
    texts = ["".join(pick.choices(LETTERS, k=CHARACTERS)) for _ in range(MESSAGES)]
    with daemons("alice", "bob") as (alice, bob):
        alice.connects_to(bob)
        alice.introduce(bob)
        bytes_before, after = traffic(alice), alice.status()["last_event"]
        begin = clock()
        alice.send("bob", texts)
        accepted = clock() - begin
        alice.wait_for("state", MESSAGES, after, state="arrived")
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
