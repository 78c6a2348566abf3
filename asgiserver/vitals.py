# SPDX-License-Identifier: MIT
"""How a supervisor sees that its workers are well, without asking them.

Every worker's event loop writes its pulse to a line of shared memory (core/loop/pulse.h): no
thread, no message, and no GIL, so a worker whose GIL is busy is not taken for a dead one. Behind
the pulse the line has room for the worker's figures (stats/). Resident memory is read from /proc.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct

LINE = 4096
"""Bytes from one pulse to the next: a page, which costs nothing until somebody writes to it."""
LINES = 1024
PULSE = 64
"""Bytes of a line that are the pulse's: a cache line."""

POLLING, RUNNING, WAITING = range(3)

DUMP_SIGNAL = signal.SIGRTMIN + 5
"""Has a worker write its threads' stacks. No application is likely to have taken it."""

_PULSE = struct.Struct("=QQ")
_PAGE = os.sysconf("SC_PAGE_SIZE")


ABSENT = b"\xff\xff\xff\xff"
"""For a number of connections: the worker accepts none."""


class Pulses:
    """The shared memory, and beside it the table of connections.

    Attributes:
        loads: how many connections each worker has, four bytes a line, for the workers themselves
            (core/net/balance.h).
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, LINE * LINES)
        self.loads = mmap.mmap(-1, len(ABSENT) * LINES)
        self.loads[:] = ABSENT * LINES
        self._free = list(reversed(range(LINES)))

    def take(self) -> int | None:
        """The number of a line for a new worker; None: there are too many."""
        if not self._free:
            return None
        line = self._free.pop()
        self._memory[line * LINE : line * LINE + PULSE] = bytes(PULSE)
        return line

    def give_back(self, line: int | None) -> None:
        """The worker has ended."""
        if line is not None:
            self.loads[line * len(ABSENT) : (line + 1) * len(ABSENT)] = ABSENT
            self._free.append(line)

    def buffer(self, line: int) -> memoryview:
        """The line's pulse, for the worker's loop."""
        return memoryview(self._memory)[line * LINE : line * LINE + PULSE]

    def record(self, line: int) -> memoryview:
        """The rest of the line, for the worker's figures."""
        return memoryview(self._memory)[line * LINE + PULSE : (line + 1) * LINE]

    def read(self, line: int) -> tuple[int, int]:
        """Count and state (POLLING, RUNNING, WAITING)."""
        count, state = _PULSE.unpack_from(self._memory, line * LINE)
        return count, state


class Watchdog:
    """Tells when one worker's loop is blocked.

    A callback that waits for the GIL, which a thread of the application's holds, is in the middle
    of a turn too. Python waits for it in steps of 5 ms, so the thread goes to sleep some 200 times
    a second; what blocks a loop (a call that waits, a lock, a computation) hardly ever does.

    Args:
        patience: seconds of one and the same turn.
    """

    GIL_WAITS = 100.0
    """Sleeps of the loop's thread a second, from which on it is taken to wait for the GIL."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._count = -1
        self._since = 0.0
        self._sleeps = 0

    def blocked_for(self, pulse: tuple[int, int], sleeps: int, now: float) -> float | None:
        """Seconds of a turn that has lasted longer than ``patience``, else None.

        Args:
            pulse: as read now.
            sleeps: how often the loop's thread has gone to sleep up to now.
            now: time.monotonic().
        """
        count, state = pulse
        if count != self._count or state != RUNNING:
            self._count, self._since, self._sleeps = count, now, sleeps
            return None
        lasted = now - self._since
        if lasted < self.patience or (sleeps - self._sleeps) / lasted >= self.GIL_WAITS:
            return None
        return lasted

    def forget(self) -> None:
        """What was seen before does not count: the observer itself has been away."""
        self._count = -1


def sleeps(pid: int) -> int:
    """How often the main thread of a process has given up the processor of its own accord, 0 where
    it has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = [line for line in file if line.startswith("voluntary_ctxt_switches")]
        return int(lines[0].split()[1])
    except (OSError, IndexError):
        return 0


def resident_bytes(pid: int) -> int:
    """The resident memory of a process, 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def ending(code: int) -> str:
    """How a process ended, in words, from its exit code (negative: a signal)."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"exited with code {code}"
