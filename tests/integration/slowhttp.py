# SPDX-License-Identifier: MIT
"""slowhttptest (Debian: slowhttptest) as tests and benchmarks run it, and how many connections a
port has, as the kernel sees them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SLOWHTTPTEST = shutil.which("slowhttptest")
ALL_CLOSED = "No open connections left"

ATTACKS = {
    "slow headers": ("-H", "-i", "1", "-x", "24"),
    "slow body": ("-B", "-i", "1", "-x", "10", "-s", "8192", "-t", "POST"),
    "slow read": ("-X", "-w", "256", "-y", "512", "-n", "1", "-z", "5", "-k", "1"),
}
"""What each client does once a second: 24 bytes of a header, 10 of a body, 5 of an answer taken."""


def step_back() -> None:
    """An attacker has a machine of its own: what it computes is not to slow the server."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(10)


@contextlib.contextmanager
def attack(name: str, port: int, connections: int, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """slowhttptest, which ends by itself when all its connections are closed, or time is up."""
    assert SLOWHTTPTEST is not None
    url = f"http://127.0.0.1:{port}/{'big' if name == 'slow read' else ''}"
    numbers = ("-c", str(connections), "-r", str(connections), "-l", str(seconds))
    process = subprocess.Popen(
        [SLOWHTTPTEST, *numbers, *ATTACKS[name], "-u", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=step_back,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


LISTEN, TIME_WAIT = "0A", "06"


def connections(port: int) -> int:
    """The server's connections at a port of its, those included that it has closed and whose last
    bytes the kernel has still to deliver."""
    local = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1] == local and row[3] not in (LISTEN, TIME_WAIT) for row in rows)
