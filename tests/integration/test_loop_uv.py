# SPDX-License-Identifier: MIT
"""Handles of another owner on the loop's uv_loop_t, as Node's are: driven here through ctypes.

A ctypes callback takes the GIL with PyGILState_Ensure, whether or not the loop's poll has put it
down, which is what the JavaScript runtime does.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterator

import pytest

from asgiserver.loop import Loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Uv:
    """libuv, on one loop; every handle is closed by close()."""

    def __init__(self, loop: Loop) -> None:
        self.library = ctypes.CDLL("libuv.so.1")
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype = ctypes.c_void_p
        pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        self.loop = ctypes.c_void_p(pointer(loop.uv_loop, b"casgi.uv_loop"))
        self.handles: list[ctypes.Array[ctypes.c_char]] = []
        self.callbacks: list[object] = []

    def handle(self, kind: str) -> ctypes.Array[ctypes.c_char]:
        memory = ctypes.create_string_buffer(512)
        assert getattr(self.library, f"uv_{kind}_init")(self.loop, memory) == 0
        self.handles.append(memory)
        return memory

    def callback(self, function: Callable[[], None]) -> object:
        made = CALLBACK(lambda _: function())
        self.callbacks.append(made)
        return made

    def timer(self, milliseconds: int, function: Callable[[], None]) -> None:
        wait = ctypes.c_uint64(milliseconds)
        timer = self.handle("timer")
        start = self.library.uv_timer_start
        assert start(timer, self.callback(function), wait, ctypes.c_uint64(0)) == 0

    def start(self, kind: str, function: Callable[[], None]) -> None:
        handle = self.handle(kind)
        assert getattr(self.library, f"uv_{kind}_start")(handle, self.callback(function)) == 0

    def close(self) -> None:
        for handle in self.handles:
            self.library.uv_close(handle, None)


@pytest.fixture
def uv(loop: Loop) -> Iterator[Uv]:
    made = Uv(loop)
    yield made
    made.close()


@pytest.mark.parametrize("milliseconds", [0, 5])
def test_a_uv_timer_ends_an_awaited_future(loop: Loop, uv: Uv, milliseconds: int) -> None:
    async def main() -> str:
        waiter = loop.create_future()
        uv.timer(milliseconds, lambda: waiter.set_result("done"))
        return await asyncio.wait_for(waiter, 10)

    assert loop.run_until_complete(main()) == "done"


@pytest.mark.parametrize("kind", ["prepare", "idle", "check"])
@pytest.mark.parametrize("how", ["call_soon", "call_later", "stop", "add_callback"])
def test_work_queued_right_before_the_poll_does_not_wait(
    loop: Loop, uv: Uv, kind: str, how: str
) -> None:
    """Nothing else would end the poll: a lost wake-up hangs until the timeout of the test."""
    done = []

    def queue() -> None:
        if done:
            return
        done.append(1)
        if how == "call_soon":
            loop.call_soon(loop.stop)
        elif how == "call_later":
            loop.call_later(0.001, loop.stop)
        elif how == "stop":
            loop.stop()
        else:
            loop._add_callback(asyncio.Handle(loop.stop, (), loop))

    uv.start(kind, queue)
    if kind == "check":
        # A check handle runs after a poll: something has to end the first one. (libuv counts
        # from its own, somewhat older, notion of now: long enough not to be due at once.)
        uv.timer(100, lambda: None)
    loop.run_forever()
    assert done == [1]


def test_python_and_uv_timers_side_by_side(loop: Loop, uv: Uv) -> None:
    seen: dict[str, list[int]] = {"uv": [], "py": []}

    def note(kind: str, i: int) -> None:
        seen[kind].append(i)
        if len(seen["uv"]) == len(seen["py"]) == 20:
            loop.stop()

    for i in range(20):
        uv.timer(2 * i + 1, lambda i=i: note("uv", i))
        loop.call_later(0.002 * i + 0.002, note, "py", i)
    loop.run_forever()
    assert seen["uv"] == seen["py"] == list(range(20))


def test_a_uv_callback_may_use_the_loop_freely(loop: Loop, uv: Uv) -> None:
    """Tasks, readers and executors started inside of a poll."""
    results: list[object] = []

    async def work() -> None:
        await asyncio.sleep(0.001)
        results.append(await loop.run_in_executor(None, sum, [1, 2]))
        loop.stop()

    uv.timer(1, lambda: results.append(loop.create_task(work())))
    loop.run_forever()
    assert results[1] == 3


def test_a_busy_idle_handle_does_not_starve_the_loop(loop: Loop, uv: Uv) -> None:
    turns = []
    uv.start("idle", lambda: turns.append(1))
    loop.run_until_complete(asyncio.sleep(0.02))
    assert len(turns) > 3
