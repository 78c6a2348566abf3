# SPDX-License-Identifier: MIT
"""Runs CPython's own test.test_asyncio with casgi's loop in place of asyncio's selector loop.

    python tests/conformance/asyncio/cpython.py [--only test_events,test_streams] [-v]

Every module of the suite runs twice, in processes of their own: over asyncio's loop and over ours.
A test that passes over the first has to pass over the second, unless `cpython.txt` beside this
file names it, with the reason. Exit code 1 where one does not.

The suite comes with the interpreter (the package `test`; Debian calls it libpython3-testsuite).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from recorder import Comparison, arguments, exceptions, outcomes_of, run_module

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


def main() -> int:
    options = arguments(__doc__, run=4)
    if options.run:
        name, loop, pattern, results = options.run
        if loop == "casgi":
            replace_loops()
        run_module(f"test.test_asyncio.{name}", pattern, Path(results))
        return 0
    import test.test_asyncio  # type: ignore[import-untyped]

    folder = Path(test.test_asyncio.__file__).parent
    names = sorted({path.stem for path in folder.glob("test_*.py")} - LEFT_OUT)
    if options.only:
        names = options.only.split(",")
    comparison = Comparison("asyncio", exceptions("cpython.txt"), most=15)
    for name in names:
        command = [sys.executable, "-P", __file__, "--run", name]
        theirs = outcomes_of(name, [*command, "asyncio", options.pattern], {}, False)
        ours = outcomes_of(name, [*command, "casgi", options.pattern], {}, options.verbose)
        comparison.add(name, theirs, ours)
    return comparison.end()


if __name__ == "__main__":
    sys.exit(main())
