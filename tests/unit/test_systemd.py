# SPDX-License-Identifier: MIT
"""asgiserver.systemd: which sockets are taken from the environment, and what is told to whom."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from asgiserver import Config, systemd
from asgiserver.binds import Activated, Tcp, wanted


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def passing(count: int, code: str, names: str = "") -> str:
    """Runs code in a process that was passed sockets, from descriptor 3 on. Returns its output."""
    code = f"""
import os
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS={str(count)!r}, LISTEN_FDNAMES={names!r})
from asgiserver import Config, StartupError, systemd
{code}
"""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    spares = [os.dup(sock.fileno()) for sock in sockets]
    try:
        # A shell puts them where systemd does.
        assert min(spares, default=99) > 3 + count
        moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(spares))
        command = ["bash", "-c", f'exec "$@" {moves}', "-", sys.executable, "-c", code]
        done = subprocess.run(command, pass_fds=spares, capture_output=True, text=True, timeout=30)
    finally:
        for fd in spares:
            os.close(fd)
        for sock in sockets:
            sock.close()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + done.stderr


class TestSockets:
    def test_all_of_them(self):
        code = """
made = Config("m:app", log_config=None)
sockets = made.bind_sockets()
print([sock.fileno() for sock in sockets], [os.get_inheritable(s.fileno()) for s in sockets])
print([name for name in os.environ if name.startswith("LISTEN")])
"""
        assert passing(2, code) == "[3, 4] [False, False]\n[]"

    def test_by_name(self):
        code = """
made = Config("m:app", log_config=None, bind=["systemd:b", "127.0.0.1:0"])
sockets = made.bind_sockets()
print([sock.fileno() for sock in sockets][0], len(sockets))
"""
        output = passing(2, code, "a:b")
        assert output.startswith("4 2")
        assert "systemd has passed 1 socket(s) that the settings do not ask for" in output

    def test_by_number(self):
        code = """
sockets = Config("m:app", log_config=None, fd=3).bind_sockets()
print(len(sockets), os.fstat(3).st_ino == os.fstat(sockets[0].fileno()).st_ino)
"""
        assert passing(1, code) == "1 True"

    @pytest.mark.parametrize("bind", ["systemd:c", "systemd"])
    def test_missing(self, bind):
        code = f"""
try:
    Config("m:app", log_config=None, bind={bind!r}).bind_sockets()
except StartupError as error:
    print(error)
"""
        names, count = ("a:b", 2) if bind == "systemd:c" else ("", 0)
        what = "no socket named 'c'" if count else "no socket"
        assert passing(count, code, names) == f"systemd has passed {what} to this process."

    def test_of_another_process(self, monkeypatch):
        monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        assert systemd.descriptors() == []
        assert systemd.take_sockets() == {}
        assert "LISTEN_FDS" not in os.environ

    def test_an_address_beats_them(self, monkeypatch):
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        assert wanted(Config("m:app", log_config=None)) == [Activated("")]
        assert wanted(Config("m:app", log_config=None, port=81)) == [Tcp("127.0.0.1", 81)]

    @pytest.mark.parametrize("count", ["", "x", "0", "-1"])
    def test_no_count(self, monkeypatch, count):
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", count)
        assert systemd.descriptors() == []

    def test_no_socket(self):
        code = """
os.environ["LISTEN_FDS"] = "1"
os.dup2(os.open("/dev/null", os.O_RDONLY), 3)
try:
    Config("m:app", log_config=None).bind_sockets()
except StartupError as error:
    print(error)
"""
        assert "Cannot use file descriptor 3, passed by systemd" in passing(0, code)


class TestNotifier:
    def test_without_a_manager(self, monkeypatch):
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        monkeypatch.setenv("WATCHDOG_USEC", "1000")
        notifier = systemd.Notifier.take()
        notifier.ready("x")
        assert notifier.ping_at == systemd.NEVER
        assert notifier.environment() == {}

    def test_what_it_says(self, manager, monkeypatch):
        monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
        notifier = systemd.Notifier.take()
        assert "NOTIFY_SOCKET" not in os.environ
        notifier.ready("Serving")
        assert manager.recv(4096) == b"READY=1\nSTATUS=Serving"
        before = time.monotonic_ns() // 1000
        notifier.reloading("Again")
        ready, at, status = manager.recv(4096).split(b"\n")
        assert (ready, status) == (b"RELOADING=1", b"STATUS=Again")
        assert before <= int(at.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        notifier.handed_over(77, "Serving")
        assert manager.recv(4096) == b"MAINPID=77\nREADY=1\nSTATUS=Serving"
        notifier.stopping()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)

    def test_abstract_address(self, monkeypatch):
        name = f"casgi-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0" + name)
            manager.settimeout(5)
            systemd.Notifier("@" + name).stopping()
            assert manager.recv(4096).startswith(b"STOPPING=1")

    def test_a_manager_that_is_gone(self, tmp_path):
        systemd.Notifier(str(tmp_path / "gone")).ready("x")

    def test_pings(self, manager, monkeypatch):
        now = 100.0
        monkeypatch.setattr(systemd.time, "monotonic", lambda: now)
        monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
        monkeypatch.setenv("WATCHDOG_USEC", "10000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        notifier = systemd.Notifier.take()
        assert notifier.ping_at == systemd.NEVER, "not before it serves"
        notifier.ready("x")
        manager.recv(4096)
        assert notifier.ping_at == 105
        now = 104.0
        notifier.ping(healthy=True)
        now = 105.0
        notifier.ping(healthy=False)
        assert notifier.ping_at == 110
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
        now = 110.0
        notifier.ping(healthy=True)
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert notifier.environment() == {
            "NOTIFY_SOCKET": manager.getsockname(),
            "WATCHDOG_USEC": "10000000",
        }

    def test_watchdog_of_another_process(self, monkeypatch):
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
        monkeypatch.setenv("WATCHDOG_USEC", "1000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
        assert systemd.Notifier.take().patience is None
