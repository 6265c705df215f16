"""Who may ask: a web page in the user's browser gets nothing, whatever it tries.

The Unix socket is guarded by its mode. On loopback every program and, through the browser, every
web page can connect, so there a request needs all of this:

    Authorization   `Bearer` and the token from the state folder, which no page can read
    Host            127.0.0.1, localhost or [::1] with our port: a name rebound to 127.0.0.1 by
                    somebody's DNS shows here
    Origin          absent, or this very server: a browser names a foreign page here
    Sec-Fetch-Site  absent, `same-origin` or `none`, for the same reason

and on both doors a body must say it is application/json, which no page can send across sites
without asking first, and nobody here answers such a question (no CORS headers, ever).
"""

import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

BODY_TYPE: Final = "application/json"


class Refused(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str


class Guard:
    """Decides on requests that came over loopback; `token` is the bearer token."""

    def __init__(self, *, token: str, port: int) -> None:
        self._authorization = b"Bearer " + token.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._origins = {f"http://{host}" for host in self._hosts}

    def check(self, headers: Mapping[str, str]) -> Refused | None:
        """Give the reason to refuse, or None."""
        if headers.get("Host", "").lower() not in self._hosts:
            return Refused(403, "this Host is not 127.0.0.1 with this port")
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in self._origins:
            return Refused(403, "pages of other origins are not answered")
        if headers.get("Sec-Fetch-Site", "none").lower() not in ("same-origin", "none"):
            return Refused(403, "pages of other sites are not answered")
        given = headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            return Refused(
                401, "the bearer token from the state folder is missing or wrong"
            )
        return None


def check_body(headers: Mapping[str, str], has_body: bool) -> Refused | None:
    """Refuse a body that a web page could have sent without asking first."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if has_body and kind != BODY_TYPE:
        return Refused(415, f"a body must be {BODY_TYPE}, not {kind or 'without a type'}")
    return None
