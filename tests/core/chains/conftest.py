"""Stories are told over a small disk in memory and over the real store."""

import pytest

from tests.core.chains import village


@pytest.fixture(scope="module", params=[village.Disk, village.StoreDisk])
def disk(request):
    """What a Peer has, unless it is given another."""
    village.Peer.disk_type = request.param
    yield request.param
    village.Peer.disk_type = village.Disk
