"""Transports that other packages bring, by the entry-point group `meshpeer.transports`.

Only those named in the settings are loaded: a package that happens to be installed must not
begin to send by itself, and looking none up costs nothing at start.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import Any, Final, cast

from meshpeer.errors import ConfigError
from transports.interface import Transport

GROUP: Final = "meshpeer.transports"


def load_transports(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Transport]:
    """Make the transports that tables `[transports.NAME]` ask for, or raise ConfigError."""
    if not settings:
        return {}
    from importlib.metadata import entry_points  # only now: 0.5 MB that few need

    known = {point.name: point for point in entry_points(group=GROUP)}
    loaded = {}
    for name, values in settings.items():
        if name == "udp":
            raise ConfigError("transports.udp: udp has its own table [udp]")
        if name not in known:
            names = ", ".join(sorted(known.keys() - {"udp"})) or "none"
            raise ConfigError(f"transports.{name}: not installed; installed: {names}")
        try:
            make = known[name].load()
            _refuse_unknown(name, make, values)
            loaded[name] = cast(Transport, make(**values))
        except (TypeError, ImportError, AttributeError) as error:
            raise ConfigError(f"transports.{name}: {error}") from error
    return loaded


def _refuse_unknown(name: str, make: Callable[..., object], values: Iterable[str]) -> None:
    """Raise ConfigError, in the words of settings, for one that the transport doesn't know."""
    taken = signature(make).parameters
    if any(one.kind is Parameter.VAR_KEYWORD for one in taken.values()):
        return
    for value in values:
        if value not in taken:
            raise ConfigError(
                f"transports.{name}: there is no setting {value!r}; there are: {', '.join(taken)}"
            )
