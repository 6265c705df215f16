"""What the documents name is there: files, functions, commands and their options."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from meshpeer.cli.main import root

TOP = Path(__file__).parent.parent
DOCUMENTS = sorted(TOP.glob("*.md"))
LINK = re.compile(r"\]\(([^)#:]+)\)")
PLACE = re.compile(r"^\| `([\w/]+\.py)` `([\w.]+)` \|", re.MULTILINE)
ARCHITECTURE = (TOP / "ARCHITECTURE.md").read_text()
PLACES = PLACE.findall(ARCHITECTURE)
FILES = sorted(set(re.findall(r"`((?:\w+/)+\w+\.py)`", ARCHITECTURE)))
COMMAND = re.compile(
    r"^ {4}(?:\$ |sudo )?(?:meshpeer|\$\(which meshpeer\)) (?! )(.+?)(?: +#.*| < .*)?$",
    re.MULTILINE,
)
COMMANDS, ON_RADIO = (
    COMMAND.findall((TOP / name).read_text()) for name in ("README.md", "RADIO.md")
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(document):
    dead = [to for to in LINK.findall(document.read_text()) if not (TOP / to).exists()]
    assert dead == []


def defined(body, prefix=""):
    """Give the names of functions, classes, methods and constants in a module."""
    for node in body:
        match node:
            case ast.ClassDef(name=name, body=inner):
                yield prefix + name
                yield from defined(inner, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name))
            ):
                yield prefix + name


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_the_walk_through_the_code_goes_where_the_code_is(file, name):
    assert name in set(defined(ast.parse((TOP / file).read_text()).body))


def test_the_walk_is_one():
    assert len(PLACES) > 40


@pytest.mark.parametrize("file", FILES)
def test_each_file_that_is_named_is_there(file):
    assert (TOP / file).exists() or (TOP / "meshpeer" / file).exists()


@pytest.mark.parametrize("line", [*COMMANDS, *ON_RADIO])
def test_the_commands_in_the_documents_can_be_given(line):
    words = shlex.split(line)
    command: click.Command = root
    with click.Context(root) as context:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
    with click.Context(command) as context:
        command.parse_args(context, words)


def test_the_readme_shows_the_commands_of_a_first_day():
    shown = {line.split()[0] for line in COMMANDS}
    assert shown >= {
        "card",
        "add",
        "send",
        "outbox",
        "inbox",
        "read",
        "requests",
        "service",
    }
