"""`python -m benchmarks NAME [--json]`: run benchmarks/NAME.py, or all of them without a name.

Each module has `main() -> Figures`; it may print a table as it goes. Its figures end the output,
with --json as one flat JSON object on the last line.
"""

import argparse
import compileall
import importlib
import json
import os
import platform
from pathlib import Path


def machine() -> str:
    """Where the figures were measured, in one line."""
    cpu = platform.processor() or "unknown processor"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} x {cpu}, {system}, Python {platform.python_version()}"


def names() -> list[str]:
    """The benchmarks there are."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help=", ".join(names()))
    parser.add_argument("--json", action="store_true", help="figures on the last line")
    options = parser.parse_args()
    if options.name is not None and options.name not in names():
        parser.error(f"no benchmark {options.name!r}; there are {', '.join(names())}")
    # as an installation does, wherever Python was told to keep no bytecode
    for package in ("meshpeer", "store", "transports"):
        compileall.compile_dir(package, quiet=1)
    print(machine(), flush=True)
    for name in [options.name] if options.name else names():
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        figures = module.main()
        if options.json:
            print(json.dumps(figures), flush=True)
            continue
        for key, value in figures.items():
            print(f"{key:>24} {value}", flush=True)


if __name__ == "__main__":
    main()
