# SPDX-License-Identifier: MIT
"""Calling JavaScript leaves nothing behind, neither here nor in V8."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
from collections.abc import Callable

import pytest
from leaktools import (
    Memory,
    assert_flat,
    growth,
    js_counters_return,  # noqa: F401
)

import jsrt
from asgiserver.loop import Loop

REPEATS = 20_000
FEW_MEGABYTES = 4 << 20
SMALLEST = 8
"""Bytes: the least that V8 can keep for a call."""

SOURCE = """
const id = x => x;
const add = (a, b) => a + b;
const text = n => 'text \\u20ac ' + n;
const nested = n => ({id: n, list: [1, 2.5, 'three', null, {deep: {deeper: [true, n]}}]});
const many = Array.from({length: 2000}, (_, n) => ({n, name: 'element ' + n}));
const elements = () => many;
const bytes = n => new Uint8Array(n);
const fails = n => { throw new TypeError('no ' + n) };
const box = {half: n => n / 2};
const settled = async n => { await null; return {n} };
const rejected = async n => { await null; throw new RangeError('late ' + n) };
"""
NESTED = {"id": 1, "list": [1, 2.5, "three", None, {"deep": {"deeper": [True, 7]}}], "e": "\u20ac"}


pytestmark = pytest.mark.usefixtures("js_counters_return")


def context() -> jsrt.Context:
    """Not a fixture: pytest would hold on to it beyond the test."""
    return jsrt.Context(profile="bare", code=SOURCE)


def growth_with_heap(js: jsrt.Context, work: Callable[[], object]) -> tuple[Memory, int]:
    """What work leaves behind, and how much of it lies in V8's heap."""
    sizes: list[int] = []

    def measure() -> Memory:
        js.collect()
        sizes.append(js.heap_statistics()["heap_used"])
        return Memory.now()

    left = growth(work, measure=measure)
    return left, min(after - before for before, after in itertools.pairwise(sizes))


