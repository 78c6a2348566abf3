# SPDX-License-Identifier: MIT
"""One JavaScript engine of js_peers.py, in an interpreter that has it.

    python js_peers_engine.py NAME            a case for each line read, its time for each written
    python js_peers_engine.py NAME --fresh CASE   one case that needs a process of its own

Each engine is given the same functions and has, for each case, a callable that does all of it:
values go in and come back as Python's, converted. Where an engine hands out views instead, or
nothing that fits, JSON text carries containers, as its users do. An engine lacks the cases that it
has no way for.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.bench.js_micro import MEGABYTE, NESTED, RECORD  # noqa: E402

SOURCE = """
function add(a, b) { return a + b }
async function addLater(a, b) { await null; return a + b }
function id(x) { return x }
function text(x) { return JSON.stringify(JSON.parse(x)) }
function length(x) { return x.length }
var block = typeof Uint8Array === "undefined" ? null : new Uint8Array(1 << 20);
function out() { return block }
function work(n) {
  let x = 1;
  for (let i = 0; i < n; i++) x = (Math.imul(x, 1664525) + 1013904223) ^ (x >>> 7);
  return x;
}
"""
LOOPS = 250_000  # of work(): some 0.4 ms
WORKED = 1101644948  # what work(LOOPS) answers
ROWS = NESTED
BYTES = MEGABYTE.encode()
WRITABLE = bytearray(BYTES)
BLOCK_S = 10e-6  # what is timed together lasts so long, or is one call
ROUND_S = 0.1  # of each case in each round
READY = "ts.version"

Case = Callable[[], object]
Cases = dict[str, tuple[Case, object]]  # what to time, and what it must answer


def p50(call: Case) -> float:
    """The median time of one call in µs, of blocks of calls that are long enough for the clock."""
    clock = time.perf_counter

    def block(n: int) -> float:
        many = repeat(None, n)
        began = clock()
        for _ in many:
            call()
        return clock() - began

    n = 1
    while (took := block(n)) < BLOCK_S and n < 1000:
        n = min(1000, n * 2)
    times = [took / n]
    end = clock() + ROUND_S
    while clock() < end or len(times) < 3:
        times.append(block(n) / n)
    return statistics.median(times) * 1e6


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1048576


def further(make: Callable[[], object], count: int) -> dict[str, float]:
    """Time (median, ms) and memory (MB) of one more, after the first two."""
    kept = [make(), make()]
    times = []
    before = resident()
    for _ in range(count):
        began = time.perf_counter()
        kept.append(make())
        times.append(time.perf_counter() - began)
    return {"ms": statistics.median(times) * 1e3, "mb": (resident() - before) / count}


def by_text(function: Callable[[str], str], value: object) -> Case:
    return lambda: json.loads(function(json.dumps(value)))


class Engine:
    """What every engine has: `cases`, and what needs a fresh process.

    `context` makes one in which a source has run; `contexts` makes one more global scope that has
    been used; `load` makes an engine first and then measures how long it takes until a large source
    has run in it.
    """

    contexts: dict[str, tuple[Callable[[], object], int]]

    def cases(self) -> Cases:
        raise NotImplementedError

    def context(self, code: str) -> Any:
        raise NotImplementedError

    def load(self, source: str) -> float:
        ctx = self.context("1 + 1")
        began = time.perf_counter()
        ctx.eval(source + "\n;1")
        ctx.eval(READY)
        return time.perf_counter() - began


class Jsrt(Engine):
    def __init__(self) -> None:
        import jsrt

        self.jsrt = jsrt
        self.kept: list[object] = []
        self.contexts = {
            "realm": (lambda: self.realm("bare"), 24),
            "isolate": (lambda: self.used(jsrt.Context(profile="bare")), 24),
            "web realm": (lambda: self.realm("web"), 24),
            "environment": (lambda: self.used(jsrt.Context(profile="web")), 6),
        }

    def used(self, context: Any) -> object:
        assert context.eval("1 + 1") == 2
        return context

    def realm(self, profile: Any) -> object:
        if not self.kept:
            self.kept.append(self.used(self.jsrt.Context(profile=profile)))
        first: Any = self.kept[0]
        return self.used(first.realm())

    def cases(self) -> Cases:
        ctx = self.jsrt.Context(profile="web", code=SOURCE)
        self.kept.append(ctx)
        add, later, same = ctx.function("add"), ctx.function("addLater"), ctx.function("id")
        length, out, work = ctx.function("length"), ctx.function("out"), ctx.function("work")
        call = ctx.call
        return {
            "held": (lambda: add(1, 2), 3),
            "call": (lambda: call("add", [1, 2]), 3),
            "async": (lambda: later(1, 2), 3),
            "record": (lambda: same(RECORD), RECORD),
            "nested": (lambda: same(ROWS), ROWS),
            "str in": (lambda: length(MEGABYTE), 1 << 20),
            "bytes in": (lambda: length(BYTES), 1 << 20),
            "writable in": (lambda: length(WRITABLE), 1 << 20),
            "bytes out": (out, bytes(1 << 20)),
            "work": (lambda: work(LOOPS), WORKED),
        }

    def load(self, source: str) -> float:
        ctx = self.jsrt.Context(profile="bare")
        self.used(ctx)
        began = time.perf_counter()
        ctx.compile(source, filename="typescript.js")
        ctx.eval(READY)
        took = time.perf_counter() - began
        ctx.eval("ts.transpileModule('let x: number = 1', {})")
        ctx.close()
        return took


class NeverJscore(Engine):
    def __init__(self) -> None:
        import never_jscore

        self.module = never_jscore
        self.contexts = {"environment": (lambda: self.context("1 + 1"), 3)}

    def context(self, code: str) -> Any:
        ctx = self.module.Context()
        ctx.compile(code)
        return ctx

    def callee(self) -> Callable[[str, list[Any]], Any]:
        self.ctx = self.context(SOURCE)
        call: Callable[[str, list[Any]], Any] = self.ctx.call
        return call

    def cases(self) -> Cases:
        call = self.callee()
        return {
            "held": (lambda: call("add", [1, 2]), 3),
            "call": (lambda: call("add", [1, 2]), 3),
            "async": (lambda: call("addLater", [1, 2]), 3),
            "record": (lambda: call("id", [RECORD]), RECORD),
            "nested": (lambda: call("id", [ROWS]), ROWS),
            "str in": (lambda: call("length", [MEGABYTE]), 1 << 20),
            "work": (lambda: call("work", [LOOPS]), WORKED),
        }

    def load(self, source: str) -> float:
        ctx = self.context("1 + 1")
        began = time.perf_counter()
        ctx.compile(source)
        ctx.evaluate(READY)
        return time.perf_counter() - began


class NeverJscoreEngine(NeverJscore):
    def __init__(self) -> None:
        super().__init__()
        self.contexts = {}

    def callee(self) -> Callable[[str, list[Any]], Any]:
        self.engine = self.module.JSEngine(SOURCE, workers=1)
        call: Callable[[str, list[Any]], Any] = self.engine.call
        return call


class MiniRacer(Engine):
    def __init__(self) -> None:
        module = importlib.import_module("py_mini_racer")
        self.make = module.MiniRacer
        self.contexts = {"isolate": (lambda: self.context("1 + 1"), 16)}

    def context(self, code: str) -> Any:
        ctx = self.make()
        ctx.eval(code)
        return ctx

    def cases(self) -> Cases:
        ctx = self.ctx = self.context(SOURCE)
        add, later, length = ctx.eval("add"), ctx.eval("addLater"), ctx.eval("length")
        call = ctx.call
        return {
            "held": (lambda: add(1, 2), 3),
            "call": (lambda: call("add", 1, 2), 3),
            "async": (lambda: later(1, 2).get(), 3),
            "record": (lambda: call("id", RECORD), RECORD),
            "nested": (lambda: call("id", ROWS), ROWS),
            "str in": (lambda: length(MEGABYTE), 1 << 20),
            "work": (lambda: call("work", LOOPS), WORKED),
        }


class Stpyv8(Engine):
    def __init__(self) -> None:
        self.module = importlib.import_module("STPyV8")
        self.contexts = {"realm": (lambda: self.context("1 + 1"), 24)}

    def context(self, code: str) -> Any:
        ctx = self.module.JSContext()
        ctx.enter()
        ctx.eval(code)
        return ctx

    def cases(self) -> Cases:
        ctx = self.ctx = self.context(SOURCE)
        names = ctx.locals
        add, text, length, work = names.add, names.text, names.length, names.work
        return {
            "held": (lambda: add(1, 2), 3),
            "call": (lambda: names.add(1, 2), 3),
            "record": (by_text(text, RECORD), RECORD),
            "nested": (by_text(text, ROWS), ROWS),
            "str in": (lambda: length(MEGABYTE), 1 << 20),
            "work": (lambda: work(LOOPS), WORKED),
        }


class Jsrun(Engine):
    def __init__(self) -> None:
        self.module = importlib.import_module("jsrun")
        self.contexts = {"isolate": (lambda: self.context("1 + 1"), 8)}

    def context(self, code: str) -> Any:
        runtime = self.module.Runtime()
        runtime.eval(code)
        return runtime

    def cases(self) -> Cases:
        ctx = self.ctx = self.context(SOURCE)
        add, same, text = ctx.eval("add"), ctx.eval("id"), ctx.eval("text")
        length, out, work = ctx.eval("length"), ctx.eval("out"), ctx.eval("work")
        loop = asyncio.new_event_loop()
        later = ctx.eval("addLater")

        async def awaited() -> object:
            return await later.call_async(1, 2)

        best = min((lambda: same(ROWS)), by_text(text, ROWS), key=p50)
        return {
            "held": (lambda: add(1, 2), 3),
            "call": (lambda: ctx.eval("add(1, 2)"), 3),
            "async": (lambda: loop.run_until_complete(awaited()), 3),
            "record": (lambda: same(RECORD), RECORD),
            "nested": (best, ROWS),
            "str in": (lambda: length(MEGABYTE), 1 << 20),
            "bytes in": (lambda: length(BYTES), 1 << 20),
            "writable in": (lambda: length(WRITABLE), 1 << 20),
            "bytes out": (out, bytes(1 << 20)),
            "work": (lambda: work(LOOPS), WORKED),
        }


class PythonMonkey(Engine):
    def __init__(self) -> None:
        self.contexts = {}
        self.module = importlib.import_module("pythonmonkey")

    def cases(self) -> Cases:
        run = self.module.eval
        run(SOURCE)
        add, text, length, work = run("add"), run("text"), run("length"), run("work")
        later, names = run("addLater"), self.module.globalThis
        loop = asyncio.new_event_loop()

        async def awaited() -> object:
            return await later(1, 2)

        return {
            "held": (lambda: add(1, 2), 3),
            "call": (lambda: names.add(1, 2), 3),
            "async": (lambda: loop.run_until_complete(awaited()), 3),
            "record": (by_text(text, RECORD), RECORD),
            "nested": (by_text(text, ROWS), ROWS),
            "str in": (lambda: length(MEGABYTE), 1 << 20),
            "writable in": (lambda: length(WRITABLE), 1 << 20),
            "work": (lambda: work(LOOPS), WORKED),
        }

    def load(self, source: str) -> float:
        began = time.perf_counter()
        self.module.eval(source + "\n;1")
        self.module.eval(READY)
        return time.perf_counter() - began


class PythonJson(Engine):
    """No engine: what Python's own json takes for the containers."""

    def __init__(self) -> None:
        self.contexts = {}

    def cases(self) -> Cases:
        return {
            "record": (lambda: json.loads(json.dumps(RECORD)), RECORD),
            "nested": (lambda: json.loads(json.dumps(ROWS)), ROWS),
        }


