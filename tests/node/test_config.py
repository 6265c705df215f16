"""A wrong setting is named with what is allowed; writing one leaves the rest alone."""

import msgspec
import pytest

from meshpeer.errors import ConfigError, NotFoundError
from meshpeer.node.config import Config, get, load, parse, put, settings, template
from transports.adhoc.adhoc import Adhoc


def test_without_a_file_the_defaults_hold(tmp_path):
    assert load(tmp_path / "config.toml") == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("udp = {port = 70000}", ["udp.port", "0 to 65535"]),
        ("udp = {port = 'high'}", ["udp.port", "expected `int`", "0 to 65535"]),
        ("udp = {prot = 4711}", ["udp", "unknown field `prot`"]),
        ("nickname = ''", ["nickname", "empty"]),
        ('nickname = "a\\nb"', ["nickname"]),
        ("log_level = 'loud'", ["log_level", "error, warning, info or debug"]),
        ("queue = {bytes = 1}", ["queue.bytes", "1 MiB"]),
        ("lan = {interfaces = [1]}", ["lan.interfaces"]),
        ("[[peers]]\nid = 'x'", ["peers", "address"]),
        ("visible = yes", ["not TOML"]),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(text, words):
    with pytest.raises(ConfigError) as caught:
        parse(text, "config.toml")
    for word in ["config.toml", *words]:
        assert word in str(caught.value)


def test_the_first_file_reads_as_the_defaults_with_the_nickname():
    text = template('Ann "the" B')
    assert parse(text, "t") == msgspec.structs.replace(Config(), nickname='Ann "the" B')


def test_what_the_first_file_tells_of_radios_and_modems_can_be_used():
    told = template("ann").partition("# [transports.adhoc]")
    config = parse("".join(told[1:]).replace("# ", ""), "t")
    assert config.transports["adhoc"].keys() == {"interfaces", "serial"}
    Adhoc(**config.transports["adhoc"])


def test_setting_one_value_keeps_every_comment(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(template("ann"))
    assert put(path, "udp.port", "5000") == 5000
    assert put(path, "lan.on", "false") is False
    assert put(path, "lan.interfaces", "eth0, wlan0") == ["eth0", "wlan0"]
    assert put(path, "nickname", "7") == "7"
    config = load(path)
    assert (config.udp.port, config.lan.on, config.nickname) == (5000, False, "7")
    assert config.lan.interfaces == ["eth0", "wlan0"]
    comments = [line for line in template("ann").splitlines() if line.startswith("# ")]
    assert all(line in path.read_text() for line in comments)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_value_that_is_not_allowed_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("nickname = 'ann'\n")
    with pytest.raises(ConfigError, match="0 to 65535"):
        put(path, "udp.port", "70000")
    with pytest.raises(NotFoundError, match=r"udp\.port"):
        put(path, "udp.prot", "1")
    with pytest.raises(NotFoundError, match=r"by hand; see RADIO\.md"):
        put(path, "transports.adhoc.interfaces", "mesh0")
    assert path.read_text() == "nickname = 'ann'\n"


def test_every_setting_can_be_read_and_says_what_is_allowed():
    for key, value, description in settings(Config()):
        assert get(Config(), key) == value
        assert description
