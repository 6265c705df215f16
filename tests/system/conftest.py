"""What tests of real processes share; all of it is gone after each test."""

from contextlib import ExitStack

import pytest

from tests.namespaces import Bridge, Network, need_namespaces
from tests.system.daemon import Daemon
from tests.system.gap import Gap


@pytest.fixture
def network():
    need_namespaces()
    made = Network()
    yield made
    made.close()


@pytest.fixture
def bridge():
    need_namespaces()
    made = Bridge()
    yield made
    made.close()


@pytest.fixture
def gap(network, tmp_path):
    made = Gap(tmp_path, network)
    made.start()
    yield made
    made.close()


@pytest.fixture
def daemon(tmp_path):
    """Makes peers, not started; those that run at the end are ended."""
    with ExitStack() as stack:

        def make(name, *, folder=tmp_path, **options):
            made = Daemon(folder / name, said=tmp_path / f"{name}.stderr", **options)
            stack.callback(made.kill)
            return made

        yield make
