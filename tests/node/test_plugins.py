from importlib.metadata import EntryPoint, EntryPoints

import pytest

from meshpeer.errors import ConfigError
from meshpeer.node import plugins
from meshpeer.node.config import parse
from meshpeer.node.plugins import GROUP, load_transports
from transports.memory import Hub, Memory


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """As if a package had brought the memory transport under the name `pigeon`."""
    point = EntryPoint("pigeon", "transports.memory:Memory", GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([point]))


def test_a_transport_named_in_the_settings_is_made_with_its_table():
    loaded = load_transports({"pigeon": {"hub": Hub(), "address": "loft"}})
    assert isinstance(loaded["pigeon"], Memory)
    assert load_transports({}) == {}


def test_a_setting_that_it_refuses_is_an_error_of_the_file():
    config = parse("[transports.pigeon]\nloft = 7\n", "config.toml")
    with pytest.raises(ConfigError, match="pigeon"):
        load_transports(config.transports)


def test_one_that_is_not_installed_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match="installed: pigeon"):
        load_transports({"dove": {}})
