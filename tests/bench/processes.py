# SPDX-License-Identifier: MIT
"""A server under measurement: a process group of its own, and what it has used."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """Why something could not be measured."""


class Group:
    """A command in a process group of its own; what it says goes to a file.

    Args:
        command: the program and its arguments.
        cwd: its current folder.
        environment: added to ours.
    """

    def __init__(
        self, command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]
    ) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.log = Path(self.folder.name, "log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def members(self) -> Iterator[tuple[str, list[str]]]:
        """(process id, fields of /proc/PID/stat from the state on) of each process of the group."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:
                    yield pid, fields

    def cpu(self) -> float:
        """CPU-seconds of the group so far, children already reaped included."""
        return sum(sum(map(int, fields[11:15])) for _, fields in self.members()) / TICK

    def memory(self) -> dict[str, float]:
        """RSS and PSS of the whole group, supervisor included, in MB."""
        total = {"Rss": 0, "Pss": 0}
        for pid, _ in self.members():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                for key, kilobytes in re.findall(r"^(Rss|Pss):\s+(\d+)", text, re.M):
                    total[key] += int(kilobytes)
        return {"rss_mb": total["Rss"] / 1024, "pss_mb": total["Pss"] / 1024}

    def tail(self) -> str:
        """The end of what it said."""
        return self.log.read_text(errors="replace").strip()[-400:] or "it said nothing"

    def signal(self, *numbers: int) -> None:
        """Sends signals to the whole group, if it still exists."""
        with contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.killpg(self.process.pid, number)

    def stop(self, limit: float = 10) -> bool:
        """Ends the group: first in good order, then by force. Returns whether order was enough."""
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(limit)
            orderly = True
        except subprocess.TimeoutExpired:
            orderly = False
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()
        return orderly


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def busy() -> float:
    """CPU-seconds the whole machine has worked so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICK


def wait_quiet(patience: float = 30) -> None:
    """Returns when the machine has done nothing for a moment, or patience ends."""
    until, calm = time.monotonic() + patience, 0
    while calm < 2 and time.monotonic() < until:
        before = busy()
        time.sleep(0.2)
        calm = calm + 1 if busy() - before < 0.08 else 0


def milliseconds(text: str) -> float:
    """wrk's "812.00us", "1.20ms", "1.02s" as milliseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]
