# SPDX-License-Identifier: MIT
"""Handlers that look at the task they run in and use everything asyncio and anyio give a task.

Each `case_*` is one request: it asserts what any ASGI server owes, and may return a value. The
module is served by casgi and by uvicorn alike (test_task_semantics.py).
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import io
import json
import traceback
import weakref
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
KEPT: dict[str, Any] = {}
"""What one request leaves for another to look at."""


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def case_current_task() -> None:
    task = current()
    assert isinstance(task, asyncio.Task)
    assert asyncio.isfuture(task)
    assert task in asyncio.all_tasks()
    assert task.get_loop() is asyncio.get_running_loop()
    assert not task.done()
    assert not task.cancelled()
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    assert current() is task
    assert task in asyncio.all_tasks()


async def case_name() -> None:
    task = current()
    assert isinstance(task.get_name(), str)
    assert task.get_name()
    assert task.get_name() in repr(task)
    task.set_name("mine")
    await asyncio.sleep(0)
    assert current().get_name() == "mine"


async def case_stack() -> None:
    task = current()
    assert asyncio.iscoroutine(task.get_coro())

    async def look() -> tuple[str, str]:
        out = io.StringIO()
        task.print_stack(file=out)
        return out.getvalue(), repr(task)

    stack, shown = await asyncio.create_task(look())
    assert stack.startswith("Stack for <")
    assert "pending" in shown
    assert task.get_stack()


async def case_weak_reference_and_result() -> None:
    task = current()
    KEPT["weak"] = weakref.ref(task)
    KEPT["ended"] = ended = []
    task.add_done_callback(lambda done: ended.append((done.result(), done.exception())))


async def case_after_weak_reference() -> None:
    for _ in range(100):
        if KEPT["ended"]:
            break
        await asyncio.sleep(0.01)
    assert KEPT["ended"] == [(None, None)]
    gc.collect()
    assert KEPT["weak"]() is None


async def case_cancelled_by_another_task() -> str:
    task = current()
    asyncio.get_running_loop().call_soon(task.cancel, "enough")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        caught = error
    assert caught.args == ("enough",)
    assert task.cancelling() == 1
    assert task.uncancel() == 0
    return "caught"


async def case_cancelled_before_it_waits() -> str:
    current().cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        current().uncancel()
        return "caught"
    raise AssertionError


async def case_timeouts() -> None:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    except TimeoutError:
        pass
    else:
        raise AssertionError
    assert current().cancelling() == 0
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    except TimeoutError:
        pass
    else:
        raise AssertionError
    await asyncio.wait_for(asyncio.sleep(0), 10)


async def case_task_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10))
            group.create_task(fail())
    except* LookupError:
        pass
    else:
        raise AssertionError
    await asyncio.sleep(0)


async def case_shield_and_children() -> None:
    parent = current()

    async def child() -> str:
        assert current() is not parent
        VARIABLE.set("child")
        return VARIABLE.get()

    VARIABLE.set("parent")
    assert await asyncio.shield(asyncio.create_task(child())) == "child"
    assert await asyncio.gather(child(), child()) == ["child", "child"]
    assert VARIABLE.get() == "parent"


async def case_context_is_of_this_request() -> str:
    before = VARIABLE.get()
    VARIABLE.set("set by an earlier request")
    await asyncio.sleep(0)
    assert VARIABLE.get() == "set by an earlier request"
    assert await asyncio.to_thread(VARIABLE.get) == "set by an earlier request"
    asyncio.get_running_loop().call_soon(KEPT.__setitem__, "context", contextvars.copy_context())
    await asyncio.sleep(0.01)
    assert KEPT.pop("context")[VARIABLE] == "set by an earlier request"
    return before


async def case_sniffio() -> str:
    await asyncio.sleep(0)
    return sniffio.current_async_library()


async def case_anyio_scopes() -> None:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(10)
    assert scope.cancelled_caught
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep(10)
    assert scope.cancelled_caught
    try:
        with anyio.fail_after(0.01):
            await anyio.sleep(10)
    except TimeoutError:
        pass
    else:
        raise AssertionError
    with anyio.CancelScope() as outer:
        outer.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.001)
    assert current().cancelling() == 0
    await asyncio.sleep(0)


async def case_anyio_task_group() -> None:
    events: list[str] = []

    async def service(*, task_status: Any) -> None:
        task_status.started("up")
        try:
            await anyio.sleep_forever()
        finally:
            events.append("down")

    async with anyio.create_task_group() as group:
        assert await group.start(service) == "up"
        group.cancel_scope.cancel()
    assert events == ["down"]

    async def fail() -> None:
        raise LookupError

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(fail)
    except* LookupError:
        pass
    else:
        raise AssertionError
    info = anyio.get_current_task()
    assert info.id == id(current())


async def case_anyio_threads() -> None:
    def in_thread() -> str:
        return anyio.from_thread.run(back)

    async def back() -> str:
        return VARIABLE.get()

    VARIABLE.set("through a thread and back")
    assert await anyio.to_thread.run_sync(in_thread) == "through a thread and back"


async def case_frames() -> None:
    """Those who look for the application's frames from inside find them."""
    assert any(frame.function == "case_frames" for frame in inspect.stack())
    assert "case_frames" in "".join(traceback.format_stack())


