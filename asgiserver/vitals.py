# SPDX-License-Identifier: MIT
"""How a supervisor sees that its workers are well, without asking them.

Every worker's event loop writes its pulse to a line of a shared page (core/loop/pulse.h): no
thread, no message, and no GIL, so a worker whose GIL is busy is not taken for a dead one. Resident
memory is read from /proc.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct

LINE = 64
"""Bytes from one pulse to the next: a cache line, so that workers do not slow each other."""
LINES = 1024

POLLING, RUNNING, WAITING = range(3)

DUMP_SIGNAL = signal.SIGRTMIN + 5
"""Has a worker write its threads' stacks. No application is likely to have taken it."""

_PULSE = struct.Struct("=QQ")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Pulses:
    """The shared page."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, LINE * LINES)
        self._free = list(reversed(range(LINES)))

    def take(self) -> int | None:
        """The number of a line for a new worker; None: there are too many."""
        if not self._free:
            return None
        line = self._free.pop()
        self._memory[line * LINE : (line + 1) * LINE] = bytes(LINE)
        return line

    def give_back(self, line: int | None) -> None:
        """The worker has ended."""
        if line is not None:
            self._free.append(line)

    def buffer(self, line: int) -> memoryview:
        """The line itself, for the worker's loop."""
        return memoryview(self._memory)[line * LINE : (line + 1) * LINE]

    def read(self, line: int) -> tuple[int, int]:
        """Count and state (POLLING, RUNNING, WAITING)."""
        count, state = _PULSE.unpack_from(self._memory, line * LINE)
        return count, state


class Watchdog:
    """Tells when one worker's loop is blocked.

    Args:
        patience: seconds of one and the same turn.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._count = -1
        self._since = 0.0

    def blocked_for(self, pulse: tuple[int, int], now: float) -> float | None:
        """Seconds of a turn that has lasted longer than ``patience``, else None.

        Args:
            pulse: as read now.
            now: time.monotonic().
        """
        count, state = pulse
        if count != self._count or state != RUNNING:
            self._count, self._since = count, now
            return None
        lasted = now - self._since
        return lasted if lasted >= self.patience else None

    def forget(self) -> None:
        """What was seen before does not count: the observer itself has been away."""
        self._count = -1


def resident_bytes(pid: int) -> int:
    """The resident memory of a process, 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
