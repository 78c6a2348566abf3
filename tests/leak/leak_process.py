# SPDX-License-Identifier: MIT
"""leak_server.py in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT = 20.0


@contextlib.contextmanager
def leak_server(**environment: str) -> Iterator[int]:
    """Gives its port; leaving the block stops it and expects nothing of it to be left."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        path = os.pathsep.join(p for p in (os.environ.get("PYTHONPATH"), str(HERE.parents[1])) if p)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "leak_server.py"), str(sock.fileno())],
            env={**os.environ, "PYTHONPATH": path, **environment},
            pass_fds=[sock.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        port = sock.getsockname()[1]
    try:
        yield port
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=TIMEOUT)
        left = {name: n for name, n in json.loads(output.splitlines()[-1]).items() if n}
        assert left == {}
    finally:
        process.kill()
        process.communicate()
