"""How a kind of write becomes SQL: the words that every module of tables shares."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from store.names import Names


class Statement(NamedTuple):
    """SQL and how to fill it from one write; None where it has nothing to do."""

    sql: str
    values: Callable[[Any, Names], Sequence[object] | None]


Plan: TypeAlias = Mapping[type, tuple[Statement, ...]]
"""What to run for each kind of write, in this order."""
