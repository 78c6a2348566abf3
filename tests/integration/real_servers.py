# SPDX-License-Identifier: MIT
"""PostgreSQL, Redis and nginx as Debian has them, started for a test or a benchmark.

Each is a context manager that keeps its files in a folder of its own, listens on a free port of
127.0.0.1 and on a Unix socket in that folder, and is gone when the block ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme

BINARIES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
REDIS = shutil.which("redis-server", path=BINARIES)
NGINX = shutil.which("nginx", path=BINARIES)
# Debian keeps every version in a folder of its own, outside of the path: the newest.
_POSTGRES = sorted(
    Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])
)
POSTGRES = _POSTGRES[-1].parent if _POSTGRES else None

NGINX_CONFIG = """
daemon off;
{user}
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""
FILES = """
    keepalive_requests 100000;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{tls_port} ssl backlog=1024;
        listen unix:{folder}/nginx.sock;
        root {folder}/www;
        location = /hello {{ return 200 "hello\\n"; }}
    }}
"""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        folder: its files.
        port: of 127.0.0.1.
        unix: the path of its Unix socket; PostgreSQL's clients want the folder instead.
        tls_port: nginx's second port. PostgreSQL's first one speaks TLS when asked.
        authority: the file with the CA of the server's certificate.
    """

    folder: Path
    port: int
    unix: str
    tls_port: int = 0
    authority: str = ""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _certify(folder: Path) -> str:
    """A certificate for localhost in server.pem and server.key. Returns: the CA's file."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    key = folder / "server.key"
    key.touch(0o600)
    issued.private_key_pem.write_to_path(str(key))
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(folder / "server.pem"), append=number > 0)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


def answers(port: int) -> Callable[[], bool]:
    def probe() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    return probe


@contextlib.contextmanager
def running(
    command: list[str], log: Path, ready: Callable[[], bool], end_by: int, **options: Any
) -> Iterator[None]:
    """Runs a server while the block runs.

    Raises:
        RuntimeError: it does not answer; with what it said.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, **options)
    try:
        end = time.monotonic() + 20
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(end_by)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[Address]:
    """A new cluster with the database and the superuser `postgres`, no password, no fsync."""
    assert POSTGRES is not None
    folder = Path(tempfile.mkdtemp(prefix="casgi-postgres-"))
    options: dict[str, Any] = {"cwd": folder}
    try:
        authority = _certify(folder)
        if os.geteuid() == 0:
            # It refuses to run as root.
            options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")
        data, port = folder / "data", free_port()
        initdb = [str(POSTGRES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
            **options,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 100,
            "ssl": "on",
            "ssl_cert_file": folder / "server.pem",
            "ssl_key_file": folder / "server.key",
        }
        command = [str(POSTGRES / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]

        def ready() -> bool:
            probe = [str(POSTGRES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            return subprocess.run(probe, timeout=10).returncode == 0

        # SIGINT: clients are thrown out, and nothing is left in shared memory.
        with running(command, folder / "log", ready, signal.SIGINT, **options):
            yield Address(folder, port, str(folder), authority=authority)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis_server() -> Iterator[Address]:
    """An empty Redis that saves nothing."""
    assert REDIS is not None
    with tempfile.TemporaryDirectory(prefix="casgi-redis-") as name:
        folder, port = Path(name), free_port()
        command = [REDIS, "--bind", "127.0.0.1", "--port", str(port), "--dir", name, "--save", ""]
        command += ["--unixsocket", f"{name}/redis.sock"]
        with running(command, folder / "log", answers(port), signal.SIGTERM):
            yield Address(folder, port, f"{name}/redis.sock")


@contextlib.contextmanager
def nginx_with(http: str, folder: Path, port: int, **values: object) -> Iterator[None]:
    """nginx on the port, its block `http` made of a format string: the values, folder, port."""
    assert NGINX is not None
    values |= {"folder": folder, "port": port}
    # Else its workers have another user's rights, and none on our files and sockets.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(http=http.format(**values), user=user, folder=folder))
    command = [NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "errors")]
    with running(command, folder / "log", answers(port), signal.SIGTERM):
        yield


@contextlib.contextmanager
def nginx(files: dict[str, bytes]) -> Iterator[Address]:
    """nginx with some files, and `hello` at /hello; over TLS, too."""
    with tempfile.TemporaryDirectory(prefix="casgi-nginx-") as name:
        folder, port, tls_port = Path(name), free_port(), free_port()
        (folder / "www").mkdir()
        for path, content in files.items():
            (folder / "www" / path).write_bytes(content)
        authority = _certify(folder)
        with nginx_with(FILES, folder, port, tls_port=tls_port):
            yield Address(folder, port, f"{name}/nginx.sock", tls_port, authority)
