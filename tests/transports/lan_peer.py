"""A process that does nothing but discovery and echoes by udp; what it sees goes to stdout as JSON.

Times are CLOCK_MONOTONIC, which all processes of a machine share. Each line of stdin is a path
to send a datagram to; what arrives is printed.
"""

import asyncio
import json
import os
import sys
import time

from meshpeer.core.link.path import Datagram
from transports.lan import Lan
from transports.netlink import Interfaces
from transports.udp import Udp, path_to


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


async def main(number: int, options: dict[str, object]) -> None:
    udp = Udp(port=0)
    udp.start(
        lambda batch: [
            say("datagram", path=d.path.address, data=d.data.decode()) for d in batch
        ],
        lambda event: say("lost", path=event.path.address, reason=event.reason),
    )
    interfaces = Interfaces()
    lan = Lan(
        bytes([number]) * 32, udp.port, rng=os.urandom, interfaces=interfaces, **options
    )
    interfaces.follow(
        lambda usable: say("usable", hosts=sorted(each.host for each in usable))
    )
    lan.start(
        lambda found: say(
            "found",
            peer=found.peer_id[0] if found.peer_id else None,
            mark=found.mark.hex(),
            nonce=found.nonce.hex(),
            path=found.path.address,
        )
    )
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    say("started", port=udp.port)
    while line := await lines.readline():
        host, port = json.loads(line)
        udp.send([Datagram(path_to(host, port), f"hello from {number}".encode())])
    say(
        "ended",
        speaking=sorted([each.interface, each.host] for each in lan.addresses),
        counters=lan.counters,
    )
    await lan.close()
    await udp.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
