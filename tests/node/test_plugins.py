import asyncio
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from meshpeer.core.identity.idtext import encode
from meshpeer.core.link.path import Path
from meshpeer.errors import ConfigError
from meshpeer.node.config import parse
from meshpeer.node.node import Node
from meshpeer.node.plugins import GROUP, load_transports
from meshpeer.node.state import State
from transports.interface import PathFound
from transports.memory import Hub, Memory


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """As if a package had brought the memory transport under the name `pigeon`."""
    point = EntryPoint("pigeon", "transports.memory:Memory", GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: EntryPoints([point]))


def test_a_transport_named_in_the_settings_is_made_with_its_table():
    loaded = load_transports({"pigeon": {"hub": Hub(), "address": "loft"}})
    assert isinstance(loaded["pigeon"], Memory)
    assert load_transports({}) == {}


def test_a_setting_that_it_refuses_is_an_error_of_the_file():
    config = parse("[transports.pigeon]\nloft = 7\n", "config.toml")
    with pytest.raises(ConfigError, match=r"no setting 'loft'; there are: .*address"):
        load_transports(config.transports)


def test_one_that_is_not_installed_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match="installed: pigeon"):
        load_transports({"dove": {}})


QUIET = """
[lan]
on = false
[udp]
port = 0
listen = ["127.0.0.1"]
[transports.pigeon]
"""


@pytest.fixture
def lofts(tmp_path, monkeypatch):
    """Makes nodes that have pigeons of one hub beside udp."""
    hub = Hub()

    def make(name, more=""):
        def fly(settings):
            return {"pigeon": Memory(hub, name)} if settings else {}

        monkeypatch.setattr("meshpeer.node.node.load_transports", fly)
        state = State(tmp_path / name)
        state.create()
        return Node(state, parse(QUIET + more, name))

    return make


async def linked(node, other):
    async with asyncio.timeout(5):
        while other.peer.id not in node.peer.neighbours:
            await node.next_news().wait()
    assert node.peer.neighbours[other.peer.id].link.path.transport == Memory.name


def test_two_peers_are_linked_by_a_further_transport_that_the_settings_name(lofts):
    async def story():
        bob = lofts("bob")
        peers = f'[[peers]]\nid = "{encode(bob.peer.id)}"\n'
        ann = lofts("ann", f'{peers}address = "bob"\ntransport = "{Memory.name}"\n')
        await bob.start()
        await ann.start()
        await linked(ann, bob)
        await ann.close()
        await bob.close()

    asyncio.run(story())


def test_a_transport_that_knows_who_is_there_has_them_called(lofts):
    async def story():
        ann, bob = lofts("ann"), lofts("bob")
        await ann.start()
        await bob.start()
        ann._on_path(PathFound(Path(Memory.name, "bob"), bob.peer.id))
        await linked(ann, bob)
        await ann.close()
        await bob.close()

    asyncio.run(story())


def test_a_peer_by_a_transport_that_is_not_set_up_is_an_error_of_the_file(lofts):
    async def story():
        ann = lofts("ann")
        peers = f'[[peers]]\nid = "{encode(ann.peer.id)}"\n'
        bob = lofts("bob", f'{peers}address = "ann"\ntransport = "dove"\n')
        with pytest.raises(ConfigError, match="dove"):
            await bob.start()
        await bob.close()
        await ann.start()
        await ann.close()

    asyncio.run(story())
