"""How well a text answers: BM25 over fields, where a word in the name or a tag weighs more.
(Robertson, Zaragoza and Taylor, "Simple BM25 Extension to Multiple Weighted Fields", CIKM 2004.)

Each word's weight grows with how often it stands there, less and less, and with how rare it is
among all items; a long text has to say it more often than a short one. A spelling that was not
asked for counts half.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Final, NamedTuple

from store.search_query import Term
from store.search_words import fold

NAME: Final = 6.0
TAG: Final = 4.0
ENOUGH: Final = 1.2
"""How soon saying it again adds little (k1)."""
BY_LENGTH: Final = 0.5
"""How much of it is put down to length (b)."""
USUAL: Final = 40
"""Words of a usual text."""
OTHER: Final = 0.5


class Text(NamedTuple):
    """What an item says."""

    number: int
    name: str
    tags: str
    text: str


def weigh(
    terms: Sequence[Term], held: Mapping[Term, int], items: int, texts: Iterable[Text]
) -> dict[int, float]:
    """Say for each text how well it answers; `held` are the items that have a term, about."""
    rare = {
        term: log(1 + (max(items, held[term]) - held[term] + 0.5) / (held[term] + 0.5))
        for term in terms
    }
    worth = {}
    for text in texts:
        fields = [fold(text.name), fold(text.tags), fold(text.text)]
        length = 1 - BY_LENGTH + BY_LENGTH * sum(map(len, fields)) / USUAL
        weight = 0.0
        for term in terms:
            name, tags, rest = (_times(term, field) for field in fields)
            often = NAME * name + TAG * tags + rest
            weight += rare[term] * often / (often + ENOUGH * length)
        worth[text.number] = weight
    return worth


def _times(term: Term, field: list[str]) -> float:
    if len(term.words) == 1:
        exact = field.count(term.words[0])
        if term.prefix:
            return exact + sum(word in term.others for word in field)
        return exact + OTHER * sum(map(field.count, term.others))
    if len(field) < len(term.words):
        return 0
    return f" {' '.join(field)} ".count(f" {' '.join(term.words)} ")
