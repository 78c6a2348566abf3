# SPDX-License-Identifier: MIT
"""casgi as a service of systemd's: what it says to the manager, whose socket the test plays, and
sockets passed by systemd-socket-activate, where that is installed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from casgi_process import ACTIVATE, Casgi, Load, activate, casgi

APP = ("process_apps:app", "--no-js", "--no-access-log", "--lifespan", "off")
MODES = pytest.mark.parametrize("mode", [(), ("--workers", "2")], ids=["single", "workers"])


class Manager:
    """A service manager's socket."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(str(path))
        self.sock.settimeout(20)
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def next(self) -> tuple[dict[str, str], int]:
        """The next message, and who sent it."""
        data, ancillary, _, _ = self.sock.recvmsg(4096, 256)
        sender = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
        return dict(line.split("=", 1) for line in data.decode().split("\n")), sender

    def until(self, key: str) -> tuple[dict[str, str], int]:
        """The next message that has this key; only pings may come before it."""
        while key not in (found := self.next())[0]:
            assert found[0] == {"WATCHDOG": "1"}, found
        return found


@pytest.fixture
def manager(tmp_path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    with made.sock:
        yield made


class TestNotifications:
    @MODES
    def test_ready_and_stopping(self, manager, mode):
        with casgi(*APP, *mode, env=manager.environment) as server:
            message, sender = manager.next()
            assert message["READY"] == "1"
            assert sender == server.pid
            assert message["STATUS"].startswith(f"Serving on http://127.0.0.1:{server.port}")
            server.get()
            server.stop()
            assert manager.next() == (
                {"STOPPING": "1", "STATUS": "Finishing requests"},
                server.pid,
            )

    def test_not_ready_before_the_application_is(self, manager):
        with casgi("process_apps:fails_to_start", env=manager.environment) as server:
            assert server.wait() == 3
        assert "READY" not in manager.next()[0]

    def test_children_hear_nothing_of_it(self, manager):
        code = "import os\nasync def app(*_): pass\nprint('seen', sorted(os.environ))"
        Path(manager.environment["NOTIFY_SOCKET"]).with_name("told.py").write_text(code)
        folder = str(Path(manager.environment["NOTIFY_SOCKET"]).parent)
        env = {**manager.environment, "WATCHDOG_USEC": "60000000"}
        options = ("--workers", "2", "--app-dir", folder, "--lifespan", "off", "--no-js")
        with casgi("told:app", *options, env=env) as server:
            seen = server.wait_for(r"seen (.*)")[1]
            assert "NOTIFY_SOCKET" not in seen
            assert "WATCHDOG_USEC" not in seen

    @MODES
    def test_watchdog(self, manager, mode):
        env = {**manager.environment, "WATCHDOG_USEC": "200000"}
        with casgi(*APP, *mode, env=env) as server:
            manager.until("READY")
            for _ in range(3):
                assert manager.next() == ({"WATCHDOG": "1"}, server.pid)
            server.stop()
            manager.until("STOPPING")

    def test_a_blocked_loop_does_not_ping(self, manager):
        env = {**manager.environment, "WATCHDOG_USEC": "200000"}
        with casgi(*APP, env=env) as server:
            manager.until("READY")
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
                server.wait_for("stuck")
                manager.sock.settimeout(1)
                with pytest.raises(TimeoutError):
                    while True:
                        manager.next()

    def test_blocked_workers_are_not_vouched_for(self, manager):
        """One of one: until the successor is there."""
        env = {**manager.environment, "WATCHDOG_USEC": "400000"}
        options = ("--workers", "2", "--timeout-worker-healthcheck", "0.5", "--no-js")
        with casgi("replacement_apps:app", *options, env=env) as server:
            manager.until("READY")
            clients = []
            for _ in range(2):  # The second goes to the other worker, which has fewer connections.
                client = socket.create_connection(("127.0.0.1", server.port))
                clients.append(client)
                client.sendall(b"GET /block?seconds=600 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for(r"is blocked: its event loop", count=2)
            server.wait_for(r"Worker \[\d+\] is ready")
            # With a successor there are pings again.
            assert manager.until("WATCHDOG")[1] == server.pid
            for client in clients:
                client.close()
            server.signal(signal.SIGQUIT)

    def test_sighup(self, manager):
        with casgi(*APP, "--workers", "2", env=manager.environment) as server:
            manager.until("READY")
            server.signal(signal.SIGHUP)
            message, _ = manager.next()
            assert message["RELOADING"] == "1"
            assert int(message["MONOTONIC_USEC"]) > 0
            message, _ = manager.next()
            assert message["READY"] == "1"
            server.wait_for(r"Worker \[\d+\] is ready", count=2)  # The log comes another way.

    def test_handover(self, manager):
        env = {**manager.environment, "WATCHDOG_USEC": "200000"}
        env["WATCHDOG_PID"] = ""
        with casgi(*APP, "--workers", "2", env=env) as server:
            manager.until("READY")
            with Load(server.url) as load:
                load.wait_for(5)
                server.signal(signal.SIGUSR2)
                assert manager.until("RELOADING")[1] == server.pid
                message, sender = manager.until("MAINPID")
                assert sender == server.pid, "whom the manager listens to"
                assert message["READY"] == "1"
                successor = int(message["MAINPID"])
                assert server.process.wait(10) == 0
                # Its last ping may have come before, never its STOPPING.
                while (found := manager.next())[1] == server.pid:
                    assert found[0] == {"WATCHDOG": "1"}
                assert found == ({"WATCHDOG": "1"}, successor)
                load.wait_for(5)
            assert load.failures == []
            os.kill(successor, signal.SIGTERM)
            assert manager.until("STOPPING")[1] == successor
            server.wait_for("Stopped parent process", count=2)

    def test_a_handover_that_fails(self, manager, tmp_path):
        broken = tmp_path / "broken"
        env = {**manager.environment, "BROKEN": str(broken)}
        arguments = ("process_apps:starts_unless_told", "--workers", "2", "--no-js")
        with casgi(*arguments, env=env) as server:
            manager.until("READY")
            broken.touch()
            server.signal(signal.SIGUSR2)
            assert manager.next()[0]["RELOADING"] == "1"
            while "STOPPING" in (found := manager.next())[0]:
                assert found[1] != server.pid, "the one that has failed, whom nobody listens to"
            assert found[0]["READY"] == "1"
            assert found[1] == server.pid


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
class TestActivation:
    @MODES
    def test_sockets_that_systemd_passes(self, mode, tmp_path):
        path = tmp_path / "s"
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = "{}:{}".format(*free.getsockname())
        with activated([address, str(path)], *mode) as server:
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(transport=transport, timeout=20) as client:
                # The first connection starts it, and is answered.
                assert client.get("http://x/a").json()["path"] == "/a"
                assert server.get("/b").json()["path"] == "/b"
            server.stop()
            assert path.exists(), "systemd's to remove"

    def test_by_name(self, tmp_path):
        paths = [tmp_path / "a", tmp_path / "b"]
        options = ("--bind", "systemd:b")
        names = ("--fdname", "a:b")
        with activated([str(each) for each in paths], *options, names=names) as server:
            transport = httpx.HTTPTransport(uds=str(paths[1]))
            with httpx.Client(transport=transport, timeout=20) as client:
                assert client.get("http://x/").status_code == 200
            server.wait_for(r"systemd has passed 1 socket\(s\) that the settings do not ask for")

    def test_reload(self, tmp_path):
        path = tmp_path / "s"
        with activated([str(path)], "--reload") as server:
            with Load("http://x", uds=str(path)) as load:
                load.wait_for(3)
            assert load.failures == []
            server.wait_for(f"casgi running on unix socket {path} ")

    def test_handed_over(self, tmp_path):
        path = tmp_path / "s"
        with activated([str(path)], "--workers", "2") as server:
            with Load("http://x", uds=str(path)) as load:
                load.wait_for(5)
                server.signal(signal.SIGUSR2)
                server.wait_for("has taken over")
                assert server.process.wait(10) == 0
                load.wait_for(20)
            assert load.failures == []
            assert path.exists()


@contextlib.contextmanager
def activated(listen: list[str], *options: str, names: tuple[str, ...] = ()) -> Iterator[Casgi]:
    """A casgi that systemd-socket-activate, which listens already, runs at the first connection."""
    command = (*activate(listen, *names), sys.executable, "-u", "-m", "asgiserver")
    with casgi(*APP, *options, command=command) as server:
        server.wait_for("Listening on", count=len(listen))
        yield server
