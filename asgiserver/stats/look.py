# SPDX-License-Identifier: MIT
"""Reading the records: everything that is known, at one moment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ..vitals import resident_bytes
from .record import BUCKETS, LOOP, READY, STATES, Board, Record, bucket_start, micros
from .reporter import PERIOD

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_ON_TIME = 0.01
"""Seconds that a report may be overdue before that counts as lag."""


@dataclass
class WorkerLook:
    """One worker; ages and lag in seconds, sizes in bytes, the rest of its loop as in stats()."""

    pid: int
    slot: int
    state: str
    age: float
    requests: int
    in_flight: int
    connections: int
    websockets: int
    lag: float
    turns: int
    callbacks: int
    polls: int
    handles: int
    timers: int
    rss: int
    cpu: float
    js_isolates: int
    js_used: int
    js_total: int
    js_external: int
    js_calls: int
    gc_runs: int


@dataclass
class Look:
    """The server as a whole: the workers there are, and the sums of all that there ever were.

    Attributes:
        at: the moment, in seconds of the monotonic clock.
        ready: every worker has started, and the server is not about to stop.
        durations: answers by duration, see record.bucket_start().
        statuses: answers by hundreds of their status; 0 for those of none.
        refused: what the server refused itself, by status.
    """

    at: float
    pid: int
    state: str
    ready: bool
    age: float
    wanted: int
    starts: int
    crashes: int
    blocked: int
    durations: list[int]
    seconds: float
    statuses: list[int]
    refused: dict[int, int]
    unfinished: int
    accepted: int
    js_calls: int
    gc_runs: list[int]
    gc_seconds: float
    workers: list[WorkerLook] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were answered in full."""
        return sum(self.durations)


def is_ready(board: Board) -> bool:
    """Whether as many workers serve as are wanted, and none of it is about to end."""
    if board["state"] != READY:
        return False
    ready = sum(record["pid"] != 0 and record["state"] == READY for record in board)
    return ready >= board["wanted"]


def look(board: Board) -> Look:
    """Reads everything."""
    now = micros()
    records = list(board)
    refused = _sums(records, "refused", 112)
    return Look(
        at=now / 1e6,
        pid=board["pid"],
        state=STATES[board["state"]],
        ready=is_ready(board),
        age=(now - board["since"]) / 1e6,
        wanted=board["wanted"],
        starts=board["starts"],
        crashes=board["crashes"],
        blocked=board["blocked"],
        durations=_sums(records, "durations", BUCKETS),
        seconds=sum(record["micros"] for record in records) / 1e6,
        statuses=_sums(records, "statuses", 6),
        refused={400 + i: count for i, count in enumerate(refused) if count},
        unfinished=sum(record["unfinished"] for record in records),
        accepted=sum(record["accepted"] for record in records),
        js_calls=sum(record["js_calls"] for record in records),
        gc_runs=_sums(records, "gc_runs", 3),
        gc_seconds=sum(record["gc_micros"] for record in records) / 1e6,
        workers=sorted(
            (_worker(record, now) for record in records if record["pid"]),
            key=lambda worker: (worker.slot, -worker.age),
        ),
    )


def _sums(records: list[Record], name: str, length: int) -> list[int]:
    columns = [record.all(name) for record in records]
    return [sum(values) for values in zip(*columns, strict=True)] if columns else [0] * length


def _worker(record: Record, now: int) -> WorkerLook:
    pid = record["pid"]
    lag = record["lag"] / 1e6
    overdue = (now - record["beat_at"]) / 1e6 - PERIOD if record["beat_at"] else 0.0
    if overdue > _ON_TIME:
        lag = max(lag, overdue)
    return WorkerLook(
        pid=pid,
        slot=record["slot"],
        state=STATES[record["state"]],
        age=(now - record["since"]) / 1e6,
        requests=sum(record.all("durations")) - record["answered"],
        in_flight=record["tasks"],
        connections=record["connections"],
        websockets=record["websockets"],
        lag=lag,
        **{name: record[name] for name in LOOP},
        rss=resident_bytes(pid),
        cpu=cpu_seconds(pid),
        js_isolates=record["js_isolates"],
        js_used=record["js_used"],
        js_total=record["js_total"],
        js_external=record["js_external"],
        js_calls=record["js_calls"],
        gc_runs=sum(record.all("gc_runs")),
    )


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
    except (OSError, IndexError):
        return 0.0


def quantile(durations: list[int], share: float) -> float | None:
    """Seconds within which this share of the answers came; within a bucket they are taken to be
    spread evenly. None where there are no answers."""
    total = sum(durations)
    if not total:
        return None
    rank = share * total
    for bucket, count in enumerate(durations):
        if count and rank <= count:
            start, end = bucket_start(bucket), bucket_start(bucket + 1)
            return (start + (end - start) * rank / count) / 1e6
        rank -= count
    return bucket_start(len(durations)) / 1e6
