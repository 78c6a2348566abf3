# SPDX-License-Identifier: MIT
"""V8's locking goes on in a process that did without, at a moment when it harms nobody.

Each program is a process of its own: locking is never turned off again.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.timeout(90)

HEAD = """
import gc, threading, time
import jsrt

def idle_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread

def use_another():
    with jsrt.Context(profile="bare") as other:
        assert other.eval("[1, 2].map(n => n + 1)") == [2, 3]

ctx = jsrt.Context(profile="bare")
"""


@pytest.fixture
def run(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[[str], str]:
    """Runs a program behind HEAD and gives its output."""

    def run(program: str) -> str:
        done = run_python(HEAD + textwrap.dedent(program), timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


#: What JavaScript does once Python is back, and what the caller sees.
AFTERWARDS = {
    "throws": ("f(); throw new RangeError('late')", "JSError late"),
    "throws-from-deep": (
        "f(); const down = n => n ? down(n - 1) : null.x; return down(50)",
        "JSError Cannot read properties of null (reading 'x')",
    ),
    "catches": ("f(); try { null.x } catch (e) { return e.name }", "TypeError"),
    "returns-bytes": ("return f().length", "10"),
    "makes-everything": (
        "f(); return [new Map([[1, new Date(0)]]), /x/.test('x'), 2n ** 70n, new Uint8Array(3)]"
        ".length",
        "4",
    ),
    "calls-again": ("let n = 0; for (let i = 0; i < 1000; i++) n += f().length; return n", "10000"),
    "overflows": ("f(); const deep = () => deep() + 1; return deep()", "Maximum call stack"),
    "waits": ("return Promise.resolve(f()).then(() => { throw new Error('late') })", "late"),
    "times-out": ("f(); for (;;) {}", "Timeout"),
}

#: What Python does meanwhile.
MEANWHILE = {
    "nothing": "pass",
    "another-context": "use_another()",
    "another-thread": "in_thread(use_another).join(30)",
    "garbage": "in_thread(gc.collect).join(30)",
    "a-thread-left-behind": "in_thread(use_another)",
}


@pytest.mark.parametrize("beside", ["", "idle_thread()"], ids=["alone", "beside-a-thread"])
@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_python_in_between(run: Callable[[str], str], meanwhile: str, beside: str) -> None:
    for name, (code, expected) in AFTERWARDS.items():
        seen = run(f"""
            def f():
                {MEANWHILE[meanwhile]}
                return bytearray(10)

            {beside}
            ctx = jsrt.Context(profile="bare", timeout={0.5 if name == "times-out" else 20})
            ctx.expose("f", f)
            ctx.compile({"function main() { " + code + " }"!r})
            try:
                print(ctx.call("main", []))
            except jsrt.JSError as error:
                print(type(error).__name__, error.message)
            print(ctx.eval("1 + 1"))
        """)
        assert expected in seen, (name, seen)
        assert seen.endswith("2\n"), name


@pytest.mark.parametrize(
    "way",
    [
        "ctx.expose('f', f)",
        "ctx.globals['f'] = f",
        "ctx.eval('f => { globalThis.f = f }')(f)",
        "ctx.eval('o => { globalThis.f = o.f }')({'f': f})",
        "ctx.eval('o => { globalThis.f = () => o.bytes }')(jsrt.proxy(Holder()))",
        "ctx.eval('o => { globalThis.f = () => o.next().value }')(iterator())",
    ],
)
def test_python_comes_in_late(run: Callable[[str], str], way: str) -> None:
    """The context has been used, and is entered still, when JavaScript gets its first callable."""
    seen = run(f"""
        def f():
            in_thread(use_another).join(30)
            return bytearray(10)

        class Holder:
            @property
            def bytes(self):
                return f()

        def iterator():
            while True:
                yield f()

        ctx.compile("function main() {{ if (f().length === 10) throw new Error('late') }}")
        assert ctx.eval("1 + 1") == 2
        {way}
        for _ in range(3):
            try:
                ctx.call("main", [])
            except jsrt.JSError as error:
                print(error.message)
    """)
    assert seen.splitlines() == ["late"] * 3


def test_a_second_thread_waits_for_a_long_call(run: Callable[[str], str]) -> None:
    seen = run("""
        times = {}
        started = threading.Event()

        def other():
            started.wait()
            time.sleep(0.1)
            use_another()
            times["other"] = time.monotonic()

        thread = in_thread(other)
        ctx.compile("function main() { const end = Date.now() + 600;"
                    "while (Date.now() < end); throw new Error('late') }")
        started.set()
        try:
            ctx.call("main", [])
        except jsrt.JSError as error:
            print(error.message)
        thread.join(30)
        print(sorted(times))
    """)
    assert seen.splitlines() == ["late", "['other']"]


def test_a_second_thread_does_not_wait_for_a_timer(run: Callable[[str], str]) -> None:
    """The call ends only when the other thread has been through: they share a buffer."""
    seen = run("""
        ctx = jsrt.Context(profile="web", timeout=40)
        through = bytearray(1)

        def other():
            started.wait()
            use_another()
            through[0] = 1

        started = threading.Event()
        thread = in_thread(other)
        ctx.compile("const main = through => new Promise((_, fail) => setInterval(() =>"
                    "through[0] && fail(new Error('late')), 10))")
        ctx.eval("setTimeout(() => {}, 0)")
        started.set()
        try:
            ctx.call("main", [through])
        except jsrt.JSError as error:
            print(error.message)
    """)
    assert seen.splitlines() == ["late"]


def test_a_second_thread_gets_in_between_two_contexts(run: Callable[[str], str]) -> None:
    """The first one's thread goes from one call to the next: each time the other one is busy."""
    seen = run("""
        other_ctx = jsrt.Context(profile="bare", timeout=20)
        spin = "const end = Date.now() + 60; while (Date.now() < end);"
        done = []

        def other():
            time.sleep(0.1)
            use_another()
            done.append(1)

        ctx.evaluate("1")
        thread = in_thread(other)
        for round in range(200):
            if done:
                break
            ctx.evaluate(spin)
            other_ctx.evaluate(spin)
        print(done, round < 100)
    """)
    assert seen.splitlines() == ["[1] True"]


