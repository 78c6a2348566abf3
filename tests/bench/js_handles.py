# SPDX-License-Identifier: MIT
"""What a live handle and a call of Python by JavaScript cost.

    python tests/bench/js_handles.py [--rounds N]

The best round counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from js_micro import timed

sys.path.append(str(Path(__file__).resolve().parents[2]))

SOURCE = """
class Point { constructor(x) { this.x = x } get() { return this.x } }
const loop = (f, n) => { for (let i = 0; i < n; i++) f(i) };
const sum = it => { let s = 0; for (const n of it) s += n; return s };
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds

    import jsrt

    with jsrt.Context(profile="web", code=SOURCE) as ctx:
        point = ctx.eval("new Point(5)")
        method = point.get
        make = ctx.eval("Point").new
        run, total = ctx.function("loop"), ctx.function("sum")

        def callback(number: int) -> int:
            return number

        def nested(number: int) -> int:
            result: int = method()
            return result

        each = 10_000
        cases: dict[str, Callable[[], float]] = {
            "method(), a held handle": lambda: timed(method, 50_000),
            "point.x": lambda: timed(lambda: point.x, 50_000),
            "point.get()": lambda: timed(lambda: point.get(), 20_000),
            "Point.new(5), dropped": lambda: timed(lambda: make(5), 20_000),
            "JavaScript calls Python": lambda: timed(lambda: run(callback, each), 3) / each,
            "... which calls JavaScript": lambda: timed(lambda: run(nested, each), 3) / each,
            "one step of a Python iterator": lambda: timed(lambda: total(iter(range(each))), 3)
            / each,
        }
        for name, case in cases.items():
            print(f"{name:32}{min(case() for _ in range(rounds)) / 1000:8.3f} µs")


if __name__ == "__main__":
    main()
