# SPDX-License-Identifier: MIT
"""Threads over jsrt.JSEngine, and over never_jscore's, which stands where the caller has it.

    python tests/bench/js_engine.py [--peer-python PYTHON] [--threads N] [--seconds S] [--rounds N]

Two functions: one that only computes (the calls of all threads against those of one thread alone),
and a trivial one (calls per second and the 99th percentile of one call's time, as its thread sees
it). Rounds alternate; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

SOURCE = """
function add(a, b) { return a + b }
function work(n) {
  let x = 1;
  for (let i = 0; i < n; i++) x = (x * 1103515245 + 12345) % 2147483648;
  return x;
}
"""
LOOPS = 200_000


def run(
    call: Callable[[str, list[int]], object],
    name: str,
    args: list[int],
    threads: int,
    seconds: float,
) -> tuple[float, float]:
    """Calls a second of all threads, and the 99th percentile of one call in ms."""
    times: list[list[float]] = [[] for _ in range(threads)]
    barrier = threading.Barrier(threads + 1)

    def loop(mine: list[float]) -> None:
        clock = time.perf_counter
        call(name, args)
        barrier.wait()
        end = clock() + seconds
        while (began := clock()) < end:
            call(name, args)
            mine.append(clock() - began)

    workers = [threading.Thread(target=loop, args=(mine,)) for mine in times]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    flat = sorted(each for mine in times for each in mine)
    return len(flat) / took, flat[int(len(flat) * 0.99)] * 1e3


def figures(
    call: Callable[[str, list[int]], object], threads: int, seconds: float
) -> dict[str, float]:
    alone, _ = run(call, "work", [LOOPS], 1, seconds)
    together, work_p99 = run(call, "work", [LOOPS], threads, seconds)
    rate, p99 = run(call, "add", [1, 2], threads, seconds)
    return {
        "scale": together / alone,
        "work": together,
        "work_p99": work_p99,
        "add": rate,
        "add_p99": p99,
    }


def peer(threads: int, seconds: float) -> None:
    """In never_jscore's interpreter: one round for each line read."""
    import never_jscore

    engine = never_jscore.JSEngine(SOURCE, workers=2)
    for _ in sys.stdin:
        print(json.dumps(figures(engine.call, threads, seconds)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.peer:
        peer(options.threads, options.seconds)
        return 0
    import jsrt

    other = None
    if options.peer_python:
        other = subprocess.Popen(
            [options.peer_python, __file__, "--peer", "--threads", str(options.threads),
             "--seconds", str(options.seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    rounds: dict[str, list[dict[str, float]]] = {"jsrt": [], "never_jscore": []}
    with jsrt.JSEngine(SOURCE, workers=2, profile="bare") as engine:
        for _ in range(options.rounds):
            rounds["jsrt"].append(figures(engine.call, options.threads, options.seconds))
            if other is not None and other.stdin is not None and other.stdout is not None:
                other.stdin.write("go\n")
                other.stdin.flush()
                rounds["never_jscore"].append(json.loads(other.stdout.readline()))
        print(engine.stats())
    for name, each in rounds.items():
        if each:
            middle = {key: statistics.median(one[key] for one in each) for key in each[0]}
            print(
                f"{name:13} CPU-bound: {middle['scale']:.2f} x one thread's rate"
                f" ({middle['work']:.0f}/s, p99 {middle['work_p99']:.1f} ms);"
                f" trivial: {middle['add']:.0f}/s, p99 {middle['add_p99']:.3f} ms"
            )
    if other is not None and other.stdin is not None:
        other.stdin.close()
        other.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
