# SPDX-License-Identifier: MIT
"""Each limit of the command line reaches the server and does what its help says."""

from __future__ import annotations

import concurrent.futures
import re
import socket
import time

import pytest
from casgi_process import Casgi, casgi

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


def exchange(server: Casgi, data: bytes, timeout: float = 10) -> tuple[bytes, float]:
    """Sends, then reads until the server closes. Returns what came, and after how long."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as sock:
        sock.sendall(data)
        received = b""
        while part := sock.recv(65536):
            received += part
    return received, time.monotonic() - begin


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer
    return int(found[1])


@pytest.mark.parametrize(
    ("arguments", "data", "code"),
    [
        (["--limit-header-bytes", "512"], REQUEST + b"A: " + b"a" * 600 + b"\r\n\r\n", 431),
        (["--limit-header-bytes", "512"], b"GET /" + b"a" * 600 + b" HTTP/1.1\r\n\r\n", 414),
        (["--limit-header-count", "5"], REQUEST + b"A: b\r\n" * 5 + b"\r\n", 431),
        (["--limit-body-bytes", "5"], REQUEST + b"Content-Length: 6\r\n\r\n123456", 413),
        (["--timeout-header", "0.2"], REQUEST, 408),
    ],
)
def test_refused(arguments, data, code):
    with casgi("process_apps:app", *arguments) as server:
        assert status(exchange(server, data)[0]) == code
        assert server.get().status_code == 200


def test_keep_alive():
    with casgi("process_apps:app", "--timeout-keep-alive", "0.3") as server:
        answer, seconds = exchange(server, REQUEST + b"\r\n")
    assert status(answer) == 200
    assert 0.2 < seconds < 5


def test_silent_connection_is_closed():
    with casgi("process_apps:app", "--timeout-header", "0.3") as server:
        answer, seconds = exchange(server, b"")
    assert answer == b""
    assert 0.2 < seconds < 5


def test_concurrency(tmp_path):
    release = tmp_path / "release"
    arguments = ("process_apps:app", "--limit-concurrency", "2")
    with casgi(*arguments, env={"RELEASE": str(release)}) as server:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            held = pool.submit(server.get, "/hold")
            server.wait_for("holding")
            assert server.get().status_code == 503
            release.touch()
            assert held.result(20).status_code == 200
        assert server.get().status_code == 200


def test_jitter():
    arguments = ("--limit-max-requests", "5", "--limit-max-requests-jitter", "3")
    with casgi("process_apps:app", *arguments) as server:
        answered = 0
        while "has reached its request limit" not in server.log:
            assert server.get().status_code == 200
            answered += 1
            assert answered < 100
    # A few more may get in before the supervisor has said so.
    assert 5 <= answered <= 5 + 3 + 20
