# SPDX-License-Identifier: MIT
"""The stats port's application: /, /stats.json, /metrics, /healthz, /readyz.

It is served by the same core as everybody's, with bounds of its own (service.py), so a slow or
hostile client meets the same defences, in a process or thread where nobody waits for it.

Who listens on a loopback address answers only to loopback's names: a web page elsewhere, whose name
was made to point here, cannot read the figures through the browser of whoever opens it. Nothing
is allowed to other origins, and the page loads nothing from anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from .look import is_ready
from .metrics import Exposition
from .record import STATES, Board
from .sampler import PERIOD, Sampler

Answer = tuple[int, str, bytes]
"""Status, content type and body."""

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

_SAFE = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Site:
    """The ASGI application.

    Args:
        board: the figures.
        local_only: answer only to requests for a loopback address or for localhost.
    """

    def __init__(self, board: Board, local_only: bool) -> None:
        self._board = board
        self._local_only = local_only
        self._sampler = Sampler(board)
        self._exposition = Exposition(board)
        self._page = files(__package__).joinpath("page.html").read_bytes()
        self._policy = content_policy(self._page)
        self._routes: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "/": lambda scope: (200, HTML, self._page),
            "/stats.json": self._report,
            "/metrics": self._metrics,
            "/healthz": lambda scope: (200, TEXT, b"ok\n"),
            "/readyz": self._readiness,
        }

    async def sample(self) -> None:
        """Looks once a second, for ever."""
        while True:
            await asyncio.sleep(PERIOD)
            self._sampler.tick()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers a request; a WebSocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        status, kind, body = self._answer(scope)
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            *_SAFE,
        ]
        if kind == HTML:
            headers.append((b"content-security-policy", self._policy))
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: dict[str, Any]) -> Answer:
        if self._local_only and not is_local(header(scope, b"host")):
            return 421, TEXT, b"This address answers to loopback names only.\n"
        route = self._routes.get(scope["path"])
        if route is None:
            return 404, TEXT, b"There are /, /stats.json, /metrics, /healthz and /readyz.\n"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, TEXT, b"GET or HEAD.\n"
        return route(scope)

    def _report(self, scope: dict[str, Any]) -> Answer:
        since = parse_qs(scope["query_string"].decode("latin-1")).get("since", ["0"])[-1]
        if not re.fullmatch(r"\d{1,15}", since):
            return 400, TEXT, b"since is the number of a point.\n"
        report = self._sampler.report(int(since))
        return 200, JSON, json.dumps(report, separators=(",", ":")).encode()

    def _metrics(self, scope: dict[str, Any]) -> Answer:
        body, kind = self._exposition.text(header(scope, b"accept"))
        return 200, kind, body

    def _readiness(self, scope: dict[str, Any]) -> Answer:
        if is_ready(self._board):
            return 200, TEXT, b"ready\n"
        return 503, TEXT, f"{STATES[self._board['state']]}\n".encode()


def header(scope: dict[str, Any], name: bytes) -> str:
    """A header of the request, "" where there is none; of several the last."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[-1].decode("latin-1") if values else ""


def is_local(host: str) -> bool:
    """Whether a Host header names this machine as itself would: localhost or a loopback address.
    No name at all is HTTP/1.0, which browsers do not speak."""
    name = re.sub(r":\d*$", "", host.strip().lower()).rstrip(".")
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def content_policy(page: bytes) -> bytes:
    """A Content-Security-Policy that lets a page's own inline script and style run, and talk to
    where it comes from, and nothing else."""

    def hashes(tag: bytes) -> str:
        pattern = rb"<%s>(.*?)</%s>" % (tag, tag)
        found = re.findall(pattern, page, re.DOTALL)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found
        )

    return (
        f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ).encode()
