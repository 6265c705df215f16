"""The table of constants in PROTOCOL.md says what the code does."""

import re
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

PROTOCOL = Path(__file__).parent.parent / "PROTOCOL.md"
PLACE = re.compile(r"`([a-z0-9_/]+)\.py` ([A-Za-z0-9_.]+)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
OURS = ("core/", "node/", "api/")


def rows():
    """Give (value, module, name) of each line of the table."""
    table = PROTOCOL.read_text().partition("\n## Constants\n")[2].partition("\n## ")[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and (place := PLACE.fullmatch(cells[2])):
            yield cells[1], place[1], place[2]


ROWS = list(rows())


def constant(file, name):
    """Give what the code has under this name; a field's default for `Class.field`."""
    module = import_module(("meshpeer/" * file.startswith(OURS) + file).replace("/", "."))
    owner, _, field = name.rpartition(".")
    return getattr(getattr(module, owner)(), field) if owner else getattr(module, name)


def numbers(text):
    return [Decimal(number.replace(",", "")) for number in NUMBER.findall(text)]


@pytest.mark.parametrize(("told", "file", "name"), ROWS, ids=lambda cell: str(cell))
def test_the_table_tells_the_value_in_the_code(told, file, name):
    value = constant(file, name)
    if isinstance(value, str):
        assert told == f"`{value}`"
    else:
        values = value if isinstance(value, tuple) else (value,)
        assert numbers(told) == [Decimal(str(value)) for value in values]


def test_each_constant_stands_in_the_table_once():
    places = [(file, name) for _, file, name in ROWS]
    assert len(places) > 100
    assert len(set(places)) == len(places)


def test_each_row_with_a_value_names_its_place():
    table = PROTOCOL.read_text().partition("\n## Constants\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len([line for line in lines if not line.startswith("| **")]) == len(ROWS)
