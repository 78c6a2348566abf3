# SPDX-License-Identifier: MIT
"""Where figures are kept: a record for each worker, and the supervisor's own.

Both lie in memory shared by all processes, as unsigned 64-bit numbers with one writer each. What a
record holds is the table in core/net/stats.h. Counters are never set back: a worker that gets the
record of a dead one goes on from its figures, so that sums over all records only grow, whoever
reads them and when.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterable, Iterator

from .. import _core
from ..vitals import LINE, PULSE, Pulses

STATES = ("starting", "ready", "draining")
"""Of a worker, and of the server as a whole."""
READY = STATES.index("ready")

LOOP = ("turns", "callbacks", "polls", "handles", "timers")
"""What a worker's record has of loop.stats(), under the same names."""
GAUGES = ("connections", "tasks", "websockets", "beat_at", "lag", *LOOP)
JS_GAUGES = ("js_used", "js_total", "js_external", "js_isolates")

_SPANS: dict[str, slice] = {}
_end = 0
for _name, _count in _core.stats_layout:
    _SPANS[_name] = slice(_end, _end + _count)
    _end += _count
WORDS = _end
assert WORDS * 8 <= LINE - PULSE

BUCKETS = _SPANS["durations"].stop - _SPANS["durations"].start


def bucket_start(bucket: int) -> int:
    """The least number of microseconds that a bucket of ``durations`` counts."""
    return bucket if bucket < 4 else (4 + bucket % 4) << (bucket // 4 - 1)


def micros() -> int:
    """The clock of ``since`` and ``beat_at``."""
    return time.monotonic_ns() // 1000


class Record:
    """One worker's figures.

    Args:
        memory: the record, as Pulses.record() gives it.
    """

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[: WORDS * 8].cast("Q")

    def __getitem__(self, name: str) -> int:
        value: int = self._words[_SPANS[name].start]
        return value

    def __setitem__(self, name: str, value: int) -> None:
        self._words[_SPANS[name].start] = value

    def all(self, name: str) -> list[int]:
        """Every number of a field that has several."""
        return self._words[_SPANS[name]].tolist()

    def add(self, name: str, index: int, more: int) -> None:
        """Adds to one number of a field."""
        self._words[_SPANS[name].start + index] += more

    def clear(self) -> None:
        """Nobody has it now."""
        for name in ("pid", *GAUGES, *JS_GAUGES):
            self[name] = 0
        self["answered"] = sum(self.all("durations"))


class Board:
    """All records, and what the supervisor says of the whole.

    Args:
        pulses: the shared memory.
    """

    _HEAD = ("pid", "state", "wanted", "since", "starts", "crashes", "blocked", "records")

    def __init__(self, pulses: Pulses) -> None:
        self._pulses = pulses
        self._memory = mmap.mmap(-1, len(self._HEAD) * 8)
        self._head = memoryview(self._memory).cast("Q")
        self._records: list[Record] = []
        self._shown: dict[int, int] = {}
        self.put(pid=os.getpid(), since=micros())

    def __getitem__(self, name: str) -> int:
        return self._head[self._HEAD.index(name)]

    def put(self, **values: int) -> None:
        """Sets numbers of the supervisor's: its pid and state, how many workers it wants, when it
        was started, and how many workers were started, have died and were blocked."""
        for name, value in values.items():
            self._head[self._HEAD.index(name)] = value

    def __iter__(self) -> Iterator[Record]:
        """The records that were ever in use."""
        count = self["records"]
        while len(self._records) < count:
            self._records.append(Record(self._pulses.record(len(self._records))))
        return iter(self._records[:count])

    def prepare(self, line: int) -> memoryview:
        """The record of a line, empty of its last worker, for a new one."""
        memory = self._pulses.record(line)
        Record(memory).clear()
        self.put(records=max(self["records"], line + 1))
        return memory

    def show(self, workers: Iterable[tuple[int, int, str, int, int]]) -> None:
        """The workers there are: line, pid, state, slot, and when started, in microseconds. Who
        was shown before and is not among them has ended."""
        gone = self._shown
        self._shown = {}
        for line, pid, state, slot, since in workers:
            record = Record(self._pulses.record(line))
            if gone.pop(line, 0) != pid:
                self.put(starts=self["starts"] + 1)
            record["state"], record["slot"] = STATES.index(state), slot
            record["since"] = since
            record["pid"] = pid
            self._shown[line] = pid
        for line in gone:
            Record(self._pulses.record(line)).clear()
