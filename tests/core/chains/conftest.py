"""Stories are told over a small disk in memory and over the real store."""

import pytest

from tests.core.chains import village


@pytest.fixture(scope="module", params=[village.Disk, village.StoreDisk])
def disk(request):
    """What a Peer has, unless it is given another."""
    village.Peer.disk_type = request.param
    yield request.param
    village.Peer.disk_type = village.Disk


@pytest.fixture
def ann():
    """Somebody with two devices."""
    return village.Person("ann", devices=2)


@pytest.fixture
def bob(ann):
    """A peer whose person knows Ann."""
    bob = village.Peer("bob")
    bob.knows(ann)
    return bob
