# SPDX-License-Identifier: MIT
"""Odd uses in an engine's life: threads, event loops, objects, processes. One function each."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from engines import Engine, NotOffered, Ours
from use import CONVERSION, define_id, nested, ours, use

# ---- Threads -------------------------------------------------------------------------------------


def in_thread(function: Callable[[], Any], stack: int = 0) -> Any:
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as error:
            result.append(error)

    before = threading.stack_size(stack)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


@use("thread", "JSError RangeError")
def small_stack(engine: Engine) -> Any:
    """recursion in a thread with a stack of 256 KB"""
    code = "(function f() { return 1 + f() })()"

    def run() -> Any:
        other = engine.another()
        try:
            return other.eval(code)
        finally:
            other.close()

    return in_thread(run, 256 * 1024)


@use("thread", "JSError RangeError")
def small_stack_shared(engine: Engine) -> Any:
    """recursion in a thread with 256 KB, on this thread's object"""
    return in_thread(lambda: engine.eval("(function f() { return 1 + f() })()"), 256 * 1024)


@use("thread", "= True | ConversionError | JSError RangeError")
def small_stack_values(engine: Engine) -> Any:
    """values nested 900 deep in a thread with 256 KB"""
    define_id(engine)

    def run() -> Any:
        value = nested(900)
        return engine.call("id", [value]) == value

    return in_thread(run, 256 * 1024)


@use("thread", "= 3")
def small_stack_parser(engine: Engine) -> Any:
    """source, pattern and JSON nested deep in a thread with 256 KB"""
    codes = (
        "eval('['.repeat(1e5) + ']'.repeat(1e5))",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
    )

    def run() -> Any:
        failed = 0
        for code in codes:
            try:
                engine.eval(code)
            except Exception:
                failed += 1
        return failed

    return in_thread(run, 256 * 1024)


@use("thread", "= 7")
def other_thread(engine: Engine) -> Any:
    """used from a second thread"""
    return in_thread(lambda: engine.eval("3 + 4"))


@use("thread", "= '400 of 400'")
def eight_threads(engine: Engine) -> Any:
    """8 threads on one object"""
    engine.define("function double(x) { return x * 2 }")
    wrong: list[Any] = []

    def work(n: int) -> None:
        for i in range(50):
            try:
                if (got := engine.call("double", [n * 100 + i])) != 2 * (n * 100 + i):
                    wrong.append(got)
            except BaseException as error:
                wrong.append(type(error).__name__)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{400 - len(wrong)} of 400"


@use("thread", "= 7")
def drop_elsewhere(engine: Engine) -> Any:
    """dropped in another thread"""
    box = [engine.another()]
    box[0].eval("1")
    in_thread(lambda: (box.clear(), gc.collect()))
    return 7


@use("thread", "= ['Timeout'] | = ['ContextClosed']")
def close_elsewhere(engine: Engine) -> Any:
    """closed by another thread while inside"""
    other = engine.another()
    failed: list[str] = []

    def spin() -> None:
        try:
            other.eval("for (;;) {}")
        except BaseException as error:
            failed.append(type(error).__name__)

    thread = threading.Thread(target=spin)
    thread.start()
    time.sleep(0.05)
    other.close()
    thread.join()
    return failed


@use("thread", "= 7")
def threads_that_come_and_go(engine: Engine) -> Any:
    """100 threads, one after the other"""
    for n in range(100):
        if in_thread(lambda n=n: engine.eval(f"{n} * 2")) != n * 2:  # type: ignore[misc]
            return n
    return 7


@use("thread", "KeyboardInterrupt")
def signal_in_loop(engine: Engine) -> Any:
    """SIGINT during a loop"""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    engine.eval("for (;;) {}")


@use("thread", "Timeout", alone=True)
def signal_handler_calls(engine: Engine) -> Any:
    """a signal handler that calls JavaScript during a loop"""
    seen: list[str] = []

    def handler(*_: Any) -> None:
        try:
            engine.call("add", [1, 2])
            seen.append("called")
        except Exception as error:
            seen.append(type(error).__name__)

    signal.signal(signal.SIGUSR2, handler)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()
    try:
        engine.eval("for (;;) {}")
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        assert seen == ["RuntimeError"], seen


