# SPDX-License-Identifier: MIT
"""Time limit, heap limit, stack limit, Ctrl-C, and the GIL during long calls."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

import jsrt

PROFILES = ["bare", "web"]


@pytest.fixture(params=PROFILES)
def limited(request):
    with jsrt.Context(profile=request.param, timeout=0.3, heap_limit=64) as ctx:
        ctx.compile("let kept = 1; function add(a, b) { return a + b }")
        yield ctx


@pytest.mark.parametrize(
    "loop",
    [
        "for (;;) {}",
        "while (true) { try { throw 1 } catch {} finally {} }",
        "(function f() { return f.call() || f() })",
        "/^(a+)+$/.test('a'.repeat(64) + 'b')",
        "new Promise(done => { (function again() { Promise.resolve().then(again) })() })",
    ],
    ids=["for", "try", "none", "regexp", "microtasks"],
)
def test_endless_loops_end_with_timeout_and_the_context_goes_on(limited, loop):
    if loop.startswith("(function"):
        loop = "(function f() { for (;;) { try { f() } catch {} } })()"
    started = time.monotonic()
    with pytest.raises(jsrt.Timeout) as caught:
        limited.evaluate(loop)
    assert 0.25 <= time.monotonic() - started < 5
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, jsrt.JSError)
    assert "0.3 s" in str(caught.value)
    assert limited.call("add", [1, 2]) == 3
    assert limited.eval("kept") == 1


def test_a_held_function_times_out_too(limited):
    limited.compile("function spin() { for (;;) {} }")
    spin = limited.function("spin")
    for _ in range(3):
        with pytest.raises(jsrt.Timeout):
            spin()
    assert limited.call("add", [2, 2]) == 4


def test_time_is_counted_for_each_call(limited):
    limited.compile("function work(ms) { const end = Date.now() + ms; while (Date.now() < end); }")
    for _ in range(4):
        limited.call("work", [120])


BOMBS = {
    "array": "const a = []; for (;;) a.push(new Array(1000).fill(a.length))",
    "objects": "let o = {}; for (let i = 0; ; i++) o['k' + i] = {i, s: 'x'.repeat(100)}",
    "strings": "const a = []; for (let i = 0; ; i++) a.push(String(i).padStart(5000, 'ab'))",
    "closures": "const a = []; for (;;) { const big = new Array(5000); a.push(() => big) }",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set({i}, {i})",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("profile", PROFILES)
def test_heap_bombs_end_with_heap_limit_and_the_context_goes_on(profile, bomb):
    with jsrt.Context(profile=profile, heap_limit=32) as ctx:
        ctx.compile("function add(a, b) { return a + b }")
        add = ctx.function("add")
        with pytest.raises(jsrt.HeapLimit) as caught:
            ctx.evaluate(bomb)
        assert isinstance(caught.value, MemoryError)
        assert isinstance(caught.value, jsrt.JSError)
        assert "32 MB" in str(caught.value)
        # A new heap, the compiled code run again; the held function finds its name again.
        assert ctx.call("add", [1, 2]) == 3
        assert add(3, 4) == 7
        assert ctx.heap_statistics()["heap_used"] < 32 * 2**20


def test_array_buffers_count(limited):
    with pytest.raises((jsrt.JSError, jsrt.HeapLimit)) as caught:
        limited.evaluate("const a = []; for (;;) a.push(new Uint8Array(1 << 20))")
    assert isinstance(caught.value, jsrt.HeapLimit) or caught.value.name == "RangeError"
    assert limited.call("add", [1, 2]) == 3


def test_deep_recursion_is_a_range_error(limited):
    for _ in range(3):
        with pytest.raises(jsrt.JSError) as caught:
            limited.evaluate("(function f() { return 1 + f() })()")
        assert caught.value.name == "RangeError"
    assert limited.call("add", [1, 2]) == 3


def test_deep_recursion_on_a_small_stack():
    result = []

    def run() -> None:
        with jsrt.Context(profile="bare") as ctx:
            try:
                ctx.evaluate("(function f() { return 1 + f() })()")
            except jsrt.JSError as error:
                result.append(error.name)
            result.append(ctx.eval("1 + 1"))

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(30)
    assert result == ["RangeError", 2]


def test_ctrl_c_stops_a_call():
    with jsrt.Context(profile="bare") as ctx:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ctx.eval("for (;;) {}")
        assert time.monotonic() - started < 5
        assert ctx.eval("1 + 1") == 2


def test_ctrl_c_stops_a_wait():
    with jsrt.Context() as ctx:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ctx.eval("new Promise(done => setTimeout(done, 20000))")
        assert time.monotonic() - started < 5
        assert ctx.eval("1 + 1") == 2


def test_timeout_of_a_wait():
    with jsrt.Context(timeout=0.2) as ctx:
        started = time.monotonic()
        with pytest.raises(jsrt.Timeout):
            ctx.eval("new Promise(done => setTimeout(done, 20000))")
        assert 0.15 < time.monotonic() - started < 5
        assert ctx.eval("new Promise(done => setTimeout(() => done(7), 20))") == 7


def test_long_calls_put_the_gil_down():
    ticks = 0
    running = threading.Event()
    stop = threading.Event()

    def count() -> None:
        nonlocal ticks
        running.set()
        while not stop.wait(0.005):
            ticks += 1

    thread = threading.Thread(target=count)
    with jsrt.Context(profile="bare") as ctx:
        ctx.eval("1")
        thread.start()
        running.wait(5)
        before = ticks
        ctx.eval("const end = Date.now() + 500; while (Date.now() < end);")
        during = ticks - before
        stop.set()
        thread.join(5)
    assert during > 20


@pytest.mark.parametrize(
    "bad",
    [
        {"heap_limit": 1},
        {"heap_limit": -5},
        {"timeout": 0},
        {"timeout": -1},
        {"pool": -1},
        {"profile": "x"},
    ],
)
def test_limits_are_checked(bad):
    with pytest.raises(ValueError):
        jsrt.Context(**bad)
