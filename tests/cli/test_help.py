"""Every command explains itself, with an example and --json; none costs another's imports."""

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import meshpeer
from meshpeer.cli.main import COMMANDS, root
from meshpeer.cli.service import unit

PROJECT = Path(__file__).parents[2]


def leaves(group, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(leaves(root)), ids=" ".join)
def test_help_has_a_sentence_an_example_and_json(path):
    shown = CliRunner().invoke(root, [*path, "--help"]).stdout
    assert f"meshpeer {' '.join(path)}" in shown.partition("Example:")[2]
    assert "--json" in shown
    assert shown.split("\n\n")[1].rstrip().endswith(".")


def test_the_commands_of_the_issues_are_there():
    wanted = (
        "init run id card add contacts send inbox read delete outbox requests recall peers"
    )
    wanted += " status service queue check config log sim demo"
    wanted += " post timeline record withdraw follow unfollow profile label heed unheed"
    wanted += " publish unpublish get fetches files file mirror unmirror"
    wanted += " search searches also device backup restore radio capture"
    assert set(wanted.split()) == set(COMMANDS)


def test_a_command_for_the_running_peer_imports_nothing_heavy():
    script = (
        "import sys; from meshpeer.__main__ import check_packages; check_packages();"
        "from meshpeer.cli.main import root;"
        "root(['status', '--state', '/nonexistent'], standalone_mode=False);"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    heavy = {
        "aiohttp",
        "msgspec",
        "cryptography",
        "sqlite3",
        "sqlite_utils",
        "asyncio",
        "nacl",
    }
    assert "meshpeer.cli.client" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_h_is_help_everywhere():
    for path in ([], ["send"], ["peers"], ["peers", "add"]):
        short, long = (
            CliRunner().invoke(root, [*path, o]).stdout for o in ("-h", "--help")
        )
        assert short == long != ""


def test_an_unknown_command_is_asked_wrongly():
    assert CliRunner().invoke(root, ["sned"]).exit_code == 2


def test_the_version_is_the_package_s():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert meshpeer.__version__ == project["version"]


def test_a_path_with_spaces_and_percents_survives_in_the_unit():
    assert "'/a b/100%%'" in unit(["/a b/100%"])
