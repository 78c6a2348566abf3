# SPDX-License-Identifier: MIT
"""What jsrt.proxy saves, and what a look through it costs: ``python tests/bench/js_proxy.py``.

One dict of some 100 KB, of which JavaScript reads three keys, given as a copy and as a view; and
one key read over and over, against a call of a Python function that does nothing else. The rows
alternate; each figure is the median, in processor time, of the rounds.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jsrt

ROUNDS = 7
CODE = """
const three = d => d.user.name.length + d.items[500].id + d.total;
const all = d => { let n = 0; for (const item of d.items) n += item.id; return n };
const text = d => JSON.stringify(d).length;
const again = d => { let n = 0; for (let i = 0; i < 1000; i++) n += d.total; return n };
const called = f => { let n = 0; for (let i = 0; i < 1000; i++) n += f("total"); return n };
"""


def document() -> dict[str, Any]:
    items = [
        {"id": n, "name": f"item {n}", "price": n * 1.5, "tags": ["a", "b"]} for n in range(1500)
    ]
    return {"user": {"name": "Ann"}, "total": 42, "items": items}


def microseconds(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def main() -> None:
    data = document()
    with jsrt.Context(profile="bare", code=CODE) as ctx:
        three, every, text, again, called = (
            ctx.function(name) for name in ("three", "all", "text", "again", "called")
        )
        rows: dict[str, tuple[Callable[[], object], int]] = {
            "three keys, copy": (lambda: three(data), 20),
            "three keys, view": (lambda: three(jsrt.proxy(data)), 200),
            "1500 items, copy": (lambda: every(data), 20),
            "1500 items, view": (lambda: every(jsrt.proxy(data)), 5),
            "JSON.stringify, copy": (lambda: text(data), 20),
            "JSON.stringify, view": (lambda: text(jsrt.proxy(data)), 3),
            "one key 1000 times, view": (lambda: again(jsrt.proxy(data)), 10),
            "one call 1000 times": (lambda: called(data.get), 10),
        }
        figures: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, (work, times) in rows.items():
                figures[name].append(microseconds(work, times))
    print(f"a dict of {len(json.dumps(data)) / 1000:.0f} KB as JSON")
    for name, taken in figures.items():
        print(f"{name:28}{statistics.median(taken):10.1f} us")


if __name__ == "__main__":
    main()
