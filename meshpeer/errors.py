"""Every error that meshpeer raises, in one tree.

    MeshpeerError
    ├── UsageError             what a person asked for can't be done as asked; exit 2
    │   └── ConfigError        a file or setting is wrong; exit 2
    ├── NotRunningError        no peer answers on this state folder; exit 3
    ├── NotFoundError          nothing by that name or id; exit 4
    ├── StoreError             the database can't do it; exit 5
    │   ├── StoreFullError     no room on the disk; nothing held is lost
    │   └── StoreTooNewError   a newer meshpeer made this database
    ├── NotReachedError        what was waited for did not come; exit 6
    ├── TransportError         a way in or out of the machine is dead; the node retries
    └── ProtocolError
        ├── LocalProtocolError     our own bug: a move that the protocol does not have
        └── RemoteProtocolError    malformed input from outside: counted, dropped

A message states what was found and what was expected. Only `cli` and `api` turn errors into
text; `node` decides on retry; the core's one receive entry catches RemoteProtocolError.
"""

from typing import ClassVar


class MeshpeerError(Exception):
    """The root: catch this to catch everything that meshpeer means to raise."""

    exit_code: ClassVar[int] = 1


class UsageError(MeshpeerError):
    """What a person asked for can't be done as asked; the text says what to do instead."""

    exit_code = 2


class ConfigError(UsageError):
    """A file or a setting is wrong; the text names it."""


class NotRunningError(MeshpeerError):
    """No peer answers on this state folder."""

    exit_code = 3


class NotFoundError(MeshpeerError):
    """Nothing goes by that name or id."""

    exit_code = 4


class StoreError(MeshpeerError):
    """The database can't do what was asked; nothing of the batch was written."""

    exit_code = 5


class StoreFullError(StoreError):
    """No room on the disk; what is held stays held."""


class StoreTooNewError(StoreError):
    """The database was made by a newer meshpeer; nothing was touched."""


class NotReachedError(MeshpeerError):
    """What was waited for did not come in time, or can't come any more."""

    exit_code = 6


class TransportError(MeshpeerError):
    """A way in or out of the machine is dead; it may come back."""


class ProtocolError(MeshpeerError):
    """A rule of the protocol was broken, here or there."""


class LocalProtocolError(ProtocolError):
    """Our own bug: a move or a value that the protocol does not have."""


class RemoteProtocolError(ProtocolError):
    """Malformed input from outside, named by its field; to be counted and dropped."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
