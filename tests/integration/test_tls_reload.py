# SPDX-License-Identifier: MIT
"""New certificates while the server runs: nobody's request is lost, nobody's connection ends."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casgi_process import Casgi, casgi
from tls_tools import Authority, Files, write

APP = "tls_apps:app"
REQUEST = b"GET /scope HTTP/1.1\r\nHost: localhost\r\n\r\n"
TIMEOUT = 20


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def files(authority: Authority) -> Files:
    return authority.issue("live")


def renew(authority: Authority, files: Files) -> str:
    """Puts another certificate in the files' place. Returns it."""
    made = authority.ca.issue_cert("localhost", "127.0.0.1")
    return write(made, files.certificate, files.key).pem


@contextlib.contextmanager
def serving(files: Files, *arguments: str, interval: float = 0.1) -> Iterator[Casgi]:
    tls = ("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key))
    reload = ("--ssl-reload-interval", str(interval))
    with casgi(APP, "--no-js", "--no-access-log", *tls, *reload, *arguments) as server:
        server.wait_for("casgi running on https")
        yield server


class Client:
    """A keep-alive connection that remembers which certificate it was shown."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        raw = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        der = self.sock.getpeercert(binary_form=True)
        assert der is not None
        self.pem = ssl.DER_cert_to_PEM_cert(der)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def get(self) -> None:
        self.sock.sendall(REQUEST)
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            assert more, f"closed after {data!r}"
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < size:
            more = self.sock.recv(65536)
            assert more, "closed within a body"
            body += more


def shown(port: int, context: ssl.SSLContext) -> str:
    with Client(port, context) as client:
        client.get()
        return client.pem


class Load:
    """Threads that open connections and send requests on them, until stopped."""

    def __init__(self, port: int, context: ssl.SSLContext, threads: int = 3) -> None:
        self.port, self.context = port, context
        self.answers = 0
        self.failures: list[str] = []
        self.seen: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def wait_for(self, more: int) -> None:
        goal, end = self.answers + more, time.monotonic() + TIMEOUT
        while self.answers < goal:
            assert time.monotonic() < end, self.failures
            time.sleep(0.005)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with Client(self.port, self.context) as client:
                    for _ in range(5):
                        client.get()
                        with self._lock:
                            self.answers += 1
                    with self._lock:
                        self.seen.add(client.pem)
            except Exception as error:
                with self._lock:
                    self.failures.append(repr(error))


class TestSwap:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_changed_files_under_load(self, authority, files, workers):
        context = authority.client()
        with serving(files, "--workers", workers) as server:
            with Client(server.port, context) as old, Load(server.port, context) as load:
                load.wait_for(50)
                served = [files.pem]
                for swap in range(1, 4):
                    served.append(renew(authority, files))
                    server.wait_for("TLS certificates reloaded", count=swap * int(workers))
                    load.wait_for(50)
                old.get()  # its connection has outlived them all
            assert load.failures == []
            assert load.seen == set(served)
            assert shown(server.port, context) == served[-1]

    def test_sighup_to_one_process_under_load(self, authority, files):
        context = authority.client()
        with serving(files, interval=0) as server:
            with Client(server.port, context) as old, Load(server.port, context) as load:
                load.wait_for(50)
                new = renew(authority, files)
                server.signal(signal.SIGHUP)
                server.wait_for("TLS certificates reloaded")
                load.wait_for(50)
                old.get()
            assert load.failures == []
            assert load.seen == {files.pem, new}
            assert server.stop() == -signal.SIGTERM

    def test_sighup_to_a_supervisor(self, authority, files):
        context = authority.client()
        with serving(files, "--workers", "2", interval=0) as server:
            assert shown(server.port, context) == files.pem
            new = renew(authority, files)
            server.signal(signal.SIGHUP)
            server.wait_for(r"Worker \[\d+\] is ready", count=2)
            end = time.monotonic() + TIMEOUT
            while {shown(server.port, context) for _ in range(8)} != {new}:
                assert time.monotonic() < end

    def test_exchanged_link(self, authority, files, tmp_path):
        """As a cluster mounts secrets: links into a folder that is a link, which is exchanged."""
        context = authority.client()
        for number, issued in (("1", files), ("2", authority.issue("second"))):
            (tmp_path / number).mkdir()
            (tmp_path / number / "tls.pem").write_bytes(issued.certificate.read_bytes())
            (tmp_path / number / "tls.key").write_bytes(issued.key.read_bytes())
        (tmp_path / "data").symlink_to("1")
        mounted = Files(tmp_path / "data" / "tls.pem", tmp_path / "data" / "tls.key", "")
        with serving(mounted) as server:
            assert shown(server.port, context) == files.pem
            (tmp_path / "fresh").symlink_to("2")
            (tmp_path / "fresh").replace(tmp_path / "data")
            server.wait_for("TLS certificates reloaded")
            assert shown(server.port, context) == issued.pem


class TestBadFiles:
    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda f: f.key.unlink(), "No such file or directory"),
            (lambda f: f.certificate.write_text("not yet"), "no PEM certificate in it"),
        ],
    )
    def test_the_former_stay(self, authority, files, spoil: Any, message):
        context = authority.client()
        with serving(files) as server:
            spoil(files)
            server.wait_for(message + r"\. The former TLS certificates stay in use")
            assert shown(server.port, context) == files.pem
            new = renew(authority, files)
            server.wait_for("TLS certificates reloaded")
            assert shown(server.port, context) == new
            assert server.log.count("stay in use") == 1

    def test_key_that_comes_later(self, authority, files):
        """Only the certificate has changed so far: told once, and right when the key is there."""
        context = authority.client()
        made = authority.ca.issue_cert("localhost", "127.0.0.1")
        with serving(files) as server:
            made.cert_chain_pems[0].write_to_path(str(files.certificate))
            server.wait_for("does not belong to")
            assert shown(server.port, context) == files.pem
            made.private_key_pem.write_to_path(str(files.key))
            server.wait_for("TLS certificates reloaded")
            assert shown(server.port, context) == made.cert_chain_pems[0].bytes().decode()

    def test_expired_certificate_is_told(self, authority, tmp_path):
        import datetime

        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        old = authority.issue("old", not_after=past)
        with serving(old) as server:
            server.wait_for(r"The TLS certificate \S+old.pem has expired")


def test_client_authorities_are_reloaded(
    authority: Authority, files: Files, tmp_path: Path
) -> None:
    others = Authority(tmp_path / "others")
    mine = others.issue("mine")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes())
    context = authority.client(version=ssl.TLSVersion.TLSv1_2, certificate=mine)
    clients = ("--ssl-cert-reqs", "2", "--ssl-ca-certs", str(trusted))
    with serving(files, *clients) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
            shown(server.port, context)
        trusted.write_bytes(authority.file.read_bytes() + others.file.read_bytes())
        server.wait_for("TLS certificates reloaded")
        assert shown(server.port, context) == files.pem


@contextlib.contextmanager
def in_terminal(files: Files, hang_up: signal.Handlers) -> Iterator[tuple[int, int]]:
    """A server in a terminal of its own, started with this disposition of SIGHUP; its process id
    and the terminal's other end, once certificates have been reloaded by a SIGHUP."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, hang_up)
        tls = ["--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)]
        os.chdir(Path(__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            p for p in (os.environ.get("PYTHONPATH"), str(Path(__file__).parents[2])) if p
        )
        command = [sys.executable, "-m", "asgiserver", APP, "--no-js", "--port", "0", *tls]
        command.append("--no-use-colors")
        os.execv(sys.executable, command)
    text = b""
    try:
        while b"casgi running on https" not in text:
            text += os.read(terminal, 4096)
        os.kill(pid, signal.SIGHUP)
        while b"TLS certificates reloaded" not in text:
            text += os.read(terminal, 4096)
        yield pid, terminal
    finally:
        with contextlib.suppress(ChildProcessError):  # The test has seen its end.
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def ended(pid: int, timeout: float = TIMEOUT) -> int | None:
    """What waitpid() says of a process when it ends; None if it does not in time."""
    end = time.monotonic() + timeout
    while (status := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            return None
        time.sleep(0.02)
    return status[1]


def test_terminal_that_hangs_up_ends_the_server(files: Files) -> None:
    """SIGHUP reloads, but a server whose terminal was closed does not stay behind."""
    with in_terminal(files, signal.SIG_DFL) as (pid, terminal):
        os.close(terminal)
        status = ended(pid)
        assert status is not None, "still there"
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGHUP


def test_nohup_keeps_the_server(files: Files) -> None:
    """With SIGHUP ignored when it starts, as nohup(1) does, it outlives its terminal."""
    with in_terminal(files, signal.SIG_IGN) as (pid, terminal):
        os.close(terminal)
        assert ended(pid, 1) is None
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) is not None
