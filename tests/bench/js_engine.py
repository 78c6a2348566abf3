# SPDX-License-Identifier: MIT
"""Threads over jsrt.JSEngine, and over never_jscore's, which stands where the caller has it.

    python tests/bench/js_engine.py [--peer-python PYTHON] [--threads N] [--seconds S] [--rounds N]
                                    [--check]

Two functions: one that only computes (the calls of all threads against those of one thread alone),
and a trivial one (calls per second and the 99th percentile of one call's time, as its thread sees
it). Rounds alternate; medians are printed, then goals. In each round two processes that share
nothing call the first function, too: what they do together against what one does is what the
machine had to give.
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
    spans: list[tuple[float, float]] = []
    barrier = threading.Barrier(threads)

    def loop(mine: list[float]) -> None:
        clock = time.perf_counter
        call(name, args)
        barrier.wait()
        first = clock()
        end = first + seconds
        while (began := clock()) < end:
            call(name, args)
            mine.append(clock() - began)
        spans.append((first, clock()))

    workers = [threading.Thread(target=loop, args=(mine,)) for mine in times]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # By the workers' own clocks: this thread may get its turn late.
    took = max(end for _, end in spans) - min(first for first, _ in spans)
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


def alone() -> None:
    """In a process of its own: the calls of work() in the seconds that each line read says."""
    import jsrt

    work = jsrt.Context(profile="bare", code=SOURCE).function("work")
    for _ in range(20):
        work(LOOPS)
    print("ready", flush=True)
    for line in sys.stdin:
        end, calls = time.perf_counter() + float(line), 0
        while time.perf_counter() < end:
            work(LOOPS)
            calls += 1
        print(calls, flush=True)


class Machine:
    """Two processes that have nothing in common but the machine."""

    def __init__(self) -> None:
        self.children = [
            subprocess.Popen(
                [sys.executable, __file__, "--alone"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for child in self.children:
            self.read(child)

    @staticmethod
    def read(child: subprocess.Popen[str]) -> str:
        assert child.stdout is not None
        return child.stdout.readline()

    def calls(self, count: int, seconds: float) -> int:
        for child in self.children[:count]:
            assert child.stdin is not None
            child.stdin.write(f"{seconds}\n")
            child.stdin.flush()
        return sum(int(self.read(child)) for child in self.children[:count])

    def scale(self, seconds: float) -> float:
        """The work of both together, in that of one alone."""
        one = self.calls(1, seconds)
        return self.calls(2, seconds) / one

    def close(self) -> None:
        for child in self.children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(20)


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
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.peer:
        peer(options.threads, options.seconds)
        return 0
    if options.alone:
        alone()
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
    machine = Machine()
    given: list[float] = []
    with jsrt.JSEngine(SOURCE, workers=2, profile="bare") as engine:
        for _ in range(options.rounds):
            given.append(machine.scale(options.seconds))
            rounds["jsrt"].append(figures(engine.call, options.threads, options.seconds))
            if other is not None and other.stdin is not None and other.stdout is not None:
                other.stdin.write("go\n")
                other.stdin.flush()
                rounds["never_jscore"].append(json.loads(other.stdout.readline()))
        print(engine.stats())
    machine.close()
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
    ours = rounds["jsrt"]
    scale = statistics.median(one["scale"] for one in ours)
    share = statistics.median(one["scale"] / two for one, two in zip(ours, given, strict=True))
    print(
        f"two processes: {statistics.median(given):.2f} x one's rate; ours is {share:.2f} of that"
    )
    goals = [
        ("CPU-bound: >= 1.9 x one thread's rate", scale >= 1.9),
        ("p99 <= 1 ms, trivial", statistics.median(one["add_p99"] for one in ours) <= 1),
    ]
    if theirs := rounds["never_jscore"]:
        each = [one["add"] / two["add"] for one, two in zip(ours, theirs, strict=True)]
        goals.append((">= 20 x never_jscore, trivial", statistics.median(each) >= 20))
    for goal, held in goals:
        print(f"{goal:50} {'yes' if held else 'NO'}")
    return 1 if options.check and not all(held for _, held in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
