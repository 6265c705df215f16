"""A stranger can show a friend's nickname, and is still never taken for the friend."""

import pytest

from meshpeer.errors import NotFoundError, UsageError
from meshpeer.node.facade import Contact
from meshpeer.node.names import check_petname, find, shown


def person(number, petname, nickname):
    return Contact(f"abcd-{number:04}", petname, nickname, "contact", False, 1, 0)


BOB, IMPOSTOR, OTHER = (
    person(1, "bob", "rob"),
    person(2, None, "bob"),
    person(3, None, "bob"),
)


def test_a_bare_word_is_a_petname_and_never_a_nickname():
    assert find("bob", [IMPOSTOR, BOB]) is BOB
    with pytest.raises(NotFoundError):
        find("bob", [IMPOSTOR])


def test_a_nickname_is_found_by_its_mark_if_only_one_shows_it():
    assert find("~bob", [BOB, IMPOSTOR]) is IMPOSTOR
    with pytest.raises(UsageError, match="abcd-0002, abcd-0003"):
        find("~bob", [BOB, IMPOSTOR, OTHER])


def test_an_id_is_found_however_it_is_grouped():
    assert find("ABCD 0001", [IMPOSTOR, BOB]) is BOB


def test_screens_show_the_two_apart():
    assert (shown(BOB), shown(IMPOSTOR)) == ("bob", "~bob")


@pytest.mark.parametrize("name", ["", "  ", "~bob", "a/b", "a\nb", "a\u202eb", "x" * 65])
def test_a_petname_can_not_pass_for_something_else(name):
    with pytest.raises(UsageError):
        check_petname(name)
