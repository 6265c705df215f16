"""Commands called as a person or a program does it, on a peer of a `Mesh`."""

import json

from click.testing import CliRunner

import meshpeer.cli.main as main


def call(peer, *arguments, stdin=None):
    """Run a command and give its result; stdout and stderr apart."""
    arguments = ["--state", str(peer.state.root), *arguments]
    return CliRunner().invoke(main.root, arguments, input=stdin)


def told(peer, *arguments, **more):
    """Run a command with --json and give what it says."""
    result = call(peer, *arguments, "--json", **more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
