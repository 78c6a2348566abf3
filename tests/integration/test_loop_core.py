# SPDX-License-Identifier: MIT
"""The event loop without I/O: queue, timers, contexts, errors, stop and close, debug mode."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import random
import sys
import time
import warnings
import weakref

import pytest
from subpython import python

from asgiserver import _core
from asgiserver.loop import EventLoopPolicy, Loop, install, new_event_loop, run_loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")


# ---- the ready queue


def test_callbacks_run_in_order_and_what_they_queue_waits_for_the_next_turn(loop: Loop) -> None:
    seen: list[object] = []

    def first() -> None:
        seen.append("first")
        loop.call_soon(seen.append, "queued by first")
        loop.call_soon(loop.stop)

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    loop.run_forever()
    assert seen == ["first", "second", "queued by first"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
def test_any_number_of_arguments(loop: Loop, n: int) -> None:
    seen: list[tuple[int, ...]] = []
    handle = loop.call_soon(lambda *args: seen.append(args), *range(n))
    assert handle._args == tuple(range(n))
    loop.call_later(0, lambda *args: seen.append(args), *range(n))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == [tuple(range(n))] * 2


def test_the_queue_grows_in_mid_turn_and_keeps_its_order(loop: Loop) -> None:
    seen: list[int] = []

    def burst() -> None:
        for i in range(5000):
            loop.call_soon(seen.append, i)

    # Start with the ring's head away from its first slot, so that growing has to unwrap it.
    for _ in range(200):
        loop.call_soon(lambda: None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(burst)
    loop.call_soon(loop.call_soon, loop.call_soon, loop.stop)
    loop.run_forever()
    assert seen == list(range(5000))


def test_a_cancelled_handle_does_not_run_and_lets_its_callback_go(loop: Loop) -> None:
    class Callback:
        def __call__(self) -> None:
            raise AssertionError("ran")

    callback = Callback()
    gone = weakref.ref(callback)
    handle = loop.call_soon(callback)
    del callback
    assert not handle.cancelled()
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    assert gone() is None
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_callback_may_cancel_its_own_handle(loop: Loop) -> None:
    seen = []

    def callback(argument: object) -> None:
        handle.cancel()
        gc.collect()
        seen.append(argument)

    handle = loop.call_soon(callback, object())
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert len(seen) == 1


def test_a_long_chain_of_handles_is_freed_without_recursion(loop: Loop) -> None:
    handle = None
    for _ in range(200_000):
        handle = loop._make_handle(print, handle)
    before = _core._debug_counts()["handles"]
    del handle
    assert before - _core._debug_counts()["handles"] == 200_000


def test_handles_pass_for_asyncios(loop: Loop) -> None:
    handle = loop.call_soon(print, "x")
    timer = loop.call_later(10, print, "x")
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)
    assert repr(handle).startswith("<Handle print(")
    assert repr(timer).startswith(f"<TimerHandle when={timer.when()} print(")
    assert weakref.ref(handle)() is handle
    later = loop.call_later(20, print, "x")
    assert timer < later
    assert timer <= later
    assert later > timer
    assert timer == timer
    assert timer != later
    assert hash(timer) == hash(timer.when())
    for each in (handle, timer, later):
        each.cancel()
    assert repr(handle) == "<Handle cancelled>"
    with pytest.raises(TypeError):
        type(handle)()


def test_wrong_arguments_are_named(loop: Loop) -> None:
    with pytest.raises(TypeError, match="callback"):
        loop.call_soon()
    with pytest.raises(TypeError, match="bogus"):
        loop.call_soon(print, bogus=1)
    with pytest.raises(TypeError, match="Context"):
        loop.call_soon(print, context=1)
    with pytest.raises(TypeError, match="delay"):
        loop.call_later(None, print)
    with pytest.raises(TypeError, match="when"):
        loop.call_at(None, print)
    with pytest.raises(TypeError):
        loop.call_later("1", print)


# ---- timers


def test_timers_run_in_order_of_time_and_never_early(loop: Loop) -> None:
    due = {}
    ran = []

    def callback(i: int) -> None:
        ran.append((i, loop.time()))

    order = list(range(60))
    random.Random(3).shuffle(order)
    for i in order:
        due[i] = loop.call_later(0.001 * i + 0.0003, callback, i).when()
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    # Each delay counts from its own call_later: the order is that of the times due.
    assert [i for i, _ in ran] == sorted(due, key=due.__getitem__)
    for i, when in ran:
        assert when >= due[i]


def test_equal_times_run_in_the_order_asked_for(loop: Loop) -> None:
    seen: list[int] = []
    when = loop.time() + 0.005
    for i in range(200):
        loop.call_at(when, seen.append, i)
    loop.call_at(when, loop.stop)
    loop.run_forever()
    assert seen == list(range(200))


def test_a_timer_is_not_late_by_more_than_a_few_milliseconds(loop: Loop) -> None:
    late = []
    for _ in range(20):
        when = loop.time() + 0.004
        loop.call_at(when, loop.stop)
        loop.run_forever()
        late.append(loop.time() - when)
    assert min(late) >= 0
    assert sorted(late)[10] < 0.003


def test_cancelled_timers_are_swept(loop: Loop) -> None:
    before = _core._debug_counts()["timers"]
    timers = [loop.call_later(1000 + i, print) for i in range(1000)]
    for timer in timers[:900]:
        timer.cancel()
    assert _core._debug_counts()["timers"] - before < 300
    assert timers[950]._scheduled
    for timer in timers[900:]:
        timer.cancel()
    # One at the head at the latest when the loop looks at it.
    loop.call_soon(loop.stop)
    loop.run_forever()
    del timers


def test_heap_against_a_model(loop: Loop) -> None:
    chance = random.Random(11)
    seen: list[int] = []
    model: dict[int, float] = {}
    handles = {}
    base = loop.time()
    for i in range(3000):
        when = base - chance.random()
        handles[i] = loop.call_at(when, seen.append, i)
        model[i] = when
        if chance.random() < 0.6:
            victim = chance.choice(list(model))
            handles[victim].cancel()
            del model[victim]
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    loop.run_forever()
    assert seen == sorted(model, key=lambda i: (model[i], i))


@pytest.mark.parametrize("delay", [float("inf"), 1e300, 10.0**9])
def test_far_off_timers_do_not_disturb(loop: Loop, delay: float) -> None:
    far = loop.call_later(delay, print)
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    far.cancel()


@pytest.mark.parametrize("delay", [0, -1, float("-inf"), float("nan")])
def test_timers_that_are_due_run_in_the_next_turn(loop: Loop, delay: float) -> None:
    seen: list[int] = []
    loop.call_later(delay, seen.append, 1)
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    loop.run_forever()
    assert seen == [1]


def test_time_is_the_monotonic_clock(loop: Loop) -> None:
    before = time.monotonic()
    now = loop.time()
    assert before - 1e-5 <= now <= time.monotonic() + 1e-5


# ---- contexts


def test_a_callback_runs_in_the_context_it_was_asked_in(loop: Loop) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outer")
    seen: list[str] = []
    inner = contextvars.copy_context()
    inner.run(var.set, "given")

    def note() -> None:
        seen.append(var.get())
        var.set("changed")

    loop.call_soon(note)
    loop.call_soon(note, context=inner)
    loop.call_soon(note, context=None)
    token = var.set("at the time of the call")
    handle = loop.call_later(0.001, note)
    var.reset(token)
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert seen == ["outer", "given", "outer", "at the time of the call"]
    assert var.get() == "outer"
    assert inner[var] == "changed"
    assert handle.get_context()[var] == "changed"


def test_a_context_that_is_entered_already_is_an_error(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    context = contextvars.copy_context()
    loop.call_soon(print, "never printed", context=context)
    loop.call_soon(loop.stop)
    context.run(loop.run_forever)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "cannot enter context" in str(record.exc_info[1])
    caplog.clear()


# ---- errors


def test_an_exception_goes_to_the_handler_and_the_turn_goes_on(loop: Loop) -> None:
    reports = []
    seen = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    handle = loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, 1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1]
    (report,) = reports
    assert isinstance(report["exception"], ZeroDivisionError)
    assert report["exception"].__traceback__ is not None
    assert report["handle"] is handle
    assert report["message"].startswith("Exception in callback ")
    reports.clear()


def test_the_default_handler_logs(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (record,) = caplog.records
    assert record.name == "asyncio"
    assert "Exception in callback" in record.message
    caplog.clear()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exits_leave_run_forever_and_the_rest_waits(loop: Loop, kind: type) -> None:
    seen = []

    def leave() -> None:
        raise kind(7)

    loop.call_soon(leave)
    loop.call_soon(seen.append, 1)
    with pytest.raises(kind) as caught:
        loop.run_forever()
    assert caught.value.args == (7,)
    assert seen == []
    assert not loop.is_running()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1]


def test_an_exit_out_of_the_exception_handler(loop: Loop) -> None:
    def handler(loop: object, context: object) -> None:
        raise SystemExit(3)

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    with pytest.raises(SystemExit):
        loop.run_forever()


def test_system_exit_in_a_task_ends_the_process() -> None:
    done = python("""
        import asyncio, asgiserver.loop as l
        async def main():
            asyncio.get_running_loop().create_task(leave())
            await asyncio.sleep(10)
        async def leave():
            raise SystemExit(5)
        l.run_loop(main())
    """)
    assert done.returncode == 5, done.stderr


# ---- running, stopping, closing


def test_stop_before_run_runs_one_turn(loop: Loop) -> None:
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(loop.call_soon, seen.append, 2)
    loop.stop()
    loop.run_forever()
    assert seen == [1]
    loop.stop()
    loop.run_forever()
    assert seen == [1, 2]


def test_run_until_complete(loop: Loop) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert loop.run_until_complete(answer()) == 42
    waiter = loop.create_future()
    loop.call_later(0.001, waiter.set_exception, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        loop.run_until_complete(waiter)
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        loop.run_until_complete(loop.create_future())


def test_running_state(loop: Loop) -> None:
    other = new_event_loop()
    errors: list[str] = []

    async def main() -> None:
        assert asyncio.get_running_loop() is loop
        assert loop.is_running()
        for each in (loop, other):
            try:
                each.run_forever()
            except RuntimeError as exc:
                errors.append(str(exc))
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        with pytest.raises(RuntimeError, match="running"):
            loop._shut()

    loop.run_until_complete(main())
    assert errors == [
        "This event loop is already running",
        "Cannot run the event loop while another loop is running",
    ]
    assert not loop.is_running()
    other.close()


def test_a_closed_loop_refuses(loop: Loop) -> None:
    handle = loop.call_soon(print)
    timer = loop.call_later(1, print)
    loop.close()
    loop.close()
    assert loop.is_closed()
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.add_reader(0, print),
        lambda: loop.add_signal_handler(10, print),
        lambda: loop.run_forever(),
        lambda: loop.uv_loop,
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    assert loop.remove_reader(0) is False
    timer.cancel()
    handle.cancel()
    assert loop.create_future().get_loop() is loop
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        loop.create_task(coroutine)
    coroutine.close()


def test_a_loop_that_was_not_closed_is_collected_with_a_warning() -> None:
    made = new_event_loop()
    made.call_soon(print, [made])
    made.call_later(100, print, [made])
    gone = weakref.ref(made)
    del made
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert gone() is None


def test_a_bare_core_loop_is_freed() -> None:
    bare = _core.Loop()
    assert bare.time() > 0
    del bare


def test_foreign_handles_keep_the_uv_loop_allocated() -> None:
    """In a process of its own: the counter of such loops stays."""
    done = python("""
        import ctypes, warnings
        from asgiserver import _core
        from asgiserver.loop import new_event_loop

        libuv = ctypes.CDLL("libuv.so.1")
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype = ctypes.c_void_p
        pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        loop = new_event_loop()
        uv = ctypes.c_void_p(pointer(loop.uv_loop, b"casgi.uv_loop"))
        timer = ctypes.create_string_buffer(512)
        assert libuv.uv_timer_init(uv, timer) == 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.close()
        print(*[f"{w.category.__name__}: {w.message}" for w in caught])
        assert _core._debug_counts()["uv_leaked"] == 1
        # As its owner may do later: the uv loop is still there.
        libuv.uv_close(timer, None)
        libuv.uv_run(uv, 2)
        assert libuv.uv_loop_close(uv) == 0
        print("closed")
    """)
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning: event loop closed while other owners'" in done.stdout
    assert done.stdout.endswith("closed\n")


def test_asyncgens_are_shut_down(loop: Loop) -> None:
    seen = []

    async def numbers():  # type: ignore[no-untyped-def]
        try:
            yield 1
            yield 2
        finally:
            seen.append("closed")

    async def main() -> None:
        generator = numbers()
        async for _ in generator:
            break
        loop.kept = generator  # type: ignore[attr-defined]

    hooks = sys.get_asyncgen_hooks()
    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == hooks
    assert seen == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert seen == ["closed"]
    del loop.kept  # type: ignore[attr-defined]


# ---- tasks and futures


def test_create_future_and_task(loop: Loop) -> None:
    async def coroutine() -> object:
        return asyncio.current_task()

    waiter = loop.create_future()
    assert type(waiter) is asyncio.Future
    assert waiter.get_loop() is loop
    task = loop.create_task(coroutine())
    assert type(task) is asyncio.Task
    assert loop.run_until_complete(task) is task
    named = loop.create_task(coroutine(), name="given")
    assert named.get_name() == "given"
    context = contextvars.copy_context()
    var: contextvars.ContextVar[int] = contextvars.ContextVar("v")

    async def sets() -> None:
        var.set(5)

    loop.run_until_complete(asyncio.gather(named, loop.create_task(sets(), context=context)))
    assert context[var] == 5
    with pytest.raises(TypeError):
        loop.create_task()
    with pytest.raises(TypeError, match="coroutine"):
        loop.create_task(5)


@pytest.mark.parametrize("debug", [False, True])
def test_a_task_that_starts_at_once(loop: Loop, debug: bool) -> None:
    """asyncio's own create_task() knows eager_start since 3.13.3; its tasks know it since 3.12."""
    loop.set_debug(debug)

    async def five() -> int:
        return 5

    async def main() -> None:
        coroutine = five()
        if sys.version_info < (3, 12):
            with pytest.raises(TypeError, match="eager_start"):
                loop.create_task(coroutine, eager_start=True)
            coroutine.close()
            return
        task = loop.create_task(coroutine, name="given", eager_start=True)
        assert task.done()
        assert (task.result(), task.get_name(), task.get_loop()) == (5, "given", loop)
        later = loop.create_task(five(), eager_start=None)
        assert not later.done()
        assert await later == 5

    loop.run_until_complete(main())


