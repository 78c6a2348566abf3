# SPDX-License-Identifier: MIT
"""Several addresses, socket files, --reuse-port: in one process, with workers, with --reload, and
handed over by SIGUSR2."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from casgi_process import ACTIVATE, Load, activate, casgi

APP = ("process_apps:app", "--no-js", "--no-access-log", "--lifespan", "off")
MODES = pytest.mark.parametrize(
    "mode", [(), ("--workers", "2"), ("--reload",)], ids=["single", "workers", "reload"]
)
IPV6 = socket.has_dualstack_ipv6()


def get(url: str, uds: str | None = None) -> dict:
    with httpx.Client(transport=httpx.HTTPTransport(uds=uds), timeout=20) as client:
        return client.get(url).json()


def addresses(log: str) -> list[str]:
    return re.findall(r"casgi running on (http://\S+|unix socket \S+) ", log)


@MODES
def test_several(mode, tmp_path):
    path = tmp_path / "s"
    binds = ["--bind", "127.0.0.1:0", "-b", f"unix:{path}", "-b", "127.0.0.2:0"]
    if IPV6:
        binds += ["-b", "[::1]:0"]
    with casgi(
        *APP, *binds, "--uds-permissions", "600", *mode, cwd=Path(__file__).parent
    ) as server:
        server.wait_for("casgi running on", count=len(binds) // 2)
        urls = addresses(server.log)
        assert len(urls) == len(binds) // 2
        for url in urls:
            if url.startswith("http"):
                assert get(url)["client"][0] in ("127.0.0.1", "::1")
            else:
                assert url == f"unix socket {path}"
                assert get("http://x", uds=str(path))["client"] is None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server.stop()
        assert not path.exists()


def test_one_that_is_taken_keeps_all_from_starting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "s"
        with casgi(*APP, "--bind", f"unix:{path}", "-b", f"127.0.0.1:{port}") as server:
            assert server.wait() == 3
            assert f"Cannot bind to 127.0.0.1:{port}: Address already in use." in server.log


def test_handed_over(tmp_path):
    path = tmp_path / "s"
    binds = ("--bind", "127.0.0.1:0", "-b", f"unix:{path}", "-b", "127.0.0.2:0")
    with casgi(*APP, *binds, "--workers", "2") as server:
        server.wait_for("casgi running on", count=3)
        urls = [url for url in addresses(server.log) if url.startswith("http")]
        with (
            Load(urls[0]) as first,
            Load(urls[1]) as second,
            Load("http://x", uds=str(path)) as uds,
        ):
            loads = (first, second, uds)
            for load in loads:
                load.wait_for(10)
            server.signal(signal.SIGUSR2)
            successor = int(server.wait_for(r"Process \[(\d+)\] has taken over")[1])
            assert server.process.wait(10) == 0
            for load in loads:
                load.wait_for(20)
        assert [load.failures for load in loads] == [[], [], []]
        os.kill(successor, signal.SIGTERM)
        server.wait_for("Stopped parent process", count=2)
        assert not path.exists()


class TestReusePort:
    def test_each_worker_has_its_socket(self):
        with casgi(*APP, "--reuse-port", "--workers", "3") as server:
            port = server.port
            pids: Counter[int] = Counter()
            # The kernel's hash spreads them; all 120 at one of three has odds of 3^-119.
            for _ in range(120):
                pids[server.get().json()["pid"]] += 1
            assert len(pids) >= 2
            # Three that listen, and the supervisor's that reserves the port.
            listening = [line for line in tcp_sockets(port) if line == "0A"]
            assert len(listening) == 3
            assert server.stop() == 0

    def test_with_a_socket_file(self, tmp_path):
        path = str(tmp_path / "s")
        binds = ("--bind", "127.0.0.1:0", "-b", f"unix:{path}")
        with casgi(*APP, *binds, "--reuse-port", "--workers", "2") as server:
            assert get(server.url)["pid"] in server.children()
            assert get("http://x", uds=path)["pid"] in server.children()

    def test_two_processes_on_one_port(self):
        with casgi(*APP, "--reuse-port") as one:
            with casgi(*APP, "--reuse-port", "--port", str(one.port)) as two:
                assert two.port == one.port
                for _ in range(40):
                    assert one.get().json()["pid"] in (one.pid, two.pid)
                assert one.stop() == -signal.SIGTERM
                assert two.get().json()["pid"] == two.pid

    def test_a_replaced_worker(self):
        with casgi(*APP, "--reuse-port", "--workers", "2") as server:
            _ = server.port
            server.signal(signal.SIGHUP)
            server.wait_for(r"Worker \[\d+\] is ready", count=2)
            server.wait_for("Finished server process", count=2)
            assert {server.get().json()["pid"] for _ in range(40)} <= server.children()

    def test_handed_over(self):
        with casgi(*APP, "--reuse-port", "--workers", "2") as server:
            _ = server.port
            server.signal(signal.SIGUSR2)
            successor = int(server.wait_for(r"Process \[(\d+)\] has taken over")[1])
            assert server.process.wait(10) == 0
            pids = set(
                map(int, Path(f"/proc/{successor}/task/{successor}/children").read_text().split())
            )
            assert {server.get().json()["pid"] for _ in range(40)} <= pids


def tcp_sockets(port: int) -> list[str]:
    """The states of the sockets that are bound to a port of 127.0.0.1 and not connected."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        line[3] for line in lines if line[1] == f"0100007F:{port:04X}" and line[2][-4:] == "0000"
    ]


def program(folder: Path, settings: str) -> Path:
    """A program that has loaded what it serves, so that the supervisor is another process."""
    (folder / "web.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'here'})\n"
    )
    main = folder / "main.py"
    main.write_text(
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nimport asgiserver, web\n"
        f"asgiserver.run('web:app', reload=True, {settings})\n"
    )
    return main


def test_reload_in_a_program_that_was_given_a_socket(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        main = program(tmp_path, f"fd={sock.fileno()}")
        command = (sys.executable, "-u", str(main))
        with casgi(command=command, cwd=tmp_path, pass_fds=(sock.fileno(),)) as server:
            server.wait_for("Started reloader process")
            assert server.get().text == "here"
            assert server.port == sock.getsockname()[1]


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
def test_reload_in_a_program_that_systemd_started(tmp_path):
    path = tmp_path / "s"
    main = program(tmp_path, "")
    command = (*activate([str(path)]), sys.executable, "-u", str(main))
    with casgi(command=command, cwd=tmp_path) as server:
        server.wait_for("Listening on")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=20) as client:
            assert client.get("http://x").text == "here"
        server.wait_for("Started reloader process")
        server.wait_for(f"casgi running on unix socket {path} ")
