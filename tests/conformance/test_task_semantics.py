# SPDX-License-Identifier: MIT
"""A request's task is a true asyncio task, with casgi as with uvicorn.

casgi steps the application without asyncio's own coroutine around it, and completes most awaits on
the spot. What applications and libraries may expect of a task all the same is in task_apps.py; each
expectation is put to both servers.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from casgi_process import Casgi, casgi
from task_apps import CASES

RUNNING = r"running on http://127\.0\.0\.1:(\d+)"
SERVERS = {"casgi": ("asgiserver", "--no-js"), "uvicorn": ("uvicorn",)}
RESULTS = {
    "cancelled_by_another_task": "caught",
    "cancelled_before_it_waits": "caught",
    "context_is_of_this_request": "nothing",
    "sniffio": "asyncio",
}
"""Of the cases that return something."""


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Casgi]:
    module, *more = SERVERS[request.param]
    arguments = ("task_apps:app", "--port", "0", "--lifespan", "off", "--no-access-log", *more)
    command = (sys.executable, "-u", "-m", module)
    with casgi(*arguments, cwd=Path(__file__).parent, command=command) as process:
        process.wait_for(RUNNING)
        yield process


def url(server: Casgi, path: str) -> str:
    return f"http://127.0.0.1:{server.wait_for(RUNNING)[1]}/{path}"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.mark.parametrize("name", CASES)
def test_case(server: Casgi, client: httpx.Client, name: str) -> None:
    # Twice on one connection: the second request runs where the first has been.
    for _ in range(2):
        if name == "after_weak_reference":
            client.get(url(server, "case/weak_reference_and_result"))
        answer = client.get(url(server, f"case/{name}"))
        assert answer.status_code == 200, answer.json()
        assert answer.json() == RESULTS.get(name)


@pytest.mark.parametrize("path", ["fail_at_once", "fail_before", "starlette/broken"])
def test_exception_is_500(server: Casgi, path: str) -> None:
    """On connections of their own: uvicorn may be about to close the one it has answered on."""
    seen = server.log.count("LookupError")
    assert httpx.get(url(server, path), trust_env=False).status_code == 500
    server.wait_for("LookupError", seen + 1)
    assert httpx.get(url(server, "case/sniffio"), trust_env=False).status_code == 200


def test_exception_after_the_head_ends_the_connection(server: Casgi, client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url(server, "fail_after"))
    assert client.get(url(server, "case/sniffio")).status_code == 200


def test_cancelled_application(server: Casgi) -> None:
    """Nobody is left waiting: the connection ends, with an answer or without."""
    port = int(server.wait_for(RUNNING)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"GET /cancel_itself HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(4096):
            data += piece
    assert data == b"" or data.startswith(b"HTTP/1.1 500 ")
    assert httpx.get(url(server, "case/sniffio"), trust_env=False).status_code == 200


def test_an_application_that_only_sends_starves_nobody(server: Casgi) -> None:
    with httpx.stream("GET", url(server, "flood"), trust_env=False, timeout=20) as flood:
        pieces = flood.iter_raw()
        assert next(pieces)
        assert httpx.get(url(server, "served"), trust_env=False, timeout=20).status_code == 200
        assert set(b"".join(pieces)) == {ord("x")}


def test_base_http_middleware(server: Casgi, client: httpx.Client) -> None:
    for _ in range(2):
        answer = client.get(url(server, "starlette/plain"))
        assert answer.text == "set by a middleware"
        assert answer.headers["x-task"]
        assert client.get(url(server, "starlette/stream")).text == "abc"
        answer = client.post(url(server, "starlette/plain"), content=b" and sent")
        assert answer.text == "set by a middleware and sent"
