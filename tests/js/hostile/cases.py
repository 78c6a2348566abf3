# SPDX-License-Identifier: MIT
"""The list of cases, from scripts.py and from uses_calls.py and uses_lives.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import scripts
import uses_calls  # noqa: F401  (their uses register themselves)
import uses_lives  # noqa: F401
from engines import Engine
from use import USES

PATIENCE = 4.0
"""Seconds: the timeout of a case that is about another limit."""


@dataclass(frozen=True)
class Case:
    """One hostile or odd use.

    Attributes:
        group, name: what it is called; unique together.
        run: does it, and returns a value or raises.
        expected: the outcomes that are right for ours.
        profile, limits: of ours.
        fatal: V8 may end the process, with one line that names the limit.
        heavy: takes seconds or gigabytes: in the table only.
        alone: may harm other cases of the same process.
    """

    group: str
    name: str
    run: Callable[[Engine], Any]
    expected: tuple[str, ...]
    profile: str = "bare"
    limits: Mapping[str, float] = field(default_factory=dict)
    fatal: bool = False
    heavy: bool = False
    alone: bool = False

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def common(self) -> bool:
        """Whether peers can meet it: it needs nothing of Node's."""
        return self.profile == "bare"

    def accepts(self, outcome: str) -> bool:
        return outcome in self.expected


def evaluation(code: str) -> Callable[[Engine], Any]:
    return lambda engine: engine.eval(code)


def outcomes(text: str) -> tuple[str, ...]:
    return tuple(text.split(" | "))


def patience(expected: str) -> dict[str, float]:
    """A longer timeout where the case is about something else: what it is about is named first."""
    return {} if scripts.TIMEOUT in outcomes(expected)[0] else {"timeout": PATIENCE}


def all_cases() -> dict[str, Case]:
    """{id: case}, in the order of the table."""
    cases = []
    for group, entries in scripts.GROUPS.items():
        for name, code, expected in entries:
            fatal = entries is scripts.FATAL
            heavy = fatal or group == "beyond reach" or f"{group}: {name}" in scripts.HEAVY
            limits = patience(expected)
            if group == "bomb":  # a slow machine's time may be over first
                expected += f" | {scripts.TIMEOUT}"
            cases.append(
                Case(
                    group,
                    name,
                    evaluation(code),
                    outcomes(expected),
                    limits=limits,
                    fatal=fatal,
                    heavy=heavy,
                    alone=fatal,
                )
            )
    for profile, name, code, expected in scripts.NODE:
        cases.append(
            Case(
                profile,
                name,
                evaluation(code),
                outcomes(expected),
                profile=profile,
                limits=patience(expected),
            )
        )
    for group, used in USES.items():
        for entry in used:
            assert entry.run.__doc__ is not None
            name = entry.run.__doc__.splitlines()[0]
            cases.append(
                Case(
                    group,
                    name,
                    entry.run,
                    outcomes(entry.expected),
                    limits={**patience(entry.expected), **entry.limits},
                    heavy=entry.heavy,
                    alone=entry.alone,
                )
            )
    result = {case.id: case for case in cases}
    assert len(result) == len(cases), "two cases of one name"
    return result