CASES = {
    name.removeprefix("case_"): function
    for name, function in list(globals().items())
    if name.startswith("case_")
}


async def answer(send: Any, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail_before(send: Any) -> None:
    await asyncio.sleep(0)
    raise LookupError("before the response")


async def fail_at_once(send: Any) -> None:
    raise LookupError("at once")


async def fail_after(send: Any) -> None:
    headers = [(b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"12345", "more_body": True})
    await asyncio.sleep(0)
    raise LookupError("after the head")


async def cancel_itself(send: Any) -> None:
    current().cancel()
    await asyncio.sleep(0)


async def flood(send: Any) -> None:
    """Never waits for anything but send(), until another request has been served."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    KEPT["served"] = False
    while not KEPT["served"]:
        await send({"type": "http.response.body", "body": b"x" * 4096, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


SPECIAL = {function.__name__: function for function in
           (fail_before, fail_at_once, fail_after, cancel_itself, flood)}  # fmt: skip


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        VARIABLE.set("set by a middleware")
        response = await call_next(request)
        response.headers["x-task"] = current().get_name()
        return response


async def plain(request: Any) -> PlainTextResponse:
    return PlainTextResponse(VARIABLE.get() + (await request.body()).decode())


async def stream(request: Any) -> StreamingResponse:
    async def pieces() -> Any:
        for piece in ("a", "b", "c"):
            await asyncio.sleep(0)
            yield piece

    return StreamingResponse(pieces())


async def broken(request: Any) -> PlainTextResponse:
    await asyncio.sleep(0)
    raise LookupError("under a middleware")


starlette = Starlette(
    routes=[
        Route("/starlette/plain", plain, methods=["GET", "POST"]),
        Route("/starlette/stream", stream),
        Route("/starlette/broken", broken),
    ],
    middleware=[Middleware(Stamp), Middleware(Stamp)],
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application: `/case/NAME`, `/NAME` of SPECIAL, `/starlette/…`, `/served`."""
    assert scope["type"] == "http"
    path = scope["path"]
    if path.startswith("/starlette/"):
        await starlette(scope, receive, send)
    elif path.startswith("/case/"):
        try:
            value = await CASES[path.removeprefix("/case/")]()
        except BaseException:
            await answer(send, traceback.format_exc(), 500)
        else:
            await answer(send, value)
    elif path == "/served":
        KEPT["served"] = True
        await answer(send, None)
    else:
        await SPECIAL[path[1:]](send)
