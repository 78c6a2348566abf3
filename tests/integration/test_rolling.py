# SPDX-License-Identifier: MIT
"""Workers, programs and code are exchanged under a load of 100 keep-alive connections, and no
request is lost: over TCP, over a Unix socket, and behind nginx and HAProxy, whose idle connections
to us are closed by us at any time.

$CASGI_ROLLING_SECONDS says for how long, each (1.5; `make rolling`: 30). Where wrk is installed, it
loads what can be reached by TCP.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casgi_process import HERE, Casgi, casgi
from real_servers import BINARIES, NGINX, answers, free_port, nginx_with, running

SECONDS = float(os.environ.get("CASGI_ROLLING_SECONDS", "1.5"))
CONNECTIONS = 100
HAPROXY = shutil.which("haproxy", path=BINARIES)
WRK = shutil.which("wrk")

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""

NGINX_CONFIG = """
    upstream casgi {{ server {back}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://casgi;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
"""

HAPROXY_CONFIG = """
global
    log stderr format raw daemon
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    retry-on conn-failure empty-response
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    http-reuse always
    server casgi {back}
"""


@contextlib.contextmanager
def proxy(kind: str, folder: Path, back: str) -> Iterator[int]:
    """nginx or HAProxy in front of an address; gives its port."""
    port = free_port()
    if kind == "nginx":
        with nginx_with(NGINX_CONFIG, folder, port, back=back):
            yield port
        return
    path = folder / "haproxy.conf"
    path.write_text(HAPROXY_CONFIG.format(back=back, port=port))
    command = [str(HAPROXY), "-db", "-f", str(path)]
    with running(command, folder / "haproxy.out", answers(port), signal.SIGTERM):
        yield port


class OwnLoad:
    """rolling_load.py."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "rolling_load.py"), address, str(CONNECTIONS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def result(self) -> dict[str, Any]:
        """Stops it."""
        out, _ = self.process.communicate("\n", 30)
        return json.loads(out)  # type: ignore[no-any-return]


class WrkLoad:
    """wrk, for the whole of the time from the beginning."""

    def __init__(self, address: str) -> None:
        url = f"http://127.0.0.1:{address}/"
        length = max(1, round(SECONDS + 1))
        self.process = subprocess.Popen(
            [str(WRK), "-t1", f"-c{CONNECTIONS}", f"-d{length}", "--timeout", "10", url],
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.5)

    def result(self) -> dict[str, Any]:
        """Waits for its end."""
        out, _ = self.process.communicate(timeout=SECONDS + 40)
        errors = re.search(
            r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out
        )
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        answers = re.search(r"(\d+) requests in", out)
        assert answers is not None, out
        failed = sum(map(int, errors.groups())) if errors else 0
        failed += int(others[1]) if others else 0
        return {"answers": int(answers[1]), "failed": failed, "failures": [out] if failed else []}


def hang_up(server: Casgi, folder: Path, end: float) -> int:
    """SIGHUP again and again, each time when the last roll is over."""
    count = 0
    while time.monotonic() < end:
        before = server.children()
        server.signal(signal.SIGHUP)
        until = time.monotonic() + 20
        while server.children() & before:
            assert time.monotonic() < until, server.log
            time.sleep(0.05)
        count += 1
    return count


def upgrade(server: Casgi, folder: Path, end: float) -> int:
    """SIGUSR2 to whoever is the supervisor."""
    count, pid = 0, server.pid
    while time.monotonic() < end:
        os.kill(pid, signal.SIGUSR2)
        count += 1
        pid = int(server.wait_for(r"Process \[(\d+)\] has taken over", count)[1])
        time.sleep(0.3)
    return count


def recycle(server: Casgi, folder: Path, end: float) -> int:
    """Workers that have had enough requests (--limit-max-requests)."""
    time.sleep(max(0, end - time.monotonic()))
    return len(re.findall("has reached its request limit", server.log))


def reload(server: Casgi, folder: Path, end: float) -> int:
    """The application's file changes."""
    count = 0
    while time.monotonic() < end:
        (folder / "rolled.py").write_text(f"{APP}\n# {count}\n")
        count += 1
        server.wait_for("Reloading|[Rr]eload", count)
        time.sleep(0.7)
    return count


OPERATIONS: dict[str, tuple[Callable[[Casgi, Path, float], int], list[str]]] = {
    "SIGHUP": (hang_up, ["--workers", "2"]),
    "SIGUSR2": (upgrade, ["--workers", "2"]),
    "max requests": (recycle, ["--workers", "2", "--limit-max-requests", "1500"]),
    "reload": (reload, ["--reload"]),
}


@pytest.mark.parametrize("way", ["tcp", "uds", "nginx", "haproxy"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_request_is_lost(operation: str, way: str, tmp_path: Path) -> None:
    if way == "nginx" and NGINX is None:
        pytest.skip("nginx is not installed")
    if way == "haproxy" and HAPROXY is None:
        pytest.skip("haproxy is not installed")
    act, options = OPERATIONS[operation]
    (tmp_path / "rolled.py").write_text(APP)
    path = tmp_path / "socket"
    # The proxies come by a Unix socket or by TCP: each is tried with one of them.
    where = ["--uds", str(path)] if way in ("uds", "nginx") else []
    arguments = ["rolled:app", "--no-access-log", "--no-js", *options, *where]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(casgi(*arguments, cwd=tmp_path))
        server.wait_for("running on")
        address = str(path) if where else str(server.port)
        if way in ("nginx", "haproxy"):
            back = f"unix:{path}" if where else f"127.0.0.1:{server.port}"
            address = str(stack.enter_context(proxy(way, tmp_path, back)))
        load = WrkLoad(address) if WRK and address.isdigit() else OwnLoad(address)
        times = act(server, tmp_path, time.monotonic() + SECONDS)
        result = load.result()
        print(f"{operation:13} {way:8} {times:4} times {result['answers']:8} answers", result)
        assert result["failed"] == 0, (result["failures"], server.log[-3000:])
        assert times > 0
        assert result["answers"] > 200
