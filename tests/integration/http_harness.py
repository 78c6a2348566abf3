# SPDX-License-Identifier: MIT
"""Runs _core.Server on a loop in a thread of its own, and talks to it over plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from asgiserver import _core
from asgiserver.loop import Loop

TIMEOUT = 10.0
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@dataclass
class Server:
    """A running server: where it listens, what it logged, and calls into its loop."""

    loop: Loop
    address: Any
    core: Any = None
    errors: list[tuple[int, str, BaseException | None]] = field(default_factory=list)
    access: list[tuple[Any, ...]] = field(default_factory=list)
    unhandled: list[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs function(*args) on the loop's thread and gives its result."""

        async def run() -> Any:
            return function(*args)

        return self.run(run())

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    def connections(self) -> int:
        return int(self.call(lambda: self.core.connections))

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits, turn by turn of the server's loop, until condition() holds there."""

        async def wait() -> None:
            while not condition():
                await asyncio.sleep(0.002)

        self.run(asyncio.wait_for(wait(), TIMEOUT))

    def connect(self, **options: Any) -> Peer:
        return Peer(self.address, **options)

    def exchange(self, data: bytes, **options: Any) -> bytes:
        """Sends data on a new connection, half-closes it, and gives all that comes back."""
        with self.connect(**options) as peer:
            peer.send(data)
            peer.finish()
            return peer.rest()


@contextlib.contextmanager
def serve(
    app: App, *, family: int = socket.AF_INET, path: str = "", **config: Any
) -> Iterator[Server]:
    """A server for app; leaving the block aborts it and checks that nothing of it is left."""
    ready = threading.Event()
    server: list[Server] = []
    sock = socket.socket(family)
    sock.bind(path if family == socket.AF_UNIX else ("127.0.0.1", 0))
    sock.listen()

    def main() -> None:
        loop = Loop()
        asyncio.set_event_loop(loop)
        running = Server(loop, path or sock.getsockname())
        loop.set_exception_handler(lambda _loop, context: running.unhandled.append(context))
        settings = {
            "error_log": lambda *line: running.errors.append(line),
            "access_log": lambda *line: running.access.append(line),
            "timeout_keep_alive": 5.0,
        } | config
        running.core = _core.Server(loop, app, settings)
        running.core.listen(sock)
        sock.close()
        server.append(running)
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
        finally:
            running.core.abort()
            running.core = None
            pending = asyncio.all_tasks(loop)
            if pending:
                loop.run_until_complete(asyncio.wait(pending, timeout=TIMEOUT))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert ready.wait(TIMEOUT), "the server did not start"
    try:
        yield server[0]
    finally:
        server[0].loop.call_soon_threadsafe(server[0].loop.stop)
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "the server did not stop"
    assert server[0].unhandled == []


def leftovers() -> dict[str, int]:
    """Objects of the extension's server side that are still alive."""
    gc.collect()
    counts = _core._debug_counts()
    return {name: counts[name] for name in ("connections", "listeners", "cycles", "http2_sessions")}


class Peer:
    """A client's socket."""

    def __init__(self, address: Any, *, receive_buffer: int = 0) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def more(self) -> bytes:
        data = self.sock.recv(65536)
        self.buffer += data
        return data

    def until(self, mark: bytes) -> bytes:
        """Everything up to and including mark."""
        while mark not in self.buffer:
            assert self.more(), f"closed after {self.buffer!r}"
        return self.cut(self.buffer.index(mark) + len(mark))

    def cut(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            assert self.more(), f"closed after {self.buffer!r}"
        return self.cut(size)

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as the end."""
        with contextlib.suppress(ConnectionResetError):
            while self.more():
                pass
        return self.cut(len(self.buffer))

    def response(self, head_only: bool = False) -> Response:
        """Reads one response that has a length or is chunked."""
        head = self.until(b"\r\n\r\n")
        response = Response.parse(head)
        if head_only or response.status in (204, 304):
            return response
        if response.headers.get(b"transfer-encoding") == b"chunked":
            parts: list[bytes] = []
            while size := int(self.until(b"\r\n"), 16):
                parts.append(self.take(size))
                assert self.take(2) == b"\r\n"
            response.body, response.chunks = b"".join(parts), len(parts)
            assert self.take(2) == b"\r\n"
        elif b"content-length" in response.headers:
            response.body = self.take(int(response.headers[b"content-length"]))
        else:
            response.body = self.rest()
        return response


@dataclass
class Response:
    """A response head, and a body where one was read."""

    status: int
    reason: bytes
    headers: dict[bytes, bytes]
    lines: list[tuple[bytes, bytes]]
    body: bytes = b""
    chunks: int = 0

    @classmethod
    def parse(cls, head: bytes) -> Response:
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        version, status, reason = first.split(b" ", 2)
        assert version == b"HTTP/1.1"
        pairs = [tuple(line.split(b": ", 1)) for line in lines]
        return cls(int(status), reason, dict(pairs), pairs)  # type: ignore[arg-type]


def parse(data: bytes) -> Response:
    """A response that ends with the connection, body included."""
    head, _, body = data.partition(b"\r\n\r\n")
    response = Response.parse(head + b"\r\n\r\n")
    response.body = body
    return response


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def reply(
    send: Any, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]
) -> None:
    """A whole response with a length."""
    await start(send, status, (b"content-length", str(len(body)).encode()), *headers)
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Any) -> bytes:
    """The whole request body."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


def get(path: str = "/", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode("latin-1")


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body