ENGINES: dict[str, type[Engine]] = {
    "jsrt": Jsrt,
    "never_jscore": NeverJscore,
    "JSEngine(1)": NeverJscoreEngine,
    "mini-racer": MiniRacer,
    "stpyv8": Stpyv8,
    "jsrun": Jsrun,
    "pythonmonkey": PythonMonkey,
    "json": PythonJson,
}


def say(answer: object) -> None:
    print("=" + json.dumps(answer), flush=True)  # an engine may print, too


def fresh(engine: Engine, case: str, source: str | None) -> object:
    if case == "load" and source is not None:
        text = Path(source).read_text(encoding="utf-8")
        return {"ms": engine.load(text) * 1e3}
    make, count = engine.contexts[case]
    return further(make, count)


def main() -> None:
    engine = ENGINES[sys.argv[1]]()
    if sys.argv[2:3] == ["--fresh"]:
        say(fresh(engine, sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None))
        sys.stdout.flush()
        os._exit(0)  # what an engine does at exit is not measured, and may hang
    cases = engine.cases()
    failed: dict[str, str] = {}
    for name, (call, wanted) in cases.items():
        try:
            if (got := call()) != wanted:
                failed[name] = f"answers {got!r:.40}"
            for _ in range(200 if name != "nested" else 10):  # for the optimising compiler
                with contextlib.suppress(Exception):
                    call()
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error!s:.60}"
    say({"cases": [name for name in cases if name not in failed], "failed": failed})
    for line in sys.stdin:
        say(p50(cases[line.strip()][0]))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