# ---- asyncio -------------------------------------------------------------------------------------


@use("asyncio", "= 7")
def cancelled(engine: Engine) -> Any:
    """asyncio task cancelled while its promise is pending"""
    ctx = ours(engine)

    async def main() -> Any:
        task = asyncio.ensure_future(ctx.eval_async("new Promise(() => 0)"))
        await asyncio.sleep(0.02)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return await ctx.eval_async("Promise.resolve(7)")

    return asyncio.run(main())


@use("asyncio", "= 7")
def loop_gone(engine: Engine) -> Any:
    """promise awaited in a second event loop"""
    ctx = ours(engine)

    async def first() -> Any:
        return ctx.eval_async("new Promise(f => { globalThis.settle = f })")

    async def second() -> Any:
        return await ctx.eval_async("Promise.resolve(7)")

    future = asyncio.run(first())
    got = asyncio.run(second())
    ctx.eval("settle(1)")
    del future
    return got


@use("asyncio", "Timeout")
def async_loop_in_job(engine: Engine) -> Any:
    """async function that loops after an await, awaited"""
    ctx = ours(engine)

    async def main() -> Any:
        return await ctx.eval_async("(async () => { await null; for (;;); })()")

    asyncio.run(main())


# ---- Objects -------------------------------------------------------------------------------------


@use("object", "TypeError")
def pickled(engine: Engine) -> Any:
    """pickled"""
    pickle.dumps(getattr(engine, "ctx", getattr(engine, "js", None)))


@use("object", "TypeError")
def copied(engine: Engine) -> Any:
    """copied"""
    copy.copy(getattr(engine, "ctx", getattr(engine, "js", None)))


@use("object", "= True")
def weakly(engine: Engine) -> Any:
    """weak reference to a dropped one"""
    import jsrt

    ours(engine)
    ctx = jsrt.Context(profile="bare")
    ctx.eval("1")
    reference = weakref.ref(ctx)
    del ctx
    return reference() is None


@use("object", "ContextClosed")
def after_close(engine: Engine) -> Any:
    """used after close()"""
    other = engine.another()
    other.eval("1")
    other.close()
    other.eval("1")


@use("object", "ContextClosed")
def handle_after_close(engine: Engine) -> Any:
    """a held function used after close()"""
    other = engine.another()
    f = other.eval("(x => x)")
    if not callable(f):
        raise NotOffered("no held functions")
    other.close()
    f(1)


@use("object", CONVERSION)
def handle_elsewhere(engine: Engine) -> Any:
    """a function of one context given to another one"""
    other = engine.another()
    f = other.eval("(x => x)")
    if not callable(f):
        raise NotOffered("no held functions")
    define_id(engine)
    try:
        engine.call("id", [f])
    finally:
        del f
        other.close()


@use("object", "= 8 | = 9")
def handle_hostile(engine: Engine) -> Any:
    """handle of a proxy: attributes, len, iteration, repr"""
    ctx = ours(engine)
    proxy = ctx.eval(
        "new Proxy(class {}, new Proxy({}, {get() { return () => { throw new TypeError('no') } }}))"
    )
    failed = 0
    uses: list[Callable[[], Any]] = [
        lambda: proxy.a,
        lambda: proxy["a"],
        lambda: len(proxy),
        lambda: list(proxy),
        lambda: setattr(proxy, "a", 1),
        lambda: delattr(proxy, "a"),
        lambda: "a" in proxy,
        lambda: dir(proxy),
        lambda: proxy.to_python(),
    ]
    repr(proxy), hash(proxy), bool(proxy)
    for each in uses:
        try:
            each()
        except Exception:
            failed += 1
    return failed


@use("object", "Timeout")
def handle_loops(engine: Engine) -> Any:
    """handle whose getter never ends"""
    ctx = ours(engine)
    handle = ctx.eval("new (class { get a() { for (;;); } })()")
    return handle.a


