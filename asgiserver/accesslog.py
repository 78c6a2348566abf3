# SPDX-License-Identifier: MIT
"""``--access-log-format`` and JSON access logs: one line for each exchange, when it is over.

The default line needs nothing of this: the core writes it when the response's head goes out
(core/asgi/accesslog.c, logs.AccessLog). A format of one's own may ask for durations, sizes and
headers, so the application is wrapped, for HTTP and WebSocket, and what it sends is noted.
"""

from __future__ import annotations

import base64
import binascii
import functools
import http
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from .request_id import current

UVICORN_FORMAT = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
"""What is logged without a format; asking for it changes nothing."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f"\\]')
_FIELD = re.compile(r"%(?:\(([^)]*)\)[sd]|(%)|)")
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_SWITCHING_PROTOCOLS, _FORBIDDEN, _SERVER_ERROR = 101, 403, 500


def quoted(text: str) -> str:
    """Text of a client's, with nothing in it that would forge a line or end a quotation."""
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


@functools.lru_cache(maxsize=4)
def _clock(form: str, second: int) -> str:
    return time.strftime(form, time.localtime(second))


class Exchange:
    """A request and its response, as the log's formats and formatters see them.

    It is the message of its log record: ``str()`` is the line in the format asked for.

    Args:
        scope: of the request.
        line: makes the line.
    """

    __slots__ = (
        "at",
        "began",
        "duration",
        "line",
        "pid",
        "response_headers",
        "scope",
        "sent",
        "status",
    )

    def __init__(self, scope: dict[str, Any], line: Callable[[Exchange], str]) -> None:
        self.scope = scope
        self.line = line
        self.pid = os.getpid()
        self.status = 0
        self.sent = 0
        self.response_headers: Iterable[tuple[bytes, bytes]] = ()
        self.at = time.time()
        self.began = time.perf_counter()
        self.duration = 0.0

    def __str__(self) -> str:
        return self.line(self)

    # -- parts ----------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The client's address, "" where it has none."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def client_addr(self) -> str:
        """Address and port, as uvicorn has them."""
        client = self.scope.get("client")
        return f"{client[0]}:{client[1]}" if client else ""

    @property
    def method(self) -> str:
        """GET for a WebSocket."""
        return str(self.scope.get("method", "GET"))

    @property
    def path(self) -> str:
        """As the client sent it, percent-encoded."""
        raw: bytes | None = self.scope.get("raw_path")
        return quoted(raw.decode("latin-1") if raw is not None else self.scope["path"])

    @property
    def query(self) -> str:
        """Without the question mark."""
        return quoted(self.scope.get("query_string", b"").decode("latin-1"))

    @property
    def protocol(self) -> str:
        """``HTTP/1.1`` and the like."""
        return f"HTTP/{self.scope.get('http_version', '1.1')}"

    @property
    def request_line(self) -> str:
        """Method, path with query, protocol."""
        query = self.query
        target = f"{self.path}?{query}" if query else self.path
        return f"{self.method} {target} {self.protocol}"

    @property
    def user(self) -> str:
        """The name in an Authorization header of kind Basic, else ""."""
        kind, _, value = self._request_value("authorization").partition(" ")
        if kind.lower() != "basic":
            return ""
        try:
            decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
        return quoted(decoded.partition(":")[0])

    def _request_value(self, name: str) -> str:
        wanted = name.lower().encode("latin-1", "replace")
        # In a scope, names are in lower case already.
        values = [value for key, value in self.scope["headers"] if key == wanted]
        return b",".join(values).decode("latin-1") if values else ""

    def request_header(self, name: str) -> str:
        """A header of the request, safe to print."""
        return quoted(self._request_value(name))

    def response_header(self, name: str) -> str:
        """A header that the application sent, safe to print."""
        wanted = name.lower().encode("latin-1", "replace")
        values = [value for key, value in self.response_headers if key.lower() == wanted]
        return quoted(b",".join(values).decode("latin-1"))

    def fields(self) -> dict[str, Any]:
        """What a JSON line holds."""
        found = {
            "client": self.client_addr,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "protocol": self.protocol,
            "status": self.status,
            "bytes": self.sent,
            "duration_ms": round(self.duration * 1000, 3),
            "user_agent": self.request_header("user-agent"),
            "referer": self.request_header("referer"),
            "request_id": current.get() or self.request_header("x-request-id"),
            "traceparent": self.request_header("traceparent"),
        }
        return {name: value for name, value in found.items() if value != ""}


def _or_dash(text: str) -> str:
    return text or "-"


