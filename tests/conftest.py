# SPDX-License-Identifier: MIT
"""What holds for every test."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

TURNS = Path(__file__).parent.parent / "build" / "tests.turns"

# Code caches of tests stay out of the user's folder; those of the cache itself name another.
os.environ.setdefault("CASGI_JS_CACHE", "off")

# A shell starts its background jobs with SIGINT ignored, and children inherit that: the tests of
# Ctrl-C, and the servers started by tests, are to see it as they would in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Has nothing run beside a test that is marked `alone`, where pytest-xdist runs several
    processes: they share a lock, which such a test takes for itself. tryfirst: what a test waits
    here is before its timeout begins."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    TURNS.parent.mkdir(exist_ok=True)
    with TURNS.open("w") as lock, Path(f"{TURNS}.next").open("w") as gate:
        # Who waits for the lock holds the gate: or those that share it would never leave it free.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)
