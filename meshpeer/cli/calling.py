"""How the person at this terminal can call the command: what we print must work when copied."""

import os
import shutil
import sys
from pathlib import Path


def meshpeer() -> str:
    """Give `meshpeer` if that finds this installation, else the path of its script."""
    script = Path(sys.executable).with_name("meshpeer")
    found = shutil.which("meshpeer")
    if not script.exists() or (found and Path(found).resolve() == script.resolve()):
        return "meshpeer"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)
