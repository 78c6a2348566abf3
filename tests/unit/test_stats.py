# SPDX-License-Identifier: MIT
"""The figures of --stats: kept, read, summed and shown."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from asgiserver import Config, _core, new_event_loop
from asgiserver.stats.address import parse_address
from asgiserver.stats.look import cpu_seconds, is_ready, look, quantile
from asgiserver.stats.metrics import Exposition
from asgiserver.stats.record import BUCKETS, LOOP, READY, Board, Record, bucket_start
from asgiserver.stats.reporter import Reporter
from asgiserver.stats.sampler import KEPT, Sampler
from asgiserver.stats.site import Site, content_policy, is_local
from asgiserver.vitals import Pulses

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pulses():
    return Pulses()


@pytest.fixture
def board(pulses):
    return Board(pulses)


def bucket_of(micros: int) -> int:
    """What net/stats.h's asgi_stats_bucket() must say."""
    return max(b for b in range(BUCKETS) if bucket_start(b) <= micros)


def serve(board, line: int, **fields: int) -> Record:
    """A worker's record with these fields, as if it had counted."""
    record = Record(board.prepare(line))
    for name, value in fields.items():
        record[name] = value
    return record


# ---- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9000", ("127.0.0.1", 9000)),
        (":9000", ("127.0.0.1", 9000)),
        ("0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:9000", ("::1", 9000)),
        ("unix:/run/a:b", "/run/a:b"),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address
    assert Config("m:app", stats=text, log_config=None).stats == text


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "1:70000", "::1:80", "unix:", "²"])
def test_no_address(text):
    with pytest.raises(ValueError, match="stats"):
        Config("m:app", stats=text, log_config=None)


def test_a_port_may_be_a_number():
    assert Config("m:app", stats=9000, log_config=None).stats == "9000"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9000", "a.localhost", "127.0.0.1:9000", "127.9.9.9", "[::1]:1", ""],
)
def test_local_names(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    ["example.com", "localhost.example.com:9000", "10.0.0.1", "[fe80::1]:1", "127.0.0.1.nip.io"],
)
def test_other_names(host):
    assert not is_local(host)


# ---- buckets -------------------------------------------------------------------------------------


