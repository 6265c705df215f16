"""Of a slow medium's air, what may be spent on calling those who were heard there.

A beacon has 50 bytes, and anybody can send one in any name. To call whom it names takes ten times
that, and each who hears it may call: so ten seconds of false beacons at 1,200 bit/s would keep a
village on the air for hours. Hence calls have a share of the air, which who is no contact can't
take from contacts. What finds no room is called when it is heard again; and being called is free.
"""

from collections.abc import Hashable
from typing import Final

from meshpeer.core.bucket import Bucket
from meshpeer.core.dialer import FOUND_TRIES
from meshpeer.core.link.path import Traits
from meshpeer.core.link.slow import is_slow

CALL: Final = 600
"""Bytes that a call takes on the air if nobody answers: three first packets."""
QUESTIONS: Final = 200
"""Bytes by which a neighbour is asked whether it is there, too."""
CONTACTS_SHARE: Final = 0.2
STRANGERS_SHARE: Final = 0.05
"""Of the air."""
CONTACTS_AT_ONCE: Final = 8 * CALL * FOUND_TRIES
"""Bytes: so many contacts are called at once, and tried again if they don't answer."""
STRANGERS_AT_ONCE: Final = 6 * CALL
"""The same of strangers, who are called once."""


class SlowCalls:
    """A budget for each slow medium, one for contacts and one for strangers."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[Hashable, bool, float], Bucket] = {}

    def may_call(self, traits: Traits, *, contact: bool, now: float) -> bool:
        """Spend what it takes to call somebody, if there is so much."""
        return self._take(traits, contact, CALL * (FOUND_TRIES if contact else 1), now)

    def may_ask(self, traits: Traits, *, contact: bool, now: float) -> bool:
        """Spend what it takes to ask a neighbour by one path more."""
        return self._take(traits, contact, QUESTIONS, now)

    def _take(self, traits: Traits, contact: bool, cost: int, now: float) -> bool:
        rate = traits.rate
        if rate is None or not is_slow(rate):
            return True
        key = traits.medium, contact, rate
        budget = self._budgets.get(key)
        if budget is None:
            share = CONTACTS_SHARE if contact else STRANGERS_SHARE
            burst = CONTACTS_AT_ONCE if contact else STRANGERS_AT_ONCE
            budget = self._budgets[key] = Bucket(
                rate=rate / 8 * share, burst=burst, now=now
            )
        return budget.take(now, cost)
