# SPDX-License-Identifier: MIT
"""What crosses between Python and JavaScript by other ways than a copy leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from leaktools import (
    Memory,
    assert_flat,
    growth,
    js_counters_return,  # noqa: F401
)

import jsrt

ROUNDS = 4000


pytestmark = pytest.mark.usefixtures("js_counters_return")


@pytest.fixture
def logger() -> logging.Logger:
    """One without parents: pytest keeps what reaches the root."""
    logger = logging.Logger("leak.js", logging.INFO)
    logger.addHandler(logging.NullHandler())
    return logger


def assert_nothing_stays(js: jsrt.Context, work: Callable[[], object], repeats: int) -> None:
    """Neither in Python nor in V8."""
    sizes: list[int] = []

    def measure() -> Memory:
        js.collect()
        js.eval("0")  # what V8 has dropped is released when a call ends
        sizes.append(js.heap_statistics()["heap_used"])
        return Memory.now()

    assert_flat(growth(work, measure=measure), repeats)
    grown = min(after - before for before, after in itertools.pairwise(sizes))
    assert grown < repeats * 8, f"{grown} bytes of V8's heap after {repeats}"


def test_console(logger: logging.Logger) -> None:
    js = jsrt.Context(
        profile="bare",
        console=logger,
        code="const say = n => { console.log('%d of %o', n, {a: [n]}); console.debug(n) }",
    )

    def work() -> None:
        for number in range(ROUNDS):
            js.call("say", [number])

    assert_nothing_stays(js, work, ROUNDS)
    js.close()


def test_consoles_of_realms(logger: logging.Logger) -> None:
    js = jsrt.Context(profile="bare", console=logger)

    def work() -> None:
        for _ in range(100):
            with js.realm() as realm:
                realm.eval("console.log(1)")

    assert_flat(growth(work), 100)
    js.close()


def test_proxies() -> None:
    js = jsrt.Context(
        profile="bare",
        code="const look = p => p.list[0].n + p.point.x + ('no' in p) + Object.keys(p).length;"
        "const same = p => p.list;"
        "const write = p => { p.new = {a: [1]}; p.list.push(2); p.list.pop(); delete p.new };"
        "const fail = p => { p.x = 1 }",
    )

    class Point:
        x = 1

    def work() -> None:
        for number in range(ROUNDS):
            data = {"list": [{"n": number}], "point": Point()}
            assert js.call("look", [jsrt.proxy(data)]) == number + 3
            assert js.call("same", [jsrt.proxy(data)]) is data["list"]
            js.call("write", [jsrt.proxy(data, writable=True)])
            with contextlib.suppress(jsrt.JSError):
                js.call("fail", [jsrt.proxy(data)])

    assert_nothing_stays(js, work, ROUNDS)
    js.close()


def test_shared_buffers() -> None:
    js = jsrt.Context(
        profile="bare",
        code="let last; const take = (b, o) => { b[0] = 1; last = o; return b };",
    )
    js.expose("give", lambda: bytearray(64))

    def work() -> None:
        for number in range(ROUNDS):
            data = bytearray(8 + number % 500)
            assert js.call("take", [data, {"in": data}])[0] == 1
            js.eval("last = give()")

    assert_nothing_stays(js, work, ROUNDS)
    js.close()


def test_async_iteration() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def make() -> jsrt.Context:
        return jsrt.Context(
            profile="bare",
            code="const sum = async s => { let n = 0; for await (const v of s) n += v; return n };"
            "const first = async s => { for await (const v of s) return v };"
            "async function* count() { for (let i = 0; i < 3; i++) yield i }",
        )

    async def work() -> None:
        for _ in range(200):
            assert await js.call_async("sum", [numbers()]) == 3
            assert await js.call_async("first", [numbers()]) == 0
            assert [number async for number in js.call("count")] == [0, 1, 2]
            async with contextlib.aclosing(aiter(js.call("count"))) as counting:
                assert await anext(counting) == 0
        await asyncio.get_running_loop().shutdown_asyncgens()
        js.collect()
        js.eval("0")

    with asyncio.Runner() as runner:
        js = runner.run(make())
        assert_flat(growth(lambda: runner.run(work())), 200)
        js.close()