def test_an_engine_for_threads_keeps_nobody_waiting(run: Callable[[str], str]) -> None:
    """Its second isolate is free while the first is busy: until thread 2 has said so."""
    seen = run("""
        engine = jsrt.JSEngine("const add = (a, b) => a + b; function wait(go) { while (!go[0]); }",
                               workers=2, profile="bare", timeout=40)
        go = bytearray(1)
        first = in_thread(lambda: engine.call("wait", [go]))
        time.sleep(0.1)

        def second():
            print(engine.call("add", [1, 2]))
            go[0] = 1

        in_thread(second).join(50)
        first.join(50)
        print(first.is_alive())
    """)
    assert seen.splitlines() == ["3", "False"]


def test_closing_runs_python_outside_of_the_isolate(run: Callable[[str], str]) -> None:
    """What a promise's end calls may let another thread run, whose first use of V8 that is."""
    seen = run("""
        import asyncio

        class Loop(asyncio.SelectorEventLoop):
            slow = False

            def call_soon(self, *args, **options):
                if Loop.slow:
                    Loop.slow = False
                    inside.set()
                    time.sleep(0.3)
                return super().call_soon(*args, **options)

        inside = threading.Event()

        def other():
            inside.wait(20)
            mine = jsrt.Context(profile="bare")
            print(mine.evaluate("const end = Date.now() + 600; while (Date.now() < end); 7"))

        async def main():
            ctx = jsrt.Context(profile="bare")
            waiting = ctx.eval_async("new Promise(() => {})")
            waiting.add_done_callback(lambda done: None)
            await asyncio.sleep(0.05)
            Loop.slow = True
            ctx.close()
            try:
                await waiting
            except jsrt.ContextClosed:
                print("closed")

        thread = in_thread(other)
        Loop().run_until_complete(main())
        thread.join(30)
        import asgiserver

        async def pinned():
            print(jsrt.Context(profile="web").eval("1 + 1"))

        asgiserver.run_loop(pinned())
    """)
    assert seen.splitlines() == ["closed", "7", "2"]


def test_what_a_signal_handler_has_exposed_is_called_later(run: Callable[[str], str]) -> None:
    """Locking could not go on in the handler, amid a call: it does at the end of the call."""
    seen = run("""
        import signal

        other = jsrt.Context(profile="bare")
        other.eval("1")

        def f():
            thread = in_thread(use_another)
            thread.join(20)
            return thread.is_alive()

        signal.signal(signal.SIGALRM, lambda number, frame: other.expose("f", f))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        ctx.eval("const end = Date.now() + 400; while (Date.now() < end);")
        print(other.eval("f()"))
    """)
    assert seen == "False\n"


def test_a_signal_handler_uses_javascript_in_the_middle_of_a_loop(
    run: Callable[[str], str],
) -> None:
    """It cannot wait for the end of the call: it is in it. Locking stays off until later."""
    seen = run("""
        import signal

        def handler(number, frame):
            with jsrt.Context(profile="bare") as other:
                other.expose("f", lambda: bytearray(7))
                print(other.eval("f().length"))

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            ctx.eval("const end = Date.now() + 600; while (Date.now() < end);"
                     "throw new Error('late')")
        except jsrt.JSError as error:
            print(error.message)
        in_thread(use_another).join(30)
        print(ctx.eval("1 + 1"))
    """)
    assert seen.splitlines() == ["7", "late", "2"]
