"""Asking for a passphrase: typed unseen in a terminal, or the first line of stdin."""

import sys

import click

from meshpeer.errors import UsageError


def new_passphrase() -> str:
    """Ask twice for a passphrase that will be needed again."""
    first = passphrase("A passphrase for the file")
    if sys.stdin.isatty() and passphrase("The same again") != first:
        raise UsageError("the two differ; nothing was written")
    return first


def passphrase(prompt: str = "The passphrase of the file") -> str:
    """Ask once."""
    if sys.stdin.isatty():
        from getpass import getpass

        try:
            return getpass(f"{prompt}: ", stream=sys.stderr)
        except EOFError:
            raise click.Abort from None
    return sys.stdin.readline().rstrip("\r\n")
