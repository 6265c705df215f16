"""Start here: check that the three packages belong together, then hand over to the commands."""

import sys
from importlib import import_module


def check_packages() -> None:
    """Exit 2 with the stranger's path if `store` or `transports` is somebody else's package."""
    for name in ("store", "transports"):
        module = import_module(name)
        if getattr(module, "OWNER", None) != "meshpeer":
            print(
                f"meshpeer: the package `{name}` at {module.__file__} is not meshpeer's own.\n"
                "Install meshpeer into an environment of its own: pipx install meshpeer",
                file=sys.stderr,
            )
            raise SystemExit(2)


def main() -> None:
    """Run the command line."""
    check_packages()
    from meshpeer.cli.main import cli  # only now: cli imports from both packages

    cli()


if __name__ == "__main__":
    main()