@use("object", "= 100000")
def many_handles(engine: Engine) -> Any:
    """100,000 handles kept, then dropped"""
    ctx = ours(engine)
    kept = [ctx.eval("({})", convert=False) for _ in range(100_000)]
    return len(kept)


@use("object", "JSError ReferenceError")
def global_deleted(engine: Engine) -> Any:
    """a function called after its global was deleted"""
    engine.eval("globalThis.temporary = () => 1; 0")
    engine.eval("delete globalThis.temporary")
    engine.call("temporary", [])


def drop_one_of_two(engine: Engine, older: bool) -> Any:
    """Makes two; what the other still says when the older or the younger one is gone."""
    both = [engine.another(), engine.another()]
    for each in both:
        each.eval("1")
    each = both[0] if older else both[1]
    both.remove(each)
    each.close()
    del each
    gc.collect()
    got = both[0].eval("3 + 4")
    both[0].close()
    return got


@use("object", "= 7")
def two_first_in_first_out(engine: Engine) -> Any:
    """two dropped, the older first"""
    return drop_one_of_two(engine, older=True)


@use("object", "= 7")
def two_last_in_first_out(engine: Engine) -> Any:
    """two dropped, the younger first"""
    return drop_one_of_two(engine, older=False)


@use("object", "= 3")
def dropped_unclosed(engine: Engine) -> Any:
    """ten dropped without close(), in odd order"""
    many = [engine.another() for _ in range(10)]
    for each in many:
        each.eval("1")
    for index in (5, 0, 7, 3, 0, 1, 0):
        del many[index]
        gc.collect()
    return sum(int(each.eval("1")) for each in many)


@use("object", "= 50")
def with_in_a_loop(engine: Engine) -> Any:
    """made and closed 50 times in a loop"""
    total = 0
    for _ in range(50):
        other = engine.another()
        total += int(other.eval("1"))
        other.close()
    return total


# 1,000 realms of one isolate fill 140 MB.
@use("object", f"= {sum(n % 7 for n in range(1000))}", heavy=True, alone=True, heap_limit=256)
def thousand(engine: Engine) -> Any:
    """1,000 live ones"""
    if isinstance(engine, Ours) and type(engine) is not Ours:
        many: list[Any] = [engine.owner.realm() for _ in range(1000)]
    else:
        many = [engine.another() for _ in range(1000)]
    return sum(int(each.eval(f"{n} % 7")) for n, each in enumerate(many))


# ---- Processes -----------------------------------------------------------------------------------


