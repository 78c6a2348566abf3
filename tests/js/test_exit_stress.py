# SPDX-License-Identifier: MIT
"""200 ends of an interpreter with JavaScript under way: 20 shapes, 10 moments.

Each process has printed what it must, and ends by itself, with the exit code of its shape and
nothing on stderr. A process that is still there after a minute hangs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import jsrt

PACKAGES = str(Path(jsrt.__file__).resolve().parents[1])
TURNS = 10
FORKS = "ignore:This process:DeprecationWarning"
"""What Python says of a fork in a process with threads, since 3.12."""
PATIENCE = 60 if "CASGI_ASAN" not in os.environ else 300
"""Seconds."""

# `late()` waits a moment that differs from turn to turn; `quiet` starts a daemon thread whose
# exceptions are nobody's.
PROLOGUE = """
import atexit, os, sys, threading, time
import jsrt
threading.excepthook = lambda *_: None
TURN = int(sys.argv[1])
def late():
    time.sleep(TURN * 0.0017)
def quiet(function):
    threading.Thread(target=function, daemon=True).start()
def bare(**options):
    return jsrt.Context(profile="bare", code="function add(a, b) { return a + b }", **options)
def say():
    sys.stdout.write("said\\n")
    sys.stdout.flush()
"""

SHAPES: dict[str, tuple[str, int]] = {
    "atexit calls": (
        "js = bare(); js.eval('1')\natexit.register(js.call, 'add', [1, 2])\nsay()",
        0,
    ),
    "atexit closes": (
        "js = bare(); f = js.function('add'); f(1, 2); atexit.register(js.close); say()",
        0,
    ),
    "a daemon thread loops": (
        "js = bare()\nquiet(lambda: js.eval('for (;;) {}'))\nlate(); say()",
        0,
    ),
    "a daemon thread calls": (
        """
        js = bare()
        def work():
            while True:
                js.call("add", [1, 2])
        quiet(work); js.eval("1"); late(); say()
        """,
        0,
    ),
    "a daemon thread is in a callback": (
        """
        js = bare()
        js.expose("nap", lambda: time.sleep(0.005))
        quiet(lambda: js.eval("for (;;) nap()"))
        late(); say()
        """,
        0,
    ),
    "daemon threads wait for each other's engine": (
        """
        js = bare(pool=1)
        for _ in range(4):
            quiet(lambda: js.eval("for (let i = 0;; i++) {}"))
        late(); say()
        """,
        0,
    ),
    "a daemon thread makes and drops": (
        """
        def work():
            while True:
                bare().eval("1")
        quiet(work); late(); say()
        """,
        0,
    ),
    "dropped by another thread": (
        """
        box = [bare()]
        box[0].eval("1")
        def work():
            late(); box.clear()
        quiet(work); late(); say()
        """,
        0,
    ),
    "dropped by a thread that is waited for": (
        """
        box = [bare()]
        box[0].eval("1")
        def work():
            late(); say(); box.clear()
        threading.Thread(target=work).start()
        """,
        0,
    ),
    "a cycle with __del__": (
        """
        class Holder:
            def __del__(self):
                try:
                    self.js.call("add", [1, 2])
                except Exception:
                    pass
        h = Holder(); h.me = h; h.js = bare(); h.js.expose("h", lambda: h); h.js.eval("1"); say()
        """,
        0,
    ),
    "a fork that exits": (
        """
        js = bare(); js.eval("1")
        if os.fork() == 0:
            sys.exit(0)
        os.wait(); say()
        """,
        0,
    ),
    "a fork that is refused": (
        """
        js = bare(); js.eval("1"); quiet(lambda: js.eval("for (;;) {}"))
        late()
        if os.fork() == 0:
            try:
                js.eval("2")
            except RuntimeError:
                os._exit(0)
            os._exit(1)
        assert os.wait()[1] == 0
        say()
        """,
        0,
    ),
    "a fork before the start": (
        """
        child = os.fork()
        js = bare()
        assert js.call("add", [1, 2]) == 3
        late()
        if child:
            assert os.wait()[1] == 0
            say()
        """,
        0,
    ),
    "an engine at work": (
        """
        engine = jsrt.JSEngine("function add(a, b) { return a + b }", workers=2)
        def work():
            while True:
                engine.call("add", [1, 2])
        quiet(work); quiet(work); engine.call("add", [1, 2]); late(); say()
        """,
        0,
    ),
    "an executor's tasks": (
        """
        from concurrent.futures import ThreadPoolExecutor
        js = bare(pool=1)
        pool = ThreadPoolExecutor(2)
        for n in range(20):
            pool.submit(js.call, "add", [n, 1])
        say()
        """,
        0,
    ),
    "timers and WebCrypto": (
        """
        import asyncio
        js = jsrt.Context()
        async def main():
            global kept
            js.eval("setInterval(() => 0, 1)")
            kept = js.eval_async("crypto.subtle.digest('SHA-512', new Uint8Array(1 << 20))")
            await asyncio.sleep(TURN * 0.0017)
        asyncio.run(main())
        say()
        """,
        0,
    ),
    "a loop never closed": (
        """
        import asyncio
        loop = asyncio.new_event_loop()
        js = bare()
        async def main():
            global kept
            kept = asyncio.ensure_future(js.eval_async("new Promise(() => 0)"))
            kept._log_destroy_pending = False
            await asyncio.sleep(0)
        loop.run_until_complete(main())
        say()
        """,
        0,
    ),
    "tenants and handles": (
        """
        tenants = jsrt.Tenants()
        for n in range(3):
            tenants.call(n, "class A {}; function main() { return 1 }", "main", [])
        js = bare(); realm = js.realm()
        handle = realm.eval("new (class A {})()")
        f = realm.eval("() => 1")
        say()
        """,
        0,
    ),
    "sys.exit in a callback": (
        """
        js = bare()
        js.expose("leave", lambda: sys.exit(7))
        quiet(lambda: jsrt.Context(profile="bare").eval("for (;;) {}"))
        say(); js.eval("for (;;) { try { leave() } catch {} }")
        """,
        7,
    ),
    "os._exit during a call": (
        """
        js = bare()
        def work():
            late(); os._exit(9)
        js.eval("1"); say(); quiet(work)
        js.eval("for (;;) {}")
        """,
        9,
    ),
}


def run(job: tuple[str, int]) -> tuple[str, int, int | None, str, str]:
    """(shape, turn, exit code or None for a hang, stdout, stderr)."""
    name, turn = job
    text = PROLOGUE + textwrap.dedent(SHAPES[name][0])
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-W", FORKS, "-c", text, str(turn)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=dict(os.environ, PYTHONPATH=PACKAGES),
        )
    except subprocess.TimeoutExpired as hang:
        return name, turn, None, str(hang.stdout), str(hang.stderr)
    return name, turn, done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(10 * PATIENCE)
def test_two_hundred_ends_of_an_interpreter() -> None:
    jobs = [(name, turn) for turn in range(TURNS) for name in SHAPES]
    assert len(jobs) == 200
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, jobs))
    wrong = [end for end in ends if end[2:] != (SHAPES[end[0]][1], "said\n", "")]
    assert not wrong, "\n".join(map(repr, wrong))
