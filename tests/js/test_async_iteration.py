# SPDX-License-Identifier: MIT
"""Asynchronous iterators cross: ``for await`` over Python's, ``async for`` over JavaScript's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import asgiserver
import jsrt
from jsrt import _jsrt

GATHER = """
const gather = async source => {
  const out = [];
  for await (const value of source) out.push(value);
  return out;
};
const first = async source => { for await (const value of source) return value };
async function* count(n, log) {
  try { for (let i = 0; i < n; i++) { await null; yield i } } finally { log?.('closed') }
}
async function* failing() { yield 1; throw new TypeError('in the middle') }
class Box { constructor(n) { this.n = n } }
async function* boxes() { yield new Box(1); yield {plain: [1]}; yield () => 7 }
"""


@pytest.fixture(params=["asyncio", "casgi"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine on a loop of either kind."""

    def run_it(coroutine: Any) -> Any:
        factory = asgiserver.new_event_loop if request.param == "casgi" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, 30))

    return run_it


@pytest.fixture(params=["bare", "web"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_tasks_are_left() -> Iterator[None]:
    yield
    gc.collect()
    assert _jsrt._debug_counts()["tasks"] == 0


async def numbers(n: int, log: list[str] | None = None) -> AsyncIterator[int]:
    try:
        for i in range(n):
            await asyncio.sleep(0)
            yield i
    finally:
        if log is not None:
            log.append("closed")


class TestToJavaScript:
    def test_generator(self, run: Callable[[Any], Any], profile: str) -> None:
        async def main() -> Any:
            with jsrt.Context(profile=profile, code=GATHER) as ctx:  # type: ignore[arg-type]
                return await ctx.call_async("gather", [numbers(5)])

        assert run(main()) == [0, 1, 2, 3, 4]

    def test_values_are_converted(self, run: Callable[[Any], Any]) -> None:
        async def values() -> AsyncIterator[Any]:
            yield {"a": [1, None]}
            yield "text"
            yield None

        async def main() -> Any:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                return await ctx.call_async("gather", [values()])

        assert run(main()) == [{"a": [1, None]}, "text", None]

    def test_empty_and_in_containers(self, run: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            code = GATHER + "const both = async o => [await gather(o.a), await gather(o.b[0])]"
            with jsrt.Context(profile="bare", code=code) as ctx:
                return await ctx.call_async("both", [{"a": numbers(0), "b": [numbers(2)]}])

        assert run(main()) == [[], [0, 1]]

    def test_breaking_off_closes(self, run: Callable[[Any], Any]) -> None:
        log: list[str] = []

        async def main() -> Any:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                return await ctx.call_async("first", [numbers(5, log)])

        assert run(main()) == 0
        assert log == ["closed"]

    def test_exceptions(self, run: Callable[[Any], Any]) -> None:
        async def fails() -> AsyncIterator[int]:
            yield 1
            raise LookupError("no more")

        async def main() -> None:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                with pytest.raises(LookupError, match="no more"):
                    await ctx.call_async("gather", [fails()])
                code = "(async s => { try { await gather(s) } catch (e) { return e.message } })"
                assert await ctx.eval(code)(fails(), convert=False) == "no more"

        run(main())

    def test_iterables_and_plain_iterators(self, run: Callable[[Any], Any]) -> None:
        class Iterable:
            def __aiter__(self) -> AsyncIterator[int]:
                return numbers(3)

        class Iterator:
            """Whose end comes at once, without an awaitable."""

            def __init__(self) -> None:
                self.left = 2

            def __aiter__(self) -> Iterator:
                return self

            def __anext__(self) -> Any:
                if self.left == 0:
                    raise StopAsyncIteration
                self.left -= 1
                return asyncio.sleep(0, self.left)

        async def main() -> Any:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                first = await ctx.call_async("gather", [Iterable()])
                return first, await ctx.call_async("gather", [Iterator()])

        assert run(main()) == ([0, 1, 2], [1, 0])

    def test_something_wrong_with_aiter(self) -> None:
        class Wrong:
            def __aiter__(self) -> int:
                return 1

        with jsrt.Context(profile="bare", code=GATHER) as ctx:
            with pytest.raises(TypeError, match="without __anext__"):
                ctx.call("gather", [Wrong()])
            with pytest.raises(TypeError, match="without __anext__"):
                ctx.call("gather", [[Wrong()]])

    def test_queue(self, run: Callable[[Any], Any]) -> None:
        """Values that arrive while JavaScript waits for them."""

        async def main() -> Any:
            queue: asyncio.Queue[int | None] = asyncio.Queue()

            async def drain() -> AsyncIterator[int]:
                while (item := await queue.get()) is not None:
                    yield item

            with jsrt.Context(profile="web", code=GATHER) as ctx:
                future = ctx.call_async("gather", [drain()])
                for n in (*range(50), None):
                    await queue.put(n)
                    await asyncio.sleep(0)
                return await future

        assert run(main()) == list(range(50))

    def test_without_a_loop(self) -> None:
        with jsrt.Context(profile="bare", code=GATHER) as ctx:
            with pytest.raises(RuntimeError, match="no event loop is running"):
                ctx.call("gather", [numbers(1)])

    def test_it_is_its_own_iterator(self, run: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            code = (
                "(async it => [it[Symbol.asyncIterator]() === it, Symbol.iterator in it,"
                " JSON.stringify(await it.next()), JSON.stringify(await it.return(7)),"
                " JSON.stringify(await it.next())])"
            )
            with jsrt.Context(profile="bare") as ctx:
                return await ctx.eval(code)(numbers(3), convert=False)

        assert run(main()) == [
            True, False, '{"value":0,"done":false}', '{"value":7,"done":true}', '{"done":true}',
        ]  # fmt: skip


class TestToPython:
    def test_generator(self, run: Callable[[Any], Any], profile: str) -> None:
        async def main() -> Any:
            with jsrt.Context(profile=profile, code=GATHER) as ctx:  # type: ignore[arg-type]
                return [n async for n in ctx.call("count", [4])]

        assert run(main()) == [0, 1, 2, 3]

    def test_timers(self, run: Callable[[Any], Any]) -> None:
        code = (
            "async function* slow() { for (let i = 0; i < 3; i++) {"
            " await new Promise(r => setTimeout(r, 1)); yield i } }"
        )

        async def main() -> Any:
            with jsrt.Context(profile="web", code=code) as ctx:
                return [n async for n in ctx.call("slow")]

        assert run(main()) == [0, 1, 2]

    def test_web_streams(self, run: Callable[[Any], Any]) -> None:
        code = (
            "const body = () => new ReadableStream({ start(c) {"
            " c.enqueue(new Uint8Array([1, 2])); c.enqueue(new Uint8Array([3])); c.close() } })"
        )

        async def main() -> Any:
            with jsrt.Context(profile="web", code=code) as ctx:
                return [chunk async for chunk in ctx.call("body")]

        assert run(main()) == [b"\x01\x02", b"\x03"]

    def test_values(self, run: Callable[[Any], Any]) -> None:
        async def main() -> None:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                box, plain, function = [value async for value in ctx.call("boxes")]
                assert isinstance(box, jsrt.JSObject)
                assert box.n == 1
                assert plain == {"plain": [1]}
                assert function() == 7

        run(main())

    def test_errors(self, run: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            seen = []
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                with pytest.raises(jsrt.JSError, match="in the middle"):
                    async for value in ctx.call("failing"):
                        seen.append(value)
            return seen

        assert run(main()) == [1]

    def test_closing(self, run: Callable[[Any], Any]) -> None:
        log: list[str] = []

        async def main() -> None:
            with jsrt.Context(profile="bare", code=GATHER) as ctx:
                async with contextlib.aclosing(aiter(ctx.call("count", [9, log.append]))) as it:
                    async for value in it:
                        if value == 2:
                            break

        run(main())
        assert log == ["closed"]

    def test_sync_iterables_too(self, run: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            code = "[1, Promise.resolve(2)]"
            with jsrt.Context(profile="bare") as ctx:
                return [value async for value in ctx.eval(code, convert=False)]

        assert run(main()) == [1, 2]

    def test_what_is_none(self, run: Callable[[Any], Any]) -> None:
        async def main() -> None:
            with jsrt.Context(profile="bare") as ctx:
                with pytest.raises(jsrt.JSError, match="is not a function"):
                    aiter(ctx.eval("({})", convert=False))

        run(main())

    def test_and_back_again(self, run: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            code = GATHER + "async function* twice(s) { for await (const v of s) yield v * 2 }"
            with jsrt.Context(profile="bare", code=code) as ctx:
                doubled = ctx.call("twice", [numbers(4)])
                return await ctx.call_async("gather", [[value async for value in doubled]])

        assert run(main()) == [0, 2, 4, 6]

    def test_cancelling(self, run: Callable[[Any], Any]) -> None:
        code = "async function* never() { yield 1; await new Promise(() => {}) }"

        async def main() -> None:
            seen = []
            with jsrt.Context(profile="bare", code=code) as ctx:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        async for value in ctx.call("never"):
                            seen.append(value)
                assert seen == [1]
                assert ctx.eval("1 + 1") == 2

        run(main())
