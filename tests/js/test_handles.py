# SPDX-License-Identifier: MIT
"""Live handles: objects that stay in JavaScript, seen from Python."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

import jsrt
from asgiserver.loop import Loop
from jsrt import _jsrt

POINT = """
class Point {
  constructor(x, y) { this.x = x; this.y = y }
  norm() { return Math.hypot(this.x, this.y) }
  get sum() { return this.x + this.y }
  self() { return this }
}
"""


@pytest.fixture
def points(ctx):
    ctx.compile(POINT)
    return ctx


def counts(*names: str) -> tuple[int, ...]:
    gc.collect()
    all_counts = _jsrt._debug_counts()
    return tuple(all_counts[name] for name in names)


# ---- what becomes a handle ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("(function named() {})", jsrt.JSFunction, "<jsrt.JSFunction named>"),
        ("() => 1", jsrt.JSFunction, "<jsrt.JSFunction>"),
        ("class A {}; A", jsrt.JSFunction, "<jsrt.JSFunction A>"),
        ("new Proxy(() => 7, {})", jsrt.JSFunction, None),
        ("new (class Thing {})", jsrt.JSObject, "<jsrt.JSObject Thing>"),
        ("new Proxy({}, {})", jsrt.JSObject, "<jsrt.JSObject Proxy>"),
        ("Symbol('s')", jsrt.JSObject, "<jsrt.JSObject Symbol(s)>"),
        ("new WeakMap()", jsrt.JSObject, "<jsrt.JSObject WeakMap>"),
        ("(function*() {})()", jsrt.JSObject, None),
        ("Object.create({a: 1})", jsrt.JSObject, None),
    ],
)
def test_what_becomes_a_handle(ctx, source, kind, text):
    value = ctx.evaluate(source)
    assert type(value) is kind
    if text is not None:
        assert repr(value) == text


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("({a: 1})", {"a": 1}),
        ("[1]", [1]),
        ("Object.create(null)", {}),
        ("class L extends Array {}; L.of(1, 2)", [1, 2]),
        ("new Map([[1, 2]])", {1: 2}),
        ("new Date(NaN)", None),
        ("new Uint8Array(2)", b"\0\0"),
    ],
)
def test_plain_data_is_converted_unless_asked_for(ctx, source, value):
    assert ctx.evaluate(source) == value
    held = ctx.evaluate(source, convert=False)
    assert type(held) is jsrt.JSObject
    assert held.to_python() == value


def test_primitives_are_values_either_way(ctx):
    for source, value in (("1", 1), ("'a'", "a"), ("null", None), ("1n", 1), ("true", True)):
        assert ctx.evaluate(source, convert=False) == value


def test_call_and_function_take_convert(ctx):
    ctx.compile("const make = () => ({a: {b: 1}}); const later = async () => 1")
    assert ctx.call("make", convert=False).a.b == 1
    assert ctx.function("make")(convert=False).a.b == 1
    assert type(ctx.call("later", [], convert=False)) is jsrt.JSPromise
    with pytest.raises(TypeError, match="unexpected keyword"):
        ctx.call("make", konvert=False)
    with pytest.raises(TypeError, match="'this' and 'convert'"):
        ctx.function("make")(a=1)


# ---- properties ---------------------------------------------------------------------------------


def test_attributes_and_items(points):
    point = points.eval("new Point(3, 4)")
    assert (point.x, point["y"], point.norm(), point.sum) == (3, 4, 5, 7)
    point.x = 6
    point["y"] = 8
    assert point.norm() == 10
    assert "x" in point
    assert "norm" in point
    assert "z" not in point
    del point.x
    assert "x" not in point
    with pytest.raises(AttributeError, match="no property 'x'"):
        _ = point.x
    with pytest.raises(KeyError):
        _ = point["x"]
    assert getattr(point, "x", 1) == 1
    assert not hasattr(point, "zzz")
    del point.never_there  # as JavaScript's delete
    assert "y" in dir(point)
    assert point.to_python() == {"y": 8}


def test_undefined_is_not_missing(ctx):
    held = ctx.eval("({a: undefined})", convert=False)
    assert held.a is None
    with pytest.raises(KeyError):
        _ = held["b"]


def test_names_that_python_takes(ctx):
    held = ctx.eval("({to_python: 1, __class__: 2})", convert=False)
    assert callable(held.to_python)
    assert held["to_python"] == 1
    assert held["__class__"] == 2
    with pytest.raises(AttributeError):
        held.to_python = 3
    held["to_python"] = 4
    assert held["to_python"] == 4


def test_symbols_name_properties(ctx):
    symbol = ctx.eval("globalThis.s = Symbol('key')")
    held = ctx.eval("({[s]: 5})", convert=False)
    assert held[symbol] == 5
    held[symbol] = 6
    assert ctx.globals.s == symbol
    assert held[ctx.globals.s] == 6
    assert symbol in held
    with pytest.raises(TypeError, match="float"):
        _ = held[1.5]


def test_navigation_is_live(ctx):
    config = ctx.eval("globalThis.config = {list: [1, {deep: 'x'}]}", convert=False)
    config.list[1].deep = "changed"
    config.list[2] = [7]
    assert ctx.eval("config.list[1].deep + config.list.length") == "changed3"
    assert next(iter(config.list)) == 1
    with pytest.raises(IndexError):
        _ = config.list[3]


@pytest.mark.parametrize(
    ("source", "length", "items"),
    [
        ("[5, 6]", 2, [5, 6]),
        ("new Set([1, 2, 3])", 3, [1, 2, 3]),
        ("({a: 1, b: 2, [Symbol('s')]: 3})", 2, ["a", "b"]),
        ("new Uint8Array([9])", 1, [9]),
        ("(function* () { yield 1; yield 2 })()", 0, [1, 2]),
    ],
)
def test_len_and_iteration(ctx, source, length, items):
    held = ctx.evaluate(source, convert=False)
    assert len(held) == length
    assert list(held) == items
    assert bool(held)


def test_an_empty_array_is_true(ctx):
    empty = ctx.eval("[]", convert=False)
    assert len(empty) == 0
    assert bool(empty)


def test_iterating_what_is_none(ctx):
    with pytest.raises(TypeError, match="iterator is no object"):
        iter(ctx.eval("({[Symbol.iterator]: () => 5})", convert=False))
    with pytest.raises(jsrt.JSError, match="done"):
        next(iter(ctx.eval("({[Symbol.iterator]: () => ({next: () => 5})})", convert=False)))


def test_methods_are_bound_and_this_can_be_given(points):
    norm = points.eval("new Point(3, 4)").norm
    assert norm() == 5
    assert norm(this={"x": 6, "y": 8}) == 10
    assert points.function("Point.prototype.norm")(this=points.eval("new Point(5, 12)")) == 13


def test_new(points):
    point_class = points.eval("Point")
    point = point_class.new(1, 2)
    assert (point.x, point.y) == (1, 2)
    assert point["constructor"] == point_class
    with pytest.raises(jsrt.JSError, match="without 'new'"):
        point_class(1, 2)
    assert points.eval("Date").new(0).getTime() == 0
    assert points.eval("[].map").name == "map"


# ---- going back ---------------------------------------------------------------------------------


def test_a_handle_is_the_same_object(points):
    point = points.eval("globalThis.kept = new Point(1, 2)")
    points.compile("const is = o => o === kept; const inner = o => o.a[0].b === kept")
    assert points.call("is", [point])
    assert points.call("inner", [{"a": [{"b": point}]}])
    assert points.call("inner", [{"a": ({"b": point}, b"bytes", 2**70)}])
    assert points.function("is")(point)
    assert point.self() == point
    assert hash(point.self()) == hash(point)
    assert point != points.eval("new Point(1, 2)")
    assert point != 5
    assert {point, point.self()} == {point}


def test_a_handle_of_another_context_is_refused(points):
    point = points.eval("new Point(1, 2)")
    with jsrt.Context(profile="bare") as other:
        other.compile("const id = x => x")
        for argument in (point, [point], {"a": point}):
            with pytest.raises(jsrt.ConversionError, match="another isolate"):
                other.call("id", [argument])
        with pytest.raises(jsrt.ConversionError, match="another isolate"):
            other.globals["p"] = point
        assert other.globals != points.globals
        assert other.call("id", [1]) == 1


def test_a_symbol_in_a_container_is_refused(ctx):
    ctx.compile("const id = x => x")
    symbol = ctx.eval("Symbol('s')")
    assert ctx.call("id", [symbol]) == symbol
    with pytest.raises(jsrt.ConversionError, match="symbol cannot be inside"):
        ctx.call("id", [[symbol]])


def test_a_function_goes_round(ctx):
    ctx.compile("const id = x => x; const twice = f => f(f(1))")
    add = ctx.eval("x => x + 1")
    assert ctx.call("id", [add]) == add
    assert ctx.call("twice", [add]) == 3
    assert ctx.call("twice", [ctx.function("id")]) == 1


# ---- hostile objects ----------------------------------------------------------------------------

TRAPS = """
globalThis.angry = new Proxy(function () {}, Object.fromEntries(
  ['get', 'set', 'has', 'deleteProperty', 'ownKeys', 'apply', 'construct', 'getPrototypeOf',
   'getOwnPropertyDescriptor'].map(name => [name, () => { throw new Error('trap ' + name) }])));
