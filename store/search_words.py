"""Words as they are indexed and as they are typed: both sides fold text by the same function.

SQLite's own tokenizers are not asked: they keep a Chinese sentence as one word, drop emoji, and
would tell us no words for the vocabulary. So text is folded here, and what goes to FTS5 is words
with spaces between, none of them with an ASCII character but a-z and 0-9:

- NFKC, case folded, Latin and Greek letters without their diacritics, Arabic and Hebrew without
  vowel signs: café is cafe. Cyrillic keeps them but for one, which most people leave out.
- Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) become one word a
  character, and a run of them typed as a query becomes a phrase, which finds it anywhere. Symbols
  and emoji are words of their own too.
- What does not show (joiners, direction marks, variation selectors, half a surrogate) goes.
- A longer word than 64 characters is several, on both sides alike.

Marks are words that no text can hold, for they have an underscore: filters are searched as words.
"""

import re
from itertools import pairwise
from typing import Final
from unicodedata import category, normalize, unidata_version

FOLDING: Final = f"1/{unidata_version}"
"""Names this way of folding: what was indexed in another way is indexed anew."""

MAX_TEXT: Final = 65_536
"""Characters of one text that are indexed."""
MAX_WORD: Final = 64

_ASCII_WORDS: Final = re.compile(r"[a-z0-9]{1,64}")
_WORDS: Final = re.compile(r"[^ ]{1,64}")
_NEITHER: Final = re.compile(r"[^a-z0-9]+")

_REMEMBERED: Final = 8_192

_DIACRITICS: Final = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF))
_SILENT: Final = (
    *_DIACRITICS,
    (0x591, 0x5C7),
    (0x610, 0x61A),
    (0x640, 0x640),
    (0x64B, 0x65F),
    (0x670, 0x670),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),
)
"""Diacritics, Hebrew and Arabic vowel signs, selectors of how a character looks."""
_SPACELESS: Final = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


class _Table(dict[int, str]):
    """What each character becomes; filled as characters come, within a bound."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[code] = folded = _fold_character(code)
        return folded


_TABLE: Final = _Table()


def fold(text: str) -> list[str]:
    """Give the words of a text, in order, as they are indexed."""
    text = text[:MAX_TEXT]
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _WORDS.findall(normalize("NFKC", text).casefold().translate(_TABLE))


def mark(what: str, value: object) -> str:
    """Give the word that stands for a filter, such as 'k_post'; no text has such a word."""
    return f"{what}_{'_'.join(fold(str(value)))}"


def levels(what: str, value: str) -> str:
    """Give the marks of each level of a value such as 'image/png' or 'pt-BR', with spaces between."""
    first, *rest = re.split("[/-]", value, maxsplit=1)
    return f"{mark(what, first)} {mark(what, value)}" if rest else mark(what, value)


def trigrams(word: str) -> list[str]:
    """Give the different runs of three letters, with an underscore for either end."""
    ended = f"_{word}_"
    return list({ended[at : at + 3] for at in range(len(ended) - 2)})


def errors_forgiven(word: str) -> int:
    """Say how many typing errors a word of this length may hold."""
    if len(word) < 4 or not word[0].isalpha():
        return 0
    return 1 if len(word) < 8 else 2


def swapped(word: str) -> list[str]:
    """Give the word with each two neighbouring letters changed over: short ones share no trigram."""
    return [
        word[:at] + second + first + word[at + 2 :]
        for at, (first, second) in enumerate(pairwise(word))
        if first != second
    ]


def distance(one: str, other: str, most: int) -> int:
    """Count letters added, lost, altered, or changed over with their neighbour; `most` + 1 if more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        earlier, before, row = before, row, [at]
        for to, against in enumerate(other, 1):
            cost = before[to - 1] + (letter != against)
            cost = min(cost, before[to] + 1, row[to - 1] + 1)
            if at > 1 and to > 1 and letter == other[to - 2] and one[at - 2] == against:
                cost = min(cost, earlier[to - 2] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            return most + 1
    return min(row[-1], most + 1)


def _fold_character(code: int) -> str:
    if code < 0x80:
        return _NEITHER.sub(" ", chr(code))
    if _within(code, _SILENT):
        return ""
    character = chr(code)
    kind = category(character)
    if kind == "Cf":
        return ""
    if kind == "So" or (_within(code, _SPACELESS) and kind[0] in "LMN"):
        return f" {character} "
    if kind[0] not in "LMN":
        return " "
    decomposed = normalize("NFD", character)
    base, signs = decomposed[0], decomposed[1:]
    plain = base.isascii() or "\u0370" <= base <= "\u03ff" or character == "ё"
    if plain and signs and all(_within(ord(sign), _DIACRITICS) for sign in signs):
        return base
    return character


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)
