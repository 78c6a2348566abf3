# SPDX-License-Identifier: MIT
"""FastAPI with asyncpg in its handlers, under casgi and uvicorn[standard]: CPU time of a request.

    python tests/bench/fastapi_database.py [--rounds 5] [--seconds 3] [--check]

One PostgreSQL (Debian's, started here) with a table of 1,000 rows serves both. One process each,
loaded by wrk over 10 connections; the servers take turns in every round. The figure is the CPU
time of the server's process for one request; the ratio is the median of the rounds' ratios.
uvicorn, with uvloop and httptools, comes from `tools/peers asyncpg`, with the same FastAPI and
Pydantic.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from real_servers import POSTGRES, free_port, postgresql

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOAL = 0.85
CONNECTIONS = 10
TICK = os.sysconf("SC_CLK_TCK")
ITEM = {"id": 7, "name": "seven", "price": 7.5}
POST = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{json.dumps(ITEM)}'
"""
# What is asked for, and what the answer has to be; None: a POST of ITEM.
REQUESTS: dict[str, tuple[str, Any]] = {
    "one row": ("/item/8", {"id": 8, "name": "item 8", "price": 4.0}),
    "20 rows": ("/items", [{"id": i, "name": f"item {i}", "price": i / 2} for i in range(1, 21)]),
    "transaction": ("/item/7", None),
}


async def fill(database: str) -> None:
    """Makes the table."""
    import asyncpg

    connection = await asyncpg.connect(database)
    await connection.execute(
        "create table if not exists items (id int primary key, name text, price float8);"
        "truncate items;"
        "insert into items select i, 'item ' || i, i / 2.0 from generate_series(1, 1000) i;"
    )
    await connection.close()


@contextlib.contextmanager
def serving(command: list[str], database: str) -> Iterator[tuple[int, int]]:
    """A server that has answered; gives its process id and its port."""
    port = free_port()
    command = [*command, "database_app:app", "--app-dir", str(HERE), "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"DATABASE": database}) as process:
        try:
            end = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/item/1", timeout=5).close()
                    break
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{command[:3]} did not start")
                time.sleep(0.05)
            yield process.pid, port
        finally:
            process.terminate()


def check(port: int, path: str, wanted: Any) -> None:
    """One request, whose answer has to be right."""
    data = json.dumps(ITEM).encode() if wanted is None else None
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        got = json.load(answer)
    if got != ({"items": 9} if wanted is None else wanted):
        sys.exit(f"{path}: wrong answer {got!r}")


def load(pid: int, port: int, path: str, seconds: int, script: Path | None) -> tuple[float, float]:
    """wrk for some seconds. Returns: CPU microseconds of the server, and requests a second."""

    def cpu() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["-s", str(script)] if script is not None else []
    before = cpu()
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
    )
    used = cpu() - before
    found = re.search(r"(\d+) requests in", done.stdout)
    if found is None or re.search("Socket errors|Non-2xx", done.stdout):
        sys.exit(f"wrk: {done.stdout}")
    return used / int(found[1]) * 1e6, int(found[1]) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of wrk for a figure")
    parser.add_argument("--check", action="store_true", help="exit with 1 where the goal is missed")
    options = parser.parse_args()
    if POSTGRES is None or shutil.which("wrk") is None:
        parser.error("needed: apt-get install postgresql wrk")
    peers = subprocess.run(
        [str(ROOT / "tools" / "peers"), "asyncpg"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    commands = {
        "casgi": [sys.executable, "-P", "-m", "asgiserver", "--no-js"],
        "uvicorn": [f"{peers}/uvicorn"],
    }
    ratios: dict[str, list[float]] = {name: [] for name in REQUESTS}
    with tempfile.TemporaryDirectory() as folder, postgresql() as at:
        script = Path(folder, "post.lua")
        script.write_text(POST)
        database = f"postgresql://postgres@127.0.0.1:{at.port}/postgres?sslmode=disable"
        print(f"{'us of CPU per request (req/s)':30}{'casgi':>18}{'uvicorn':>18}   ratio")
        for _ in range(options.rounds):
            asyncio.run(fill(database))
            with contextlib.ExitStack() as stack:
                servers = {
                    name: stack.enter_context(serving(command, database))
                    for name, command in commands.items()
                }
                for request, (path, wanted) in REQUESTS.items():
                    post = script if wanted is None else None
                    costs = {}
                    line = ""
                    for name, (pid, port) in servers.items():
                        check(port, path, wanted)
                        load(pid, port, path, 1, post)
                        costs[name], rate = load(pid, port, path, options.seconds, post)
                        line += f"{costs[name]:10.1f} ({rate:5.0f})"
                    ratios[request].append(costs["casgi"] / costs["uvicorn"])
                    print(f"{request:30}{line}  {ratios[request][-1]:6.3f}", flush=True)
    missed = False
    for request, found in ratios.items():
        median = statistics.median(found)
        missed |= median > GOAL
        print(f"casgi/uvicorn, {request}: {median:.3f} (goal {GOAL})")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
