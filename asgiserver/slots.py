# SPDX-License-Identifier: MIT
"""A supervisor's books: its workers, and the places they fill."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from .vitals import Watchdog

BACK_OFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a slot's next start, by the number of failures in a row."""


class State(enum.Enum):
    STARTING = enum.auto()
    READY = enum.auto()
    DRAINING = enum.auto()


@dataclass(eq=False)
class Worker:
    """A child process.

    Attributes:
        pid: its process id.
        channel: our end of its channel, -1 when closed.
        generation: the rolling restart it belongs to.
        escalation: signals that are still to be sent to it, with their times, the next one last.
        failure: what it said about a failed start.
        retiring: it gets a successor.
        blocked: … because its loop did not turn.
        line: its line of the pulses' page and of the table of connections.
        stacks: descriptor of the file that its threads' stacks are written to.
        watchdog: what was seen of its pulse, where that matters.
        dump_due: when its threads' stacks are to be read.
        since: when it was started.
    """

    pid: int
    channel: int
    generation: int
    state: State = State.STARTING
    ready_at: float = 0.0
    escalation: list[tuple[float, int]] = field(default_factory=list)
    failure: bytes | None = None
    retiring: bool = False
    blocked: bool = False
    line: int | None = None
    stacks: int = -1
    watchdog: Watchdog | None = None
    dump_due: float | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Slot:
    """A place for one worker.

    Attributes:
        current: who serves (or starts, where nobody served before).
        successor: who starts in order to take over from current.
        failures: quick deaths and failed starts in a row.
        not_before: when the next start is due.
    """

    current: Worker | None = None
    successor: Worker | None = None
    failures: int = 0
    not_before: float = 0.0

    def back_off(self) -> float:
        """Counts a failure and says how long to wait after it."""
        delay = BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1
        self.not_before = time.monotonic() + delay
        return delay