def test_task_factory(loop: Loop) -> None:
    made = []

    def factory(loop: Loop, coro: object, **kwargs: object) -> asyncio.Task:
        made.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.run_until_complete(loop.create_task(asyncio.sleep(0), name="x"))
    assert len(made) == 1
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    with pytest.raises(TypeError):
        loop.set_task_factory(1)


def test_gather_wait_for_and_groups() -> None:
    async def main() -> None:
        results = await asyncio.gather(*(asyncio.sleep(0.001 * i, i) for i in range(10, 0, -1)))
        assert results == list(range(10, 0, -1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, i)) for i in range(5)]
        assert [task.result() for task in tasks] == list(range(5))

    run_loop(main())


def test_cancelling_a_task_that_sleeps(loop: Loop) -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


# ---- debug mode


def test_slow_callbacks_are_reported(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.005
    loop.call_soon(time.sleep, 0.01)
    loop.call_soon(loop.stop)
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        loop.run_forever()
    (record,) = caplog.records
    assert record.message.startswith("Executing <Handle")
    assert "took 0.0" in record.message
    caplog.clear()


def test_debug_mode_checks_callbacks_and_threads(loop: Loop) -> None:
    loop.set_debug(True)
    assert loop.get_debug()

    async def coroutine() -> None:
        pass

    with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
        loop.call_soon(coroutine)
    with pytest.raises(TypeError, match="a callable object was expected by call_later"):
        loop.call_later(1, 5)

    async def main() -> str:
        try:
            await loop.run_in_executor(None, loop.call_soon, print)
        except RuntimeError as exc:
            return str(exc)
        return ""

    assert "Non-thread-safe operation" in loop.run_until_complete(main())


def test_debug_mode_tells_where_a_handle_was_made(loop: Loop) -> None:
    loop.set_debug(True)
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    def make_it() -> asyncio.Handle:
        return loop.call_soon(lambda: 1 / 0)

    handle = make_it()
    assert handle._source_traceback[-1].name == "make_it"
    assert f"created at {__file__}" in repr(handle)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert reports[0]["source_traceback"][-1].name == "make_it"
    reports.clear()
    timer = loop.call_later(1, print)
    timer.cancel()
    assert "print" in repr(timer)


# ---- entry points


def test_run_loop_install_and_policy() -> None:
    async def which() -> type:
        return type(asyncio.get_running_loop())

    assert run_loop(which()) is Loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            install()
            assert isinstance(asyncio.get_event_loop_policy(), EventLoopPolicy)
            assert asyncio.run(which()) is Loop
        finally:
            asyncio.set_event_loop_policy(None)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(which()) is Loop

    async def nested() -> None:
        coroutine = which()
        with pytest.raises(RuntimeError, match="running event loop"):
            run_loop(coroutine)
        coroutine.close()

    run_loop(nested())


def test_run_once_and_the_selector_are_not_there(loop: Loop) -> None:
    with pytest.raises(NotImplementedError):
        loop._run_once()
    with pytest.raises(NotImplementedError, match="add_reader"):
        loop._selector.register(0, 1)
    with pytest.raises(NotImplementedError):
        loop._selector.get_map()
    with pytest.raises(KeyError):
        loop._selector.get_key(0)
