"""Errors as answers: application/problem+json (RFC 9457).

`error` is the class's name in meshpeer.errors, so that a client can raise it again and a script
gets the same exit code as if the peer had been in its own process.
"""

from typing import Final

import msgspec

import meshpeer.errors as errors
from meshpeer.errors import MeshpeerError

CONTENT_TYPE: Final = "application/problem+json"

STATUS: Final[dict[type[MeshpeerError], int]] = {
    errors.NotFoundError: 404,
    errors.UsageError: 400,
    errors.RemoteProtocolError: 400,
    errors.StoreFullError: 507,
    errors.StoreError: 503,
    errors.TransportError: 502,
}


class Problem(msgspec.Struct, frozen=True):
    """An answer that refuses; `detail` is a sentence for people."""

    type: str
    title: str
    status: int
    detail: str
    error: str

    @classmethod
    def of_class(cls, error: str, status: int, detail: str) -> "Problem":
        """Make one by the name of the error's class."""
        return cls(f"urn:meshpeer:error:{error}", error, status, detail, error)


FAULT: Final = Problem.of_class(
    "MeshpeerError", 500, "a fault in meshpeer; its log says where"
)


def of(error: MeshpeerError) -> Problem:
    """Give the answer for an error, with the status of the nearest class that has one."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    return Problem.of_class(type(error).__name__, status, str(error))
