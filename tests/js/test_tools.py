# SPDX-License-Identifier: MIT
"""Files for Chrome DevTools, and V8's figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import jsrt


def test_heap_snapshot(ctx: jsrt.Context, tmp_path: Path) -> None:
    ctx.eval(
        "class FindMe { constructor() { this.text = 'a very findable text' } }"
        "let kept = new FindMe()"
    )
    path = tmp_path / "x.heapsnapshot"
    ctx.heap_snapshot(path)
    snapshot = json.loads(path.read_text())
    meta = snapshot["snapshot"]["meta"]
    assert snapshot["snapshot"]["node_count"] * len(meta["node_fields"]) == len(snapshot["nodes"])
    assert {"FindMe", "a very findable text"} <= set(snapshot["strings"])
    assert ctx.eval("kept.text.length") == 20


def test_cpu_profile(ctx: jsrt.Context, tmp_path: Path) -> None:
    ctx.compile(
        "function hot() {"
        " const end = Date.now() + 120; let n = 0; while (Date.now() < end) n++; return n }"
        'function outer() { return hot() > 0 } globalThis["odd \\"name"] = outer',
        filename="hot.js",
    )
    path = tmp_path / "x.cpuprofile"
    ctx.start_cpu_profile(0.0005)
    assert ctx.call("outer") is True
    ctx.stop_cpu_profile(str(path))
    profile = json.loads(path.read_text())
    nodes = {node["id"]: node for node in profile["nodes"]}
    assert len(profile["samples"]) == len(profile["timeDeltas"]) > 10
    assert set(profile["samples"]) <= set(nodes)
    assert profile["endTime"] - profile["startTime"] > 100_000
    (hot,) = (node for node in nodes.values() if node["callFrame"]["functionName"] == "hot")
    assert hot["callFrame"]["url"] == "hot.js"
    assert hot["callFrame"]["lineNumber"] == 0
    assert hot["hitCount"] > 5
    assert any(hot["id"] in node["children"] for node in nodes.values())


def test_profiles_one_at_a_time(ctx: jsrt.Context, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no CPU profile"):
        ctx.stop_cpu_profile(tmp_path / "a")
    ctx.start_cpu_profile()
    with pytest.raises(RuntimeError, match="already"):
        ctx.start_cpu_profile()
    with pytest.raises(ValueError):
        ctx.start_cpu_profile(0)
    ctx.close()  # while one is being made


def test_a_place_that_cannot_be_written(ctx: jsrt.Context, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ctx.heap_snapshot(tmp_path / "no" / "where")
    with pytest.raises(OSError, match="No space left"):
        ctx.heap_snapshot("/dev/full")
    with pytest.raises(TypeError):
        ctx.heap_snapshot(5)  # type: ignore[arg-type]
    assert ctx.eval("1 + 1") == 2


def test_figures(ctx: jsrt.Context) -> None:
    figures = ctx.heap_statistics()
    assert 0 < figures["heap_used"] <= figures["heap_total"] < figures["heap_limit"]
    assert ctx._v8_statistics()["number_of_native_contexts"] == figures["contexts"] == 1
