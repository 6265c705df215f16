"""What ARCHITECTURE.md points to is there."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
STEPS = re.findall(r"^\| `([\w/]+)\.py` `([\w.]+)` \|", TEXT, re.MULTILINE)
FILES = set(re.findall(r"`((?:\w+/)+\w+\.py)`", TEXT))


def test_the_walk_is_read():
    assert len(STEPS) > 40


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_each_step_of_the_walk_names_code_that_exists(file, name):
    module = import_module(file.replace("/", "."))
    assert reduce(getattr, name.split("."), module)


@pytest.mark.parametrize("file", sorted(FILES))
def test_each_file_that_is_named_exists(file):
    assert (ROOT / file).exists() or (ROOT / "meshpeer" / file).exists()
