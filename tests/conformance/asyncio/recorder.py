# SPDX-License-Identifier: MIT
"""What the runners of foreign test suites have in common: outcomes by name, a process a module."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

TIMEOUT = 600
HERE = Path(__file__).resolve().parent


class Recorder(unittest.TextTestResult):
    """Keeps the outcome of every test by its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, str] = {}

    def record(self, test: unittest.TestCase, outcome: str) -> None:
        self.outcomes[test.id().removeprefix("test.test_asyncio.").removeprefix("tests.")] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.record(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.record(test, "failed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.record(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record(test, "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.record(test, "skipped")


def write_outcomes(suite: unittest.TestSuite, results: Path) -> None:
    """In a process of its own: runs a suite and writes the outcomes of its tests."""
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Recorder)
    outcomes: dict[str, str] = runner.run(suite).outcomes  # type: ignore[attr-defined]
    results.write_text(json.dumps(outcomes))


def arguments(description: str | None, run: int) -> argparse.Namespace:
    """The runners' command line. run: how many values --run has, which is for their children."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="modules, separated by commas")
    parser.add_argument("--pattern", default="", help="of the names of tests, as unittest's -k")
    parser.add_argument("-v", "--verbose", action="store_true", help="the output over our loop")
    parser.add_argument("--run", nargs=run, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_module(name: str, pattern: str, results: Path) -> None:
    """In a process of its own: runs one module of tests and writes the outcomes."""
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [pattern]
    write_outcomes(loader.loadTestsFromName(name), results)


def outcomes_of(
    name: str, command: list[str], environment: dict[str, str], verbose: bool
) -> dict[str, str]:
    """Runs a command that ends in write_outcomes(), its last argument the file.

    Returns:
        The outcomes by the names of the tests; one failure where there is no file.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "outcomes.json"
        try:
            done = subprocess.run(
                [*command, str(results)],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            )
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as exc:
            output, code = exc.stdout or b"", -1
        text = output.decode(errors="replace")
        if verbose:
            print(text)
        if not results.exists():
            print(
                f"{name}: ended with {code} and no results:", *text.splitlines()[-30:], sep="\n  "
            )
            return {f"{name}.(all)": "failed"}
        found: dict[str, str] = json.loads(results.read_text())
        return found


def exceptions(name: str) -> dict[str, str]:
    """What is expected to fail, with the reasons, from a file beside this one."""
    pairs = (
        line.partition(":")
        for line in (HERE / name).read_text().splitlines()
        if line and not line.startswith("#")
    )
    return {test.strip(): reason.strip() for test, _, reason in pairs}


class Comparison:
    """Two runs of the same modules beside each other, printed as they come.

    Args:
        theirs: the name of the other loop.
        known: the tests that may fail over ours alone, with the reasons.
        most: how many of these there may be.
    """

    def __init__(self, theirs: str, known: dict[str, str], most: int) -> None:
        self.theirs, self.known, self.most = theirs, known, most
        self.runs: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.bad = 0

    def add(self, name: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
        counts = [sum(o == "passed" for o in run.values()) for run in (theirs, ours)]
        for run, outcomes in zip(self.runs, (theirs, ours), strict=True):
            run.update(outcomes)
        print(f"{name:24} passed over {self.theirs} {counts[0]:5}, over casgi {counts[1]:5}")
        for test, outcome in sorted(theirs.items()):
            ours_outcome = ours.get(test, "not run")
            if outcome == "passed" and ours_outcome != "passed":
                reason = self.known.get(test)
                self.bad += reason is None
                print(f"    {ours_outcome:8}{test}: {reason or 'UNEXPECTED'}")
        sys.stdout.flush()

    def end(self) -> int:
        """Prints the sums, as rows of a table. Returns the exit code."""
        print(f"\n| Python {sys.version.split()[0]} | tests | passed | failed | skipped |")
        print("|---|---|---|---|---|")
        for name, run in zip((self.theirs, "casgi"), self.runs, strict=True):
            counts = [
                sum(o == outcome for o in run.values())
                for outcome in ("passed", "failed", "skipped")
            ]
            print(f"| over {name} | {len(run)} | " + " | ".join(map(str, counts)) + " |")
        theirs, ours = self.runs
        used = [
            test
            for test in self.known
            if theirs.get(test) == "passed" and ours.get(test) != "passed"
        ]
        print(
            f"exceptions: {len(self.known)} listed of at most {self.most}, {len(used)} of them "
            f"needed here; unexpected: {self.bad}"
        )
        return 1 if self.bad or len(self.known) > self.most else 0
