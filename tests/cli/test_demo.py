"""The demo is itself a test: three processes, and exit code 0 only if the message crossed."""

import json

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root


@pytest.mark.system
def test_the_message_and_its_receipt_cross_the_gap():
    result = CliRunner().invoke(root, ["demo", "--json"])
    *steps, verdict = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 0, result.stdout
    assert verdict["crossed"]
    assert verdict["seconds"] < 30
    told = "\n".join(step["what"] for step in steps)
    places = [
        told.index(word) for word in ("queued here", "carried by", "reads:", "arrived")
    ]
    assert places == sorted(places)


@pytest.mark.system
def test_a_peer_that_can_not_start_fails_the_demo(monkeypatch):
    monkeypatch.setattr("meshpeer.cli.demo._settle", lambda folder, name: broken(folder))
    result = CliRunner().invoke(root, ["demo"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("FAILED")


def broken(folder):
    from meshpeer.cli.local import make_state
    from meshpeer.node.state import State

    state = State(folder)
    make_state(state, "x")
    state.config.write_text("nonsense = 1\n")
    return state
