"""Our frames and packets as scapy layers, for whoever looks at the air.

Import it, and scapy knows them (`pip install 'meshpeer[radio]'` brings scapy):

    >>> from scapy.all import *
    >>> from meshpeer.dissect import *
    >>> for packet in rdpcap("air.pcap"):
    ...     if MeshData in packet:
    ...         packet[MeshData].show()
    >>> sniff(iface="mon0", lfilter=lambda packet: MeshFrame in packet, prn=Packet.summary)
    >>> Ether(dst=ETHER_BROADCAST) / MeshAir() / MeshFrame() / MeshVersions(receiver=1, versions=[1])

Field names are those of PROTOCOL.md. `on_port(6380)` takes another UDP port for a peer's, too.
`MeshFrames(plain)` reads what a DATA packet sealed, once `Opening` (opening.py) has opened it.
Nothing else of the project imports this, but `meshpeer capture`: the daemon has no room for scapy.
"""

from meshpeer.dissect.air import (
    MeshAir,
    MeshBeacon,
    MeshFrame,
    MeshFramedBeacon,
    MeshKiss,
    on_port,
)
from meshpeer.dissect.frames import (
    MeshAck,
    MeshAckRange,
    MeshClose,
    MeshFrames,
    MeshMaxData,
    MeshMaxStream,
    MeshPadding,
    MeshPathChallenge,
    MeshPathResponse,
    MeshPing,
    MeshStream,
)
from meshpeer.dissect.packets import (
    MeshBroadcast,
    MeshCookie,
    MeshData,
    MeshInitiation,
    MeshPacket,
    MeshResponse,
    MeshShort,
    MeshVersions,
)

__all__ = [
    "MeshAck",
    "MeshAckRange",
    "MeshAir",
    "MeshBeacon",
    "MeshBroadcast",
    "MeshClose",
    "MeshCookie",
    "MeshData",
    "MeshFrame",
    "MeshFramedBeacon",
    "MeshFrames",
    "MeshInitiation",
    "MeshKiss",
    "MeshMaxData",
    "MeshMaxStream",
    "MeshPacket",
    "MeshPadding",
    "MeshPathChallenge",
    "MeshPathResponse",
    "MeshPing",
    "MeshResponse",
    "MeshShort",
    "MeshStream",
    "MeshVersions",
    "on_port",
]
