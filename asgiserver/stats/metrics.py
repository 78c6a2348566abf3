# SPDX-License-Identifier: MIT
"""``/metrics``: the figures in the formats that Prometheus reads, by its own client library.

Counters are of the server as a whole and outlive its workers. What a worker has now is labelled
with its process id, so that a replaced worker's series ends and its successor's begins at zero.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .. import __version__
from .look import Look, WorkerLook, look
from .record import STATES, Board

_OCTAVES = range(4, 27)
"""The histogram's bounds are these powers of two of a microsecond: 16 us to 67 s."""

_WORKER_GAUGES = (
    ("in_flight", "Requests and WebSockets whose application runs.", "in_flight"),
    ("connections", "Open connections.", "connections"),
    ("websockets", "Open WebSockets.", "websockets"),
    ("loop_lag_seconds", "The longest that an event of the loop had to wait of late.", "lag"),
    ("loop_handles", "Callbacks of the event loop that are alive, timers included.", "handles"),
    ("loop_timers", "Timers of the event loop that are pending.", "timers"),
    ("worker_resident_bytes", "Resident memory.", "rss"),
    ("worker_age_seconds", "Since the worker was started.", "age"),
    ("js_isolates", "V8 isolates.", "js_isolates"),
    ("js_heap_used_bytes", "Used JavaScript heap of the loop's isolate.", "js_used"),
    ("js_heap_total_bytes", "Committed JavaScript heap of the loop's isolate.", "js_total"),
    ("js_external_bytes", "ArrayBuffers of the loop's isolate.", "js_external"),
)
_WORKER_COUNTERS = (
    ("worker_requests", "Requests that the worker has answered.", "requests"),
    ("worker_cpu_seconds", "Processor time of the worker.", "cpu"),
    ("loop_turns", "Turns of the event loop.", "turns"),
    ("loop_callbacks", "Callbacks that these turns ran from the ready queue.", "callbacks"),
    ("loop_polls", "Looks of the event loop for events.", "polls"),
)


class Figures(Collector):
    """Looks at a board whenever it is asked.

    Args:
        board: where the figures are.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Everything there is."""
        seen = look(self._board)
        yield InfoMetricFamily(
            "casgi",
            "The server.",
            value={"version": __version__, "python": platform.python_version()},
        )
        yield from _requests(seen)
        yield from _processes(seen)
        yield from _workers(seen.workers)


def _requests(seen: Look) -> Iterator[Metric]:
    answered = CounterMetricFamily(
        "casgi_requests", "Requests answered in full.", labels=["status"]
    )
    for hundreds in range(1, 6):
        answered.add_metric([f"{hundreds}xx"], seen.statuses[hundreds])
    yield answered
    duration = HistogramMetricFamily(
        "casgi_request_duration_seconds", "From a request's head to the end of its answer."
    )
    counts = list(accumulate(seen.durations))
    # Bucket 4 * n - 5 is the last one below 2 ** n microseconds.
    buckets = [(repr(2**n / 1e6), float(counts[4 * n - 5])) for n in _OCTAVES]
    duration.add_metric([], [*buckets, ("+Inf", float(counts[-1]))], seen.seconds)
    yield duration
    refused = CounterMetricFamily(
        "casgi_requests_refused", "Requests that the server itself refused.", labels=["status"]
    )
    for status, count in seen.refused.items():
        refused.add_metric([str(status)], count)
    yield refused
    yield CounterMetricFamily(
        "casgi_requests_unfinished",
        "Requests whose answer never came to its end: the client or the application gave up.",
        value=seen.unfinished,
    )
    yield CounterMetricFamily(
        "casgi_connections_accepted", "Connections accepted.", value=seen.accepted
    )


def _processes(seen: Look) -> Iterator[Metric]:
    yield GaugeMetricFamily("casgi_ready", "1 while /readyz says so.", value=seen.ready)
    yield GaugeMetricFamily("casgi_age_seconds", "Since the server was started.", value=seen.age)
    yield GaugeMetricFamily("casgi_workers_wanted", "Workers there should be.", value=seen.wanted)
    workers = GaugeMetricFamily("casgi_workers", "Workers there are.", labels=["state"])
    for state in STATES:
        workers.add_metric([state], sum(worker.state == state for worker in seen.workers))
    yield workers
    for name, text, value in (
        ("casgi_worker_starts", "Workers started, the first ones included.", seen.starts),
        ("casgi_worker_crashes", "Workers that ended unbidden.", seen.crashes),
        ("casgi_worker_blocked", "Workers replaced because their loop was blocked.", seen.blocked),
        ("casgi_js_calls", "Calls into JavaScript.", seen.js_calls),
        ("casgi_gc_seconds", "Time in Python's garbage collector.", seen.gc_seconds),
    ):
        yield CounterMetricFamily(name, text, value=value)
    collections = CounterMetricFamily(
        "casgi_gc_collections", "Runs of Python's garbage collector.", labels=["generation"]
    )
    for generation, count in enumerate(seen.gc_runs):
        collections.add_metric([str(generation)], count)
    yield collections


def _workers(workers: list[WorkerLook]) -> Iterator[Metric]:
    labels = ["pid", "slot"]
    for name, text, attribute in _WORKER_GAUGES:
        gauge = GaugeMetricFamily(f"casgi_{name}", text, labels=labels)
        for worker in workers:
            gauge.add_metric([str(worker.pid), str(worker.slot)], getattr(worker, attribute))
        yield gauge
    for name, text, attribute in _WORKER_COUNTERS:
        counter = CounterMetricFamily(f"casgi_{name}", text, labels=labels)
        for worker in workers:
            counter.add_metric([str(worker.pid), str(worker.slot)], getattr(worker, attribute))
        yield counter


class Exposition:
    """The figures as text.

    Args:
        board: where they are.
    """

    def __init__(self, board: Board) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Figures(board))

    def text(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type.

        Args:
            accept: the request's Accept header, by which OpenMetrics is had.
        """
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type
