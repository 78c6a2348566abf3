# SPDX-License-Identifier: MIT
"""10,000 tenants with distinct scripts through `jsrt.Tenants`: memory and right answers.

    python tests/bench/tenants.py [--tenants N] [--rounds N] [--isolation NAME] [--bound MB]

Every tenant's script differs, and calls come in an order that makes every tenant be evicted and
made again. Fails where an answer is wrong or the process has grown beyond the bound.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jsrt

SCRIPT = """
const secret = {n};
const table = Array.from({{ length: 64 }}, (_, i) => ({{ id: i, name: `row ${{i}} of {n}` }}));
let calls = 0;
function main(x) {{
  calls++;
  return {{ mine: secret, sum: x + {n}, row: table[x % 64].name, calls }};
}}
"""


def resident() -> float:
    """MB of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isolation", choices=["realm", "isolate"], default="realm")
    parser.add_argument("--bound", type=float, default=256)
    options = parser.parse_args()
    scripts = [SCRIPT.format(n=n) for n in range(options.tenants)]
    order = list(range(options.tenants))
    generator = random.Random(1)
    peak = wrong = 0.0
    calls = 0
    with jsrt.Tenants(
        isolation=options.isolation,
        max_memory=options.bound / 2,
        max_tenants=2000 if options.isolation == "realm" else 40,
    ) as tenants:
        started = time.perf_counter()
        for _ in range(options.rounds):
            generator.shuffle(order)
            for n in order:
                answer = tenants.call(n, scripts[n], "main", [calls])
                expected = (n, calls + n, f"row {calls % 64} of {n}")
                wrong += (answer["mine"], answer["sum"], answer["row"]) != expected
                calls += 1
                if calls % 100 == 0:
                    peak = max(peak, resident())
        seconds = time.perf_counter() - started
        figures = tenants.stats()
    print(
        f"{calls} calls of {options.tenants} tenants in {seconds:.1f} s"
        f" ({seconds / calls * 1e3:.2f} ms each), {wrong:.0f} wrong, peak RSS {peak:.0f} MB"
        f" (bound {options.bound:.0f}), {figures}"
    )
    return 0 if wrong == 0 and peak <= options.bound else 1


if __name__ == "__main__":
    sys.exit(main())
