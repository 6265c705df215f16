"""Packets that two endpoints really exchanged, and what carries them."""

from meshpeer.core.link import packet
from tests.core.link.pair import Network, linked
from transports.adhoc import dot11, radiotap
from transports.adhoc.frame import HEADS, Kind

ANN, BOB = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
HEAD, BEACON_HEAD = HEADS[Kind.DATAGRAM], HEADS[Kind.BEACON]


def recorded():
    """All packets of two endpoints that meet and talk."""
    network, packets = Network(), []
    network.watch = lambda sender, to, data: packets.append(data)
    ann, _ = linked(network)
    ann.ups[0].write(1, bytes(5_000))
    network.run(1)
    return packets


PACKETS = recorded()
FIRST, ANSWER = PACKETS[:2]
DATA = [each for each in PACKETS if each[0] & ~3 == packet.DATA]
ON_AIR = radiotap.sent_header(6_000_000) + dot11.encode(
    BOB, ANN, dot11.bssid_of("meshpeer"), 7, HEAD + FIRST
)
