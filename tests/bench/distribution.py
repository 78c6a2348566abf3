# SPDX-License-Identifier: MIT
"""How evenly the workers share the work, as --stats sees it.

python tests/bench/distribution.py [--rounds 5] [--seconds 5] [--check]

Each round starts a server with four workers, opens 100 keep-alive connections with wrk, and reads
from /metrics how many requests each worker has answered and how many connections it holds.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
GOAL = 1.3
"""The busiest worker's requests over the idlest one's."""


def start(workers: int) -> tuple[subprocess.Popen[str], str, str]:
    """A server, its address and that of its stats."""
    command = [sys.executable, "-m", "asgiserver", "examples.hello.app:app", "--port", "0"]
    command += ["--workers", str(workers), "--no-access-log", "--stats", "0", "--no-js"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"Stats on (http://\S+)", line):
            port = re.search(r"running on http://127\.0\.0\.1:(\d+)", said)
            assert port is not None
            return process, f"http://127.0.0.1:{port[1]}", found[1]
    raise RuntimeError(f"the server did not start: {said}")


def per_worker(stats: str, name: str) -> list[float]:
    """The values of a metric, by worker."""
    text = httpx.get(stats + "/metrics", trust_env=False).text
    samples = {
        int(sample.labels["slot"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
    return [samples[slot] for slot in sorted(samples)]


def run(workers: int, connections: int, seconds: int) -> float:
    """One round: prints its row, returns the ratio."""
    process, url, stats = start(workers)
    try:
        load = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url + "/"],
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(seconds * 0.7)
        held = per_worker(stats, "casgi_connections")
        said, _ = load.communicate(timeout=seconds + 30)
        answered = per_worker(stats, "casgi_worker_requests_total")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    ratio = max(answered) / max(min(answered), 1)
    print(
        f"{float(rate[1]) if rate else 0:9.0f}/s   "
        + "  ".join(f"{count:8.0f} ({c:3.0f})" for count, c in zip(answered, held, strict=True))
        + f"   {ratio:5.2f}",
        flush=True,
    )
    return ratio


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit with 1 where one is uneven")
    options = parser.parse_args()
    print(
        f"{options.connections} connections, {options.workers} workers, {os.cpu_count()} cores: "
        "requests answered (connections held) by each worker; most to fewest"
    )
    ratios = [
        run(options.workers, options.connections, options.seconds) for _ in range(options.rounds)
    ]
    print(f"worst round: {max(ratios):.2f} (goal: at most {GOAL:g})")
    if options.check and max(ratios) > GOAL:
        sys.exit(1)


if __name__ == "__main__":
    main()
