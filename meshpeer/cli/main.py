"""The command line's root."""

import click


@click.group()
def cli() -> None:
    """Write, carry and share where links come and go."""
