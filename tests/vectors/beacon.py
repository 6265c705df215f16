"""Vectors of the beacon: on a LAN and in a frame, shown and hidden."""

from dataclasses import replace

from meshpeer.core.formats.beacon import Beacon

NONCE = b"nonce..."
REFUSED = {
    "too short": ("beacon", b"\0" + NONCE + bytes(31)),
    "a mark where an id should be": ("beacon", b"\0" + NONCE + bytes(8)),
    "an unknown flag": ("flags", b"\4" + NONCE + bytes(32)),
}


def beacons():
    """Give each form, and what is refused in a frame."""
    made = [
        Beacon.of(bytes(range(32)), nonce=NONCE, port=6374, hidden=hidden, answer=answer)
        for hidden in (False, True)
        for answer in (False, True)
    ]
    return {
        "peer_id": bytes(range(32)),
        "nonce": NONCE,
        "port": 6374,
        "beacons": [
            {
                "hidden": each.peer_id is None,
                "answer": each.answer,
                "mark": each.mark,
                "lan": each.encode(),
                "frame": replace(each, port=0).encode_frame(),
            }
            for each in made
        ],
        "refused_in_a_frame": [
            {"what": what, "field": field, "payload": payload}
            for what, (field, payload) in REFUSED.items()
        ],
    }
