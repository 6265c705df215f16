"""Which characters may stand in what others name: files, tags, languages, and in what they write.

A name is shown on one line and used to find a file, so it holds nothing that acts on a screen
rather than showing on it. The lists are fixed here, as a nickname's are in card.py, so that every
peer judges alike whatever its Python thinks of Unicode. Unlike a nickname, a name may hold the two
joiners U+200C and U+200D: Persian and Indic words and many emoji are written with them.

Text has lines and tabs, and marks for the direction of writing, which right-to-left scripts need;
it may not hold the other controls, with which a text could write elsewhere on a terminal.

Each `..._fault` says in plain words what is wrong, and nothing if all is well.
"""

import re
from typing import Final

MAX_NAME: Final = 255
"""Bytes of UTF-8: what file systems take."""
MAX_TAG: Final = 32
"""Characters."""
MAX_TAGS: Final = 16
MAX_LANGUAGE: Final = 35
"""Characters, as RFC 5646 advises."""
MAX_MEDIA_TYPE: Final = 127

_DOES_NOT_SHOW: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_ACTS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LANGUAGE: Final = re.compile("[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_MEDIA_TYPE: Final = re.compile("[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


def shows(text: str) -> bool:
    """Whether all characters show, so that the text may stand in a name."""
    return _DOES_NOT_SHOW.search(text) is None


def name_fault(name: str) -> str:
    """Say why this can't be the name of a file or collection."""
    if not name or name != name.strip() or name in {".", ".."}:
        return "is empty, dots only, or has spaces around it"
    if "/" in name:
        return "has a slash"
    if not shows(name):
        return "has a character that does not show on a screen"
    size = len(name.encode())
    return f"has {size} bytes, limit {MAX_NAME}" if size > MAX_NAME else ""


def tags_fault(tags: tuple[str, ...]) -> str:
    """Say why these can't be the tags of a record."""
    if len(tags) > MAX_TAGS or len(set(tags)) != len(tags):
        return f"are {len(tags)}, not up to {MAX_TAGS} different ones"
    for tag in tags:
        if not tag or len(tag) > MAX_TAG or tag != tag.strip() or not shows(tag):
            return f"hold {tag!r}: not 1 to {MAX_TAG} characters that show on a screen"
    return ""


def language_fault(language: str) -> str:
    """Say why this can't name a language; the empty string names none and is fine."""
    if not language:
        return ""
    if len(language) > MAX_LANGUAGE or not _LANGUAGE.fullmatch(language):
        return "is not a language tag such as en or pt-BR"
    return ""


def media_type_fault(media_type: str) -> str:
    """Say why this can't be a media type; the empty string names none and is fine."""
    if not media_type:
        return ""
    if len(media_type) > MAX_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(media_type):
        return "is not a media type such as text/plain, in lower case"
    return ""


def text_fault(text: str, most: int) -> str:
    """Say why this can't be a text of at most `most` bytes."""
    if not text:
        return ""
    if _ACTS.search(text):
        return "has a control character other than line feed and tab"
    size = len(text.encode())
    return f"has {size} bytes, limit {most}" if size > most else ""
