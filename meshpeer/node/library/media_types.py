"""What kind of file has which name, as this machine knows it."""

from typing import Final

OCTETS: Final = "application/octet-stream"


def media_type(name: str) -> str:
    """Guess what kind of file has such a name."""
    import mimetypes

    guessed, encoding = mimetypes.guess_type(name, strict=False)
    if encoding is not None:
        return {"gzip": "application/gzip", "xz": "application/x-xz"}.get(encoding, OCTETS)
    return guessed or OCTETS
