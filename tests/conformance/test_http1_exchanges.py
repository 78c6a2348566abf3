# SPDX-License-Identifier: MIT
"""More than a thousand raw HTTP/1.1 exchanges: what casgi answers, that it does not matter how the
bytes arrive, and where uvicorn differs and why.

The cases are data: http1/*.json, written by hand, and http1/families.py, one rule tried with every
byte or word that matters. http1/differences.json lists the differences from uvicorn, with reasons.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exchanges import HERE, PROBE, Case, Client, Outcome, all_cases, casgi, encode, uvicorn

CASES = all_cases()
REFUSALS = {400, 408, 413, 414, 431, 501, 505}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SPLIT_ALL = 400
"""Inputs up to this many bytes are cut at every byte; longer ones at this many places."""

pytestmark = pytest.mark.timeout(170)


def test_there_are_enough() -> None:
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 1000


def expected(case: Case) -> dict[str, Any]:
    """Fate and calls that follow from a case's statuses."""
    statuses = case["statuses"]
    refused = statuses[-1] in REFUSALS
    served = sum(status not in REFUSALS for status in statuses)
    return {
        "statuses": statuses,
        "fate": "closed" if refused or case.get("closes") else "open",
        # A body that goes wrong reaches the application as far as it was right, never to its end.
        "calls": served or (1 if refused and case.get("begins") else 0),
        "whole": served - sum("/early" in case["input"] for _ in range(served)),
    }


def test_answers() -> None:
    """Every case: statuses, what becomes of the connection, and no refused one in the app."""
    wrong = []
    with casgi() as client:
        for case in CASES:
            outcome = client.exchange(encode(case["input"]))
            seen = {
                "statuses": [status for status in outcome.statuses if status != 100],
                "fate": outcome.fate,
                "calls": outcome.calls,
                "whole": outcome.whole,
            }
            if seen != expected(case):
                wrong.append((case["name"], expected(case), seen))
    assert wrong == []


def cuts(size: int) -> list[int]:
    step = max(1, size // SPLIT_ALL)
    return list(range(1, size, step))


def visible(outcome: Outcome) -> Any:
    return outcome.raw.replace(CONTINUE, b""), outcome.fate, outcome.calls, outcome.whole


@pytest.mark.parametrize("part", range(4))
def test_split_at_every_byte(part: int, tmp_path: Path) -> None:
    """The same bytes come back wherever the input is cut in two.

    Not where the answer may leave before the rest of the input has arrived.
    """
    wrong = []
    with casgi(str(tmp_path / "s")) as client:
        for case in CASES[part::4]:
            if case["name"] == "responses: app /early leaves broken chunks":
                continue
            data = encode(case["input"])
            whole = visible(client.exchange(data))
            for cut in cuts(len(data) + len(PROBE)):
                split = visible(client.exchange(data, split=cut))
                if split != whole:
                    wrong.append((case["name"], cut, whole, split))
                    break
    assert wrong == []


class Differences:
    """differences.json: names, or beginnings of names that end in ``*``."""

    def __init__(self) -> None:
        self.patterns = [
            pattern
            for entry in json.loads((HERE / "differences.json").read_text())
            for pattern in entry["cases"]
        ]
        self.used: set[str] = set()

    def lists(self, name: str) -> bool:
        for pattern in self.patterns:
            if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                self.used.add(pattern)
                return True
        return False


def test_against_uvicorn() -> None:
    """Both servers in one run: alike but for the differences listed, and each of these is real."""
    pytest.importorskip("httptools")
    differences = Differences()
    unlisted = []
    clients: list[Client] = []
    with casgi() as ours, uvicorn() as theirs:
        clients += [ours, theirs]
        for case in CASES:
            one, two = (client.exchange(encode(case["input"])) for client in clients)
            if one.comparable() != two.comparable() and not differences.lists(case["name"]):
                unlisted.append((case["name"], one.comparable(), two.comparable()))
    assert unlisted == []
    assert set(differences.patterns) - differences.used == set()
