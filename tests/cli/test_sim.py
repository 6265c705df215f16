"""The simulation from the command line: files in, figures out, made-up worlds kept."""

import json

from click.testing import CliRunner

from meshpeer.cli.main import root


def call(*arguments):
    return CliRunner().invoke(root, ["sim", *map(str, arguments)])


def test_two_who_meet_deliver(tmp_path):
    (tmp_path / "c.csv").write_text("start_s,end_s,a,b\n10,60,1,2\n100,160,2,3\n")
    (tmp_path / "w.csv").write_text(
        "created_s,src,dst,size_bytes,ttl_s,id\n5,1,3,1000,1000,m\n"
    )
    arguments = [tmp_path / "c.csv", "--workload", tmp_path / "w.csv"]
    figures = json.loads(call(*arguments, "--json").stdout)
    assert (figures["delivered"], figures["messages"]) == (1, 1)
    shown = call(*arguments)
    assert shown.stdout.startswith("delivered")
    assert "simulating" in shown.stderr


def test_contacts_without_a_workload_are_asked_wrongly(tmp_path):
    assert call(tmp_path / "c.csv").exit_code == 2
    assert call("--rate", 0).exit_code == 2