def forked(engine: Engine, use: Callable[[], Any]) -> str:
    """What happens to `use` in a child: a value, an error's class, a signal, or a hang."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            signal.alarm(3)
            code = 0 if use() == 7 else 71
        except RuntimeError:
            code = 72
        except BaseException:
            code = 73
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    names = {0: "works", 72: "RuntimeError", 73: "error", -signal.SIGALRM: "hang"}
    return names.get(code) or signal.Signals(-code).name


@use("process", "= 'RuntimeError'")
def fork_old(engine: Engine) -> Any:
    """fork after V8 has started: the old object"""
    engine.eval("1")
    return forked(engine, lambda: engine.eval("3 + 4"))


@use("process", "= 'RuntimeError'")
def fork_new(engine: Engine) -> Any:
    """fork after V8 has started: a new object"""
    engine.eval("1")
    return forked(engine, lambda: engine.another().eval("3 + 4"))


def child(engine: Engine, script: str, *, stdin: bytes = b"") -> str:
    """Runs a script in a process of its own, `make()` being this kind of engine."""
    start = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        f"from engines import OURS, PEERS\n"
        f"kind = {{**OURS, **PEERS}}[{engine.kind!r}]\n"  # type: ignore[attr-defined]
        f"make = lambda: kind()\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", start + script], capture_output=True, timeout=6, input=stdin
        )
    except subprocess.TimeoutExpired:
        return "hang"
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    text = done.stdout.decode(errors="replace").strip().splitlines()
    if done.stderr and done.returncode == 0 and isinstance(engine, Ours):
        return f"stderr: {done.stderr.decode(errors='replace')[:200]}"
    return f"exit {done.returncode} {text[-1] if text else ''}".strip()


@use("process", "= 'exit 0 0'")
def fork_before(engine: Engine) -> Any:
    """fork before V8 has started"""
    return child(
        engine,
        "import os\npid = os.fork()\nassert make().eval('3 + 4') == 7\n"
        "if pid: print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
    )


@use("process", "= 'exit 0 7'")
def globals_at_exit(engine: Engine) -> Any:
    """two globals at exit"""
    return child(engine, "a, b = make(), make(); a.eval('1'); b.eval('1')\nprint(7)")


@use("process", "= 'exit 0 7'")
def exit_in_thread(engine: Engine) -> Any:
    """exit while a daemon thread loops"""
    return child(
        engine,
        "import threading, time\nthreading.excepthook = lambda *_: None\n"
        "def run():\n    while True:\n        try: make().eval('for (;;) {}')\n"
        "        except BaseException: pass\n"
        "threading.Thread(target=run, daemon=True).start()\ntime.sleep(0.3)\nprint(7)",
    )


@use("process", "= 'exit 5'")
def exit_in_callback(engine: Engine) -> Any:
    """os._exit and sys.exit in a callback"""
    return child(
        engine,
        "import sys\na = make()\na.expose('f', lambda: sys.exit(5))\na.eval('f()')",
    )


@use("process", "= 'exit 0 7'")
def exit_with_promise(engine: Engine) -> Any:
    """exit with promises and callbacks alive"""
    return child(
        engine,
        "a = make()\na.expose('f', lambda: a)\n"
        "a.eval('globalThis.p = new Promise(() => f); p.then(f); 0')\nprint(7)",
    )


@use("process", "= 'exit 0 7'")
def exit_in_cycle(engine: Engine) -> Any:
    """exit with the object in a cycle, and __del__ that calls it"""
    return child(
        engine,
        "class Holder:\n    def __del__(self):\n        try: self.js.eval('1')\n"
        "        except Exception: pass\n"
        "h = Holder(); h.me = h; h.js = make(); h.js.eval('1')\nprint(7)",
    )


@use("process", "= 'exit 0 late 7'")
def atexit_uses(engine: Engine) -> Any:
    """used in an atexit handler"""
    return child(
        engine,
        "import atexit\na = make(); a.eval('1')\n"
        "atexit.register(lambda: print('late', a.eval('3 + 4')))",
    )


@use("process", "= 'exit 0 refused'")
def subinterpreter(engine: Engine) -> Any:
    """imported in a subinterpreter"""
    module = "jsrt" if isinstance(engine, Ours) else type(engine.js).__module__.split(".")[0]  # type: ignore[attr-defined]
    return child(
        engine,
        # Since 3.13 by another name, and what was raised is returned.
        "try: import _interpreters as sub\n"
        "except ImportError: import _xxsubinterpreters as sub\n"
        "make().eval('1')\ns = sub.create()\n"
        "try: said = sub.run_string(s, "
        f"{f'import sys; sys.path[:0] = {sys.path!r}; import {module}'!r})\n"
        "except Exception as e: said = e\n"
        "print('refused' if 'ubinterpreter' in str(said) else said or 'imported')\n"
        "assert make().eval('3 + 4') == 7\n"
        "sub.destroy(s)",
    )


@use("thread", "= 7")
def tracing(engine: Engine) -> Any:
    """sys.settrace function that calls JavaScript"""

    def trace(*_: Any) -> Any:
        try:
            engine.call("add", [1, 2])
        except RuntimeError:
            pass
        return None

    engine.expose("f", lambda x: x)
    sys.settrace(trace)
    try:
        return engine.eval("f(7)")
    finally:
        sys.settrace(None)


@use("process", "HeapLimit | JSError RangeError", alone=True)
def memory_limit(engine: Engine) -> Any:
    """a bomb with RLIMIT_AS at 3 GB more than now"""
    import resource

    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (3 << 30), resource.RLIM_INFINITY))
    engine.eval("const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))")
