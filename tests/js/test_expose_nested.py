# SPDX-License-Identifier: MIT
"""While JavaScript calls Python: nested calls, limits, other threads."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time

import pytest

import jsrt
from asgiserver.loop import Loop

# ---- nested calls -------------------------------------------------------------------------------


def test_callbacks_call_back(ctx):
    ctx.compile("const down = n => n === 0 ? 'end' : again(n - 1) + n")
    ctx.expose("again", lambda n: ctx.call("down", [n]))
    assert ctx.call("down", [20]) == "end" + "".join(map(str, range(1, 21)))
    held = ctx.function("down")
    ctx.expose("again", lambda n: held(n))
    assert held(20) == ctx.call("down", [20])
    ctx.expose("define", lambda: ctx.compile("const defined = 5"))
    assert ctx.eval("define(); defined") == 5


def test_microtasks_wait_for_the_outermost_call(ctx):
    ctx.compile(
        "globalThis.log = [];const nested = () => { Promise.resolve().then(() => log.push('m')) }"
    )
    ctx.expose("f", lambda: ctx.call("nested"))
    assert ctx.eval("f(); log.push('s'); log.length") == 1
    assert ctx.eval("log") == ["s", "m"]


def test_a_promise_cannot_be_waited_for_inside(ctx):
    ctx.compile("const later = async () => { await 0; return 5 }")
    ctx.expose("f", lambda: ctx.call("later"))
    with pytest.raises(jsrt.PendingPromiseError, match="callback"):
        ctx.eval("f()")
    ctx.expose("f", lambda: ctx.call("later", convert=False))
    assert ctx.eval("f()") == 5


@pytest.mark.parametrize("profile", ["bare", "web"])
@pytest.mark.parametrize("limit", [1000, 200_000])
def test_endless_recursion(run_python, profile, limit):
    script = f"""
import sys, jsrt
sys.setrecursionlimit({limit})
ctx = jsrt.Context(profile={profile!r})
ctx.compile("const f = n => g(n + 1)")
ctx.expose("g", lambda n: ctx.call("f", [n]))
for _ in range(2):
    try:
        ctx.call("f", [0])
    except (RecursionError, jsrt.JSError) as error:
        print(type(error).__name__, getattr(error, "name", ""))
held = ctx.function("f")
ctx.expose("g", held)                  # no Python in between at all
try:
    held(0)
except (RecursionError, jsrt.JSError) as error:
    print(type(error).__name__, getattr(error, "name", ""))
print(ctx.eval("1 + 1"))
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[3] == "2"
    for line in lines[:3]:
        assert line.startswith("RecursionError") or line == "JSError RangeError"


def test_closing_inside(ctx):
    def close():
        with pytest.raises(RuntimeError, match="in use by this thread"):
            ctx.close()
        return 5

    ctx.expose("f", close)
    assert ctx.eval("f()") == 5
    assert ctx.eval("1") == 1


def test_another_context_inside(ctx):
    with jsrt.Context(profile="bare", code="const two = () => back()") as other:
        ctx.compile("const one = () => go()")
        other.expose("back", lambda: ctx.eval("1") + 1)
        ctx.expose("go", lambda: other.call("two") + 1)
        assert ctx.call("one") == 3

        def fresh():
            with jsrt.Context(profile="web") as third:
                return third.eval("new URL('http://a/b').pathname")

        ctx.expose("go", fresh)
        assert ctx.call("one") == "/b"
        assert other.eval("1") == 1


def test_another_context_inside_on_casgis_loop():
    async def main():
        with jsrt.Context(profile="bare") as ctx:

            def fresh():
                third = jsrt.Context(profile="web")
                assert third.eval("1 + 1") == 2
                kept.append(third)
                return 5

            kept = []
            ctx.expose("go", fresh)
            assert ctx.eval("go()") == 5
            assert ctx.eval("go()") == 5
            assert await kept[0].eval_async("new Promise(r => setTimeout(r, 5, 7))") == 7
            for each in kept:
                each.close()
            assert ctx.eval("1") == 1

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_a_context_dropped_inside(ctx):
    def drop():
        boxes.clear()
        gc.collect()
        return 1

    boxes = [jsrt.Context(profile="bare")]
    boxes[0].eval("1")
    ctx.expose("drop", drop)
    assert ctx.eval("drop() + drop()") == 2
    assert ctx.eval("1") == 1


# ---- limits -------------------------------------------------------------------------------------


def test_the_timeout_covers_nested_calls():
    with jsrt.Context(profile="bare", timeout=0.3) as ctx:
        seen = []

        def nested():
            try:
                ctx.eval("for (;;);")
            except jsrt.Timeout as error:
                seen.append(error)
            return "went on"

        ctx.expose("f", nested)
        ctx.compile("globalThis.n = 0; function g() { const r = f(); n = 1; return r }")
        with pytest.raises(jsrt.Timeout):
            ctx.call("g")
        assert len(seen) == 1
        assert ctx.eval("n") == 0  # the time of the whole call was over
        ctx.expose("f", lambda: time.sleep(0.35) or "slow Python")
        with pytest.raises(jsrt.Timeout):
            ctx.eval("f(); for (;;);")
        assert ctx.eval("1 + 1") == 2


