# SPDX-License-Identifier: MIT
"""Odd uses from Python's side: arguments, callbacks, threads, forks, ends. One function each.

The docstring's first line is the case's name. What ours must make of it stands in USES at the end,
in the form that scripts.py explains.
"""

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

from engines import HEAP_MB, Engine, NotOffered, Ours

DEEP = 100_000


def define_id(engine: Engine) -> None:
    engine.define("function id(x) { return x }")


def ours(engine: Engine) -> Any:
    """The context, where the case is about what only ours has."""
    if not isinstance(engine, Ours):
        raise NotOffered("not offered")
    return engine.ctx


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


# ---- Arguments -----------------------------------------------------------------------------------


def deep_list(engine: Engine) -> Any:
    """list nested 100,000 deep as an argument"""
    define_id(engine)
    engine.call("id", [nested(DEEP)])


def deep_dict(engine: Engine) -> Any:
    """dict nested 100,000 deep as an argument"""
    define_id(engine)
    value: dict[str, Any] = {}
    for _ in range(DEEP):
        value = {"a": value}
    engine.call("id", [value])


def cyclic_list(engine: Engine) -> Any:
    """cyclic list as an argument"""
    define_id(engine)
    value: list[Any] = [1]
    value.append(value)
    engine.call("id", [value])


def cyclic_dict(engine: Engine) -> Any:
    """cyclic dict as an argument"""
    define_id(engine)
    value: dict[str, Any] = {}
    value["a"] = {"b": [value]}
    engine.call("id", [value])


def surrogate_argument(engine: Engine) -> Any:
    """lone surrogate as an argument"""
    define_id(engine)
    return engine.call("id", ["a\ud800b"])


def huge_int(engine: Engine) -> Any:
    """int of 10,000 digits as an argument"""
    define_id(engine)
    return engine.call("id", [10**10_000]) == 10**10_000


def beyond_bigint(engine: Engine) -> Any:
    """int of 2**30 bits and more as an argument"""
    define_id(engine)
    engine.call("id", [1 << ((1 << 30) + 64)])


def nan_key(engine: Engine) -> Any:
    """dict with NaN for a key"""
    define_id(engine)
    return engine.call("id", [{float("nan"): 1}])


def set_argument(engine: Engine) -> Any:
    """set as an argument"""
    define_id(engine)
    return engine.call("id", [{1}])


def generator_argument(engine: Engine) -> Any:
    """generator as an argument"""
    engine.define("function sum(g) { let s = 0; for (const x of g) s += x; return s }")
    return engine.call("sum", [(n for n in range(4))])


def endless_generator(engine: Engine) -> Any:
    """generator without end as an argument"""

    def endless() -> Any:
        while True:
            yield 1

    engine.define("function sum(g) { let s = 0; for (const x of g) s += x; return s }")
    return engine.call("sum", [endless()])


def bytes_argument(engine: Engine) -> Any:
    """bytes as an argument"""
    define_id(engine)
    return engine.call("id", [b"\x00\xff"])


def huge_bytes(engine: Engine) -> Any:
    """bytes of twice the heap limit as an argument"""
    define_id(engine)
    return len(engine.call("id", [bytes(2 * HEAP_MB << 20)]))


def str_subclass(engine: Engine) -> Any:
    """subclasses of str, int, dict that lie"""

    class Text(str):
        def __str__(self) -> str:
            raise ZeroDivisionError

        def __len__(self) -> int:
            return 1 << 40

    class Number(int):
        def __int__(self) -> int:
            raise ZeroDivisionError

        def __index__(self) -> int:
            raise ZeroDivisionError

    class Mapping(dict):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return -1

    define_id(engine)
    return engine.call("id", [[Text("t"), Number(7), Mapping(a=1)]])


def raising_iterator(engine: Engine) -> Any:
    """mapping whose methods raise"""
    from collections.abc import Mapping

    class Broken(Mapping):  # type: ignore[type-arg]
        def __getitem__(self, key: object) -> Any:
            raise KeyError("broken")

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    define_id(engine)
    engine.call("id", [Broken()])


