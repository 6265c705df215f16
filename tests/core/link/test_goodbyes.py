"""The last words of a closed link."""

from meshpeer.core.link.goodbyes import GOODBYE_TIME, GOODBYES, Goodbyes


def test_a_flood_to_a_closed_link_gets_ever_fewer_answers():
    goodbyes = Goodbyes()
    goodbyes.remember(b"link", b"bye", now=0.0)
    answers = [goodbyes.answer(b"link") for _ in range(100)]
    answered = [number for number, words in enumerate(answers, 1) if words == b"bye"]
    assert answered == [1, 2, 4, 8, 16, 32, 64]


def test_words_are_forgotten_in_time_and_the_oldest_when_there_are_many():
    goodbyes = Goodbyes()
    for number in range(GOODBYES + 1):
        goodbyes.remember(bytes((number,)), b"bye", now=float(number))
    assert goodbyes.answer(bytes((0,))) is None
    assert goodbyes.answer(bytes((1,))) == b"bye"
    assert goodbyes.next_expiry() == 1.0 + GOODBYE_TIME
    goodbyes.expire(now=GOODBYES + GOODBYE_TIME)
    assert goodbyes.next_expiry() is None