ATOMS: dict[str, Callable[[Exchange], str]] = {
    # uvicorn's
    "client_addr": lambda e: e.client_addr,
    "request_line": lambda e: e.request_line,
    "status_code": lambda e: f"{e.status} {_PHRASES.get(e.status, '')}".rstrip(),
    # gunicorn's
    "h": lambda e: _or_dash(e.host),
    "l": lambda e: "-",
    "u": lambda e: _or_dash(e.user),
    "t": lambda e: _clock("[%d/%b/%Y:%H:%M:%S %z]", int(e.at)),
    "r": lambda e: e.request_line,
    "m": lambda e: e.method,
    "U": lambda e: e.path,
    "q": lambda e: e.query,
    "H": lambda e: e.protocol,
    "s": lambda e: str(e.status),
    "B": lambda e: str(e.sent),
    "b": lambda e: str(e.sent) if e.sent else "-",
    "f": lambda e: _or_dash(e.request_header("referer")),
    "a": lambda e: _or_dash(e.request_header("user-agent")),
    "T": lambda e: str(int(e.duration)),
    "M": lambda e: str(int(e.duration * 1e3)),
    "D": lambda e: str(int(e.duration * 1e6)),
    "L": lambda e: f"{e.duration:.6f}",
    "p": lambda e: f"<{e.pid}>",
    # granian's
    "addr": lambda e: _or_dash(e.host),
    "time": lambda e: _clock("%Y-%m-%d %H:%M:%S %z", int(e.at)),
    "dt_ms": lambda e: f"{e.duration * 1e3:.3f}",
    "status": lambda e: str(e.status),
    "path": lambda e: e.path,
    "query_string": lambda e: e.query,
    "method": lambda e: e.method,
    "scheme": lambda e: str(e.scope.get("scheme", "http")),
    "protocol": lambda e: e.protocol,
}
"""The names that a format may hold, beside ``{name}i``, ``{name}o`` and ``{name}e``: a header of
the request, one of the response, an environment variable."""


def compile_format(text: str) -> Callable[[Exchange], str]:
    """The function that makes a line in this format: ``%(atom)s``, and ``%%`` for a percent sign.

    Raises:
        ValueError: an unknown atom, or a percent sign alone.
    """
    parts: list[str | Callable[[Exchange], str]] = []
    end = 0
    for found in _FIELD.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[2]:
            parts.append("%")
        elif found[1] is None:
            raise ValueError(f"access_log_format: a lone % at {text[found.start() :]!r}")
        elif found[1] != "levelprefix":  # Access lines are INFO; the formatter's to say.
            parts.append(_atom(found[1]))
    parts.append(text[end:])

    def line(exchange: Exchange) -> str:
        return "".join(part if isinstance(part, str) else part(exchange) for part in parts).lstrip()

    return line


def _atom(name: str) -> Callable[[Exchange], str]:
    if found := re.fullmatch(r"\{(.+)\}([ioe])", name):
        key, kind = found[1], found[2]
        if kind == "i":
            return lambda e: _or_dash(e.request_header(key))
        if kind == "o":
            return lambda e: _or_dash(e.response_header(key))
        return lambda e: os.environ.get(key, "-")
    if name not in ATOMS:
        raise ValueError(f"access_log_format: unknown atom {name!r}")
    return ATOMS[name]


class Recorder:
    """Wraps an ASGI application: logs each exchange when its response is complete, or where the
    application ends without.

    Args:
        app: the application.
        line: makes a line of an exchange.
        log: takes each exchange that is over.
    """

    def __init__(
        self, app: Any, line: Callable[[Exchange], str], log: Callable[[Exchange], object]
    ) -> None:
        self.app = app
        self.line = line
        self.log = log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        exchange: Exchange | None = Exchange(dict(scope), self.line)

        def finish() -> None:
            nonlocal exchange
            if exchange is not None:
                over, exchange = exchange, None
                over.duration = time.perf_counter() - over.began
                self.log(over)

        # Not a coroutine of its own around send(): what that returns is awaited by the app.
        def noted_send(message: Any) -> Any:
            over = exchange is not None and note(exchange, message)
            sent = send(message)
            if over:
                finish()
            return sent

        try:
            await self.app(scope, receive, noted_send)
        finally:
            if exchange is not None and exchange.status == 0:
                exchange.status = _SERVER_ERROR  # What the core answers then.
            finish()


def note(exchange: Exchange, message: dict[str, Any]) -> bool:
    """Takes in what the application sends. Whether that ends the response."""
    kind = message.get("type")
    if kind in ("http.response.start", "websocket.http.response.start"):
        exchange.status = message.get("status", 0)
        exchange.response_headers = message.get("headers", ())
    elif kind in ("http.response.body", "websocket.http.response.body"):
        exchange.sent += len(message.get("body", b""))
        return not message.get("more_body", False)
    elif kind == "websocket.accept":
        exchange.status = _SWITCHING_PROTOCOLS
        exchange.response_headers = message.get("headers", ())
    elif kind == "websocket.send":
        text, data = message.get("text"), message.get("bytes")
        exchange.sent += len(text.encode()) if text is not None else len(data or b"")
    elif kind == "websocket.close":
        exchange.status = exchange.status or _FORBIDDEN
        return True
    elif kind == "http.response.pathsend":
        try:
            exchange.sent += os.path.getsize(message["path"])
        except (OSError, KeyError):
            pass
        return True
    return False
