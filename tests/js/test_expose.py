# SPDX-License-Identifier: MIT
"""Python that JavaScript calls: functions, awaitables, iterators, exceptions. What holds while such
a call runs is in test_expose_nested.py."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref

import pytest

import jsrt
from asgiserver.loop import Loop
from jsrt import _jsrt

LOOPS = pytest.mark.parametrize(
    "make_loop", [Loop, asyncio.new_event_loop], ids=["casgi", "asyncio"]
)


def hosted() -> int:
    gc.collect()
    return _jsrt._debug_counts()["hosted"]


# ---- functions ----------------------------------------------------------------------------------


def test_a_function_is_called(ctx):
    seen = []

    def lookup(*args):
        seen.append(args)
        return {"found": [1, None, b"x"]}

    ctx.expose("lookup", lookup)
    assert ctx.eval("lookup(1, 'a', null, undefined, {a: [1]}, 2n ** 70n, true)") == {
        "found": [1, None, b"x"]
    }
    assert seen == [(1, "a", None, None, {"a": [1]}, 2**70, True)]
    assert ctx.eval("lookup.name + typeof lookup") == "lookupfunction"
    assert ctx.eval("lookup(...Array(100).keys())")
    assert seen[-1] == tuple(range(100))
    with pytest.raises(jsrt.JSError, match="not a constructor"):
        ctx.eval("new lookup()")


def test_what_is_callable(ctx):
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

        def method(self, x):
            return x * self.n

    adder = Adder(5)
    ctx.globals["add"] = adder
    ctx.globals.times = adder.method
    ctx.globals["upper"] = str.upper
    ctx.expose("number", 5)
    ctx.expose("settings", {"limit": 3, "check": lambda v: v > 3})
    assert ctx.eval("[add(1), times(2), upper('x'), number, settings.limit]") == [6, 10, "X", 5, 3]
    assert ctx.eval("[1, 5].filter(v => settings.check(v))") == [5]


def test_callables_are_arguments_too(ctx):
    ctx.compile("const apply = (f, ...args) => f(...args); const run = o => o.on[0].done(2)")
    assert ctx.call("apply", [lambda a, b: a - b, 5, 3]) == 2
    assert ctx.function("apply")(max, 1, 9) == 9
    assert ctx.call("run", [{"on": [{"done": lambda n: n * 2}]}]) == 4


def test_a_callable_comes_back_as_itself(ctx):
    def function():
        pass

    ctx.globals["f"] = function
    assert ctx.eval("f") is function
    assert ctx.globals.f is function
    assert ctx.call("Object", [function]) is function
    assert ctx.call("Array.of", [function], convert=False)[0] is function


def test_arguments_and_results_are_handles_where_they_live(ctx):
    kept = []
    ctx.expose("keep", kept.append)
    ctx.expose("give", lambda: kept[0])
    ctx.eval("class A { constructor() { this.n = 1 } }; globalThis.a = new A; keep(a)")
    ctx.eval("keep(x => x + 1); keep(Promise.resolve(3)); keep(Symbol.iterator)")
    assert kept[0].n == 1
    assert kept[1](1) == 2
    assert type(kept[2]) is jsrt.JSPromise
    assert ctx.eval("give() === a")
    kept.clear()


def test_names(ctx):
    for bad in ("", "a.b"):
        with pytest.raises(ValueError, match="name"):
            ctx.expose(bad, print)
    with pytest.raises(TypeError):
        ctx.expose(5, print)
    with pytest.raises(TypeError, match="needs the argument 'value'"):
        ctx.expose("a")
    with pytest.raises(jsrt.ConversionError):
        ctx.expose("a", object())
    ctx.expose("not an identifier", 5)
    assert ctx.eval("globalThis['not an identifier']") == 5
    ctx.globals.direct = 1
    del ctx.globals.direct
    assert ctx.eval("typeof direct") == "undefined"


def test_bad_arguments_and_results_are_thrown(ctx):
    ctx.expose("f", lambda *args: object())
    assert ctx.eval("try { f() } catch (e) { e.name }") == "ConversionError"
    with pytest.raises(jsrt.ConversionError, match="object"):
        ctx.eval("f()")
    with pytest.raises(jsrt.ConversionError, match="cycle"):
        ctx.eval("const c = {}; c.c = c; f(c)")
    with pytest.raises(jsrt.JSError, match="from a getter"):
        ctx.eval("f({get a() { throw new Error('from a getter') }})")


# ---- exceptions ---------------------------------------------------------------------------------


class Custom(Exception):
    pass


def raises(error):
    def inner_python_frame(*_):
        raise error

    return inner_python_frame


def test_an_exception_crosses_as_itself(ctx):
    error = Custom("why")
    ctx.expose("f", raises(error))
    ctx.compile("function outer() { return middle() } function middle() { return f() }")
    with pytest.raises(Custom) as caught:
        ctx.call("outer")
    assert caught.value is error
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == "inner_python_frame"
    assert frames[0] == "test_an_exception_crosses_as_itself"


def test_javascript_catches_it(ctx):
    ctx.expose("f", raises(Custom("why")))
    assert ctx.eval(
        "try { f() } catch (e) { [e.name, e.message, e instanceof Error, Object.keys(e),"
        " e.stack.split('\\n')[0]] }"
    ) == ["Custom", "why", True, [], "Custom: why"]
    assert ctx.eval("let r; try { f() } catch { r = 1 } finally { r++ } r") == 2


def test_wrapped_it_is_the_cause(ctx):
    error = Custom("why")
    ctx.expose("f", raises(error))
    with pytest.raises(jsrt.JSError, match="wrapped") as caught:
        ctx.eval("try { f() } catch (cause) { throw new Error('wrapped', {cause}) }")
    assert caught.value.__cause__ is error


def test_javascript_errors_cross_python(ctx):
    ctx.expose("call", lambda f: f())
    ctx.compile("function fails() { throw new RangeError('deep') }", filename="deep.js")
    with pytest.raises(jsrt.JSError) as caught:
        ctx.eval("call(fails)")
    assert (caught.value.name, caught.value.message) == ("RangeError", "deep")
    assert "deep.js" in caught.value.stack
    assert ctx.eval("try { call(fails) } catch (e) { [e.name, e.message, e.stack] }")[:2] == [
        "RangeError",
        "deep",
    ]
    assert "deep.js" in ctx.eval("try { call(fails) } catch (e) { e.stack }")


def test_javascript_gets_its_own_error_back(ctx):
    ctx.expose("call", lambda f: f())
    ctx.expose("wrap", lambda f: call_and_wrap(f))

    def call_and_wrap(f):
        try:
            f()
        except jsrt.JSError as error:
            raise Custom("wrapped") from error

    ctx.compile(
        "class NotFound extends Error { constructor() { super('nothing'); this.code = 404 } };"
        "globalThis.kept = new NotFound; const fails = () => { throw kept };"
        "const seen = f => { try { call(f) } catch (e) { return [e === kept, e.code] } };"
        "const odd = { toString() { return 'odd' } };"
    )
    assert ctx.call("seen", [ctx.eval("fails")]) == [True, 404]
    assert ctx.eval("try { call(() => { throw odd }) } catch (e) { e === odd }")
    assert ctx.eval("try { wrap(fails) } catch (e) { e.name }") == "Custom"
    with pytest.raises(jsrt.JSError, match="nothing") as caught:
        ctx.eval("call(() => call(fails))")
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames.count("<lambda>") == 2
    with pytest.raises(jsrt.JSError) as again:
        ctx.eval("throw kept")
    assert again.value is not caught.value


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_javascript_cannot_catch_what_is_no_exception(ctx, kind):
    ctx.expose("f", raises(kind("stop")))
    ctx.compile("globalThis.n = 0; function g() { try { f() } catch { n++ } finally { n++ } n++ }")
    with pytest.raises(kind, match="stop"):
        ctx.call("g")
    assert ctx.eval("n") == 0


def test_python_between_may_catch_it(ctx):
    def between():
        try:
            ctx.call("inner")
        except KeyboardInterrupt:
            return "caught"

    ctx.expose("f", raises(KeyboardInterrupt()))
    ctx.expose("between", between)
    ctx.compile("const inner = () => f(); const outer = () => between() + ' and went on'")
    assert ctx.call("outer") == "caught and went on"
    assert ctx.eval("1 + 1") == 2


def test_an_exception_with_a_hostile_str(ctx):
    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    error = Hostile()
    ctx.expose("f", raises(error))
    assert ctx.eval("try { f() } catch (e) { e.name + e.message }") == "Hostile"
    with pytest.raises(Hostile):
        ctx.eval("f()")


def test_getters_may_call_python_while_a_result_is_taken_out(ctx):
    """The buffers of the result being written are not those of the call."""
    ctx.expose("f", lambda: "x" * 100_000)
    ctx.expose("fails", raises(Custom("inside")))
    big = ctx.eval(
        "const rows = Array.from({length: 500}, (_, n) => ({n, text: 'row ' + n}));"
        "rows[250] = {get n() { return f().length }, text: 'row 250'}; rows"
    )
    assert [row["n"] for row in big[:250]] == list(range(250))
    assert big[250]["n"] == 100_000
    assert big[499] == {"n": 499, "text": "row 499"}
    with pytest.raises(Custom):
        ctx.eval("[...Array(500).keys(), {get n() { return fails() }}]")
    with pytest.raises(jsrt.JSError, match="other message"):
        ctx.eval(
            "throw Object.defineProperty(new Error, 'message', {get() {"
            " try { fails() } catch {} f(); return 'other message' }})"
        )


# ---- async functions ----------------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize("profile", ["bare", "web"])
def test_async_functions_become_promises(make_loop, profile):
    async def slowly(value):
        await asyncio.sleep(0.005)
        if value is None:
            raise Custom("nothing")
        return {"value": value}

    async def main():
        with jsrt.Context(profile=profile) as ctx:
            ctx.expose("slowly", slowly)
            ctx.compile("const all = (...n) => Promise.all(n.map(v => slowly(v)))")
            assert ctx.eval("slowly(1) instanceof Promise")
            assert await ctx.eval_async("slowly(1)") == {"value": 1}
            assert await ctx.call_async("all", [1, 2, 3]) == [{"value": n} for n in (1, 2, 3)]
            with pytest.raises(Custom) as caught:
                await ctx.eval_async("slowly(null)")
            frames = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
            assert "slowly" in frames
            assert await ctx.eval_async("slowly(null).catch(e => e.name)") == "Custom"
            ctx.expose("bad", lambda: _give(object()))
            with pytest.raises(jsrt.ConversionError):
                await ctx.eval_async("bad()")
            # One that is in the middle of it when JavaScript's own timers run.
            if profile == "web":
                assert await ctx.eval_async(
                    "Promise.all([slowly(1), new Promise(r => setTimeout(r, 10, 2))])"
                ) == [{"value": 1}, 2]
            assert _jsrt._debug_counts()["tasks"] == 0 or await asyncio.sleep(0.05) is None
        assert _jsrt._debug_counts()["tasks"] == 0

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


async def _give(value):
    return value


@LOOPS
def test_an_async_callback_is_cancelled(make_loop):
    async def main():
        with jsrt.Context(profile="web") as ctx:
            ctx.expose("forever", lambda: _keep(asyncio.sleep(3600)))
            tasks = []

            async def _keep(awaitable):
                tasks.append(asyncio.current_task())
                await awaitable

            future = ctx.eval_async("forever().catch(e => e.name)")
            failing = ctx.eval_async("forever()")
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            assert await future == "CancelledError"
            with pytest.raises(jsrt.JSError) as caught:
                await failing
            assert caught.value.name == "CancelledError"

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


@LOOPS
def test_the_context_closes_before_the_coroutine_ends(make_loop):
    async def main():
        gate = asyncio.Event()
        ctx = jsrt.Context(profile="web")
        ctx.expose("wait", gate.wait)
        future = ctx.eval_async("wait()")
        await asyncio.sleep(0)
        ctx.close()
        with pytest.raises(jsrt.ContextClosed):
            await future
        gate.set()
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


def test_async_without_a_loop(ctx):
    ctx.expose("later", lambda: _give(1))
    with pytest.raises(RuntimeError, match="no event loop is running"):
        ctx.eval("later()")


def test_a_callback_of_nodes_timers_on_casgis_loop():
    async def main():
        with jsrt.Context(profile="web") as ctx:
            done = asyncio.get_running_loop().create_future()
            ctx.compile("const twice = n => n * 2")
            ctx.expose("done", lambda n: done.set_result(ctx.call("twice", [n])))
            ctx.eval("setTimeout(() => done(21), 1); 0")
            assert await asyncio.wait_for(done, 5) == 42

            seen = []
            asyncio.get_running_loop().set_exception_handler(lambda _, c: seen.append(c))
            ctx.expose("fails", raises(Custom("in a timer")))
            ctx.eval("setTimeout(() => fails(), 1); 0")
            await asyncio.sleep(0.05)
            assert isinstance(seen[0]["exception"], Custom)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


# ---- iterators ----------------------------------------------------------------------------------


def test_generators_are_iterators(ctx):
    closed = []

    def numbers(n):
        try:
            yield from range(n)
        finally:
            closed.append(n)

    ctx.compile(
        "const all = it => [...it];"
        "const first = it => { for (const x of it) return x };"
        "const by_hand = it => [it.next(), it.next(), it.next(), it[Symbol.iterator]() === it]"
    )
    assert ctx.call("all", [numbers(5)]) == [0, 1, 2, 3, 4]
    assert ctx.call("first", [numbers(7)]) == 0
    assert closed == [5, 7]
    done = {"value": None, "done": True}
    assert ctx.call("by_hand", [iter([1])]) == [{"value": 1, "done": False}, done, done, True]
    ctx.expose("numbers", numbers)
    assert ctx.eval("let sum = 0; for (const n of numbers(100)) sum += n; sum") == 4950
    assert ctx.call("all", [map(str, range(3))]) == ["0", "1", "2"]
    assert ctx.call("all", [ctx.eval("[1, 2]", convert=False)]) == [1, 2]
    assert ctx.call("all", [iter(ctx.eval("[1, 2]", convert=False))]) == [1, 2]


def test_an_iterator_that_fails(ctx):
    def fails():
        yield 1
        raise Custom("second")

    ctx.compile(
        "const all = it => [...it];"
        "const first = it => { for (const x of it) return x };"
        "const count = it => {"
        "  let n = 0; try { for (const _ of it) n++ } catch (e) { return e.name + n }"
        "}"
    )
    with pytest.raises(Custom, match="second"):
        ctx.call("all", [fails()])
    assert ctx.call("count", [fails()]) == "Custom1"

    def stubborn():
        try:
            yield 1
        finally:
            raise Custom("at close")

    with pytest.raises(Custom, match="at close"):
        ctx.call("first", [stubborn()])


# ---- life ---------------------------------------------------------------------------------------


class Thing:
    def __call__(self):
        return 1


def test_dropped_functions_are_released():
    before = hosted()
    with jsrt.Context(profile="bare") as ctx:
        ctx.compile("const call = f => f()")
        things = [Thing() for _ in range(100)]
        references = [weakref.ref(thing) for thing in things]
        assert sum(ctx.call("call", [thing]) for thing in things) == 100
        del things
        ctx.collect()
        ctx.eval("0")
        gc.collect()
        assert sum(reference() is not None for reference in references) <= 1
        ctx.globals["f"] = Thing()
        assert hosted() > before
    assert hosted() == before


def test_exceptions_that_javascript_caught_are_released(ctx):
    ctx.expose("f", lambda n: raises(Custom(n))())
    before = hosted()
    ctx.eval("for (let n = 0; n < 1000; n++) { try { f(n) } catch {} } 0")
    ctx.collect()
    ctx.eval("0")
    assert hosted() <= before + 1


def test_a_cycle_through_the_context_is_collected():
    class Owner:
        def __init__(self):
            self.context = jsrt.Context(profile="bare")
            self.context.expose("method", self.method)
            self.held = self.context.eval("method; ({})", convert=False)

        def method(self):
            return self

    owner = Owner()
    reference = weakref.ref(owner)
    isolates = _jsrt._debug_counts()["isolates"]
    del owner
    gc.collect()
    assert reference() is None
    assert _jsrt._debug_counts()["isolates"] == isolates - 1


def test_functions_outlive_their_context(ctx):
    other = jsrt.Context(profile="bare")
    kept = Thing()
    other.globals["f"] = kept
    reference = weakref.ref(kept)
    del kept
    gc.collect()
    assert reference() is not None
    other.close()
    gc.collect()
    assert reference() is None


def test_a_finalizer_that_calls_the_context(ctx):
    class Loud:
        def __call__(self):
            return 1

        def __del__(self):
            try:
                seen.append(ctx.eval("1 + 1"))
            except RuntimeError as error:
                seen.append(error)

    seen = []
    ctx.compile("const call = f => f()")
    for _ in range(10):
        ctx.call("call", [Loud()])
    ctx.collect()
    ctx.eval("0")
    gc.collect()
    assert len(seen) >= 9
    assert ctx.eval("1") == 1


def test_exit_with_callbacks_alive(run_python):
    script = """
import jsrt, threading, asyncio
ctx = jsrt.Context(profile="web")
class Loud:
    def __call__(self): return 1
    def __del__(self): print("gone", flush=True)
ctx.expose("f", Loud())
keep = ctx.eval("setInterval(() => f(), 1); ({f})", convert=False)
ctx.eval("f()")
"""
    done = run_python(script)
    assert (done.returncode, done.stderr) == (0, "")
