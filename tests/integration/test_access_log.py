# SPDX-License-Identifier: MIT
"""The access log's short way, in which the core makes the lines, and logging's own way."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from http_harness import parse, serve

from asgiserver import _core, logs
from asgiserver.logs import LOGGING_CONFIG, AccessLog
from asgiserver.loop import Loop

FORMAT = '%s - "%s %s HTTP/%s" %d'


def configured(access: Any) -> Any:
    """The fixture, without the handlers that pytest puts beside ours when a test begins."""
    logger, handler, _ = access
    logger.handlers = [handler]
    return access


class Stream(io.StringIO):
    """Remembers what was written together."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def access() -> Iterator[tuple[logging.Logger, Any, Stream]]:
    """The access logger as configured without colours, its handler, and the stream it writes to."""
    names = ("asgiserver", "asgiserver.error", "asgiserver.access", "asgiserver.asgi")
    loggers = [logging.getLogger(name) for name in names]
    kept = [(log.level, log.propagate, log.handlers[:]) for log in loggers]
    logs.configure(LOGGING_CONFIG, "info", True, False)
    logger = logging.getLogger("asgiserver.access")
    handler: Any = logger.handlers[0]
    handler.stream = Stream()
    yield logger, handler, handler.stream
    for log, (level, propagate, handlers) in zip(loggers, kept, strict=True):
        log.setLevel(level)
        log.propagate = propagate
        log.handlers = handlers


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the status that the path says."""
    status = int(scope["path"].rsplit("/", 1)[1])
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def request(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


@pytest.mark.parametrize("colors", [False, True])
def test_same_lines(access: Any, colors: bool) -> None:
    logger, handler, stream = configured(access)
    handler.formatter.use_colors = colors
    with serve(app, access_log=AccessLog(logger), root_path="/r") as server:
        with server.connect() as peer:
            host, port = peer.sock.getsockname()
            client = f"{host}:{port}"
            for status in (200, 304, 404, 503, 799):
                peer.send(request(f"/a%20b/{status}?c=%s"))
                assert peer.response().status == status
        server.exchange(request("/404", "1.0"))
    short = stream.getvalue().splitlines()
    stream.seek(0)
    stream.truncate()
    for status in (200, 304, 404, 503, 799):
        logger.info(FORMAT, client, "GET", f"/r/a%20b/{status}?c=%s", "1.1", status)
    assert short[:5] == stream.getvalue().splitlines()
    assert len(short) == 6
    assert "/r/404 HTTP/1.0" in short[5]
    assert ("\x1b[" in short[0]) is colors


def test_lines_of_a_turn_are_written_together(access: Any) -> None:
    logger, _, stream = configured(access)
    gate: list[asyncio.Event] = []
    waiting: list[str] = []

    async def together(scope: Any, receive: Any, send: Any) -> None:
        if not gate:
            gate.append(asyncio.Event())
        waiting.append(scope["path"])
        if len(waiting) == 50:
            gate[0].set()
        await gate[0].wait()
        await app(scope, receive, send)

    with serve(together, access_log=AccessLog(logger)) as server:
        peers = [server.connect() for _ in range(50)]
        for peer in peers:
            peer.send(request("/200"))
        for peer in peers:
            assert peer.response().status == 200
            peer.sock.close()
    assert len(stream.getvalue().splitlines()) == 50
    assert len(stream.writes) < 10


def test_many_lines_in_one_turn(access: Any) -> None:
    """More than are kept at once."""
    logger, _, stream = configured(access)
    path = "/" + "x" * 7000 + "/200"
    with serve(app, access_log=AccessLog(logger)) as server:
        peers = [server.connect() for _ in range(40)]
        for peer in peers:
            peer.send(request(path))
        for peer in peers:
            assert peer.response().status == 200
            peer.sock.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 40
    assert all(path in line for line in lines)


def test_added_handler_gets_records(access: Any, caplog: pytest.LogCaptureFixture) -> None:
    logger, _, stream = configured(access)
    with serve(app, access_log=AccessLog(logger)) as server:
        server.exchange(request("/200"))
        logger.addHandler(caplog.handler)
        server.exchange(request("/404"))
        logger.removeHandler(caplog.handler)
        server.exchange(request("/503"))
    assert [record.args[4] for record in caplog.records] == [404]  # type: ignore[index]
    statuses = [line.split('" ')[1][:3] for line in stream.getvalue().splitlines()]
    assert statuses == ["200", "404", "503"]


def test_filters_and_levels_are_obeyed(access: Any) -> None:
    logger, handler, stream = configured(access)
    with serve(app, access_log=AccessLog(logger)) as server:
        handler.addFilter(lambda record: record.args[4] != 200)
        server.exchange(request("/200"))
        server.exchange(request("/404"))
        handler.filters.clear()
        logger.setLevel(logging.WARNING)
        server.exchange(request("/503"))
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(" 404 Not Found")


def test_failing_stream_fails_no_request(access: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logger, _, stream = configured(access)
    stream.close()
    with serve(app, access_log=AccessLog(logger)) as server:
        assert parse(server.exchange(request("/404"))).status == 404
        assert parse(server.exchange(request("/200"))).status == 200
    shown = capsys.readouterr().err
    assert shown.count("--- Logging error ---") == 2
    assert "404 Not Found" in shown


@pytest.mark.parametrize("answer", [(b"", b"", b""), (b"", b"", b"", {}), "style", 0])
def test_wrong_style_fails_no_request(answer: Any) -> None:
    class Log:
        def __call__(self, *args: Any) -> None: ...

        def plain(self) -> Any:
            return answer

        def write(self, lines: str) -> None:
            raise AssertionError(lines)

    with serve(app, access_log=Log()) as server:
        assert parse(server.exchange(request("/200"))).status == 200
        assert len(server.unhandled) == 1
        server.unhandled.clear()


def test_last_line_is_written_when_the_loop_ends(access: Any) -> None:
    """An application that stops the loop in the turn of its answer."""
    logger, _, stream = configured(access)
    loop = Loop()

    async def last(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        loop.stop()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        core = _core.Server(loop, last, {"access_log": AccessLog(logger)})
        core.listen(sock)
        with socket.create_connection(sock.getsockname()) as client:
            client.sendall(request("/200"))
            loop.run_forever()
            core.abort()
            loop.close()
    assert len(stream.getvalue().splitlines()) == 1
