from hypothesis import given
from hypothesis import strategies as st

from meshpeer.core.bucket import Bucket


def test_a_full_bucket_lets_a_burst_through_and_then_its_rate():
    bucket = Bucket(rate=2.0, burst=3.0, now=0.0)
    assert [bucket.take(now=0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(now=0.5)
    assert not bucket.take(now=0.5)


def test_what_is_too_dear_uses_nothing_up():
    bucket = Bucket(rate=1.0, burst=10.0, now=0.0)
    assert not bucket.take(now=0.0, cost=11.0)
    assert bucket.take(now=0.0, cost=10.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=50))
def test_never_more_than_the_burst_and_the_rate_allow(takings):
    bucket, now, taken = Bucket(rate=2.0, burst=10.0, now=0.0), 0.0, 0.0
    for pause, cost in takings:
        now += pause
        taken += cost * bucket.take(now, cost)
        assert taken <= 10.0 + 2.0 * now + 1e-6
