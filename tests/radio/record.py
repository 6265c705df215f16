"""Records what a kernel with hwsim radios tells of them, for `tests/transports/radio`.

Inside such a machine, as root, with two radios: `python -m tests.radio.record recorded.json.gz`. Both are in
one cell meanwhile, and one has a default route; what is written are the bodies of messages.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

from tests.radio.bring_up import Up, call
from transports.netlink_format import (
    IFINFO,
    RTM_GETLINK,
    RTM_GETROUTE,
    RTMSG,
    attribute,
    u32,
)
from transports.radio import nl80211
from transports.radio.kernel import Conversation, Family

SPLIT = attribute(nl80211.SPLIT_WIPHY_DUMP)
ROUTE = 0


def record():
    """Give each dump's bodies in hex."""
    cells = [Up("wlan0", "--cell"), Up("wlan1", "--cell")]
    for words in ("link set wlan0 up", "route add default dev wlan0 metric 7"):
        subprocess.run(["ip", *words.split()], check=True)
    call("status")
    index = next(
        nl80211.read_interface(body).ifindex
        for body in Family("nl80211").ask(nl80211.GET_INTERFACE)
        if nl80211.read_interface(body).name == cells[0].name
    )
    asked = {
        "radios": (nl80211.GET_WIPHY, SPLIT),
        "interfaces": (nl80211.GET_INTERFACE,),
        "stations": (nl80211.GET_STATION, u32(nl80211.IFINDEX, index)),
        "regulatory": (nl80211.GET_REG,),
    }
    told = {}
    for name, question in asked.items():
        with Family("nl80211") as family:
            told[name] = [body.hex() for body in family.ask(*question)]
    told["radios"] = [
        body for body in told["radios"] if body.startswith("0800010000000000")
    ]
    with Conversation(ROUTE) as route:
        for name, kind, body in (
            ("links", RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0)),
            ("routes", RTM_GETROUTE, RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)),
        ):
            told[name] = [message.body.hex() for message in route.ask(kind, body)]
    return told


if __name__ == "__main__":
    said = json.dumps(record(), indent=0).encode()
    Path(sys.argv[1]).write_bytes(gzip.compress(said, mtime=0))