def endless_mapping(engine: Engine) -> Any:
    """mapping that makes further mappings, without end"""
    from collections.abc import Mapping

    class Endless(Mapping):  # type: ignore[type-arg]
        def __getitem__(self, key: object) -> Any:
            return Endless()

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    define_id(engine)
    engine.call("id", [Endless()])


def mutated_dict(engine: Engine) -> Any:
    """dict mutated while it is converted"""
    from enum import Enum

    victim: dict[str, Any] = {}

    class Evil(Enum):
        ONE = 1

        @property
        def value(self) -> Any:
            victim.clear()
            victim.update({str(n): n for n in range(1000)})
            return 1

    victim.update({"a": Evil.ONE, "b": [1], "c": 2})
    define_id(engine)
    engine.call("id", [victim])
    return "alive"


def mutated_list(engine: Engine) -> Any:
    """list emptied while it is converted"""
    import dataclasses

    victim: list[Any] = []

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            victim.clear()
            return super().__getattribute__(name)

    @dataclasses.dataclass
    class Evil:
        a: int = 1

        def __getattribute__(self, name: str) -> Any:
            victim.clear()
            return object.__getattribute__(self, name)

    victim.extend([Evil(), [1, 2], "x", Evil()])
    define_id(engine)
    engine.call("id", [victim])
    return "alive"


def resized_bytearray(engine: Engine) -> Any:
    """bytearray resized while the call runs"""
    data = bytearray(1000)
    engine.expose("grow", lambda: data.extend(bytes(1 << 20)))
    engine.define("function f(b) { grow(); return b.length }")
    return engine.call("f", [data])


def not_convertible(engine: Engine) -> Any:
    """object() as an argument"""
    define_id(engine)
    engine.call("id", [[{"a": object()}]])


def released_view(engine: Engine) -> Any:
    """released memoryview as an argument"""
    define_id(engine)
    view = memoryview(b"abc")
    view.release()
    engine.call("id", [view])


def many_arguments(engine: Engine) -> Any:
    """100,000 arguments"""
    engine.define("function count() { return arguments.length }")
    return engine.call("count", [0] * 100_000)


def million_arguments(engine: Engine) -> Any:
    """10,000,000 arguments"""
    engine.define("function count() { return arguments.length }")
    engine.call("count", [0] * 10_000_000)


def half_gigabyte(engine: Engine) -> Any:
    """512 MB str as an argument"""
    define_id(engine)
    engine.call("id", ["x" * (512 << 20)])


def half_gigabyte_source(engine: Engine) -> Any:
    """512 MB str as the source"""
    engine.eval("/*" + "x" * (512 << 20) + "*/")


def text_of_twice_the_limit(engine: Engine) -> Any:
    """str of twice the heap limit as an argument"""
    engine.define("function length(x) { return x.length }")
    return engine.call("length", ["\u20ac" * (HEAP_MB << 20)])


def list_of_twice_the_limit(engine: Engine) -> Any:
    """list that fills the heap twice, as an argument"""
    engine.define("function length(x) { return x.length }")
    engine.call("length", [[[n] for n in range(3_000_000)]])


# ---- Names ---------------------------------------------------------------------------------------


def code_as_name(engine: Engine) -> Any:
    """source text as the name of a function"""
    engine.call("(function () { globalThis.pwned = 1 })", [])
    return f"ran: {engine.eval('typeof pwned')}"


def odd_names(engine: Engine) -> Any:
    """names: empty, dots, dunder, NUL, 1 MB"""
    refused = 0
    for name in ("", ".", "a..b", "__proto__.constructor", "a\0b", "x" * (1 << 20), "\ud800"):
        try:
            engine.call(name, [])
        except Exception:
            refused += 1
    return refused


def prototype_name(engine: Engine) -> Any:
    """constructor.constructor as a name"""
    return engine.call("constructor.constructor", ["return 7"])


# ---- Callbacks -----------------------------------------------------------------------------------