"""


def test_proxy_traps_throw(ctx):
    ctx.compile(TRAPS)
    angry = ctx.eval("angry")
    for trap, use in {
        "get": lambda: angry.x,
        "set": lambda: setattr(angry, "x", 1),
        "has": lambda: "x" in angry,
        "deleteProperty": lambda: delattr(angry, "x"),
        "apply": lambda: angry(),
        "construct": lambda: angry.new(),
        "ownKeys": lambda: dir(angry),
    }.items():
        with pytest.raises(jsrt.JSError, match=f"trap {trap}"):
            use()
    assert repr(angry).startswith("<jsrt.JSFunction")
    assert angry == ctx.eval("angry")
    assert isinstance(hash(angry), int)
    with pytest.raises(jsrt.JSError, match="trap get"):
        asyncio.run(_await(angry))


async def _await(thing):
    return await thing


def test_a_revoked_proxy(ctx):
    held = ctx.eval("const r = Proxy.revocable({}, {}); r.revoke(); r.proxy")
    for use in (lambda: held.x, lambda: "x" in held, lambda: list(held), lambda: len(held)):
        with pytest.raises(jsrt.JSError, match="revoked"):
            use()
    assert repr(held) == "<jsrt.JSObject Proxy>"


def test_a_getter_throws_or_never_ends():
    with jsrt.Context(profile="bare", timeout=0.2) as ctx:
        held = ctx.eval(
            "({get bad() { throw new TypeError('got') }, get loop() { for (;;); }})", convert=False
        )
        with pytest.raises(jsrt.JSError, match="got"):
            _ = held.bad
        with pytest.raises(jsrt.Timeout):
            _ = held.loop
        with pytest.raises(jsrt.JSError, match="got"):
            held.to_python()
        assert ctx.eval("1 + 1") == 2


def test_frozen_objects_refuse_aloud(ctx):
    held = ctx.eval("Object.freeze({a: 1})", convert=False)
    with pytest.raises(jsrt.JSError, match="read only"):
        held.a = 2
    with pytest.raises(jsrt.JSError, match="not extensible"):
        held.b = 2
    with pytest.raises(jsrt.JSError, match="Cannot delete"):
        del held.a


def test_a_cyclic_object(ctx):
    held = ctx.eval("const o = {}; o.o = o; o", convert=False)
    assert held.o.o == held
    with pytest.raises(jsrt.ConversionError, match="cycle"):
        held.to_python()


# ---- life ---------------------------------------------------------------------------------------


def test_dropped_handles_are_released():
    context = jsrt.Context(profile="bare", code=POINT)
    make = context.eval("n => new Point(n, n)")
    before = counts("refs", "handles")
    held = [make(n) for n in range(1000)]
    assert counts("refs", "handles") == (before[0] + 1000, before[1] + 1000)
    assert sum(each.x for each in held) == 499_500
    del held
    assert counts("refs", "handles") == before
    context.collect()
    weak = context.eval("globalThis.w = new WeakRef(new Point(1, 1)); w.deref()")
    context.collect()
    assert context.eval("w.deref() === undefined") is False
    del weak
    context.eval("0")
    context.collect()
    assert context.eval("w.deref() === undefined") is True
    context.close()


def test_dropped_by_another_thread(points):
    before = counts("refs")
    held = [points.eval("new Point(1, 2)") for _ in range(100)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join(10)
    assert counts("refs") == before
    assert points.eval("1") == 1


def test_used_by_another_thread(points):
    point = points.eval("new Point(3, 4)")
    seen = []

    def use():
        seen.append(point.norm())
        point.x = 5
        seen.append(repr(point))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(10)
    assert seen == [5, "<jsrt.JSObject Point>"]
    assert point.x == 5


def test_handles_of_a_pool(run_python):
    script = """
