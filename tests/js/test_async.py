# SPDX-License-Identifier: MIT
"""Promises as futures, on asyncio's own loop: timers, fetch, errors, cancellation."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings

import pytest

import jsrt

SOURCE = """
const later = (ms, value) => new Promise(done => setTimeout(done, ms, value));
const fails = (ms) => new Promise((_, no) => setTimeout(() => no(new TypeError('late')), ms));
async function plain(x) { return x * 2 }
async function fetchJson(url) { const r = await fetch(url); return await r.json() }
let ticks = 0;
function tick() { ticks++; if (ticks < 5) setTimeout(tick, 5) }
let release;
const held = new Promise(done => { release = done });
function sync(x) { return x }
"""


@pytest.fixture
def web():
    with jsrt.Context(code=SOURCE) as ctx:
        yield ctx


def test_a_plain_value_and_a_settled_promise(web):
    async def main():
        assert await web.call_async("sync", [[1, 2]]) == [1, 2]
        assert await web.call_async("plain", [21]) == 42
        assert await web.eval_async("plain(4)") == 8

    asyncio.run(main())


def test_timers_do_not_block_the_loop(web):
    async def main():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.create_task(beat())
        started = time.monotonic()
        done = await asyncio.gather(*(web.call_async("later", [150, n]) for n in range(8)))
        took = time.monotonic() - started
        beating.cancel()
        assert done == list(range(8))
        assert 0.13 < took < 1  # side by side, not one after the other
        assert beats >= 5

    asyncio.run(main())


def test_order_of_timers(web):
    async def main():
        order = []
        tasks = [asyncio.ensure_future(web.call_async("later", [ms, ms])) for ms in (90, 30, 60)]
        for task in tasks:
            task.add_done_callback(lambda t: order.append(t.result()))
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        assert order == [30, 60, 90]

    asyncio.run(main())


def test_fetch(web, http_url):
    async def main():
        answers = await asyncio.gather(
            *(web.call_async("fetchJson", [http_url + "/json"]) for _ in range(4))
        )
        assert answers == [{"hello": "world", "n": [1, 2]}] * 4

    asyncio.run(main())


def test_fetch_in_a_synchronous_call(web, http_url):
    assert web.call("fetchJson", [http_url + "/json"])["hello"] == "world"


def test_rejection(web):
    async def main():
        with pytest.raises(jsrt.JSError) as caught:
            await web.call_async("fails", [10])
        assert (caught.value.name, caught.value.message) == ("TypeError", "late")
        with pytest.raises(jsrt.JSError):
            await web.call_async("no_such_function")

    asyncio.run(main())


def test_a_result_that_cannot_be_converted(web):
    async def main():
        with pytest.raises(jsrt.ConversionError):
            await web.eval_async("later(5, [() => 1])")

    asyncio.run(main())


def test_timers_of_synchronous_calls_run_on_the_loop(web):
    async def main():
        web.call("tick")
        deadline = time.monotonic() + 10
        while web.eval("ticks") < 5:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_later_call_settles_an_earlier_promise(web):
    async def main():
        future = web.eval_async("held")
        await asyncio.sleep(0.02)
        assert not future.done()
        web.eval("release('now')")
        assert await asyncio.wait_for(future, 10) == "now"

    asyncio.run(main())


def test_a_call_that_throws_and_rejects_an_earlier_promise(web):
    web.compile(
        "let refuse; const refused = new Promise((_, no) => { refuse = no });"
        "function both() { refuse(new TypeError('r'.repeat(3000)));"
        "throw new RangeError('t'.repeat(300)) }"
    )

    async def main():
        future = web.eval_async("refused")
        with pytest.raises(jsrt.JSError) as caught:
            web.call("both")
        assert (caught.value.name, caught.value.message) == ("RangeError", "t" * 300)
        with pytest.raises(jsrt.JSError) as caught:
            await future
        assert (caught.value.name, caught.value.message) == ("TypeError", "r" * 3000)

    asyncio.run(main())


def test_cancelling_detaches(web):
    async def main():
        future = web.call_async("later", [30, 1])
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        assert await web.call_async("later", [50, 2]) == 2
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(web.call_async("later", [60000, 1]), 0.05)
        assert await web.call_async("sync", [3]) == 3

    asyncio.run(main())


def test_waiting_synchronously_on_a_loop_names_call_async(web):
    async def main():
        await web.call_async("later", [1, 1])
        with pytest.raises(jsrt.PendingPromiseError, match="call_async"):
            web.call("later", [10, 1])

    asyncio.run(main())


def test_several_loops_one_after_the_other(web):
    async def main(n):
        assert await web.call_async("later", [10, n]) == n

    for n in range(3):
        asyncio.run(main(n))
    assert web.call("later", [10, "sync"]) == "sync"


def test_several_contexts_on_one_loop():
    async def main():
        contexts = [jsrt.Context(code=SOURCE) for _ in range(3)]
        assert await asyncio.gather(
            *(ctx.call_async("later", [20, i]) for i, ctx in enumerate(contexts))
        ) == [0, 1, 2]
        contexts[0].close()
        assert await contexts[1].call_async("later", [10, 5]) == 5
        for ctx in contexts:
            ctx.close()

    asyncio.run(main())


def test_closing_ends_what_waits(web):
    async def main():
        future = web.call_async("later", [60000, 1])
        web.close()
        with pytest.raises(jsrt.ContextClosed):
            await future
        with pytest.raises(jsrt.ContextClosed):
            web.call_async("sync", [1])

    asyncio.run(main())


def test_a_context_that_is_awaited_stays_alive():
    async def main():
        assert await jsrt.Context(code=SOURCE).call_async("later", [50, 4]) == 4

    asyncio.run(main())
    gc.collect()


def test_uncaught_exceptions_reach_the_loops_handler(web):
    seen = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, info: seen.append(info))
        web.eval("void setTimeout(() => { throw new RangeError('stray') }, 5)")
        assert await web.call_async("later", [40, "fine"]) == "fine"

    asyncio.run(main())
    assert [str(info["exception"]).splitlines()[0] for info in seen] == ["RangeError: stray"]


def test_no_running_loop(web):
    with pytest.raises(RuntimeError, match="no running event loop"):
        web.call_async("sync", [1])


def test_bare_contexts_settle_promises_too():
    async def main():
        with jsrt.Context(profile="bare") as ctx:
            ctx.compile("let go; const p = new Promise(done => { go = done })")
            future = ctx.eval_async("p")
            ctx.eval("go(5)")
            assert await asyncio.wait_for(future, 10) == 5

    asyncio.run(main())


def test_a_loop_in_another_thread(web):
    assert web.call("sync", [1]) == 1
    result = []

    async def main():
        result.append(await web.call_async("later", [20, "there"]))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(30)
    assert result == ["there"]
    assert web.call("sync", [2]) == 2


def test_nothing_is_logged(web, caplog):
    async def main():
        with pytest.raises(jsrt.JSError):
            await web.call_async("fails", [5])
        web.call_async("later", [60000, 1])
        web.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main(), debug=True)
        gc.collect()
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
