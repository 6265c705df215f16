"""The kernel's filter of a monitor interface: foreign frames never reach Python.

A busy channel has thousands of frames a second, and in monitor mode all of them come up. This
classic BPF program lets pass the data frames of one network that are for us or for everybody and
not from us. X is set to where the 802.11 frame begins; radiotap's length is little endian and BPF
loads big endian, so that takes two loads. A load beyond the packet's end drops the packet.
`dot11.read` checks all of it again: what was queued before the filter was attached, and what a
kernel without it lets in, is no worse.
"""

import socket
from typing import Final, NamedTuple

from transports.adhoc.dot11 import DATA, NOT_OURS, QOS
from transports.adhoc.frame import EVERYBODY
from transports.adhoc.packet_socket import INSTRUCTION, attach_filter

WHOLE: Final = 0x40000
"""Bytes of a packet that passes: more than there are."""

BYTE_AT, BYTE, HALF, WORD = 0x30, 0x50, 0x48, 0x40
"""Loads: at a fixed place; the others at X and more."""
SHIFT, OR_X, AND, TO_X = 0x64, 0x4C, 0x54, 0x07
EQUAL, ANY_OF, RETURN = 0x15, 0x45, 0x06

TO, FROM, CELL = 4, 10, 16
"""Where the addresses lie in the frame."""


class Step(NamedTuple):
    """One instruction; jumps go to labels, and to the next step where there is none."""

    code: int
    value: int = 0
    yes: str = ""
    no: str = ""
    label: str = ""


def steps(bssid: bytes, station: bytes) -> tuple[Step, ...]:
    """The program for a station in a network."""
    cell, own, all = _split(bssid), _split(station), _split(EVERYBODY)
    return (
        Step(BYTE_AT, 0),
        Step(EQUAL, 0, no="drop"),  # radiotap's version
        Step(BYTE_AT, 3),
        Step(SHIFT, 8),
        Step(TO_X),
        Step(BYTE_AT, 2),
        Step(OR_X),
        Step(TO_X),
        Step(BYTE, 0),
        Step(AND, ~QOS & 0xFF),
        Step(EQUAL, DATA, no="drop"),
        Step(BYTE, 1),
        Step(ANY_OF, NOT_OURS, yes="drop"),
        Step(WORD, CELL),
        Step(EQUAL, cell[0], no="drop"),
        Step(HALF, CELL + 4),
        Step(EQUAL, cell[1], no="drop"),
        Step(WORD, FROM),
        Step(EQUAL, own[0], no="to"),
        Step(HALF, FROM + 4),
        Step(EQUAL, own[1], yes="drop"),
        Step(WORD, TO, label="to"),
        Step(EQUAL, all[0], yes="all"),
        Step(EQUAL, own[0], no="drop"),
        Step(HALF, TO + 4),
        Step(EQUAL, own[1], yes="pass", no="drop"),
        Step(HALF, TO + 4, label="all"),
        Step(EQUAL, all[1], no="drop"),
        Step(RETURN, WHOLE, label="pass"),
        Step(RETURN, 0, label="drop"),
    )


def assemble(program: tuple[Step, ...]) -> bytes:
    """Turn labels into distances."""
    places = {step.label: at for at, step in enumerate(program) if step.label}

    def distance(label: str, at: int) -> int:
        return places[label] - at - 1 if label else 0

    return b"".join(
        INSTRUCTION.pack(
            step.code, distance(step.yes, at), distance(step.no, at), step.value
        )
        for at, step in enumerate(program)
    )


def attach(sock: socket.socket, bssid: bytes, station: bytes) -> None:
    """Give the kernel the filter; OSError if it doesn't take it."""
    attach_filter(sock, assemble(steps(bssid, station)))


def _split(address: bytes) -> tuple[int, int]:
    return int.from_bytes(address[:4]), int.from_bytes(address[4:])
