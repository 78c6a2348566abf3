# SPDX-License-Identifier: MIT
"""Runs CPython's own test.test_asyncio with casgi's loop in place of asyncio's selector loop.

    python tests/conformance/asyncio/cpython.py [--only test_events,test_streams] [-v]

Every module of the suite runs twice, in processes of their own: over asyncio's loop and over ours.
A test that passes over the first has to pass over the second, unless `exceptions.txt` beside this
file names it, with the reason. Exit code 1 where one does not.

The suite comes with the interpreter (the package `test`; Debian calls it libpython3-testsuite).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Nothing in them makes a loop of ours, or they are Windows'.
LEFT_OUT = {"test_proactor_events", "test_windows_events", "test_windows_utils"}
TIMEOUT = 600


def replace_loops() -> None:
    """Puts our loop wherever asyncio and its tests find the selector loop."""
    import asyncio.unix_events as unix_events

    from asgiserver.loop import Loop

    class SelectorEventLoop(Loop):
        """Takes the selector that tests give to asyncio's loop, and has no use for it."""

        def __init__(self, selector: Any = None) -> None:
            if selector is not None:
                selector.close()
            super().__init__()

    modules: list[Any] = [asyncio, unix_events]
    for module in modules:
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, SelectorEventLoop)
    policy: Any = unix_events._UnixDefaultEventLoopPolicy  # type: ignore[attr-defined]
    policy._loop_factory = SelectorEventLoop


class Recorder(unittest.TextTestResult):
    """Keeps the outcome of every test by its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, str] = {}

    def record(self, test: unittest.TestCase, outcome: str) -> None:
        self.outcomes[test.id().removeprefix("test.test_asyncio.")] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.record(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self.record(test, "failed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self.record(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record(test, "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.record(test, "skipped")


def run_module(name: str, ours: bool, results: Path, pattern: str) -> None:
    """In a process of its own: runs one module and writes its outcomes."""
    if ours:
        replace_loops()
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [pattern]
    suite = loader.loadTestsFromName(f"test.test_asyncio.{name}")
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Recorder)
    results.write_text(json.dumps(runner.run(suite).outcomes))  # type: ignore[attr-defined]


def outcomes_of(name: str, ours: bool, verbose: bool, pattern: str) -> dict[str, str]:
    log = Path(os.environ.get("TMPDIR", "/tmp")) / f"asyncio-{os.getpid()}-{name}.json"
    command = [sys.executable, "-P", __file__, "--module", name, "--results", str(log)]
    command += ["--ours"] if ours else []
    command += ["--pattern", pattern] if pattern else []
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT
        )
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as exc:
        output, code = exc.stdout or b"", -1
    if verbose and ours:
        sys.stdout.write(output.decode(errors="replace"))
    if not log.exists():
        tail = output.decode(errors="replace").splitlines()[-30:]
        print(f"{name}: ended with {code} and no results:", *tail, sep="\n  ")
        return {f"{name}.(all)": "failed"}
    found: dict[str, str] = json.loads(log.read_text())
    log.unlink()
    return found


def exceptions() -> dict[str, str]:
    """What is expected to fail, with the reason."""
    pairs = (
        line.partition(":")
        for line in (HERE / "exceptions.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    return {name.strip(): reason.strip() for name, _, reason in pairs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="modules, separated by commas")
    parser.add_argument("--pattern", default="", help="of the names of tests, as unittest's -k")
    parser.add_argument("-v", "--verbose", action="store_true", help="the output over our loop")
    parser.add_argument("--module", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.module:
        run_module(options.module, options.ours, options.results, options.pattern)
        return 0
    import test.test_asyncio  # type: ignore[import-untyped]

    folder = Path(test.test_asyncio.__file__).parent
    names = sorted(path.stem for path in folder.glob("test_*.py"))
    if options.only:
        names = options.only.split(",")
    known = exceptions()
    totals = {"theirs": 0, "ours": 0}
    bad = 0
    for name in names:
        if name in LEFT_OUT:
            continue
        theirs = outcomes_of(name, False, False, options.pattern)
        ours = outcomes_of(name, True, options.verbose, options.pattern)
        counts = [sum(o == "passed" for o in run.values()) for run in (theirs, ours)]
        totals["theirs"] += counts[0]
        totals["ours"] += counts[1]
        print(f"{name:24} passed over asyncio's loop {counts[0]:5}, over casgi's {counts[1]:5}")
        for test_name, outcome in sorted(ours.items()):
            if outcome == "failed" and theirs.get(test_name) != "failed":
                reason = known.get(test_name)
                bad += reason is None
                print(f"    {'known ' if reason else 'FAILED'} {test_name} {reason or ''}")
        for test_name in sorted(theirs.keys() - ours.keys()):
            bad += 1
            print(f"    NOT RUN {test_name}")
        sys.stdout.flush()
    print(f"Python {sys.version.split()[0]}: {totals}, unexpected failures: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
