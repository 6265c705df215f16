"""How things look in a terminal.

Names and texts of others are untrusted: control characters could move the cursor or retitle the
window, bidirectional ones reorder what is read, so both are shown as escapes. A nickname always
carries its `~`, a petname never does: no screen mixes them up.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

JOINERS: Final = "\u200c\u200d"
UNSAFE: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")
STATES: Final = {
    "queued": "queued here; no neighbour has it yet",
    "recall_asked": "recall asked; it may still arrive",
    "dropped": "dropped here for want of room; send it again later",
    "expired": "expired; no proof that it arrived",
    "arrived": "arrived",
}
UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def safe(text: str, *, lines: bool = False) -> str:
    """Give the text with everything that could deceive shown as an escape.

    `lines` lets line breaks and tabs pass, and what joins letters in Persian and emoji.
    """
    if text.isascii() and text.isprintable():
        return text
    from unicodedata import category

    allowed = "\n\t" + JOINERS if lines else ""
    return "".join(
        character
        if character in allowed or category(character) not in UNSAFE
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def name(person: dict[str, Any]) -> str:
    """Write a person: `bob` as we call it, or `~bob` as only it calls itself.

    Of somebody who was removed only the id is left.
    """
    if person["petname"] is not None:
        return safe(person["petname"])
    return "~" + safe(person["nickname"]) if person["nickname"] else person["id"][:9] + "…"


def first_line(text: str, width: int = 60) -> str:
    """Give the beginning of a message for a list."""
    line = safe(text.strip().partition("\n")[0])
    return (
        line if len(line) <= width and "\n" not in text.strip() else line[: width - 1] + "…"
    )


def span(seconds: float) -> str:
    """Write a duration in its largest unit: 3 d, 5 h, 40 s."""
    for unit, size in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def percent(file: dict[str, Any]) -> str:
    """Say how much of a file is here."""
    return f"{100 * file['held'] // file['size']} %" if file["size"] > 0 else ""


def when(wall: int) -> str:
    """Write a wall time as this machine's clock would: a hint."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(wall))


def delivery(told: dict[str, Any]) -> str:
    """Say what the sender knows, and no more."""
    if told["state"] != "carried":
        return STATES[told["state"]]
    if told["text_arrived"]:
        return "its text arrived, its files not yet"
    carriers = [
        f"{safe(c['name'] or c['peer'][:11])} since {span(c['ago_s'])}"
        for c in told["carriers"]
    ]
    return f"carried by {', '.join(carriers)}; further copies can't be known"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay rows out in columns under a head; nothing at all for no rows."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(map(columns, column)) for column in zip(head, *cells, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - columns(cell))
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in [list(head), *cells]
    ]


def columns(text: str) -> int:
    """Say how many columns of a terminal a text takes: an emoji two, an accent of its own none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0
        if category(character) in ("Mn", "Me", "Cf")
        else 1 + (east_asian_width(character) in "WF")
        for character in text
    )
