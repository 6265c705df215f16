"""The part of a text around what was found, with « and » around the words."""

import re
from collections.abc import Iterable
from typing import Final

from store.search_query import Term
from store.search_words import fold

AROUND: Final = 60
"""Characters before the first word found."""
LONGEST: Final = 200
LOOKED_THROUGH: Final = 8_192
"""Characters."""

_RUN: Final = re.compile(r"[^\W_]+|[^\w\s]")


def marked(text: str, terms: Iterable[Term]) -> str:
    """Give one line of the text; its beginning if none of the words stands in it."""
    wanted = [term for term in terms if not term.without]
    words = {word for term in wanted for word in (*term.words, *term.others)}
    starts = tuple(term.words[0] for term in wanted if term.prefix)
    text = text[:LOOKED_THROUGH]
    spans = [
        found.span()
        for found in _RUN.finditer(text)
        if any(word in words or word.startswith(starts) for word in fold(found[0]))
    ]
    first = max(0, spans[0][0] - AROUND) if spans else 0
    if first:
        first = text.find(" ", first, spans[0][0]) + 1 or first
    last = min(len(text), first + LONGEST)
    parts, at = [], first
    for start, end in spans:
        if end > last:
            break
        parts += [text[at:start], "«", text[start:end], "»"]
        at = end
    line = " ".join("".join([*parts, text[at:last]]).split())
    return f"{'…' if first else ''}{line}{'…' if last < len(text) else ''}"
