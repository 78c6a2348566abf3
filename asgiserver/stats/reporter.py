# SPDX-License-Identifier: MIT
"""What only a worker's own Python can say of it: garbage collection, its loop, JavaScript.

A timer of the worker's loop writes it to the worker's record twice a second. The lag is the longest
that the loop did not look for events since the last report; or how late the timer comes, where that
is more: time in which the process had no processor. A loop that is blocked writes nothing: readers
see by ``beat_at`` for how long.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import TYPE_CHECKING, Any

from .record import LOOP, Record, micros

if TYPE_CHECKING:
    from ..loop import Loop

PERIOD = 0.5
"""Seconds between two reports."""
_COARSE = 0.001
"""Seconds that a timer of libuv's, which counts in milliseconds, may be late without any lag."""


class Reporter:
    """Writes the record of this process, from start() to stop().

    Args:
        memory: the record.
        loop: the worker's loop, which runs it.
    """

    def __init__(self, memory: memoryview, loop: Loop) -> None:
        self._record = Record(memory)
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._calls_before = self._record["js_calls"]
        self._collecting_since = 0

    def start(self) -> None:
        """Begins to report."""
        gc.callbacks.append(self._on_collection)
        self._loop._take_lag()  # What starting took made nobody wait.
        self._report()
        self._wait()

    def stop(self) -> None:
        """Ends it; safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(self._on_collection)

    def _wait(self) -> None:
        self._timer = self._loop.call_later(PERIOD, self._on_time)

    def _on_time(self) -> None:
        assert self._timer is not None
        late = self._loop.time() - self._timer.when() - _COARSE
        self._report(late)
        self._wait()

    def _report(self, late: float = 0.0) -> None:
        self._record["lag"] = int(max(late, self._loop._take_lag()) * 1e6)
        seen = self._loop.stats()
        for name in LOOP:
            self._record[name] = int(seen[name])
        # Only where the application has imported it, and it never starts V8.
        jsrt = sys.modules.get("jsrt")
        if jsrt is not None:
            found = jsrt.statistics()
            self._record["js_calls"] = self._calls_before + found["calls"]
            self._record["js_isolates"] = found["isolates"]
            if found["heap_total"] or not found["isolates"]:
                # Nothing was seen of a heap whose owner is inside it just now.
                self._record["js_used"] = found["heap_used"]
                self._record["js_total"] = found["heap_total"]
                self._record["js_external"] = found["external"]
        self._record["beat_at"] = micros()

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_since = time.monotonic_ns()
            return
        self._record.add("gc_runs", info["generation"], 1)
        self._record.add("gc_micros", 0, (time.monotonic_ns() - self._collecting_since) // 1000)
