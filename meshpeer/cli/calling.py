"""How the command can be called: by the person at this terminal, and by other programs.

What we print must work when copied.
"""

import os
import shutil
import sys
from pathlib import Path

from meshpeer.node.state import State


def meshpeer() -> str:
    """Give `meshpeer` if that finds this installation, else the path of its script."""
    script = Path(sys.executable).with_name("meshpeer")
    found = shutil.which("meshpeer")
    if not script.exists() or (found and Path(found).resolve() == script.resolve()):
        return "meshpeer"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)


def run_command(state: State) -> list[str]:
    """Give the command line that runs the peer of this folder, wherever it is called."""
    return [sys.executable, "-P", "-m", "meshpeer", "run", "--state", str(state.root)]
