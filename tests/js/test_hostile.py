# SPDX-License-Identifier: MIT
"""Every hostile or odd use of tests/js/hostile, but the heavy ones: the outcome, and what follows.

The cases run in a few processes, which print what happens; a test looks at one case's lines. A
process that dies or hangs is that case's failure, and the cases behind it run in another one.
`python tests/js/hostile/table.py` runs them all, each in a process of its own, beside the peers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "hostile"))
os.environ.setdefault("CASGI_HOSTILE_HEAP", "32")  # half the table's: bombs take half the time

from cases import Case, all_cases
from engines import OURS
from table import Result, judged, run

LEFTOVERS = {"node: nextTick loop"}
"""What it has queued is Node's to go on with, so the next call may be ended for it."""
SLOWER = 6 if "CASGI_ASAN" in os.environ else 1
CASES = {name: case for name, case in all_cases().items() if not case.heavy}


def deadline(names: list[str]) -> float:
    return SLOWER * sum(20 + CASES[name].limits.get("timeout", 0) for name in names[:1]) + len(
        names
    )


def run_all(job: tuple[str, list[str]]) -> dict[tuple[str, str], Result]:
    """Runs cases of one kind, with a further process for what a death has left."""
    kind, names = job
    results: dict[tuple[str, str], Result] = {}
    while names:
        got = run(sys.executable, kind, names, deadline(names))
        results.update({(name, kind): result for name, result in got.items()})
        names = [name for name in names if (name, kind) not in results]
    return results


@pytest.fixture(scope="module")
def results() -> Iterator[dict[tuple[str, str], Result]]:
    """What came of every case."""
    jobs: list[tuple[str, list[str]]] = []
    for kind in OURS:
        groups: dict[str, list[str]] = {}
        for name, case in CASES.items():
            groups.setdefault(name if case.alone else case.group, []).append(name)
        jobs += [(kind, names) for names in groups.values()]
    with ThreadPoolExecutor(2) as pool:
        yield {key: result for got in pool.map(run_all, jobs) for key, result in got.items()}


@pytest.mark.timeout(300 * SLOWER)  # of the first test: it waits for all cases
@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outcome_and_next_call(
    case: Case, kind: str, results: dict[tuple[str, str], Result]
) -> None:
    result = results[case.id, kind]
    if case.id in LEFTOVERS and result.next.startswith("Timeout"):
        result.next = "yes"
    assert judged(case, result), f"{result}, expected {case.expected}"
