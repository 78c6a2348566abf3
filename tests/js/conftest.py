# SPDX-License-Identifier: MIT
"""What the tests of jsrt share."""

from __future__ import annotations

import gc
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import jsrt
from jsrt import _jsrt

PACKAGES = str(Path(jsrt.__file__).resolve().parents[1])


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Isolates and references of a test are gone after it."""
    before = _jsrt._debug_counts()
    yield
    gc.collect()
    after = _jsrt._debug_counts()
    left = {key: after[key] - before[key] for key in ("isolates", "refs")}
    # pytest holds fixtures' objects a little longer: what they hold in V8 is what counts.
    assert left == {"isolates": 0, "refs": 0}


@pytest.fixture
def ctx(request: pytest.FixtureRequest) -> Iterator[jsrt.Context]:
    with jsrt.Context(profile=getattr(request, "param", "bare")) as context:
        yield context


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /json, /text, /status/N, /slow, and echoes what is posted."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("access-control-allow-origin", "*")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/json":
            self.answer(200, b'{"hello": "world", "n": [1, 2]}', "application/json")
        elif self.path.startswith("/status/"):
            self.answer(int(self.path.rpartition("/")[2]), b"no", "text/plain")
        else:
            self.answer(200, self.path.encode(), "text/plain")

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.answer(200, self.rfile.read(length)[::-1], self.headers["content-type"] or "x/y")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def http_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a process of its own, with this jsrt."""

    def run(script: str, *args: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ, PYTHONPATH=PACKAGES)
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", script, *args],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
        )

    return run
