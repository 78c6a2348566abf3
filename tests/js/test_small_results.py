# SPDX-License-Identifier: MIT
"""Small objects and arrays take a way of their own out of V8 (pack.cc): whatever does not fit on
it must come out just as it does from the serializer."""

import math

import pytest

import jsrt

SAME = [
    ("({})", {}),
    ("[]", []),
    ("({a: 1, b: 'x', c: true, d: false, e: null, f: undefined})",
     {"a": 1, "b": "x", "c": True, "d": False, "e": None, "f": None}),
    ("({t: 'snö ☃ 🎿', n: 'plain'})", {"t": "snö ☃ 🎿", "n": "plain"}),
    ("({'☃': 'ÿ'})", {"☃": "ÿ"}),
    ("({lone: '\\ud800', '': ''})", {"lone": "\ud800", "": ""}),
    ("[1, , 3]", [1, None, 3]),
    ("[[1, [2, [3, [4, [5]]]]]]", [[1, [2, [3, [4, [5]]]]]]),
    ("({a: {b: [1, {c: 'd'}]}})", {"a": {"b": [1, {"c": "d"}]}}),
    ("({2: 'two', 1: 'one', x: 0})", {"1": "one", "2": "two", "x": 0}),
    ("({['__proto__']: 7})", {"__proto__": 7}),
    ("Object.create(null, {a: {value: 1, enumerable: true}, b: {value: 2}})", {"a": 1}),
    ("({[Symbol('s')]: 1, k: 2})", {"k": 2}),
    ("[2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, 0.5]",
     [2**31 - 1, -(2**31), 2**31, 2**53, 0.5]),
    ("({m: new Map([[1, 2]]), k: 'v'})", {"m": {1: 2}, "k": "v"}),
    ("({big: 12n ** 30n, k: 'v'})", {"big": 12**30, "k": "v"}),
    ("({bytes: new Uint8Array([1, 2]), k: 'v'})", {"bytes": b"\x01\x02", "k": "v"}),
    ("({long: 'x'.repeat(5000), k: 1})", {"long": "x" * 5000, "k": 1}),
    ("Object.fromEntries([...Array(40).keys()].map(i => ['k' + i, i]))",
     {f"k{i}": i for i in range(40)}),
    ("[...Array(300).keys()]", list(range(300))),
    ("[new (class Point { constructor() { this.x = 1 } get y() { return 2 } })]", [{"x": 1}]),
    ("Object.assign([1, 2], {named: 3})", [1, 2]),
]  # fmt: skip


@pytest.fixture(params=["bare", "web"])
def context(request):
    with jsrt.Context(profile=request.param) as context:
        yield context


@pytest.mark.parametrize(("source", "expected"), SAME, ids=[case[0][:40] for case in SAME])
def test_value(context, source, expected):
    context.eval(f"function make() {{ return {source} }}")
    for _ in range(3):
        assert context.call("make") == expected


def test_numbers_keep_their_kind(context):
    value = context.eval("({zero: -0, nan: NaN, up: Infinity, down: -Infinity, one: 1.0})")
    assert math.copysign(1, value["zero"]) == -1
    assert math.isnan(value["nan"])
    assert (value["up"], value["down"]) == (math.inf, -math.inf)
    assert type(value["one"]) is int


def test_an_object_met_twice_is_one_object(context):
    value = context.eval("(() => { const shared = {a: 1}; return {x: shared, y: [shared]} })()")
    assert value == {"x": {"a": 1}, "y": [{"a": 1}]}
    assert value["x"] is value["y"][0]


def test_a_cycle_is_refused(context):
    context.eval("var knot = {a: {}}; knot.a.b = knot; 0")
    with pytest.raises(jsrt.ConversionError, match="cycle"):
        context.eval("knot")


def test_a_function_inside_is_named(context):
    with pytest.raises(jsrt.ConversionError, match=r"a function at result\.a\[1\]"):
        context.eval("({a: [1, () => 1]})")


def test_a_getter_runs_once_and_may_throw(context):
    context.eval("""
        var runs = 0;
        function counted() { return {get a() { return ++runs }, b: 'x'} }
        function thrower() { return {a: 1, get b() { throw new RangeError('no b') }} }
    """)
    assert context.call("counted") == {"a": 1, "b": "x"}
    assert context.call("counted") == {"a": 2, "b": "x"}
    with pytest.raises(jsrt.JSError, match="no b"):
        context.call("thrower")
    assert context.call("counted") == {"a": 3, "b": "x"}


def test_a_getter_that_never_ends_is_stopped():
    with jsrt.Context(profile="bare", timeout=0.2) as context:
        context.eval("function slow() { return {get a() { for (;;); }} }")
        with pytest.raises(jsrt.Timeout):
            context.call("slow")
        assert context.eval("({a: 1})") == {"a": 1}


def test_changed_intrinsics_change_nothing(context):
    context.eval("""
        Object.keys = () => ['forged'];
        Array.isArray = () => true;
        Object.getPrototypeOf = () => null;
        Object.prototype.extra = 'inherited';
        Array.prototype[0] = 'inherited';
        Object.defineProperty(Object.prototype, 'toJSON', {value: () => 'forged'});
    """)
    assert context.eval("({a: [1, 2]})") == {"a": [1, 2]}


def test_a_proxy_is_refused_wherever_it_is(context):
    for source in ("[new Proxy({a: 1}, {})]", "({p: new Proxy({a: 1}, {})})"):
        with pytest.raises(jsrt.ConversionError, match="a Proxy"):
            context.eval(f"({source})")


def test_arguments_are_refused(context):
    context.eval("function f() { return arguments }")
    with pytest.raises(jsrt.ConversionError):
        context.call("f", [1, 2])
