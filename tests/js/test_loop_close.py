# SPDX-License-Identifier: MIT
"""Closing casgi's loop frees the engines that live on it, also where a context is left open."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from subprocess import CompletedProcess
from typing import Any, Literal

import pytest

import jsrt
from asgiserver import _core
from asgiserver.loop import Loop
from jsrt import _jsrt

CODE = "let n = 0; const next = () => ++n;"


@pytest.fixture(autouse=True)
def _no_warning_no_leak() -> Iterator[None]:
    leaked = _core._debug_counts()["uv_leaked"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield
    assert _core._debug_counts()["uv_leaked"] == leaked


def run_and_close(loop: Loop, main: Coroutine[Any, Any, Any]) -> Any:
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.parametrize("profile", ["web", "node"])
def test_a_context_left_open(profile: Literal["web", "node"]) -> None:
    ctx = jsrt.Context(profile=profile)
    before = _jsrt._debug_counts()["isolates"]

    async def main(code: str = "") -> list[object]:
        ctx.compile(code)
        seen = [ctx.call("next"), await ctx.call_async("next")]
        assert _jsrt._debug_counts()["isolates"] == before + 1
        return seen

    assert run_and_close(Loop(), main(CODE)) == [1, 2]
    assert _jsrt._debug_counts()["isolates"] == before
    # The context itself is open: its code runs again in a new engine, on another loop or on none.
    assert run_and_close(Loop(), main()) == [1, 2]
    assert ctx.call("next") == 1
    ctx.close()


def test_an_engine_with_a_loop_of_its_own_stays() -> None:
    ctx = jsrt.Context(profile="bare", code=CODE)

    async def main() -> object:
        return ctx.call("next")

    assert [run_and_close(Loop(), main()) for _ in range(3)] == [1, 2, 3]
    ctx.close()


def test_with_timers_and_promises_under_way() -> None:
    ctx = jsrt.Context()

    async def main() -> asyncio.Future[Any]:
        ctx.eval("setInterval(() => {}, 1); 1")
        waiting = asyncio.ensure_future(
            ctx.eval_async("new Promise(done => setTimeout(done, 1e6))")
        )
        await asyncio.sleep(0.01)
        assert not waiting.done()
        return waiting

    assert isinstance(run_and_close(Loop(), main()), asyncio.Future)
    ctx.close()


def test_a_held_function_is_looked_up_in_the_next_engine() -> None:
    ctx = jsrt.Context()
    held: list[jsrt.Function] = []

    async def main() -> object:
        ctx.compile(CODE)
        held.append(ctx.function("next"))
        return [held[0](), held[0]()]

    assert run_and_close(Loop(), main()) == [1, 2]
    assert held[0]() == 1
    ctx.close()


def test_other_loops_keep_their_engines() -> None:
    """Those of another thread's loop, which runs meanwhile, and those of no loop."""
    ready, over = threading.Event(), threading.Event()
    seen: list[object] = []

    def elsewhere() -> None:
        async def main() -> None:
            with jsrt.Context(code=CODE) as theirs:
                seen.append(theirs.call("next"))
                ready.set()
                await asyncio.get_running_loop().run_in_executor(None, over.wait, 20)
                seen.append(theirs.call("next"))

        run_and_close(Loop(), main())

    own = jsrt.Context(profile="bare", code=CODE)
    assert own.call("next") == 1
    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        assert ready.wait(20)
        ctx = jsrt.Context()

        async def main() -> object:
            ctx.compile(CODE)
            return ctx.call("next")

        assert run_and_close(Loop(), main()) == 1
        assert own.call("next") == 2
        ctx.close()
    finally:
        over.set()
        thread.join(20)
    assert seen == [1, 2]
    own.close()


def test_without_jsrt(run_python: Callable[..., CompletedProcess[str]]) -> None:
    """Closing a loop imports nothing."""
    done = run_python(
        "import sys; from asgiserver.loop import Loop; Loop().close(); print('jsrt' in sys.modules)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