def scalars(js: jsrt.Context) -> None:
    for number in range(REPEATS // 4):
        assert js.call("add", [number, 1]) == number + 1
        assert js.call("id", ["h\u00e9llo"]) == "h\u00e9llo"
        assert js.call("text", [number]) == f"text \u20ac {number}"
        assert js.call("id", [2.5]) == 2.5


def nested_values(js: jsrt.Context) -> None:
    for number in range(REPEATS // 2):
        js.call("id", [NESTED])
        js.call("nested", [number])


def binary(js: jsrt.Context) -> None:
    for _ in range(REPEATS // 2):
        js.call("id", [b"binary"])
        js.call("bytes", [100])


def exceptions(js: jsrt.Context) -> None:
    for number in range(REPEATS // 4):
        with contextlib.suppress(jsrt.JSError):
            js.call("fails", [number])
        with contextlib.suppress(jsrt.JSSyntaxError):
            js.eval("1 +")
        with contextlib.suppress(jsrt.ConversionError):
            js.call("id", [object()])
        with contextlib.suppress(jsrt.JSError):
            js.call("missing", [])


def functions(js: jsrt.Context) -> None:
    """Held for one call and for several, of the global scope and of an object."""
    for number in range(REPEATS // 4):
        add, half = js.function("add"), js.function("box.half")
        for _ in range(2):
            assert add(number, 1) == number + 1
            assert half(number) == number / 2


@pytest.mark.parametrize("work", [scalars, nested_values, binary, exceptions, functions])
def test_calls_leave_nothing(work: Callable[[jsrt.Context], None]) -> None:
    with context() as js:
        left, in_heap = growth_with_heap(js, lambda: work(js))
    assert_flat(left, REPEATS)
    assert left.resident < FEW_MEGABYTES
    assert in_heap < REPEATS * SMALLEST


def test_large_results_leave_nothing() -> None:
    with context() as js:

        def work() -> None:
            for _ in range(100):
                assert len(js.call("elements")) == 2000

        left, in_heap = growth_with_heap(js, work)
    assert left.blocks < 100
    assert left.malloced < FEW_MEGABYTES // 8
    assert left.resident < FEW_MEGABYTES
    assert in_heap < FEW_MEGABYTES // 8


@pytest.mark.parametrize("make_loop", [Loop, asyncio.new_event_loop], ids=["casgi", "asyncio"])
def test_promises_leave_nothing(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def work(js: jsrt.Context, count: int) -> None:
        for number in range(count // 40):
            settled = [js.call_async("settled", [n]) for n in range(30)]
            rejected = [js.call_async("rejected", [n]) for n in range(5)]
            dropped = [js.call_async("settled", [n]) for n in range(5)]
            for future in dropped:
                future.cancel()
            assert [answer["n"] for answer in await asyncio.gather(*settled)] == list(range(30))
            for failure in await asyncio.gather(*rejected, return_exceptions=True):
                assert isinstance(failure, jsrt.JSError)
            assert await js.eval_async(f"settled({number})") == {"n": number}

    count = REPEATS // 4
    with asyncio.Runner(loop_factory=make_loop, debug=False) as runner:
        with jsrt.Context(profile="web", code=SOURCE) as js:

            def measure() -> Memory:
                js.collect()
                return Memory.now()

            left = growth(lambda: runner.run(work(js, count)), measure=measure)
            assert left.blocks < count // 4
            assert left.malloced < count * 32
            assert left.resident < FEW_MEGABYTES


@pytest.mark.parametrize(("profile", "count"), [("bare", 50), ("web", 4)])
def test_contexts_leave_nothing(profile: str, count: int) -> None:
    def work() -> None:
        for number in range(count):
            with jsrt.Context(profile=profile, code=SOURCE) as js:
                function = js.function("add")
                assert function(number, 1) == number + 1
                js.call("id", [NESTED])

    left = growth(work)
    assert left.blocks < count // 2 + 20
    assert left.malloced < count * 4096
    # What V8 itself keeps per isolate is below this; an isolate's heap is megabytes.
    assert left.resident < FEW_MEGABYTES


def test_a_leak_would_be_seen() -> None:
    with context() as js:
        js.compile("const kept = []; const keep = x => { kept.push([x]) }")

        def work() -> None:
            for number in range(REPEATS):
                js.call("keep", [number])

        _, in_heap = growth_with_heap(js, work)
    assert in_heap > REPEATS * SMALLEST


LIVE = """
class Point { constructor(n) { this.n = n } twice() { return this.n * 2 } }
const made = n => new Point(n);
const apply = (f, n) => f(n);
const sum = it => { let total = 0; for (const n of it) total += n; return total };
const first = it => { for (const n of it) return n };
const caught = f => { try { f() } catch (error) { return error.name } };
"""


def handles(js: jsrt.Context) -> None:
    for number in range(REPEATS // 4):
        point = js.call("made", [number])
        assert point.twice() == 2 * number
        point.n = {"deep": point}
        assert len(list(js.eval("[1, [2]]", convert=False))) == 2


def callbacks(js: jsrt.Context) -> None:
    apply = js.function("apply")
    for number in range(REPEATS // 4):
        assert apply(lambda n: n + 1, number) == number + 1
        assert js.call("sum", [iter(range(5))]) == 10
        assert js.call("first", [iter([number])]) == number


def crossing_exceptions(js: jsrt.Context) -> None:
    def fails(*_: object) -> None:
        raise LookupError("no")

    for number in range(REPEATS // 8):
        assert js.call("caught", [fails]) == "LookupError"
        with contextlib.suppress(LookupError):
            js.call("apply", [fails, number])
        with contextlib.suppress(jsrt.JSError):
            js.call("apply", [lambda _: js.eval("null.x"), number])


@pytest.mark.parametrize("work", [handles, callbacks, crossing_exceptions])
def test_what_lives_on_the_other_side_leaves_nothing(
    work: Callable[[jsrt.Context], None],
) -> None:
    with context() as js:
        js.compile(LIVE)

        def settle() -> Memory:
            """JavaScript's garbage holds Python's: two collections of each."""
            for _ in range(2):
                js.collect()
                js.eval("0")
                gc.collect()
            return Memory.now()

        left = growth(lambda: work(js), measure=settle)
    assert left.blocks < REPEATS // 100
    assert left.resident < FEW_MEGABYTES


@pytest.mark.parametrize("make_loop", [Loop, asyncio.new_event_loop], ids=["casgi", "asyncio"])
def test_async_callbacks_leave_nothing(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def slowly(number: int) -> int:
        await asyncio.sleep(0)
        if number % 5 == 0:
            raise LookupError("no")
        return number

    async def work(js: jsrt.Context, count: int) -> None:
        for number in range(count):
            answers = [js.call_async("apply", [slowly, number + n]) for n in range(5)]
            await asyncio.gather(*answers, return_exceptions=True)
            assert await js.eval("Promise.resolve(7)", convert=False) == 7

    count = REPEATS // 40
    with asyncio.Runner(loop_factory=make_loop, debug=False) as runner:
        with jsrt.Context(profile="web", code=SOURCE + LIVE) as js:

            def measure() -> Memory:
                for _ in range(2):
                    js.collect()
                    js.eval("0")
                    gc.collect()
                return Memory.now()

            left = growth(lambda: runner.run(work(js, count)), measure=measure)
            assert left.blocks < count // 4


def test_rss_stays_flat_over_many_medium_results() -> None:
    """A million calls with CASGI_LEAK_CALLS=1000000; the warm-up is a tenth, 20,000 at least."""
    calls = int(os.environ.get("CASGI_LEAK_CALLS", "60000"))
    with context() as js:
        js.compile("const rows = n => many.slice(n % 1900, n % 1900 + 20)")
        for number in range(max(calls // 10, 20_000)):
            js.call("rows", [number])
        before = Memory.now().resident
        for number in range(calls):
            assert len(js.call("rows", [number])) == 20
        assert Memory.now().resident - before < 5 << 20
