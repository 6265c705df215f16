"""Two persons who write to each other with nothing between them but bundles."""

from random import Random

from meshpeer.core.formats.bundle import Bundle
from meshpeer.core.formats.card import Card
from meshpeer.core.identity.certificate import Certificate
from meshpeer.core.identity.keys import DeviceKey, PersonKey
from meshpeer.core.identity.noise import KeyPair
from meshpeer.core.journal import Journal
from meshpeer.core.mail.draft import Draft
from meshpeer.core.mail.mail import Mail, Restored
from meshpeer.core.mail.people import Own, People
from meshpeer.core.sync.account import Account, Kind
from meshpeer.core.sync.verdict import Verdict
from store.restore import restore_mail
from store.store import Store

HOUR = 3600
NEIGHBOUR = Account(Kind.CONTACT, "the one who brings it")


class Person:
    """A mail with a real store behind it."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.rng = Random(f"{name}{seed}").randbytes
        self.key = PersonKey.generate(self.rng)
        self.device, self.sealing = DeviceKey.generate(self.rng), KeyPair.generate(self.rng)
        peer = KeyPair.generate(self.rng).public
        self.card = Card.sign(
            self.key,
            number=1,
            nickname=name,
            devices=[Certificate(self.device.public, self.sealing.public, peer)],
        )
        self.store = Store(":memory:")
        self.start(Restored())

    def start(self, restored: Restored) -> None:
        self.journal = Journal()
        self.own = Own(self.card, self.device, self.sealing)
        self.mail = Mail(
            people=People([self.own], self.store.contacts()),
            journal=self.journal,
            rng=self.rng,
            wall=lambda: 1_800_000_000.0,
            archive=self.store,
            restored=restored,
        )

    def restart(self, now: float) -> None:
        """Forget all that is not on the disk."""
        self.start(restore_mail(self.store, now))

    def commit(self, now: float = 0.0) -> None:
        while (batch := self.journal.take()) is not None:
            self.store.commit(batch)
            self.journal.committed(now)

    def knows(self, other: "Person") -> None:
        self.journal.add(self.mail.people.accept(other.card, None, wall=0))

    def writes(self, other: "Person", text: str, now: float = 0.0, **how: object) -> Bundle:
        contact = self.mail.people.get(other.key.public)
        assert contact is not None
        _, (bundle,) = self.mail.outbox.compose(self.own, contact, Draft(text, **how), now)
        self.commit(now)
        return bundle

    def receives(self, bundle: Bundle, now: float = 0.0) -> Verdict:
        verdict = self.mail.inbox.receive(bundle, NEIGHBOUR, now)
        self.commit(now)
        return verdict

    def told(self, kind: str) -> list[str]:
        return [row.body for row in self.store.events_after(0, 1_000) if row.kind == kind]


def introduced(seed: int = 0) -> tuple[Person, Person]:
    """Two who hold each other's card and know it."""
    alice, bob = Person("alice", seed), Person("bob", seed)
    for one, other in ((alice, bob), (bob, alice)):
        one.knows(other)
        one.journal.add(one.mail.people.introduce(other.key.public))
        one.commit()
    return alice, bob
