# SPDX-License-Identifier: MIT
"""A use of an engine from Python's side: what registers it, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engines import Engine, NotOffered, Ours

CONVERSION = "ConversionError"


@dataclass(frozen=True)
class Use:
    """One use.

    Attributes:
        run: what is done; the docstring's first line is the name.
        expected: what ours must make of it, in the form that scripts.py explains.
        heavy: not for every run of the tests.
        alone: in a process of its own.
        limits: of ours, in place of the usual ones.
    """

    run: Callable[[Engine], Any]
    expected: str
    heavy: bool
    alone: bool
    limits: Mapping[str, float]


USES: dict[str, list[Use]] = {}
"""By group, in the order in which they are defined."""


def use(
    group: str, expected: str, *, heavy: bool = False, alone: bool = False, **limits: float
) -> Callable[[Callable[[Engine], Any]], Callable[[Engine], Any]]:
    """Makes a use of a function."""

    def register(run: Callable[[Engine], Any]) -> Callable[[Engine], Any]:
        USES.setdefault(group, []).append(Use(run, expected, heavy, alone, limits))
        return run

    return register


def define_id(engine: Engine) -> None:
    engine.define("function id(x) { return x }")


def ours(engine: Engine) -> Any:
    """The context, where the case is about what only ours has."""
    if not isinstance(engine, Ours):
        raise NotOffered("not offered")
    return engine.ctx


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value
