# SPDX-License-Identifier: MIT
"""What a normal client notices of a thousand slow ones.

    python tests/bench/slow_clients.py [--connections 1000] [--rounds 3]

slowhttptest attacks a server with slow headers, slow bodies and slow reading.
Meanwhile one client sends a request after another over a connection of its own; its 99th percentile
is compared with that of the quiet server just before. The goal: less than three times as long, and
every slow connection closed. The deadlines are shortened to --timeout seconds.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from casgi_process import casgi
from idle_server import ask
from slowhttp import ATTACKS, SLOWHTTPTEST, attack, connections

GOAL = 3.0
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PACE = 0.001


def exchange(sock: socket.socket) -> float:
    """Seconds that a request takes."""
    begin = time.perf_counter()
    ask(sock, REQUEST)
    return time.perf_counter() - begin


def latencies(port: int, until: threading.Event) -> list[float]:
    """Requests, one each millisecond or so, until told to stop."""
    taken = []
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(200):
            exchange(sock)
        while not until.is_set():
            taken.append(exchange(sock))
            time.sleep(PACE)
    return taken


def during(port: int, seconds: float) -> list[float]:
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    return latencies(port, over)


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def measure(name: str, count: int, timeout: float) -> tuple[float, float, float]:
    """The quiet and the attacked p99, and the seconds until every slow connection was closed."""
    timeouts = [f"--timeout-{each}={timeout}" for each in ("header", "body", "write")]
    with casgi("slow_apps:app", "--no-js", "--no-access-log", *timeouts) as server:
        port = server.port
        quiet = during(port, 2 * timeout)
        closed, gone = threading.Event(), 0.0
        attacked: list[float] = []
        client = threading.Thread(target=lambda: attacked.extend(latencies(port, closed)))
        with attack(name, port, count, 60):
            begin, peak = time.monotonic(), 0
            client.start()
            # One connection is the client's.
            while (now := connections(port) - 1) > 0 or peak < count / 2:
                peak = max(peak, now)
                if time.monotonic() - begin > 50:
                    sys.exit(f"{name}: {now} of {peak} connections are left")
                time.sleep(0.1)
            gone = time.monotonic() - begin
            closed.set()
            client.join()
    return p99(quiet), p99(attacked), gone


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the goal is missed")
    arguments = parser.parse_args()
    if SLOWHTTPTEST is None:
        sys.exit("slowhttptest is not installed")
    missed = False
    print(
        f"{arguments.connections} slow connections, deadlines of {arguments.timeout:g} s; medians"
    )
    print(f"{'':14} {'p99 quiet':>10} {'p99 meanwhile':>14} {'ratio':>6} {'all closed after':>17}")
    for name in ATTACKS:
        rounds = [
            measure(name, arguments.connections, arguments.timeout) for _ in range(arguments.rounds)
        ]
        quiet, attacked, gone = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(row[1] / row[0] for row in rounds)
        missed |= ratio >= GOAL
        times = f"{quiet * 1e6:7.0f} us {attacked * 1e6:11.0f} us"
        print(f"{name:14} {times} {ratio:6.2f} {gone:15.1f} s", flush=True)
    print(f"goal: a ratio below {GOAL:g}: {'missed' if missed else 'met'}")
    return int(arguments.check and missed)


if __name__ == "__main__":
    sys.exit(main())
