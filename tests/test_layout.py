"""What the folders promise: one wheel with three packages, ours alone, and imports that go down."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("meshpeer", "store", "transports")


def run(*command, cwd, **environment):
    """Run something on this Python and give what became of it."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    built = run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_three_packages_with_their_types_and_nothing_else(wheel):
    names = ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    modules = {
        str(p.relative_to(ROOT)) for top in PACKAGES for p in (ROOT / top).rglob("*.py")
    }
    assert modules <= set(names)


def test_a_program_unpacked_from_the_wheel_runs_from_there(wheel, tmp_path):
    ZipFile(wheel).extractall(tmp_path)
    asked = "import meshpeer, store, transports as t; print(meshpeer.__file__, store.__file__, t.__file__)"
    told = run("-c", asked, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert told.stdout.count(str(tmp_path)) == 3
    assert run("-m", "meshpeer", "--version", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["store", "transports"])
def test_a_strangers_package_of_our_name_is_told_by_its_path(name, tmp_path):
    stranger = tmp_path / name / "__init__.py"
    stranger.parent.mkdir()
    stranger.write_text("")
    told = run("-m", "meshpeer", "--version", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert told.returncode == 2
    assert str(stranger) in told.stderr
    assert told.stdout == ""


def test_a_packaged_script_does_not_look_into_the_folder_where_it_is_called(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "__init__.py").write_text("")
    told = run("-P", "-m", "meshpeer", "--version", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert told.returncode == 0, told.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the import rules are about."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return copy


def lint(folder):
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_import_rules_hold(checkout):
    code, said = lint(checkout)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("meshpeer/core/clock.py", "import asyncio", "The core is sans-IO"),
        ("meshpeer/core/journal.py", "import store.store", "Imports point downward only"),
        (
            "meshpeer/core/formats/cbor.py",
            "import meshpeer.core.link.link",
            "The core knows",
        ),
        (
            "meshpeer/node/writer.py",
            "import meshpeer.api.server",
            "Imports point downward only",
        ),
        ("meshpeer/sim/loop.py", "import transports.udp", "The simulation knows"),
        ("store/store.py", "import transports.udp", "Imports point downward only"),
        ("transports/udp.py", "import store.store", "Imports point downward only"),
    ],
)
def test_a_planted_violation_is_found(checkout, file, line, rule):
    place = checkout / file
    clean = place.read_text()
    place.write_text(f"{clean}\n{line}\n")
    try:
        code, said = lint(checkout)
    finally:
        place.write_text(clean)
    assert code == 1
    (broken,) = (
        told for told in said.splitlines() if told.startswith(rule) and "BROKEN" in told
    )
    assert broken.endswith("BROKEN")
