"""How a path of `adhoc` is written: the medium, a slash, the station there in hexadecimal.

    mesh0/02:ca:fe:00:00:01      six bytes, on a cell or a monitor interface
    ttyUSB0/1a2b                 two bytes, on a serial port

A port under /dev is called by the rest of its name. A path has one form: lower case, colons
between six bytes and none between two. So what is typed and what is heard are one path.
"""

from typing import Final

from meshpeer.core.link.path import Path
from meshpeer.errors import ConfigError

NAME: Final = "adhoc"
COLONS: Final = 6
"""Stations of so many bytes are written as Ethernet addresses are."""


def label_of(medium: str) -> str:
    """Give what a medium is called in paths."""
    return medium.removeprefix("/dev/")


def station_text(station: bytes) -> str:
    """Write a station's address."""
    return station.hex(":") if len(station) == COLONS else station.hex()


def path_of(label: str, station: bytes) -> Path:
    """Give the one path to this station."""
    return Path(NAME, f"{label}/{station_text(station)}")


def read_path(text: str) -> tuple[str, bytes]:
    """Read a path's address: the medium's label and the station; or ConfigError."""
    label, slash, station = text.strip().rpartition("/")
    try:
        read = bytes.fromhex(station.replace(":", ""))
    except ValueError:
        read = b""
    if not slash or not label or not read or len(read) > COLONS:
        raise ConfigError(
            f"{text!r} is no address on a medium: write mesh0/02:ca:fe:00:00:01"
        )
    return label, read
