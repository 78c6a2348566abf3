# SPDX-License-Identifier: MIT
"""Contexts and threads: one each, one shared, a pool; several contexts dying in any order."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import jsrt
from jsrt import _jsrt

ADD = "function add(a, b) { return a + b }"
SPIN = "function spin(ms) { const end = Date.now() + ms; while (Date.now() < end); return ms }"


@pytest.mark.parametrize("profile", ["bare", "web"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_contexts_die_in_any_order(profile, order):
    contexts = [jsrt.Context(profile=profile, code=f"const me = {n}") for n in range(3)]
    for gone, n in enumerate(order):
        contexts[n] = None
        for other in order[gone + 1 :]:
            assert contexts[other].eval("me") == other


def test_fifty_contexts():
    contexts = [jsrt.Context(profile="bare", code=f"var me = {n}") for n in range(50)]
    assert [ctx.eval("me") for ctx in contexts] == list(range(50))
    assert _jsrt._debug_counts()["isolates"] >= 50
    for ctx in contexts[::2]:
        ctx.close()
    assert [ctx.eval("me") for ctx in contexts[1::2]] == list(range(1, 50, 2))
    for ctx in contexts[::2]:
        with pytest.raises(jsrt.ContextClosed):
            ctx.eval("me")


def test_a_context_for_each_thread():
    def work(n):
        with jsrt.Context(profile="bare", code=ADD) as ctx:
            return [ctx.call("add", [n, i]) for i in range(200)]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, range(12)))
    assert results == [[n + i for i in range(200)] for n in range(12)]


@pytest.mark.parametrize("profile", ["bare", "web"])
def test_one_context_from_many_threads(profile):
    with jsrt.Context(profile=profile, code=ADD + "; let n = 0; const next = () => ++n") as ctx:
        add = ctx.function("add")
        ctx.call("next")

        def work(i):
            return [(add(i, j), ctx.call("next")) for j in range(100)]

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(work, range(16)))
        assert [[r[0] for r in rs] for rs in results] == [
            [i + j for j in range(100)] for i in range(16)
        ]
        assert sorted(r[1] for rs in results for r in rs) == list(range(2, 1602))


def test_a_long_call_makes_other_threads_wait_their_turn():
    with jsrt.Context(profile="bare", code=SPIN + ADD) as ctx:
        ctx.eval("0")
        order = []
        started = threading.Event()

        def long():
            started.set()
            ctx.call("spin", [300])
            order.append("long")

        thread = threading.Thread(target=long)
        thread.start()
        started.wait(5)
        time.sleep(0.05)  # into the call, past the watchdog's tick
        assert ctx.call("add", [1, 2]) == 3
        order.append("short")
        thread.join(10)
        assert order == ["long", "short"]


def test_a_context_dropped_by_another_thread():
    box = [jsrt.Context(code=ADD)]
    assert box[0].call("add", [1, 1]) == 2
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join(10)
    gc.collect()
    with jsrt.Context(code=ADD) as ctx:
        assert ctx.call("add", [1, 2]) == 3


def test_a_pool_of_two_with_eight_threads():
    with jsrt.Context(pool=2, profile="bare", code=SPIN + ADD) as ctx:
        add = ctx.function("add")
        assert add(1, 1) == 2
        engines = _jsrt._debug_counts()["engines"]

        def work(n):
            assert ctx.call("spin", [5]) == 5
            return [ctx.call("add", [n, 1]), add(n, 2), ctx.eval(f"add({n}, 3)")]

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(work, range(40)))
        assert results == [[n + 1, n + 2, n + 3] for n in range(40)]
        assert _jsrt._debug_counts()["engines"] - engines <= 2


def test_a_pool_runs_side_by_side():
    with jsrt.Context(pool=2, profile="bare", code=SPIN) as ctx:
        barrier = threading.Barrier(2)

        def work(_):
            ctx.call("spin", [1])
            barrier.wait(20)
            started = time.monotonic()
            ctx.call("spin", [300])
            return started, time.monotonic()

        with ThreadPoolExecutor(2) as pool:
            (a, b), (c, d) = pool.map(work, range(2))
        assert max(a, c) < min(b, d)  # their times overlap


def test_code_compiled_anywhere_reaches_every_engine():
    with jsrt.Context(pool=2, profile="bare") as ctx:
        ctx.compile("const one = 1")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ctx.compile, "const two = one + 1").result(30)
            assert pool.submit(ctx.eval, "one + two").result(30) == 3
        assert ctx.eval("one + two") == 3
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(jsrt.JSSyntaxError):
                pool.submit(ctx.compile, "const = 1").result(30)
            assert pool.submit(ctx.eval, "two").result(30) == 2


def test_errors_and_limits_in_a_pool():
    with jsrt.Context(pool=1, profile="bare", timeout=8, heap_limit=32, code=ADD) as ctx:
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(jsrt.HeapLimit):
                pool.submit(ctx.evaluate, "const a = []; for (;;) a.push([a, {}])").result(30)
            with pytest.raises(jsrt.JSError):
                pool.submit(ctx.call, "nothing").result(30)
            assert pool.submit(ctx.call, "add", [1, 2]).result(30) == 3


def test_a_timeout_in_a_pool():
    with jsrt.Context(pool=1, profile="bare", timeout=0.2, code=ADD) as ctx:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(3):
                with pytest.raises(jsrt.Timeout):
                    pool.submit(ctx.eval, "for (;;) {}").result(30)
                assert pool.submit(ctx.call, "add", [1, 2]).result(30) == 3


def test_a_promise_in_a_pool_is_waited_for():
    source = "const later = ms => new Promise(done => setTimeout(done, ms, ms))"
    with jsrt.Context(pool=1, code=source) as ctx:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(lambda ms: ctx.call("later", [ms]), [20, 10, 5])) == [20, 10, 5]


def test_a_pool_beside_a_busy_event_loop():
    async def main():
        with jsrt.Context(pool=2, code=SPIN + ADD) as ctx:
            loop = asyncio.get_running_loop()
            assert await ctx.call_async("add", [1, 2]) == 3
            jobs = [loop.run_in_executor(None, ctx.call, "spin", [30]) for _ in range(6)]
            for _ in range(20):
                assert await ctx.call_async("add", [1, 2]) == 3
                await asyncio.sleep(0)
            assert await asyncio.gather(*jobs) == [30] * 6

    asyncio.run(main())


def test_closing_while_others_call():
    ctx = jsrt.Context(pool=2, profile="bare", code=SPIN)
    outcomes = []

    def work():
        try:
            while True:
                ctx.call("spin", [3])
        except jsrt.ContextClosed:
            outcomes.append("closed")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    ctx.close()
    for thread in threads:
        thread.join(20)
    assert outcomes == ["closed"] * 4
