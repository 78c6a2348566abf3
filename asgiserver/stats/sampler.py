# SPDX-License-Identifier: MIT
"""One look a second, and what has happened between them: what the page shows.

The past is kept here rather than in the page, so that whoever opens it sees the last minutes at
once; and however many look, the records are read once a second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

from .. import __version__
from .look import Look, WorkerLook, look, quantile
from .record import Board, bucket_start

PERIOD = 1.0
"""Seconds between two looks."""
KEPT = 180
"""Points of the past that are kept."""
WINDOW = 60
"""Looks over which the distribution of durations is taken."""


class Sampler:
    """Looks at a board, and remembers.

    Args:
        board: what it looks at.

    Attributes:
        points: the past, the latest last: ``n`` (their number), requests, errors and JavaScript
            calls a second, median and 99th percentile in seconds (None: no request), and the
            gauges summed over all workers.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._looks: deque[Look] = deque([look(board)], maxlen=WINDOW + 1)
        self._number = 0
        self.points: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._workers: list[dict[str, Any]] = [_worker(w, None, 1.0) for w in self.last.workers]

    @property
    def last(self) -> Look:
        """The latest look."""
        return self._looks[-1]

    def tick(self) -> None:
        """Takes the next look."""
        before, now = self.last, look(self._board)
        took = max(now.at - before.at, 1e-3)
        self._looks.append(now)
        self._number += 1
        durations = _less(now.durations, before.durations)
        workers = now.workers
        self.points.append(
            {
                "n": self._number,
                "rps": round((now.requests - before.requests) / took, 2),
                "errors": round((_errors(now) - _errors(before)) / took, 2),
                "p50": quantile(durations, 0.5),
                "p99": quantile(durations, 0.99),
                "in_flight": sum(w.in_flight for w in workers),
                "connections": sum(w.connections for w in workers),
                "rss": sum(w.rss for w in workers),
                "lag": round(max((w.lag for w in workers), default=0.0), 6),
                "js_calls": round((now.js_calls - before.js_calls) / took, 2),
                "js_used": sum(w.js_used for w in workers),
            }
        )
        known = {w.pid: w for w in before.workers}
        self._workers = [_worker(w, known.get(w.pid), took) for w in workers]

    def report(self, since: int = 0) -> dict[str, Any]:
        """What /stats.json answers.

        Args:
            since: the number of a point; only later ones are wanted.
        """
        now = self.last
        recent = _less(now.durations, self._looks[0].durations)
        return {
            "server": f"casgi {__version__}",
            "pid": now.pid,
            "state": now.state,
            "ready": now.ready,
            "age": round(now.age, 1),
            "wanted": now.wanted,
            "starts": now.starts,
            "crashes": now.crashes,
            "blocked": now.blocked,
            "requests": now.requests,
            "statuses": now.statuses,
            "refused": now.refused,
            "unfinished": now.unfinished,
            "accepted": now.accepted,
            "connections": sum(w.connections for w in now.workers),
            "in_flight": sum(w.in_flight for w in now.workers),
            "websockets": sum(w.websockets for w in now.workers),
            "js_calls": now.js_calls,
            "gc_runs": now.gc_runs,
            "gc_seconds": round(now.gc_seconds, 6),
            "latency": {
                "seconds": len(self._looks) - 1,
                "count": sum(recent),
                "buckets": [
                    [bucket_start(bucket), bucket_start(bucket + 1), count]
                    for bucket, count in enumerate(recent)
                    if count
                ],
                "p50": quantile(recent, 0.5),
                "p90": quantile(recent, 0.9),
                "p99": quantile(recent, 0.99),
                "p999": quantile(recent, 0.999),
            },
            "workers": self._workers,
            "points": [point for point in self.points if point["n"] > since],
        }


def _errors(seen: Look) -> int:
    """Answers of 500 and beyond, and what the server refused."""
    return seen.statuses[5] + sum(seen.refused.values())


def _less(now: list[int], before: list[int]) -> list[int]:
    return [a - b for a, b in zip(now, before, strict=True)]


def _worker(now: WorkerLook, before: WorkerLook | None, took: float) -> dict[str, Any]:
    found = asdict(now)
    found["age"] = round(now.age, 1)
    found["lag"] = round(now.lag, 6)
    old = before or now
    turns = now.turns - old.turns
    found["turn_rate"] = round(turns / took, 2)
    found["callbacks_per_turn"] = round((now.callbacks - old.callbacks) / max(turns, 1), 3)
    found["rps"] = round((now.requests - old.requests) / took, 2)
    found["cpu_share"] = round(max(0.0, now.cpu - old.cpu) / took, 4)
    found["js_rate"] = round((now.js_calls - old.js_calls) / took, 2)
    return found
