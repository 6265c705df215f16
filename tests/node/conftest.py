"""What stories about devices and backups have in common."""

import pytest

from meshpeer.node import vault
from tests.node.machines import Machine


@pytest.fixture
def quick(monkeypatch):
    """A passphrase that is quick to try: the strength is measured elsewhere."""
    monkeypatch.setattr(vault, "PASSES", 1)
    monkeypatch.setattr(vault, "MEMORY_LOG", 10)


@pytest.fixture
def machine(tmp_path):
    """Makes machines, each on a folder of this name."""
    made = []

    def make(name, nickname="ann"):
        made.append(Machine(tmp_path / name, nickname))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def pair(machine):
    """A laptop that has the key, and a phone that joined."""
    laptop, phone = machine("laptop"), machine("phone", "my phone")
    laptop.add(phone)
    return laptop, phone