def test_a_callback_while_it_is_stopped():
    with jsrt.Context(profile="bare", timeout=0.1) as ctx:
        ctx.expose("f", lambda: 1)
        for _ in range(3):
            with pytest.raises(jsrt.Timeout):
                ctx.eval("for (;;) f()")
        assert ctx.eval("f()") == 1


def test_the_heap_limit_inside_a_nested_call():
    with jsrt.Context(profile="bare", heap_limit=16) as ctx:
        seen = []

        def nested():
            for _ in range(2):
                try:
                    ctx.eval("const a = []; for (;;) a.push({})")
                except jsrt.HeapLimit as error:
                    seen.append(error)
            return 1

        ctx.expose("f", nested)
        with pytest.raises(jsrt.HeapLimit):
            ctx.eval("f(); 1")
        assert len(seen) == 2
        assert ctx.eval("typeof f") == "function"  # exposed again in the new heap
        assert ctx.eval("2") == 2


def test_ctrl_c_in_a_nested_loop(run_python):
    script = """
import os, signal, threading, jsrt
ctx = jsrt.Context(profile="bare")
ctx.expose("f", lambda: ctx.eval("for (;;);"))
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    ctx.eval("try { f() } catch { 1 }")
except KeyboardInterrupt:
    print("interrupted", ctx.eval("1 + 1"))
"""
    assert run_python(script).stdout == "interrupted 2\n"


def test_ctrl_c_in_a_callback(ctx):
    def send():
        signal.raise_signal(signal.SIGINT)
        return 1

    ctx.expose("f", send)
    with pytest.raises(KeyboardInterrupt):
        ctx.eval("try { f() } catch { 1 }")
    assert ctx.eval("1 + 1") == 2


def test_a_signal_handler_cannot_call_in(ctx):
    """Between two steps of JavaScript, not from it."""
    seen = []

    def handler(*_):
        try:
            ctx.eval("1")
        except RuntimeError as error:
            seen.append(str(error))

    ctx.expose("f", lambda: 1)
    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        ctx.eval("f(); const end = Date.now() + 400; while (Date.now() < end);")
    finally:
        signal.signal(signal.SIGALRM, old)
    assert seen
    assert "in use by this thread" in seen[0]


# ---- threads ------------------------------------------------------------------------------------


def test_other_threads_wait_while_a_callback_runs(ctx):
    entered, may_go = threading.Event(), threading.Event()
    order = []

    def callback():
        entered.set()
        may_go.wait(10)
        order.append("callback")
        return 1

    def other():
        ctx.eval("1")
        order.append("other")

    ctx.expose("f", callback)
    first = threading.Thread(target=lambda: ctx.eval("f()"))
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=other)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    may_go.set()
    first.join(10)
    second.join(10)
    assert order == ["callback", "other"]


def test_a_thread_that_calls_over_and_over_keeps_nobody_out(ctx):
    ctx.expose("f", lambda: 1)
    stop, entered = threading.Event(), 0

    def busy():
        while not stop.is_set():
            ctx.eval("for (let i = 0; i < 1000; i++) f()")

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            began = time.monotonic()
            assert ctx.eval("1") == 1
            entered += time.monotonic() - began < 5
    finally:
        stop.set()
        thread.join(20)
    assert entered == 5


def test_a_callback_may_wait_for_a_thread_that_uses_another_context(run_python):
    script = """
import threading, jsrt
one, two = jsrt.Context(profile="bare"), jsrt.Context(profile="bare")
work, done = threading.Event(), threading.Event()
def worker():
    work.wait()
    two.eval("1 + 1")
    done.set()
threading.Thread(target=worker, daemon=True).start()
def callback():
    work.set()
    return done.wait(10)
one.expose("f", callback)
one.eval("1")
print(one.eval("f()"))
"""
    assert run_python(script).stdout == "True\n"


def test_callbacks_in_a_pool():
    with jsrt.Context(profile="bare", pool=2, code="const g = n => f(n) + 1") as ctx:
        ctx.expose("f", lambda n: ctx.call("h", [n]) if n else 0)
        ctx.compile("const h = n => g(n - 1)")
        results = []
        threads = [
            threading.Thread(target=lambda: results.extend(ctx.call("g", [5]) for _ in range(50)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert results == [6] * 200


def test_exposures_are_kept_in_order():
    context = jsrt.Context(profile="bare", heap_limit=16)
    context.compile("globalThis.seen = [typeof f]")
    context.expose("f", lambda: 1)
    context.compile("seen.push(f())")
    context.expose("f", lambda: 2)
    context.expose("f", lambda: 3)
    context.compile("seen.push(f()); f = () => 'own'")
    assert context.eval("[...seen, f()]") == ["undefined", 1, 3, "own"]
    with pytest.raises(jsrt.HeapLimit):
        context.eval("const a = []; for (;;) a.push({})")
    assert context.eval("[...seen, f()]") == ["undefined", 3, 3, "own"]
    context.close()