def callback_raises(engine: Engine) -> Any:
    """callback raises ZeroDivisionError"""
    engine.expose("f", lambda: 1 // 0)
    engine.eval("f()")


def callback_caught(engine: Engine) -> Any:
    """callback's exception caught by JavaScript"""
    engine.expose("f", lambda: 1 // 0)
    return engine.eval("let got = 0; try { f() } catch (e) { got = 7 } got")


def callback_interrupt(engine: Engine) -> Any:
    """callback raises KeyboardInterrupt, JavaScript catches all"""

    def f() -> None:
        raise KeyboardInterrupt

    engine.expose("f", f)
    engine.eval("for (;;) { try { f() } catch {} finally { continue } }")


def callback_exits(engine: Engine) -> Any:
    """callback raises SystemExit, JavaScript catches all"""
    engine.expose("f", lambda: sys.exit(3))
    engine.eval("for (;;) { try { f() } catch {} finally { continue } }")


def callback_closes(engine: Engine) -> Any:
    """callback closes the context"""
    engine.expose("f", engine.owner.close if isinstance(engine, Ours) else engine.close)
    engine.eval("f(); 7")


def callback_drops(engine: Engine) -> Any:
    """callback drops the last reference to another context, and collects"""
    box: list[Engine] = [engine.another()]
    box[0].eval("1")

    def f() -> int:
        box.clear()
        gc.collect()
        return 7

    engine.expose("f", f)
    return engine.eval("f()")


def callback_boots(engine: Engine) -> Any:
    """callback makes and uses another context"""

    def f() -> Any:
        other = engine.another()
        try:
            return other.eval("3 + 4")
        finally:
            other.close()

    engine.expose("f", f)
    return engine.eval("f()")


def mutual_recursion(engine: Engine) -> Any:
    """JavaScript and Python call each other, 10,000 deep"""

    def down(n: int) -> Any:
        return engine.call("js", [n])

    engine.expose("down", down)
    engine.define("function js(n) { return n <= 0 ? 'bottom' : down(n - 1) }")
    return engine.call("js", [10_000])


def mutual_recursion_unbound(engine: Engine) -> Any:
    """the same, without end, sys.setrecursionlimit(10**6)"""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        engine.expose("down", lambda: engine.call("js", []))
        engine.define("function js() { return down() }")
        return engine.call("js", [])
    finally:
        sys.setrecursionlimit(before)


def recursion_with_catch(engine: Engine) -> Any:
    """mutual recursion, each level catches"""

    def down() -> Any:
        try:
            return engine.call("js", [])
        except Exception:
            return 7

    engine.expose("down", down)
    engine.define("function js() { try { return down() } catch { return 8 } }")
    return engine.call("js", []) in (7, 8)


def callback_slow(engine: Engine) -> Any:
    """callback outlasts the timeout"""
    engine.expose("f", lambda: time.sleep(0.6))
    engine.eval("f(); for (;;) {}")


def callback_collects(engine: Engine) -> Any:
    """callback collects garbage, 1,000 times"""
    engine.expose("f", lambda x: gc.collect(0) * 0 + len(x))
    return engine.eval("let s = 0; for (let i = 0; i < 1000; i++) s += f([{}, i]); s")


def callback_returns_odd(engine: Engine) -> Any:
    """callback returns what cannot be converted"""
    engine.expose("f", lambda: [nested(DEEP)])
    return engine.eval("let got; try { f() } catch (e) { got = 7 } got")


def callback_bomb(engine: Engine) -> Any:
    """heap bomb around callbacks"""
    engine.expose("f", lambda n: [n] * 1000)
    engine.eval("const kept = []; for (let i = 0;; i++) kept.push(f(i))")


def callback_in_getter(engine: Engine) -> Any:
    """callback in a getter of the result"""
    engine.expose("f", lambda: 7)
    return engine.eval("({get a() { return f() }})")


def callback_to_text(engine: Engine) -> Any:
    """callback whose __str__ and __repr__ raise"""

    class Odd(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

        __repr__ = __str__

    def f() -> None:
        raise Odd

    engine.expose("f", f)
    engine.eval("f()")


def finalizer_calls(engine: Engine) -> Any:
    """__del__ that calls JavaScript, during a call"""
    seen: list[Any] = []

    class Dying:
        def __del__(self) -> None:
            try:
                seen.append(engine.call("add", [3, 4]))
            except Exception as error:
                seen.append(type(error).__name__)

    box: list[Any] = [Dying()]
    engine.expose("f", box.clear)
    engine.eval("f(); 1")
    gc.collect()
    return len(seen)


def exposed_class(engine: Engine) -> Any:
    """class with a hostile __call__ exposed"""

    class Callable_:
        def __call__(self, *args: Any) -> Any:
            raise MemoryError

        def __getattr__(self, name: str) -> Any:
            raise MemoryError

    engine.expose("f", Callable_())  # type: ignore[arg-type]
    engine.eval("f(1)")


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


def small_stack_shared(engine: Engine) -> Any:
    """recursion in a thread with 256 KB, on this thread's object"""
    return in_thread(lambda: engine.eval("(function f() { return 1 + f() })()"), 256 * 1024)


def small_stack_values(engine: Engine) -> Any:
    """values nested 900 deep in a thread with 256 KB"""
    define_id(engine)

    def run() -> Any:
        value = nested(900)
        return engine.call("id", [value]) == value

    return in_thread(run, 256 * 1024)


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


def other_thread(engine: Engine) -> Any:
    """used from a second thread"""
    return in_thread(lambda: engine.eval("3 + 4"))


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


def drop_elsewhere(engine: Engine) -> Any:
    """dropped in another thread"""
    box = [engine.another()]
    box[0].eval("1")
    in_thread(lambda: (box.clear(), gc.collect()))
    return 7


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


def threads_that_come_and_go(engine: Engine) -> Any:
    """100 threads, one after the other"""
    for n in range(100):
        if in_thread(lambda n=n: engine.eval(f"{n} * 2")) != n * 2:  # type: ignore[misc]
            return n
    return 7


def signal_in_loop(engine: Engine) -> Any:
    """SIGINT during a loop"""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    engine.eval("for (;;) {}")


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


def async_loop_in_job(engine: Engine) -> Any:
    """async function that loops after an await, awaited"""
    ctx = ours(engine)

    async def main() -> Any:
        return await ctx.eval_async("(async () => { await null; for (;;); })()")

    asyncio.run(main())


# ---- Objects -------------------------------------------------------------------------------------


def pickled(engine: Engine) -> Any:
    """pickled"""
    pickle.dumps(getattr(engine, "ctx", getattr(engine, "js", None)))


def copied(engine: Engine) -> Any:
    """copied"""
    copy.copy(getattr(engine, "ctx", getattr(engine, "js", None)))


def weakly(engine: Engine) -> Any:
    """weak reference to a dropped one"""
    import jsrt

    ours(engine)
    ctx = jsrt.Context(profile="bare")
    ctx.eval("1")
    reference = weakref.ref(ctx)
    del ctx
    return reference() is None


def after_close(engine: Engine) -> Any:
    """used after close()"""
    other = engine.another()
    other.eval("1")
    other.close()
    other.eval("1")


def handle_after_close(engine: Engine) -> Any:
    """a held function used after close()"""
    other = engine.another()
    f = other.eval("(x => x)")
    if not callable(f):
        raise NotOffered("no held functions")
    other.close()
    f(1)


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
    for use in uses:
        try:
            use()
        except Exception:
            failed += 1
    return failed


def handle_loops(engine: Engine) -> Any:
    """handle whose getter never ends"""
    ctx = ours(engine)
    handle = ctx.eval("new (class { get a() { for (;;); } })()")
    return handle.a


def many_handles(engine: Engine) -> Any:
    """100,000 handles kept, then dropped"""
    ctx = ours(engine)
    kept = [ctx.eval("({})", convert=False) for _ in range(100_000)]
    return len(kept)


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


def two_first_in_first_out(engine: Engine) -> Any:
    """two dropped, the older first"""
    return drop_one_of_two(engine, older=True)


def two_last_in_first_out(engine: Engine) -> Any:
    """two dropped, the younger first"""
    return drop_one_of_two(engine, older=False)


def dropped_unclosed(engine: Engine) -> Any:
    """ten dropped without close(), in odd order"""
    many = [engine.another() for _ in range(10)]
    for each in many:
        each.eval("1")
    for index in (5, 0, 7, 3, 0, 1, 0):
        del many[index]
        gc.collect()
    return sum(int(each.eval("1")) for each in many)


def with_in_a_loop(engine: Engine) -> Any:
    """made and closed 50 times in a loop"""
    total = 0
    for _ in range(50):
        other = engine.another()
        total += int(other.eval("1"))
        other.close()
    return total


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


def fork_old(engine: Engine) -> Any:
    """fork after V8 has started: the old object"""
    engine.eval("1")
    return forked(engine, lambda: engine.eval("3 + 4"))


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


def fork_before(engine: Engine) -> Any:
    """fork before V8 has started"""
    return child(
        engine,
        "import os\npid = os.fork()\nassert make().eval('3 + 4') == 7\n"
        "if pid: print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
    )


def globals_at_exit(engine: Engine) -> Any:
    """two globals at exit"""
    return child(engine, "a, b = make(), make(); a.eval('1'); b.eval('1')\nprint(7)")


def exit_in_thread(engine: Engine) -> Any:
    """exit while a daemon thread loops"""
    return child(
        engine,
        "import threading, time\nthreading.excepthook = lambda *_: None\n"
        "def run():\n    while True:\n        try: make().eval('for (;;) {}')\n"
        "        except BaseException: pass\n"
        "threading.Thread(target=run, daemon=True).start()\ntime.sleep(0.3)\nprint(7)",
    )


def exit_in_callback(engine: Engine) -> Any:
    """os._exit and sys.exit in a callback"""
    return child(
        engine,
        "import sys\na = make()\na.expose('f', lambda: sys.exit(5))\na.eval('f()')",
    )


def exit_with_promise(engine: Engine) -> Any:
    """exit with promises and callbacks alive"""
    return child(
        engine,
        "a = make()\na.expose('f', lambda: a)\n"
        "a.eval('globalThis.p = new Promise(() => f); p.then(f); 0')\nprint(7)",
    )


def exit_in_cycle(engine: Engine) -> Any:
    """exit with the object in a cycle, and __del__ that calls it"""
    return child(
        engine,
        "class Holder:\n    def __del__(self):\n        try: self.js.eval('1')\n"
        "        except Exception: pass\n"
        "h = Holder(); h.me = h; h.js = make(); h.js.eval('1')\nprint(7)",
    )


def atexit_uses(engine: Engine) -> Any:
    """used in an atexit handler"""
    return child(
        engine,
        "import atexit\na = make(); a.eval('1')\n"
        "atexit.register(lambda: print('late', a.eval('3 + 4')))",
    )


def subinterpreter(engine: Engine) -> Any:
    """imported in a subinterpreter"""
    module = "jsrt" if isinstance(engine, Ours) else type(engine.js).__module__.split(".")[0]  # type: ignore[attr-defined]
    return child(
        engine,
        "import _xxsubinterpreters as sub\nmake().eval('1')\ns = sub.create()\n"
        f"try: sub.run_string(s, {f'import sys; sys.path[:0] = {sys.path!r}; import {module}'!r})\n"
        "except Exception as e: print('refused' if 'ubinterpreter' in str(e) else e)\n"
        "else: print('imported')\nassert make().eval('3 + 4') == 7\n"
        "sub.destroy(s)",
    )


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


def memory_limit(engine: Engine) -> Any:
    """a bomb with RLIMIT_AS at 3 GB more than now"""
    import resource

    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (3 << 30), resource.RLIM_INFINITY))
    engine.eval("const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))")


CONVERSION = "ConversionError"
USES: dict[str, list[tuple[Callable[[Engine], Any], str]]] = {
    "argument": [
        (deep_list, CONVERSION),
        (deep_dict, CONVERSION),
        (cyclic_list, CONVERSION),
        (cyclic_dict, CONVERSION),
        (surrogate_argument, "= 'a\\ud800b'"),
        (huge_int, "= True"),
        (beyond_bigint, CONVERSION),
        (nan_key, "= {nan: 1}"),
        (set_argument, "= {1}"),
        (generator_argument, "= 6"),
        (endless_generator, "Timeout"),
        (bytes_argument, "= b'\\x00\\xff'"),
        (huge_bytes, "MemoryError"),
        (str_subclass, "= ['t', 7, {'a': 1}]"),
        (raising_iterator, "KeyError"),
        (endless_mapping, CONVERSION),
        (mutated_dict, f"= 'alive' | RuntimeError | {CONVERSION}"),
        (mutated_list, f"= 'alive' | RuntimeError | {CONVERSION}"),
        (resized_bytearray, "BufferError"),
        (not_convertible, CONVERSION),
        (released_view, "ValueError"),
        (many_arguments, CONVERSION),
        (million_arguments, CONVERSION),
        (half_gigabyte, CONVERSION),
        (half_gigabyte_source, CONVERSION),
        (text_of_twice_the_limit, f"= {HEAP_MB << 20}"),
        (list_of_twice_the_limit, "HeapLimit"),
    ],
    "name": [
        (code_as_name, "JSError ReferenceError"),
        (odd_names, "= 6"),
        (prototype_name, "= <jsrt.JSFunction>"),
    ],
    "callback": [
        (callback_raises, "ZeroDivisionError"),
        (callback_caught, "= 7"),
        (callback_interrupt, "KeyboardInterrupt"),
        (callback_exits, "SystemExit"),
        (callback_closes, "RuntimeError"),
        (callback_drops, "= 7"),
        (callback_boots, "= 7"),
        (mutual_recursion, "RecursionError | JSError RangeError"),
        (mutual_recursion_unbound, "JSError RangeError | RecursionError"),
        (recursion_with_catch, "= True"),
        (callback_slow, "Timeout"),
        (callback_collects, "= 2000"),
        (callback_returns_odd, "= 7"),
        (callback_bomb, "HeapLimit"),
        (callback_in_getter, "= {'a': 7}"),
        (callback_to_text, "Odd"),
        (finalizer_calls, "= 1"),
        (exposed_class, "MemoryError"),
    ],
    "thread": [
        (small_stack, "JSError RangeError"),
        (small_stack_shared, "JSError RangeError"),
        (small_stack_values, "= True | ConversionError | JSError RangeError"),
        (small_stack_parser, "= 3"),
        (other_thread, "= 7"),
        (eight_threads, "= '400 of 400'"),
        (drop_elsewhere, "= 7"),
        (close_elsewhere, "= ['Timeout'] | = ['ContextClosed']"),
        (threads_that_come_and_go, "= 7"),
        (signal_in_loop, "KeyboardInterrupt"),
        (signal_handler_calls, "Timeout"),
        (tracing, "= 7"),
    ],
    "asyncio": [
        (cancelled, "= 7"),
        (loop_gone, "= 7"),
        (async_loop_in_job, "Timeout"),
    ],
    "object": [
        (pickled, "TypeError"),
        (copied, "TypeError"),
        (weakly, "= True"),
        (after_close, "ContextClosed"),
        (handle_after_close, "ContextClosed"),
        (handle_elsewhere, CONVERSION),
        (handle_hostile, "= 8 | = 9"),
        (handle_loops, "Timeout"),
        (many_handles, "= 100000"),
        (global_deleted, "JSError ReferenceError"),
        (two_first_in_first_out, "= 7"),
        (two_last_in_first_out, "= 7"),
        (dropped_unclosed, "= 3"),
        (with_in_a_loop, "= 50"),
        (thousand, f"= {sum(n % 7 for n in range(1000))}"),
    ],
    "process": [
        (fork_old, "= 'RuntimeError'"),
        (fork_new, "= 'RuntimeError'"),
        (fork_before, "= 'exit 0 0'"),
        (globals_at_exit, "= 'exit 0 7'"),
        (exit_in_thread, "= 'exit 0 7'"),
        (exit_in_callback, "= 'exit 5'"),
        (exit_with_promise, "= 'exit 0 7'"),
        (exit_in_cycle, "= 'exit 0 7'"),
        (atexit_uses, "= 'exit 0 late 7'"),
        (subinterpreter, "= 'exit 0 refused'"),
        (memory_limit, "HeapLimit | JSError RangeError"),
    ],
}
HEAVY = {
    list_of_twice_the_limit,
    half_gigabyte,
    half_gigabyte_source,
    million_arguments,
    beyond_bigint,
    thousand,
}
ALONE = {
    memory_limit,
    signal_handler_calls,
    mutual_recursion_unbound,
    thousand,
    half_gigabyte,
    half_gigabyte_source,
    beyond_bigint,
    million_arguments,
}
