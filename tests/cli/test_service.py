"""The service on a machine whose systemd can't be reached, or isn't there."""

import pytest
from click.testing import CliRunner

from meshpeer.cli.main import root


@pytest.fixture
def unit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "config" / "systemd" / "user" / "meshpeer.service"


def systemctl(folder):
    program = folder / "systemctl"
    program.write_text(
        "#!/bin/sh\necho Failed to connect to bus: No medium found >&2\nexit 1\n"
    )
    program.chmod(0o755)


def test_without_systemd_it_says_where_the_unit_is(unit):
    result = CliRunner().invoke(root, ["service", "install"])
    assert result.exit_code == 1
    assert str(unit) in result.stderr


def test_a_service_that_could_not_start_tells_the_way_out_and_is_removed(unit, tmp_path):
    systemctl(tmp_path)
    refused = CliRunner().invoke(root, ["service", "install"])
    assert refused.exit_code == 1
    assert "not by su or sudo" in refused.stderr
    assert unit.exists()
    removed = CliRunner().invoke(root, ["service", "remove"])
    assert (removed.exit_code, removed.stdout) == (0, f"removed {unit}\n")
    assert not unit.exists()