import threading, jsrt
ctx = jsrt.Context(profile="bare", pool=1, code="class P { get n() { return 1 } }")
held = []
thread = threading.Thread(target=lambda: held.append(ctx.eval("new P")))
thread.start(); thread.join()
assert held[0].n == 1                      # of the lent engine, from here
try:
    ctx.globals.p = held[0]
except jsrt.ConversionError as error:
    print(error)
thread = threading.Thread(target=lambda: held.append(held[0].n + ctx.eval("1")))
thread.start(); thread.join()
ctx.close()
try:
    held[0].n
except jsrt.ContextClosed as error:
    print(error)
print(held[1])
"""
    done = run_python(script)
    assert done.stderr == ""
    assert "another isolate" in done.stdout
    assert "closed\n2\n" in done.stdout


def test_after_close():
    context = jsrt.Context(profile="bare", code=POINT)
    point, function, iterator = (
        context.eval("new Point(1, 2)"),
        context.eval("() => 1"),
        iter(context.eval("[1]", convert=False)),
    )
    context.close()
    for use in (
        lambda: point.x,
        lambda: setattr(point, "x", 1),
        lambda: point.norm(),
        lambda: list(point),
        lambda: len(point),
        lambda: "x" in point,
        point.to_python,
        function,
        function.new,
        lambda: next(iterator),
        lambda: hash(point),
        lambda: context.globals,
    ):
        with pytest.raises(jsrt.ContextClosed, match="closed"):
            use()
    assert repr(point) == "<jsrt.JSObject, gone>"
    assert point == point
    assert point != function


def test_a_handle_keeps_its_context():
    point = jsrt.Context(profile="bare", code=POINT).eval("new Point(3, 4)")
    gc.collect()
    assert point.norm() == 5


def test_handles_go_with_a_condemned_heap():
    with jsrt.Context(profile="bare", heap_limit=16, code=POINT) as ctx:
        point = ctx.eval("new Point(1, 2)")
        with pytest.raises(jsrt.HeapLimit):
            ctx.eval("const a = []; for (;;) a.push({})")
        with pytest.raises(jsrt.ContextClosed, match="heap limit"):
            _ = point.x
        assert ctx.eval("new Point(3, 4)").x == 3
        with pytest.raises(jsrt.ContextClosed, match="gone"):
            point.norm()
        with pytest.raises(jsrt.ConversionError, match="gone"):
            ctx.globals["p"] = point


def test_a_handle_can_be_referred_to_weakly(points):
    point = points.eval("new Point(1, 2)")
    reference = weakref.ref(point)
    assert reference() is point
    del point
    gc.collect()
    assert reference() is None


def test_nothing_makes_a_handle_but_javascript():
    for kind in (jsrt.JSObject, jsrt.JSFunction, jsrt.JSPromise):
        with pytest.raises(TypeError):
            kind()
    assert jsrt.Function is jsrt.JSFunction
    assert issubclass(jsrt.JSPromise, jsrt.JSObject)


# ---- awaiting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make_loop", [Loop, asyncio.new_event_loop], ids=["casgi", "asyncio"])
@pytest.mark.parametrize("profile", ["bare", "web"])
def test_promises_are_awaited(make_loop, profile):
    async def main():
        with jsrt.Context(profile=profile) as ctx:
            assert await ctx.eval("Promise.resolve(5)", convert=False) == 5
            assert await ctx.eval("(async () => ({a: 1}))()", convert=False) == {"a": 1}
            promise = ctx.eval("new Promise(r => { globalThis.settle = r })", convert=False)
            assert type(promise) is jsrt.JSPromise
            waiting = asyncio.ensure_future(_await(promise))
            await asyncio.sleep(0)
            ctx.globals.settle([1, 2])
            assert await waiting == [1, 2]
            assert await promise == [1, 2]  # as often as one likes
            with pytest.raises(jsrt.JSError, match="no"):
                await ctx.eval("Promise.reject(new Error('no'))", convert=False)
            thenable = ctx.eval("({then(done) { done('then') }})", convert=False)
            assert await thenable == "then"
            with pytest.raises(TypeError, match="cannot be awaited"):
                await ctx.eval("({})", convert=False)
            cancelled = asyncio.ensure_future(
                _await(ctx.eval("new Promise(() => 0)", convert=False))
            )
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


def test_awaiting_without_a_loop(ctx):
    promise = ctx.eval("Promise.resolve(5)", convert=False)
    with pytest.raises(RuntimeError, match="no running event loop"):
        promise.__await__()
