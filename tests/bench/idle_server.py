# SPDX-License-Identifier: MIT
"""A server process for the benchmarks of idle connections, and what it holds."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INTEGRATION = Path(__file__).resolve().parents[1] / "integration"


@contextmanager
def serving(module: str, app: str, *options: str) -> Iterator[tuple[int, int]]:
    """A server of an application of tests/integration; gives its port and process id.

    Args:
        module: that is run with ``python -m``: ours, or uvicorn.
        app: ``module:attribute``.
        options: further arguments of its command line.
    """
    command = [sys.executable, "-m", module, app, "--port", "0", "--app-dir", str(INTEGRATION)]
    command += ["--no-access-log", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"https?://127\.0\.0\.1:(\d+)", line):
                    break
            else:
                sys.exit(f"{module} did not start")
            log = process.stderr
            threading.Thread(target=lambda: log.read(), daemon=True).start()
            yield int(found[1]), process.pid
        finally:
            process.kill()


def resident(pid: int) -> int:
    """Bytes of resident memory."""
    with open(f"/proc/{pid}/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(sock: socket.socket, request: bytes) -> None:
    """Sends a request, and takes the answer of slow_apps, whose body is `ok`."""
    sock.sendall(request)
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        data = sock.recv(65536)
        assert data, "closed"
        answer += data
