# SPDX-License-Identifier: MIT
"""The stats port of a running server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from casgi_process import Casgi, casgi
from websockets.sync.client import connect

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

MODES = pytest.mark.parametrize("workers", ["1", "2"])
STATS_ON = r"Stats on http://([\d.]+):(\d+)"


class Stats:
    """The stats port of a server, as its clients see it."""

    def __init__(self, server: Casgi) -> None:
        self.port = int(server.wait_for(STATS_ON)[2])
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, trust_env=False, **options)

    def json(self) -> dict:
        return self.get("/stats.json").json()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Values by name and labels, without pids and slots: those are summed up."""
        values: dict[tuple[str, ...], float] = {}
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                labels = [v for k, v in sorted(sample.labels.items()) if k not in ("pid", "slot")]
                key = (sample.name, *labels)
                values[key] = values.get(key, 0) + sample.value
        return values

    def until(self, condition: Callable[[], object], timeout: float = 15) -> None:
        """Waits for what only the figures show."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, self.metrics()
            time.sleep(0.02)


@contextlib.contextmanager
def served(*arguments: str, **options) -> Iterator[tuple[Casgi, Stats]]:
    """A server and its stats."""
    with casgi(*arguments, "--stats", "0", "--no-access-log", **options) as server:
        yield server, Stats(server)


@MODES
def test_counts(workers):
    with served("process_apps:app", "--workers", workers) as (server, stats):
        for _ in range(5):
            assert server.get("/").status_code == 200
        server.get("/nap")
        assert server.get("/", headers={"x-long": "y" * 70_000}).status_code == 431
        with socket.create_connection(("127.0.0.1", server.port)) as broken:
            broken.sendall(b"GET\r\n\r\n")
            assert broken.recv(100).startswith(b"HTTP/1.1 400")
        figures = stats.metrics()
        assert figures["casgi_requests_total", "2xx"] == 6
        assert figures[("casgi_request_duration_seconds_count",)] == 6
        assert 0.05 < figures[("casgi_request_duration_seconds_sum",)] < 5
        # The nap is in one of the buckets above 32 ms.
        assert figures["casgi_request_duration_seconds_bucket", "0.032768"] == 5
        assert figures["casgi_requests_refused_total", "431"] == 1
        assert figures["casgi_requests_refused_total", "400"] == 1
        assert figures[("casgi_connections_accepted_total",)] == 8
        assert figures["casgi_workers", "ready"] == int(workers)
        assert figures[("casgi_worker_requests_total",)] == 6
        assert figures[("casgi_worker_resident_bytes",)] > 10e6
        assert server.stop() == (-15 if workers == "1" else 0)


@MODES
def test_in_flight_and_unfinished(workers, tmp_path):
    release = tmp_path / "release"
    arguments = ("process_apps:app", "--workers", workers)
    with served(*arguments, env={"RELEASE": str(release)}) as (server, stats):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        stats.until(lambda: stats.metrics()[("casgi_in_flight",)] == 1)
        assert stats.metrics()[("casgi_connections",)] == 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()  # A reset: nobody is there to answer.
        stats.until(lambda: stats.metrics()[("casgi_requests_unfinished_total",)] == 1)
        release.touch()
        stats.until(lambda: stats.metrics()[("casgi_in_flight",)] == 0)
        stats.until(lambda: stats.metrics()[("casgi_connections",)] == 0)


@MODES
def test_websockets(workers):
    with served("process_apps:websocket", "--workers", workers) as (server, stats):
        with connect(server.url.replace("http", "ws") + "/", proxy=None) as client:
            client.send("hello")
            assert client.recv() == "hello"
            figures = stats.metrics()
            assert figures[("casgi_websockets",)] == 1
            assert figures["casgi_requests_total", "1xx"] == 1
            assert figures[("casgi_in_flight",)] == 1
        stats.until(lambda: stats.metrics()[("casgi_websockets",)] == 0)
        stats.until(lambda: stats.metrics()[("casgi_in_flight",)] == 0)


@MODES
def test_javascript(workers, tmp_path):
    (tmp_path / "lib.js").write_text("function double(x) { return 2 * x }")
    (tmp_path / "js_stats.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http': return\n"
        "    for i in range(100): scope['state']['js'].call('double', [i])\n"
        "    await send({'type': 'http.response.start', 'status': 204})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    with served("js_stats:app", "--workers", workers, "--js", "lib.js", cwd=tmp_path) as (
        server,
        stats,
    ):
        server.get("/")
        stats.until(lambda: stats.metrics()[("casgi_js_calls_total",)] >= 100)
        figures = stats.metrics()
        assert figures[("casgi_js_calls_total",)] < 150, "looking is not calling"
        assert figures[("casgi_js_isolates",)] == int(workers)
        assert figures[("casgi_js_heap_used_bytes",)] > 1e6


@MODES
def test_without_use_v8_does_not_start(workers):
    with served("process_apps:app", "--workers", workers) as (server, stats):
        server.get("/")
        stats.until(lambda: stats.json()["points"][2:])
        assert stats.metrics()[("casgi_js_isolates",)] == 0


@MODES
def test_readiness(workers, tmp_path):
    release = tmp_path / "release"
    arguments = ("process_apps:app", "--workers", workers)
    with served(*arguments, env={"RELEASE": str(release)}) as (server, stats):
        assert stats.get("/healthz").text == "ok\n"
        stats.until(lambda: stats.get("/readyz").status_code == 200)
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for("holding")
            server.signal(signal.SIGTERM)
            stats.until(lambda: stats.get("/readyz").status_code == 503)
            assert stats.get("/readyz").text == "draining\n"
            assert stats.get("/healthz").status_code == 200
            assert stats.metrics()[("casgi_ready",)] == 0
            # Nobody but those who serve had the server's socket.
            stats.until(lambda: refused(server.port))
            release.touch()
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.wait() == (-15 if workers == "1" else 0)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@MODES
def test_not_ready_before_the_start(workers):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ("process_apps:never_starts", "--lifespan", "on", "--workers", workers)
    with casgi(*arguments, "--stats", str(port)) as server:
        server.wait_for("starting for ever")
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
        assert (answer.status_code, answer.text) == (503, "starting\n")


def test_counters_survive_a_worker():
    with served("process_apps:app", "--workers", "2") as (server, stats):
        for _ in range(10):
            server.get()
        # The one that answered most: one that answered nothing would have nothing to lose.
        stats.until(lambda: sum(w["requests"] for w in stats.json()["workers"]) == 10)
        victim = max(stats.json()["workers"], key=lambda w: w["requests"])["pid"]
        os.kill(victim, signal.SIGKILL)
        server.wait_for(r"Worker \[\d+\] is ready")
        for _ in range(10):
            server.get()
        figures = stats.metrics()
        assert figures["casgi_requests_total", "2xx"] == 20
        assert figures[("casgi_worker_requests_total",)] < 20
        assert figures[("casgi_worker_starts_total",)] == 3
        assert figures[("casgi_worker_crashes_total",)] == 1
        stats.until(lambda: stats.get("/readyz").status_code == 200)
        stats.until(lambda: victim not in {w["pid"] for w in stats.json()["workers"]})
        server.signal(signal.SIGHUP)
        server.wait_for("Finished server process", count=2)
        stats.until(lambda: stats.metrics()[("casgi_worker_starts_total",)] == 5)
        assert stats.metrics()[("casgi_worker_crashes_total",)] == 1
        assert stats.metrics()["casgi_requests_total", "2xx"] == 20
        assert server.stop() == 0


def test_a_blocked_worker_is_seen_by_its_lag():
    arguments = ("process_apps:app", "--workers", "2", "--timeout-worker-healthcheck", "2")
    with served(*arguments) as (server, stats), contextlib.suppress(httpx.ReadTimeout):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for("stuck")
            stats.until(lambda: stats.metrics()[("casgi_loop_lag_seconds",)] > 1)
            server.wait_for("is blocked")
            stats.until(lambda: stats.metrics()[("casgi_worker_blocked_total",)] == 1)


@MODES
def test_the_loop_of_a_worker(workers):
    """A handler that blocks it for a moment, and timers, show in its figures."""
    with served("process_apps:app", "--workers", workers) as (server, stats):

        def worker(pid: int) -> dict:
            return next(w for w in stats.json()["workers"] if w["pid"] == pid)

        # Until a first report of each has been looked at.
        stats.until(
            lambda: [w for w in stats.json()["workers"] if w["turns"] > 0][int(workers) - 1 :]
        )
        pid = int(server.get("/timers").json()["pid"])
        stats.until(lambda: worker(pid)["timers"] >= 50)
        before = worker(pid)
        assert before["handles"] >= before["timers"]
        assert before["turns"] > 0
        assert before["callbacks"] > 0
        assert before["polls"] > 0
        stats.until(lambda: worker(pid)["turns"] > before["turns"])
        assert worker(pid)["callbacks_per_turn"] >= 0
        figures = stats.metrics()
        assert figures[("casgi_loop_timers",)] >= 50
        assert figures[("casgi_loop_handles",)] >= figures[("casgi_loop_timers",)]
        for name in ("turns", "callbacks", "polls"):
            assert figures[(f"casgi_loop_{name}_total",)] >= before[name]

        def busy() -> bool:
            server.get("/busy")
            return stats.metrics()[("casgi_loop_lag_seconds",)] >= 0.1

        stats.until(busy)


def test_the_stats_process_is_replaced():
    with served("process_apps:app", "--workers", "2") as (server, stats):
        workers = {w["pid"] for w in stats.json()["workers"]}
        (process,) = server.children() - workers
        stats.until(lambda: stats.json()["age"] > 5.5)
        os.kill(process, signal.SIGKILL)
        server.wait_for("The stats process has died: starting another one")
        stats.until(lambda: answers(stats))
        assert server.children() >= workers
        (process,) = server.children() - workers
        os.kill(process, signal.SIGKILL)
        server.wait_for("The stats process has died at once: no more stats")
        assert server.get().status_code == 200
        assert server.stop() == 0


def answers(stats: Stats) -> bool:
    try:
        return stats.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_slow_clients_hold_nobody_up():
    """Connections to the stats port that say nothing, or take nothing, for as long as they may."""
    with served("process_apps:app", "--workers", "2") as (server, stats):
        idle = [socket.create_connection(("127.0.0.1", stats.port)) for _ in range(40)]
        try:
            for sock in idle[:20]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
            begin = time.monotonic()
            assert stats.get("/readyz").status_code == 200
            assert server.get().status_code == 200
            victim = min(w["pid"] for w in stats.json()["workers"])
            os.kill(victim, signal.SIGKILL)
            server.wait_for(r"Worker \[\d+\] is ready")
            assert server.stop() == 0
            assert time.monotonic() - begin < 8
        finally:
            for sock in idle:
                sock.close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("HEAD", "/metrics", {}, 200),
        ("POST", "/metrics", {}, 405),
        ("PUT", "/metrics", {}, 413),
        ("GET", "/other", {}, 404),
        ("GET", "/stats.json?since=3", {}, 200),
        ("GET", "/stats.json?since=x", {}, 400),
        ("GET", "/stats.json?since=9999999999999999", {}, 400),
        ("GET", "/", {"host": "stats.example.com"}, 421),
        ("GET", "/metrics", {"host": "127.0.0.1.nip.io"}, 421),
        ("GET", "/metrics", {"x-long": "y" * 20_000}, 431),
    ],
)
def test_what_the_port_answers(guarded, method, path, headers, status):
    with httpx.Client(trust_env=False) as client:
        content = b"x" * 1000 if method == "PUT" else None
        found = client.request(method, guarded.url + path, headers=headers, content=content)
    assert found.status_code == status
    assert "access-control-allow-origin" not in found.headers
    assert "server" not in found.headers
    if status == 200:
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["x-content-type-options"] == "nosniff"
    if status == 200 and path == "/":
        assert "default-src 'none'" in found.headers["content-security-policy"]
    if status == 405:
        assert found.headers["allow"] == "GET, HEAD"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Stats]:
    with served("process_apps:app", "--workers", "2") as (_, stats):
        yield stats


def test_any_name_where_others_may_come():
    with casgi("process_apps:app", "--stats", "0.0.0.0:0") as server:
        port = server.wait_for(STATS_ON)[2]
        url = f"http://127.0.0.1:{port}/healthz"
        assert httpx.get(url, headers={"host": "app"}, trust_env=False).status_code == 200


@MODES
def test_unix_socket(workers, tmp_path):
    path = tmp_path / "stats.sock"
    with casgi("process_apps:app", "--workers", workers, "--stats", f"unix:{path}") as server:
        server.wait_for(f"Stats on {path}")
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport) as client:
            assert client.get("http://anything/readyz").status_code == 200
            assert "casgi_ready 1.0" in client.get("http://anything/metrics").text
        server.stop()
    assert not path.exists()


@MODES
def test_port_taken(workers):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        arguments = ("process_apps:app", "--workers", workers, "--stats", port)
        with casgi(*arguments) as server:
            assert server.wait() == 3
    assert f"Cannot bind to 127.0.0.1:{port}: Address already in use." in server.log
    assert len(re.findall("^ERROR:", server.log, re.M)) == 1


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_upgrade_keeps_the_port(where, tmp_path):
    path = tmp_path / "stats.sock"
    address = "0" if where == "tcp" else f"unix:{path}"
    uds = str(path) if where == "unix" else None
    with casgi("process_apps:app", "--workers", "2", "--stats", address) as server:
        found = server.wait_for(r"Stats on (\S+)")[1]
        url = found if where == "tcp" else "http://stats"
        transport = httpx.HTTPTransport(uds=uds)
        with httpx.Client(transport=transport, trust_env=False, timeout=10) as client:
            assert client.get(url + "/stats.json").json()["pid"] == server.pid
        server.signal(signal.SIGUSR2)
        server.wait_for("has taken over")
        assert server.wait() == 0
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=uds), trust_env=False, timeout=10
        ) as client:
            report = client.get(url + "/stats.json").json()
            assert report["pid"] != server.pid
            assert report["ready"]
        os.kill(report["pid"], signal.SIGTERM)
        server.wait_for(rf"Stopped parent process \[{report['pid']}\]")
        assert not path.exists()


def test_reload_counts_on(tmp_path):
    module = tmp_path / "reloaded.py"
    text = Path(__file__).with_name("process_apps.py").read_text()
    module.write_text(text)
    arguments = ("reloaded:app", "--reload", "--reload-delay", "0")
    with served(*arguments, cwd=tmp_path) as (server, stats):
        server.wait_for("Started reloader process")
        server.get()
        module.write_text(text + "\n# changed\n")
        server.wait_for("Started server process", count=2)
        server.get()
        stats.until(lambda: stats.metrics()["casgi_requests_total", "2xx"] == 2)
        assert stats.metrics()[("casgi_worker_starts_total",)] == 2
        assert server.stop() == 0


def test_a_server_in_a_program(tmp_path):
    """Server.serve() on somebody's loop: the figures are there, and gone with it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, threading, asgiserver, httpx\n"
        "from process_apps import app\n"
        "async def main():\n"
        "    server = asgiserver.Server(asgiserver.Config(app, port=0, stats=0))\n"
        "    task = asyncio.ensure_future(server.serve())\n"
        "    while not server.started: await asyncio.sleep(0.01)\n"
        "    port = server._stats.port.sockets[0].getsockname()[1]\n"
        "    async with httpx.AsyncClient(trust_env=False) as client:\n"
        "        print((await client.get(f'http://127.0.0.1:{port}/readyz')).text)\n"
        "    server.should_exit = True\n"
        "    await task\n"
        "    print([t.name for t in threading.enumerate()])\n"
        "    print(asgiserver.loop._core._debug_counts()['listeners'])\n"
        "asgiserver.run_loop(main())\n"
    )
    import sys

    from casgi_process import HERE

    env = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    with casgi(command=(sys.executable, "-X", "dev", str(script)), env=env) as server:
        assert server.wait() == 0, server.log
    assert "ready\n" in server.log
    assert "['MainThread']\n0\n" in server.log
