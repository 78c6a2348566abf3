# SPDX-License-Identifier: MIT
"""What one call into JavaScript costs: by held function, by name, against V8 itself and a peer.

    python tests/bench/js_micro.py [--peer-python PYTHON] [--rounds N] [--json FILE]

The peer is never_jscore's Context, run by an interpreter that has it, in rounds between ours. The
best round counts: what a loaded machine adds is not the engine's. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

SOURCE = "function add(a, b) { return a + b } function id(x) { return x }"
RECORD = {f"key{n}": [n, n / 3, f"value {n}"][n % 3] for n in range(10)}
NESTED = [
    {"id": n, "name": f"row {n}", "tags": ["a", "b", "c"], "ok": n % 2 == 0, "score": n / 7}
    for n in range(1000)
]
MEGABYTE = "x" * (1 << 20)
BODY = json.dumps(NESTED[:125]).encode()  # some 10 KB

PEER = r"""
import json, sys, time
import never_jscore
ctx = never_jscore.Context()
ctx.compile({source!r})
cases = {{
    "add": (lambda: ctx.call("add", [1, 2]), 2000),
    "record": (lambda: ctx.call("id", [{record!r}]), 1000),
    "nested": (lambda: ctx.call("id", [{nested!r}]), 3),
    "megabyte": (lambda: ctx.call("id", ["x" * (1 << 20)]), 3),
}}
for line in sys.stdin:
    call, n = cases[line.strip()]
    started = time.perf_counter()
    for _ in range(n):
        call()
    print((time.perf_counter() - started) / n * 1e9, flush=True)
"""


def timed(call: Callable[[], object], n: int) -> float:
    """Nanoseconds of one call, the loop around it included."""
    repeat = range(n)
    started = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - started) / n * 1e9


def held(f: Callable[..., object], n: int) -> float:
    repeat = range(n)
    started = time.perf_counter()
    for _ in repeat:
        f(1, 2)
    return (time.perf_counter() - started) / n * 1e9


def named(call: Callable[..., object], n: int) -> float:
    repeat = range(n)
    started = time.perf_counter()
    for _ in repeat:
        call("add", [1, 2])
    return (time.perf_counter() - started) / n * 1e9


class Peer:
    """never_jscore in a process of its own, one round at a time."""

    def __init__(self, python: str) -> None:
        script = PEER.format(source=SOURCE, record=RECORD, nested=NESTED)
        self.process = subprocess.Popen(
            [python, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self, case: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(case, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the peer's process ended: is never_jscore installed there?")
        return float(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="an interpreter that has never_jscore")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--profile", default="web", choices=["bare", "web"])
    parser.add_argument("--json", help="also write the result to this file")
    options = parser.parse_args()

    import jsrt

    ctx = jsrt.Context(profile=options.profile, code=SOURCE)
    add, same = ctx.function("add"), ctx.function("id")

    def by_python() -> bytes:
        return json.dumps(ctx.call("id", [json.loads(BODY)])).encode()

    peer = Peer(options.peer_python) if options.peer_python else None
    ours: dict[str, Callable[[], float]] = {
        "raw V8 call": lambda: add._raw_ns(20_000),
        "f(1, 2), held": lambda: held(add, 20_000),
        "call('add', [1, 2])": lambda: named(ctx.call, 10_000),
        "dict of 10 keys, both ways": lambda: timed(lambda: same(RECORD), 2000),
        "1,000 rows, both ways": lambda: timed(lambda: same(NESTED), 3),
        "1 MB str, both ways": lambda: timed(lambda: same(MEGABYTE), 5),
        "10 KB JSON by Python's json": lambda: timed(by_python, 50),
        "10 KB JSON by call_json": lambda: timed(lambda: ctx.call_json("id", BODY), 50),
    }
    theirs = {
        "call('add', [1, 2])": "add",
        "dict of 10 keys, both ways": "record",
        "1,000 rows, both ways": "nested",
        "1 MB str, both ways": "megabyte",
    }
    best: dict[str, float] = {}
    best_peer: dict[str, float] = {}
    for number in range(options.rounds):
        for name, measure in ours.items():
            best[name] = min(best.get(name, float("inf")), measure())
        if peer is not None and number % 4 == 0:
            for name, case in theirs.items():
                best_peer[name] = min(best_peer.get(name, float("inf")), peer.round(case))
    if peer is not None:
        peer.close()
    ctx.close()

    print(f"V8 {jsrt.v8_version}, profile {options.profile}, best of {options.rounds} rounds\n")
    print(f"{'':30}{'jsrt':>12}{'never_jscore':>14}{'ratio':>9}")
    for name, ns in best.items():
        line = f"{name:30}{ns / 1000:9.3f} µs"
        if name in best_peer:
            line += f"{best_peer[name] / 1000:11.3f} µs{best_peer[name] / ns:8.1f}x"
        print(line)
    raw = best["raw V8 call"]
    print(f"\nheld / raw: {best['f(1, 2), held'] / raw:.2f}")
    by_json = best["10 KB JSON by call_json"] / best["10 KB JSON by Python's json"]
    print(f"call_json / (json.loads, call, json.dumps): {by_json:.2f}")
    result = {
        "v8": jsrt.v8_version,
        "profile": options.profile,
        "ns": best,
        "peer_ns": best_peer,
        "held_over_raw": best["f(1, 2), held"] / raw,
    }
    print(json.dumps(result))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
