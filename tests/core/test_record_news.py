"""The history of a peer is short: what others may add to it."""

import json

import pytest

from meshpeer.core.chains.events import Held
from meshpeer.core.formats.record import File, Post, Withdraw
from meshpeer.core.journal import Journal
from meshpeer.core.record_news import RecordNews
from meshpeer.core.sync.allowance import NEWS_BURST, NEWS_PER_S

ANN, BOB, EVE, MALLORY = (bytes([n]) * 32 for n in range(4))


class Archive:
    """Holds the body of one block."""

    def __init__(self, body=None):
        self.held = body

    def body(self, id):
        return self.held


@pytest.fixture
def told():
    return []


def news_of(told, archive=None):
    journal = Journal()
    news = RecordNews(
        archive or Archive(), journal, told.append, lambda person: person in (EVE, MALLORY)
    )
    return news, journal


def held(person, record=None, *, fresh=True, here=False, at=0.0):
    record = record or Post("hello")
    return Held(bytes(32), person, bytes(32), bytes(16), 1, 1, record, fresh, here, at)


def count(news, person, **how):
    return sum(len(news.beside_block(held(person, **how))) for _ in range(1_000))


def test_a_thousand_posts_of_one_person_push_little_out(told):
    news, _ = news_of(told)
    assert count(news, ANN) == NEWS_BURST
    (event,) = news.beside_block(held(BOB))
    assert json.loads(event.body)["author"] == BOB.hex()
    assert count(news, ANN, at=3_600.0) == pytest.approx(3_600 * NEWS_PER_S, abs=1)


def test_whom_only_contacts_follow_push_out_no_more_than_one(told):
    news, _ = news_of(told)
    assert count(news, EVE) + count(news, MALLORY) == NEWS_BURST
    assert count(news, ANN) == NEWS_BURST


def test_what_is_published_here_is_always_told(told):
    news, _ = news_of(told)
    count(news, ANN)
    assert count(news, ANN, here=True) == 1_000


@pytest.mark.parametrize("fresh", [False, True])
def test_a_withdrawal_stops_the_giving_of_a_file_whenever_it_comes(told, fresh):
    """A neighbour that brings the block above it first makes history of it."""
    archive = Archive(File(b"f" * 32, 3, "name").to_bytes())
    news, journal = news_of(told, archive)
    count(news, ANN)
    news.beside_block(held(ANN, Withdraw(bytes(32)), fresh=fresh))
    journal.take()
    journal.committed(0.0)
    assert [event.file for event in told] == [b"f" * 32]
