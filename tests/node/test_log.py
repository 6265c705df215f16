"""The log tells what happened and never what was written."""

import json
import logging
from pathlib import Path

import pytest

from meshpeer.errors import StoreError
from meshpeer.node import log


@pytest.fixture
def start(tmp_path):
    path = tmp_path / "meshpeer.log"

    def start():
        log.start(path, "warning", foreground=True)
        return lambda: [json.loads(line) for line in path.read_text().splitlines()]

    yield start
    log.stop()


def test_a_line_is_one_json_object_with_its_fields(start, capsys):
    lines = start()
    logger = logging.getLogger("meshpeer.node.links")
    logger.info("not shown")
    logger.warning("link down", extra={"peer": b"\x01\x02", "after_s": 3})
    (line,) = lines()
    assert (line["event"], line["peer"], line["after_s"]) == ("link down", "0102", 3)
    assert (line["level"], line["where"]) == ("warning", "meshpeer.node.links")
    assert capsys.readouterr().err == 'warning: link down (peer "0102", after_s 3)\n'


def test_an_exception_leaves_its_places_but_not_its_text(start, capsys):
    lines = start()
    try:
        raise ValueError("the secret text")
    except ValueError:
        logging.getLogger("meshpeer").exception("fault")
    try:
        raise StoreError("disk says no")
    except StoreError:
        logging.getLogger("meshpeer").exception("store")
    fault, store = lines()
    assert fault["error"] == "ValueError"
    assert "test_log.py" in fault["at"][0]
    assert store["text"] == "disk says no"
    assert "secret" not in str(lines()) + capsys.readouterr().err


def test_a_full_disk_costs_the_line_in_the_file_and_nothing_else(capsys):
    log.start(Path("/dev/full"), "warning", foreground=True)
    logging.getLogger("meshpeer").warning("the disk refuses")
    assert capsys.readouterr().err == "warning: the disk refuses\n"
    log.stop()
