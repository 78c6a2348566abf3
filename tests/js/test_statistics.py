# SPDX-License-Identifier: MIT
"""jsrt.statistics(): calls, isolates and heap of the process."""

from __future__ import annotations

import threading

import pytest

import jsrt


def test_calls_are_counted_and_looking_is_none():
    with jsrt.Context(profile="bare") as context:
        context.compile("function f() { return 1 }")
        before = jsrt.statistics()["calls"]
        for _ in range(10):
            context.call("f")
        function = context.function("f")
        counted = jsrt.statistics()["calls"]
        for _ in range(10):
            function()
            jsrt.statistics()
        assert counted - before in (10, 11)
        assert jsrt.statistics()["calls"] - counted == 10


def test_calls_outlive_their_isolate():
    before = jsrt.statistics()["calls"]
    context = jsrt.Context(profile="bare")
    context.evaluate("1")
    counted = jsrt.statistics()["calls"]
    assert counted > before
    context.close()
    del context
    assert jsrt.statistics()["calls"] == counted


def test_an_isolate_that_is_booted_again_goes_on_counting():
    with jsrt.Context(profile="bare", heap_limit=16) as context:
        context.compile("function grow() { const all = []; while (true) all.push(new Array(1e4)) }")
        counts = []
        for _ in range(2):
            with pytest.raises(jsrt.HeapLimit):
                context.call("grow")
            context.evaluate("1")
            counts.append(jsrt.statistics()["calls"])
        assert counts[0] < counts[1] <= counts[0] + 8


def test_isolates_and_heap():
    before = jsrt.statistics()
    context = jsrt.Context(profile="bare")
    assert jsrt.statistics() == before, "nothing starts before it is used"
    context.evaluate("globalThis.kept = 'x'.repeat(8).split('').map(() => new Array(1e5).fill(1))")
    small = jsrt.statistics()
    assert small["isolates"] == before["isolates"] + 1
    assert small["heap_used"] > 4_000_000
    assert small["heap_total"] >= small["heap_used"]
    context.close()
    assert jsrt.statistics()["isolates"] == before["isolates"]


def test_another_thread_s_isolate_is_counted_and_left_alone():
    context = jsrt.Context(profile="bare")
    context.evaluate("1")
    seen: dict[str, int] = {}
    thread = threading.Thread(target=lambda: seen.update(jsrt.statistics()))
    thread.start()
    thread.join()
    here = jsrt.statistics()
    assert seen["isolates"] == here["isolates"]
    assert seen["heap_used"] == 0
    assert here["heap_used"] > 0
    context.close()
