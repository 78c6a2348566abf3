# SPDX-License-Identifier: MIT
"""Raw HTTP/1.1 exchanges against casgi and against uvicorn: one application, one way to look.

Behind every input goes a *probe*, an ordinary request. Its answer says that the connection is open
and that the server found the next request where it begins; the end of the connection says that it
is closed; silence says that the server still waits for something the input did not bring.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import re
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from families import all_families
from http_harness import serve

HERE = Path(__file__).resolve().parent / "http1"
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"
TIMEOUT = 10.0
QUIET = 0.25
"""Seconds of silence that mean: it waits. Only inputs that end in the middle come to that."""

Case = dict[str, Any]


def encode(text: str) -> bytes:
    """A case's text as bytes: latin-1, what is beyond it as UTF-8."""
    return b"".join(c.encode("latin-1" if c < "\u0100" else "utf-8") for c in text)


def all_cases() -> list[Case]:
    """The hand-written cases and the generated ones."""
    cases: list[Case] = []
    for file in sorted(HERE.glob("*.json")):
        if file.name != "differences.json":
            cases += [
                c | {"name": f"{file.stem}: {c['name']}"} for c in json.loads(file.read_text())
            ]
    return cases + all_families()


# ---- the application -----------------------------------------------------------------------------


class View:
    """An ASGI application that answers with what it was given, or misbehaves as the path says.

    Attributes:
        calls: requests that reached it since clear().
        whole: of these, the ones whose body it read to the end.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.calls = 0
        self.whole = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        if path == "/probe":
            await self.reply(send, b"probe")
            return
        self.calls += 1
        if path == "/early":
            await self.reply(send, b"early")
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.whole += 1
        behaviour = getattr(self, "do_" + path[1:].replace("-", "_"), None)
        if behaviour is not None:
            await behaviour(send)
        elif path[1:] in ("204", "205", "304", "299", "404", "599"):
            await self.start(send, int(path[1:]), (b"x-a", b"b"))
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.reply(send, json.dumps(self.seen(scope, body)).encode())

    @staticmethod
    def seen(scope: dict[str, Any], body: bytes) -> dict[str, Any]:
        return {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "version": scope["http_version"],
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in scope["headers"]
            ],
            "body": body.decode("latin-1") if len(body) < 1000 else len(body),
        }

    @staticmethod
    async def start(send: Any, status: int, *headers: tuple[bytes, bytes]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def reply(self, send: Any, body: bytes) -> None:
        await self.start(send, 200, (b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.body", "body": body})

    async def do_stream(self, send: Any) -> None:
        await self.start(send, 200)
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def do_length(self, send: Any) -> None:
        await self.reply(send, b"length")

    async def do_empty(self, send: Any) -> None:
        await self.start(send, 200)
        await send({"type": "http.response.body"})

    async def do_many(self, send: Any) -> None:
        headers = [(b"set-cookie", b"%d" % n) for n in range(50)]
        await self.start(send, 200, (b"content-length", b"0"), *headers)
        await send({"type": "http.response.body"})

    async def do_app_close(self, send: Any) -> None:
        await self.start(send, 200, (b"content-length", b"0"), (b"Connection", b"close"))
        await send({"type": "http.response.body"})

    async def do_app_keep_alive(self, send: Any) -> None:
        await self.start(send, 200, (b"content-length", b"0"), (b"connection", b"keep-alive"))
        await send({"type": "http.response.body"})

    async def do_app_chunked(self, send: Any) -> None:
        await self.start(send, 200, (b"Transfer-Encoding", b"chunked"))
        await send({"type": "http.response.body", "body": b"chunk"})

    async def do_raise(self, send: Any) -> None:
        raise ValueError("before the response")

    async def do_return(self, send: Any) -> None:
        return

    async def do_raise_after(self, send: Any) -> None:
        await self.start(send, 200, (b"content-length", b"5"))
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        raise ValueError("within the response")

    async def do_over(self, send: Any) -> None:
        await self.start(send, 200, (b"content-length", b"2"))
        await send({"type": "http.response.body", "body": b"abc"})

    async def do_under(self, send: Any) -> None:
        await self.start(send, 200, (b"content-length", b"4"))
        await send({"type": "http.response.body", "body": b"abc"})

    async def do_bad_name(self, send: Any) -> None:
        await self.start(send, 200, (b"a b", b"c"))

    async def do_bad_value(self, send: Any) -> None:
        await self.start(send, 200, (b"a", b"b\r\nx: y"))


# ---- what came back ------------------------------------------------------------------------------


@dataclass
class Answer:
    """One response: status, the headers that matter, the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Outcome:
    """What became of an input: its answers and the connection's fate."""

    answers: list[Answer] = field(default_factory=list)
    fate: str = ""
    raw: bytes = b""
    calls: int = 0
    whole: int = 0

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    def comparable(self) -> Any:
        """What two servers have to agree upon."""
        return [(a.status, a.headers, a.body) for a in self.answers], self.fate, self.calls


