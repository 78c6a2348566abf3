# SPDX-License-Identifier: MIT
"""Runs CPython's own test.test_asyncio with casgi's loop in place of asyncio's selector loop.

    python tests/conformance/asyncio/cpython.py [--only test_events,test_streams] [-v]

Every module of the suite runs twice, in processes of their own: over asyncio's loop and over ours.
A test that passes over the first has to pass over the second, unless `cpython.txt` beside this
file names it, with the reason. Exit code 1 where one does not.

The suite comes with the interpreter (the package `test`; Debian calls it libpython3-testsuite).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from recorder import Comparison, exceptions, outcomes_of, write_outcomes

# Nothing in them makes a loop of ours, or they are Windows'.
LEFT_OUT = {"test_proactor_events", "test_windows_events", "test_windows_utils"}


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


def run_module(name: str, ours: bool, pattern: str, results: Path) -> None:
    """In a process of its own: runs one module of the suite."""
    if ours:
        replace_loops()
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [pattern]
    write_outcomes(loader.loadTestsFromName(f"test.test_asyncio.{name}"), results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="modules, separated by commas")
    parser.add_argument("--pattern", default="", help="of the names of tests, as unittest's -k")
    parser.add_argument("-v", "--verbose", action="store_true", help="the output over our loop")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, loop, pattern, results = options.run
        run_module(name, loop == "casgi", pattern, Path(results))
        return 0
    import test.test_asyncio  # type: ignore[import-untyped]

    folder = Path(test.test_asyncio.__file__).parent
    names = sorted({path.stem for path in folder.glob("test_*.py")} - LEFT_OUT)
    if options.only:
        names = options.only.split(",")
    comparison = Comparison("asyncio", exceptions("cpython.txt"))
    for name in names:
        command = [sys.executable, "-P", __file__, "--run", name]
        theirs = outcomes_of(name, [*command, "asyncio", options.pattern], {}, False)
        ours = outcomes_of(name, [*command, "casgi", options.pattern], {}, options.verbose)
        comparison.add(name, theirs, ours)
    return comparison.end()


if __name__ == "__main__":
    sys.exit(main())
