"""What goes with a file, and whose opinions change an order."""

from contextlib import closing

import pytest

from meshpeer.core.chains.question import Question
from store import search_others
from store.store import Store
from tests.store.searching import ANNA, BOB, CARLA, DAN, block, names

WELL, PUMP, SONG, FILM, HIT = (letter * 32 for letter in (b"w", b"p", b"s", b"f", b"h"))
EVERYBODY = [bytes([200 + n]) * 32 for n in range(20)]


@pytest.fixture
def store():
    with closing(Store(":memory:")) as store:
        yield store


class Writer:
    """Gives blocks their numbers."""

    def __init__(self) -> None:
        self.number = 0

    def file(self, person, file, name, **more):
        self.number += 1
        return block(self.number, person, kind="file", file=file, name=name, **more)

    def label(self, person, target, rating=0, warning=""):
        self.number += 1
        return block(
            self.number, person, kind="label", target=target, size=rating, name=warning
        )


@pytest.fixture
def write():
    return Writer()


def also(found):
    return [(one.record.item.name, one.persons) for one in found]


def test_others_who_have_this_also_publish(store, write):
    store.commit(
        [
            write.file(ANNA, WELL, "well"),
            write.file(ANNA, PUMP, "pump"),
            write.file(BOB, WELL, "a well"),
            write.file(BOB, PUMP, "a pump"),
            write.file(BOB, FILM, "film"),
            write.file(CARLA, SONG, "song"),
        ]
    )
    assert also(store.others_with_file(WELL)) == [("a pump", 2), ("film", 1)]
    assert also(store.others_with_file(SONG)) == []
    assert also(store.others_with_file(bytes(32))) == []


def test_a_person_is_shown_what_their_like_publish_and_they_do_not(store, write):
    store.commit(
        [
            write.file(ANNA, WELL, "well"),
            write.file(BOB, WELL, "well"),
            write.file(BOB, PUMP, "pump"),
            write.file(CARLA, SONG, "song"),
        ]
    )
    assert also(store.others_like_person(ANNA)) == [("pump", 1)]
    assert also(store.others_like_person(BOB)) == []
    assert also(store.others_like_person(DAN)) == []


def test_what_everybody_has_tells_less_about_taste(store, write):
    store.commit([write.file(ANNA, HIT, "hit"), write.file(ANNA, WELL, "well")])
    store.commit([write.file(BOB, WELL, "well"), write.file(BOB, PUMP, "pump")])
    store.commit([write.file(person, HIT, "hit") for person in EVERYBODY])
    store.commit([write.file(person, FILM, "film") for person in EVERYBODY[:2]])
    assert also(store.others_like_person(ANNA)) == [("pump", 1), ("film", 2)]


def test_a_good_rating_speaks_for_a_file_and_a_bad_one_does_not(store, write):
    store.commit(
        [
            write.file(ANNA, WELL, "well"),
            write.label(BOB, WELL, 2),
            write.file(BOB, PUMP, "pump"),
            write.label(CARLA, WELL, -2),
            write.file(CARLA, SONG, "song"),
        ]
    )
    assert also(store.others_with_file(WELL)) == [("pump", 1)]


def test_a_flood_of_publishers_and_files_is_cut(store, write, monkeypatch):
    monkeypatch.setattr(search_others, "SPEAKERS", 5)
    monkeypatch.setattr(search_others, "FILES", 5)
    many = [write.file(BOB, bytes([n]) * 32, f"spam {n}") for n in range(1, 100)]
    store.commit([write.file(person, WELL, "well") for person in EVERYBODY])
    store.commit([*many, write.file(BOB, WELL, "well")])
    assert len(store.others_with_file(WELL, 50)) == 4


@pytest.fixture
def rated(store, write):
    store.commit(
        [
            write.file(ANNA, WELL, "one", text="water"),
            write.file(BOB, PUMP, "two", text="water"),
            write.file(CARLA, SONG, "three", text="water"),
        ]
    )
    return store


def found(store, *heeded):
    return store.search(Question("water", kinds=("file",)), heeded=frozenset(heeded))


def test_ratings_of_those_who_are_heeded_change_the_order(rated, write):
    rated.commit([write.label(DAN, WELL, 2), write.label(DAN, SONG, -1)])
    assert names(found(rated)) == ["three", "two", "one"]
    assert names(found(rated, DAN)) == ["one", "two", "three"]
    assert [hit.rating for hit in found(rated, DAN).hits] == [2, 0, -1]
    assert names(found(rated, BOB)) == ["three", "two", "one"]


def test_a_warning_puts_behind_all_others_and_is_shown(rated, write):
    block_of_two = (2).to_bytes(32, "big")
    rated.commit(
        [write.label(DAN, block_of_two, 2, "makes you ill"), write.label(DAN, CARLA, -2)]
    )
    hits = found(rated, DAN).hits
    assert [hit.record.item.name for hit in hits] == ["one", "three", "two"]
    assert hits[-1].warnings == ("makes you ill",)


def test_the_last_word_of_a_person_counts_and_many_are_averaged(rated, write):
    rated.commit([write.label(DAN, WELL, -2), write.label(DAN, WELL, 2)])
    rated.commit([write.label(BOB, WELL, 1)])
    assert found(rated, DAN).hits[0].rating == 2
    assert found(rated, DAN, BOB).hits[0].rating == 1.5


def test_many_labels_of_many_persons_are_cut(rated, write):
    persons = [bytes([n, 1]) * 16 for n in range(100)]
    rated.commit([write.label(person, WELL, 2) for person in persons])
    assert found(rated, *persons).hits[0].rating == 2


def test_a_rating_beyond_the_scale_counts_as_its_end(rated, write):
    rated.commit([write.label(DAN, WELL, 2**60)])
    assert found(rated, DAN).hits[0].rating == 2
