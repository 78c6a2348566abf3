# SPDX-License-Identifier: MIT
"""The runner of the hostile cases: what loops for ever in one of them is not left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "hostile"))

from table import HERE, watched

SPINS_WITH_A_CHILD = """
import os, sys
child = os.fork()
if child:
    os.write(1, f'{{"begin": "x", "pids": [{os.getpid()}, {child}]}}\\n'.encode())
while True:
    pass
"""
ENDLESS = "beyond reach: array-like with 2^53 - 1 holes"


def running(pid: int) -> bool:
    """Whether a process is there, and is no zombie that waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def ends(pid: int, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not running(pid)


def test_at_the_deadline_the_whole_group_is_killed(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w+b") as out, open(tmp_path / "err", "w+b") as err:
        assert watched([sys.executable, "-c", SPINS_WITH_A_CHILD], out, err, 0.2) is None
        out.seek(0)
        pids = eval(out.read())["pids"]
    assert len(pids) == 2
    assert all(ends(pid) for pid in pids)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_case_ends_with_a_runner_that_is_killed(sent: signal.Signals) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        f"import table; table.run(sys.executable, 'isolate', [{ENDLESS!r}], 300)"
    )
    runner = subprocess.Popen([sys.executable, "-c", script])
    children: list[int] = []
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            listed = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text()
            children = [int(pid) for pid in listed.split()]
            if children and cpu_seconds(children[0]) > 1:  # it loops: a start takes less
                break
            time.sleep(0.05)
        assert len(children) == 1
        runner.send_signal(sent)
        runner.wait(20)
        assert ends(children[0])
    finally:
        runner.kill()
        runner.wait()
        for pid in filter(running, children):
            os.kill(pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