COMPARED = (
    "content-length",
    "transfer-encoding",
    "connection",
    "content-type",
    "set-cookie",
    "x-a",
)
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d\d\d) [^\r\n]*\r\n")


def parse_answer(data: bytes, head_only: bool, closed: bool) -> tuple[Answer, bytes] | None:
    """The first whole answer in data, and what follows it; None where there is none yet.

    Raises:
        ValueError: what is there is no HTTP response.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = (head + b"\r\n").splitlines(keepends=True)
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"no response: {data[:200]!r}")
    status = int(match[1])
    headers: dict[str, str] = {}
    for text in lines:
        name, _, value = text.decode("latin-1").partition(":")
        if name.lower() in COMPARED:
            headers[name.lower()] = headers.get(name.lower(), "") + value.strip()
    answer = Answer(status, headers, b"")
    if head_only or status < 200 or status in (204, 304):
        return answer, rest
    if headers.get("transfer-encoding") == "chunked":
        while True:
            size, end, more = rest.partition(b"\r\n")
            if not end or len(more) < int(size, 16) + 2:
                return (answer, b"") if closed else None
            answer.body += more[: int(size, 16)]
            rest = more[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                return answer, rest
    size = headers.get("content-length")
    if size is not None:
        if len(rest) < int(size) and not closed:
            return None
        answer.body = rest[: int(size)]
        return answer, rest[int(size) :]
    if not closed:
        return None
    answer.body = rest
    return answer, b""


class Client:
    """Sends inputs to one server and reads what comes of them."""

    def __init__(self, address: Any, view: View) -> None:
        self.address = address
        self.view = view

    def connect(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family)
        sock.settimeout(TIMEOUT)
        sock.connect(self.address)
        return sock

    def exchange(self, data: bytes, split: int = 0, quiet: float = QUIET) -> Outcome:
        """Sends data and a probe, in one piece or cut at split, and reads to the end."""
        self.view.clear()
        outcome = Outcome()
        with self.connect() as sock:
            self.feed(sock, data + PROBE, split)
            self.read(sock, outcome, data.startswith(b"HEAD"), quiet)
        outcome.calls, outcome.whole = self.view.calls, self.view.whole
        return outcome

    @staticmethod
    def feed(sock: socket.socket, data: bytes, split: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if split:
                sock.sendall(data[:split])
                # On a unix socket this counts what the peer has not read yet.
                left = b"\1\0\0\0"
                while struct.unpack("i", left)[0]:
                    left = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
            sock.sendall(data[split:])

    @staticmethod
    def read(sock: socket.socket, outcome: Outcome, head_first: bool, quiet: float) -> None:
        buffer, closed = b"", False
        sock.settimeout(quiet)
        while True:
            try:
                while parsed := parse_answer(buffer, head_first and not outcome.answers, closed):
                    answer, buffer = parsed
                    if answer.body == b"probe":
                        outcome.fate = "open"
                        return
                    outcome.answers.append(answer)
            except ValueError as error:
                outcome.fate = str(error)
                return
            if closed:
                outcome.fate = "closed" if not buffer else f"closed after {buffer!r}"
                return
            try:
                data = sock.recv(262_144)
            except TimeoutError:
                outcome.fate = "waits" if not buffer else f"waits after {buffer!r}"
                return
            except ConnectionResetError:
                data = b""
            outcome.raw += data
            buffer += data
            closed = not data


# ---- the servers ---------------------------------------------------------------------------------


@contextlib.contextmanager
def casgi(path: str = "", **config: Any) -> Iterator[Client]:
    """casgi in a thread, on a unix socket where path is given."""
    view = View()
    options: dict[str, Any] = {"family": socket.AF_UNIX, "path": path} if path else {}
    with serve(view, **options, date_header=False, access_log=None, **config) as server:
        yield Client(server.address, view)


@contextlib.contextmanager
def uvicorn() -> Iterator[Client]:
    """uvicorn with httptools in a thread."""
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    view = View()
    config = uvicorn.Config(
        view,
        http="httptools",
        ws="none",
        lifespan="off",
        date_header=False,
        log_config=None,
        access_log=False,
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield Client(sock.getsockname(), view)
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive()
