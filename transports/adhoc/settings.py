"""The settings of `adhoc`: which mediums there are to be, and of what kind each is.

Of an interface that is only decided when it is opened, for one that is set to monitor later is
another kind of device then. The module of a medium is imported when the first of its kind is made.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from meshpeer.errors import ConfigError, TransportError
from transports.adhoc.address import label_of
from transports.adhoc.attached import Attached
from transports.adhoc.medium import Medium
from transports.adhoc.packet_socket import ARPHRD_RADIOTAP, hardware_of

NAME_LIMIT: Final = 15
"""Bytes of an interface's name (IFNAMSIZ, less the zero)."""
OF_MONITOR: Final = ("name", "network", "rate")
OF_SERIAL: Final = (
    *("port", "baud", "rate", "mtu"),
    *("txdelay_ms", "persistence", "slottime_ms", "kiss_port"),
)
"""What may be set."""


def attach(
    interfaces: Sequence[str | Mapping[str, Any]], serial: Sequence[Mapping[str, Any]]
) -> list[Attached]:
    """Give the mediums that are asked for, none open yet; ConfigError for a wrong setting."""
    for value in (interfaces, serial):
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            raise ConfigError("transports.adhoc: interfaces and serial are lists")
    attached = [*map(_interface, interfaces), *map(_port, serial)]
    if not attached:
        raise ConfigError("transports.adhoc: name interfaces, or serial ports")
    for label in _repeated(attached):
        raise ConfigError(f"transports.adhoc: {label} is there twice")
    return attached


def _interface(entry: str | Mapping[str, Any]) -> Attached:
    options = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    name = options.pop("name", None)
    if not isinstance(name, str) or not name or "/" in name or not name.isprintable():
        raise ConfigError(f"transports.adhoc: {entry!r} names no interface")
    if len(name.encode()) > NAME_LIMIT:
        raise ConfigError(f"transports.adhoc: {name} is longer than {NAME_LIMIT} bytes")
    if options:
        _refuse_unknown(name, options, OF_MONITOR)
        _monitor(name, options)  # what it refuses is refused now
    return Attached(name, partial(_make, name, options))


def _port(table: Mapping[str, Any]) -> Attached:
    if not isinstance(table, Mapping) or "port" not in table:
        raise ConfigError('transports.adhoc: serial wants {port = "/dev/..."}')
    _refuse_unknown("serial", table, OF_SERIAL)
    from transports.adhoc.serial import Serial

    try:
        medium = Serial(**table)
    except TypeError as error:
        raise ConfigError(f"transports.adhoc: serial: {error}") from error
    return Attached(label_of(medium.name), partial(_same, medium), port=medium.name)


def _refuse_unknown(of: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for each in table:
        if each not in known:
            raise ConfigError(
                f"transports.adhoc: {of} has no setting {each!r}; there are: {', '.join(known)}"
            )


def _repeated(attached: Sequence[Attached]) -> Iterator[str]:
    labels = [each.label for each in attached]
    return (label for label in labels if labels.count(label) > 1)


def _make(name: str, options: Mapping[str, Any]) -> Medium:
    """Make the medium that an interface can be used as now."""
    if device_of(name) == ARPHRD_RADIOTAP:
        return _monitor(name, options)
    if options:
        raise TransportError(
            f"{name} is no monitor interface, and only these have settings"
        )
    from transports.adhoc.cell import Cell

    return Cell(name)


def _same(medium: Medium) -> Medium:
    """Give a serial port: it is what it is, there or not."""
    return medium


def _monitor(name: str, options: Mapping[str, Any]) -> Medium:
    from transports.adhoc.monitor import Monitor

    try:
        return Monitor(name, **options)
    except TypeError as error:
        raise ConfigError(f"transports.adhoc: {name}: {error}") from error


def device_of(name: str) -> int:
    """Give the kind of device that an interface is (ARPHRD); TransportError if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return hardware_of(any_socket, name)[0]
        except OSError as error:
            raise TransportError(f"there is no interface {name} now") from error
