"""The search language, and what FTS5 is asked for it.

    spring water        both words         "spring water"   these words, one after the other
    wat*                words that begin so -salt, -"table salt"  without these

A word with something inside it (e-mail, v1.2) is a phrase of its parts. Nothing a person types is
an error: what means nothing is passed over, what is too long is cut.

No character of a query reaches FTS5: it gets folded words in quotes, joined by operators of ours.
Prefixes are looked up in the vocabulary, the commonest words first, for FTS5 would gather every
posting of every such word before it gave the first hit, and could not be stopped.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshpeer.core.chains.question import MAX_WORDS, Question
from store.search_index import EVERY, SIZES, size_class
from store.search_words import fold, mark

MAX_TERMS: Final = 16
MAX_PHRASE: Final = 32
"""Words of one phrase."""

_TYPED: Final = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))(\*?)')


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a hit must have, or must not."""

    words: tuple[str, ...]
    """One word, or those of a phrase in order."""
    prefix: bool = False
    without: bool = False
    others: tuple[str, ...] = ()
    """Single words that will do as well: what a prefix stands for, or words spelled alike."""

    @property
    def word(self) -> str:
        """The word, if it is a plain one that may hold a typing error; else nothing."""
        plain = len(self.words) == 1 and not self.prefix and not self.without
        return self.words[0] if plain else ""

    def expression(self) -> str:
        """Say it to FTS5."""
        return _any([" ".join(self.words), *self.others])


def read(words: str) -> list[Term]:
    """Read what a person typed."""
    terms: dict[Term, None] = {}
    for minus, phrase, run, star in _TYPED.findall(words[:MAX_WORDS]):
        found = fold(phrase or run)[:MAX_PHRASE]
        if not found:
            continue
        prefix = (bool(star) or run.endswith("*")) and len(found) == 1
        terms[Term(tuple(found), prefix, bool(minus))] = None
        if len(terms) == MAX_TERMS:
            break
    return list(terms)


def expression(terms: Iterable[Term], marks: Sequence[str]) -> str:
    """Give what FTS5 is to match: all terms that are wanted, all marks, none that is unwanted."""
    wanted = [term.expression() for term in terms if not term.without]
    unwanted = [term.expression() for term in terms if term.without]
    match = " AND ".join([*wanted, *marks] or [f'"{EVERY}"'])
    return f"({match}) NOT ({' OR '.join(unwanted)})" if unwanted else match


def named(term: Term, terms: Iterable[Term], marks: Sequence[str]) -> str:
    """Give what matches those hits that have this one of the terms in name or tags."""
    others = [other for other in terms if other != term]
    return expression(others, [f"{{name tags}} : {term.expression()}", *marks])


def with_others(term: Term, others: Iterable[str]) -> Term:
    """Give the term with single words that will do as well."""
    return replace(term, others=tuple(other for other in others if (other,) != term.words))


def marked(question: Question, authors: Sequence[int]) -> list[str]:
    """Give the filters of a question that the index knows as words."""
    found = [
        _any([mark("k", kind) for kind in question.kinds]) if question.kinds else "",
        _any([f"a_{number}" for number in authors or [0]]) if question.authors else "",
        _any([mark("l", one) for one in question.languages]) if question.languages else "",
        _any([mark("m", one) for one in question.media_types])
        if question.media_types
        else "",
        *(_any([mark("t", tag)]) for tag in question.tags),
        _sizes(question),
    ]
    return [one for one in found if one]


def _sizes(question: Question) -> str:
    if question.smallest is None and question.largest is None:
        return ""
    least = size_class(question.smallest or 0)
    most = len(SIZES) if question.largest is None else size_class(question.largest)
    return _any([f"s_{number}" for number in range(least, max(least, most) + 1)])


def _any(choices: Iterable[str]) -> str:
    quoted = (f'"{choice}"' for choice in choices)
    return f"({' OR '.join(quoted)})"