def test_buckets_follow_each_other():
    starts = [bucket_start(bucket) for bucket in range(BUCKETS + 1)]
    assert starts == sorted(set(starts))
    assert starts[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    # No bucket is wider than a quarter of where it begins.
    assert all(end - start <= max(1, start / 4) for start, end in pairwise(starts))


def test_quantiles():
    durations = [0] * BUCKETS
    assert quantile(durations, 0.5) is None
    durations[bucket_of(1000)] = 90
    durations[bucket_of(50_000)] = 10
    assert quantile(durations, 0.5) == pytest.approx(0.001, rel=0.25)
    assert quantile(durations, 0.95) == pytest.approx(0.05, rel=0.25)
    assert quantile(durations, 1.0) <= bucket_start(bucket_of(50_000) + 1) / 1e6
    last = [0] * (BUCKETS - 1) + [1]
    assert quantile(last, 0.5) > 100


# ---- records -------------------------------------------------------------------------------------


def test_counters_outlive_workers(board):
    loop = dict.fromkeys(LOOP, 9)
    record = serve(board, 0, connections=3, tasks=2, js_used=77, js_calls=5, **loop)
    record.add("durations", 10, 4)
    record.add("statuses", 2, 4)
    board.show([(0, 111, "ready", 1, 0)])
    board.put(state=READY, wanted=1)
    seen = look(board)
    assert [w.pid for w in seen.workers] == [111]
    assert (seen.workers[0].requests, seen.workers[0].in_flight) == (4, 2)
    assert seen.ready
    board.show([])
    seen = look(board)
    assert (seen.requests, seen.statuses[2], seen.js_calls, seen.workers) == (4, 4, 5, [])
    assert not seen.ready
    record = serve(board, 0)
    board.show([(0, 222, "ready", 1, 0)])
    record.add("durations", 11, 1)
    seen = look(board)
    assert seen.requests == 5
    assert seen.workers[0].requests == 1, "the former worker's are not its own"
    assert (seen.workers[0].connections, seen.workers[0].js_used) == (0, 0)
    assert [getattr(seen.workers[0], name) for name in LOOP] == [0] * len(LOOP)
    assert seen.starts == 2


def test_ready_means_all(board):
    board.put(state=READY, wanted=2)
    for line in range(2):
        serve(board, line)
    board.show([(0, 1, "ready", 1, 0), (1, 2, "starting", 2, 0)])
    assert not is_ready(board)
    board.show([(0, 1, "ready", 1, 0), (1, 2, "ready", 2, 0)])
    assert is_ready(board)
    board.show([(0, 1, "draining", 1, 0), (1, 2, "ready", 2, 0)])
    assert not is_ready(board)
    board.show([(0, 1, "ready", 1, 0), (1, 2, "ready", 2, 0)])
    board.put(state=2)
    assert not is_ready(board)


def test_records_are_apart(board):
    first, second = serve(board, 0), serve(board, 1)
    for name, count in _core.stats_layout:
        first.add(name, count - 1, 1)
        assert not any(second.all(name)), name
        assert first.all(name)[-1] == 1, name
        assert sum(sum(first.all(other)) for other, _ in _core.stats_layout) == 1, name
        first.add(name, count - 1, -1)


def test_memory_that_is_no_record():
    loop = new_event_loop()
    try:
        for wrong in (bytearray(64), b"x" * 4096, "text"):
            with pytest.raises((ValueError, TypeError, BufferError)):
                _core.Server(loop, lambda *arguments: None, {"stats": wrong})
    finally:
        loop.close()


# ---- a worker's reports --------------------------------------------------------------------------


def test_reports(board):
    loop = new_event_loop()
    memory = board.prepare(0)
    record = Record(memory)
    reporter = Reporter(memory, loop)
    before = len(gc.callbacks)
    try:
        loop.call_soon(reporter.start)
        loop.run_until_complete(asyncio.sleep(0))
        first = record["beat_at"]
        assert first > 0
        gc.collect()
        gc.collect(0)
        assert record.all("gc_runs")[2] == 1
        assert record.all("gc_runs")[0] >= 1
        loop.run_until_complete(asyncio.sleep(0.7))
        assert record["beat_at"] > first
        assert record["lag"] < 400_000
        seen = loop.stats()
        for name in LOOP:
            assert 0 < record[name] <= seen[name] + 1, name
        loop.call_soon(time.sleep, 0.05)
        lags = []
        while not lags or lags[-1] < 50_000:
            loop.run_until_complete(asyncio.sleep(0.1))
            lags.append(record["lag"])
            assert len(lags) < 100
    finally:
        reporter.stop()
        reporter.stop()
        loop.close()
    assert len(gc.callbacks) == before


def test_a_blocked_loop_shows_as_lag(board):
    serve(board, 0, beat_at=1)
    board.show([(0, os.getpid(), "ready", 1, 0)])
    assert look(board).workers[0].lag > 1


def test_processor_time():
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.02:
        pass
    assert cpu_seconds(2**22 + 1) == 0


# ---- the past ------------------------------------------------------------------------------------


def test_sampler(board):
    record = serve(board, 0, turns=10, callbacks=10)
    board.show([(0, os.getpid(), "ready", 1, 0)])
    sampler = Sampler(board)
    assert sampler.report()["workers"][0]["callbacks_per_turn"] == 0
    assert sampler.report()["points"] == []
    record.add("durations", bucket_of(2000), 10)
    record.add("statuses", 2, 9)
    record.add("statuses", 5, 1)
    record.add("refused", 31, 1)
    record.add("turns", 0, 4)
    record.add("callbacks", 0, 10)
    sampler.tick()
    report = sampler.report()
    point = report["points"][0]
    assert point["n"] == 1
    assert point["rps"] > 0
    assert point["errors"] == pytest.approx(point["rps"] / 5, rel=0.01)
    assert point["p50"] == pytest.approx(0.002, rel=0.25)
    assert report["refused"] == {431: 1}
    assert report["latency"]["count"] == 10
    assert report["workers"][0]["rps"] == point["rps"]
    assert report["workers"][0]["turn_rate"] == pytest.approx(point["rps"] * 0.4, rel=0.01)
    assert report["workers"][0]["callbacks_per_turn"] == 2.5
    sampler.tick()
    assert sampler.report()["points"][1]["rps"] == 0
    assert [p["n"] for p in sampler.report(since=1)["points"]] == [2]
    for _ in range(KEPT + 5):
        sampler.tick()
    assert len(sampler.report()["points"]) == KEPT


# ---- Prometheus ----------------------------------------------------------------------------------


def test_exposition_is_what_parsers_read(board):
    loop = {"turns": 3, "callbacks": 8, "polls": 2, "handles": 6, "timers": 5}
    record = serve(board, 0, accepted=7, connections=2, micros=123_456, **loop)
    record.add("durations", bucket_of(1000), 3)
    record.add("durations", bucket_of(2_000_000), 1)
    record.add("refused", 8, 2)
    board.show([(0, os.getpid(), "ready", 1, 0)])
    body, kind = Exposition(board).text("")
    assert kind.startswith("text/plain")
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(body.decode())
        for s in family.samples
    }
    assert samples["casgi_request_duration_seconds_bucket", "0.000512"] == 0
    assert samples["casgi_request_duration_seconds_bucket", "0.001024"] == 3
    assert samples["casgi_request_duration_seconds_bucket", "+Inf"] == 4
    assert samples[("casgi_request_duration_seconds_sum",)] == 0.123456
    assert samples["casgi_requests_refused_total", "408"] == 2
    assert samples[("casgi_connections_accepted_total",)] == 7
    assert samples["casgi_connections", "1", str(os.getpid())] == 2
    for name, value in loop.items():
        end = "_total" if name in ("turns", "callbacks", "polls") else ""
        assert samples[f"casgi_loop_{name}{end}", "1", str(os.getpid())] == value
    body, kind = Exposition(board).text("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert list(openmetrics(body.decode()))


def test_the_documentation_names_every_metric(board):
    serve(board, 0)
    board.show([(0, os.getpid(), "ready", 1, 0)])
    text = Exposition(board).text("")[0].decode()
    shown = {
        s.name if f.type != "histogram" else f.name
        for f in text_string_to_metric_families(text)
        for s in f.samples
    } | {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(casgi_\w+)`", page, re.M)) == shown


# ---- the page ------------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_elsewhere(board):
    site = Site(board, local_only=True)
    page = site._page.decode()
    addresses = set(re.findall(r"https?://[^\s'\"]+", page)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert not re.search(r"@import|<link[^>]+stylesheet|<script[^>]+src| style=|\son\w+=", page)
    policy = content_policy(site._page).decode()
    assert policy.count("sha256-") == 2
    assert "unsafe" not in policy
