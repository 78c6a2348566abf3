# SPDX-License-Identifier: MIT
"""Values both ways: every row of the conversion table, and what must be refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import types
import uuid
from typing import ClassVar

import pydantic
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import jsrt

UTC = dt.UTC


@pytest.fixture(scope="module")
def js():
    with jsrt.Context(profile="bare") as ctx:
        ctx.compile("""
            const id = x => x;
            const kind = x => Object.prototype.toString.call(x).slice(8, -1);
            const text = x => JSON.stringify(x);
            const own = x => Object.getOwnPropertyNames(x);
        """)
        yield ctx


@pytest.fixture(scope="module")
def same(js):
    return js.function("id")


# ---- Python -> JavaScript -------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    POINT = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: object = None
    count: ClassVar[int] = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    name: str


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    tags: list[str] = []


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, "Null", "null"),
        (True, "Boolean", "true"),
        (3, "Number", "3"),
        (-2.5, "Number", "-2.5"),
        ("é", "String", '"é"'),
        (2**53, "Number", "9007199254740992"),
        (2**53 + 1, "BigInt", None),
        (-(2**64), "BigInt", None),
        (b"ab", "Uint8Array", '{"0":97,"1":98}'),
        (bytearray(b"ab"), "Uint8Array", '{"0":97,"1":98}'),
        (memoryview(b"abcd")[::2], "Uint8Array", '{"0":97,"1":99}'),
        ([1, [2]], "Array", "[1,[2]]"),
        ((1, "x"), "Array", '[1,"x"]'),
        (Pair(1, 2), "Array", "[1,2]"),
        ({"a": 1}, "Object", '{"a":1}'),
        (collections.OrderedDict(b=1, a=2), "Object", '{"b":1,"a":2}'),
        (types.MappingProxyType({"a": 1}), "Object", '{"a":1}'),
        ({1: 2}, "Map", "{}"),
        ({1, 2}, "Set", "{}"),
        (frozenset("a"), "Set", "{}"),
        (dt.datetime(2024, 2, 29, 1, 2, 3, 4000, UTC), "Date", '"2024-02-29T01:02:03.004Z"'),
        (dt.date(1969, 12, 31), "Date", '"1969-12-31T00:00:00.000Z"'),
        (decimal.Decimal("1.10"), "String", '"1.10"'),
        (uuid.UUID(int=1), "String", '"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, "String", '"red"'),
        (Colour.POINT, "Array", "[1,2]"),
        (Level.HIGH, "Number", "3"),
        (Point(1, Point(2)), "Object", '{"x":1,"y":{"x":2,"y":null}}'),
        (Slotted("n"), "Object", '{"name":"n"}'),
        (Model(name="m", more=1), "Object", '{"name":"m","tags":[],"more":1}'),
    ],
    ids=lambda v: type(v).__name__,
)
def test_into_javascript(js, value, kind, shown):
    assert js.call("kind", [value]) == kind
    if shown is not None:
        assert js.call("text", [value]) == shown
        assert js.call("text", [[value]]) == f"[{shown}]"
    # The same one level down, where JSON or the wire format carries it.
    js.compile("function kindIn(x) { return kind(x[0].v) }")
    assert js.call("kindIn", [[{"v": value}]]) == kind


def test_naive_datetimes_are_local_time(same):
    moment = dt.datetime(2021, 7, 1, 12, 30)
    assert same(moment) == moment.astimezone(UTC)


def test_other_zones(same):
    zone = dt.timezone(dt.timedelta(hours=5, minutes=45))
    moment = dt.datetime(2021, 7, 1, 0, 10, 0, 999_999, zone)
    assert same(moment) == moment.astimezone(UTC).replace(microsecond=999_000)


def test_proto_is_a_plain_key(js, same):
    for more in ({}, {"b": b"bytes"}):
        value = {"__proto__": {"polluted": 1}, "a": 1, **more}
        assert same(value) == value
        assert "__proto__" in js.call("own", [value])
    assert js.eval("({}).polluted === undefined")


def test_a_bool_is_not_a_number_inside_containers(same):
    back = same([True, False, 1, 0, None])
    assert [type(v) for v in back] == [bool, bool, int, int, type(None)]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), r"\$"),
        ([object()], r"\$\[0\]"),
        ({"a": [1, {"b c": object()}]}, r"\$\.a\[1\]\['b c'\]"),
        ({"a": (b"x", {1: object()})}, r"\$\.a\[1\]\.get\(1\)"),
        ([[1j]], r"\$\[0\]\[0\]"),
        (dt.timedelta(1), "timedelta"),
        (1j, "complex"),
        ({(1, 2): 3}, r"dict key"),
    ],
    ids=lambda v: None if isinstance(v, str) else type(v).__name__,
)
def test_what_has_no_javascript_form(same, value, path):
    with pytest.raises(jsrt.ConversionError, match=path) as caught:
        same(value)
    assert isinstance(caught.value, TypeError)


def test_a_bad_second_argument_is_named(js):
    with pytest.raises(jsrt.ConversionError, match="argument 2"):
        js.call("id", [1, [object()]])


def test_cycles_and_depth(same):
    cycle = {"a": [1, 2, {"b": None}]}
    cycle["a"][2]["b"] = cycle
    with pytest.raises(jsrt.ConversionError, match=r"\$\.a\[2\]\.b: a cycle"):
        same(cycle)
    wire = [b"x", None]
    wire[1] = wire
    with pytest.raises(jsrt.ConversionError, match=r"\$\[1\]: a cycle"):
        same(wire)
    deep = []
    for _ in range(999):
        deep = [deep]
    back = same(deep)
    for _ in range(999):
        (back,) = back
    assert back == []
    with pytest.raises(jsrt.ConversionError, match="1000 deep"):
        same([deep])
    very = []
    for _ in range(200_000):
        very = [very]
    with pytest.raises(jsrt.ConversionError, match="1000 deep"):
        same(very)


def test_a_container_that_changes_meanwhile(same):
    class Sly(collections.abc.Mapping):
        def __getitem__(self, key):
            victim.append(1)
            return 1

        def __iter__(self):
            return iter(["a"])

        def __len__(self):
            return 1

    victim = [0, Sly(), 2, 3]
    with pytest.raises(RuntimeError, match="changed"):
        same(victim)


# ---- JavaScript -> Python -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("undefined", None),
        ("null", None),
        ("1 / 0", math.inf),
        ("3.0", 3),
        ("2 ** 53", 2**53),
        ("1e21", 1e21),
        ("0.1", 0.1),
        ("123n ** 20n", 123**20),
        ("-5n", -5),
        ("'\\ud800'", "\ud800"),
        ("'\\ud83d\\ude00'", "😀"),
        ("[1, , 3, undefined]", [1, None, 3, None]),
        ("const a = [1]; a.extra = 2; a", [1]),
        ("const a = []; a[5] = 1; a", [None] * 5 + [1]),
        ("({a: undefined, 1: 'x', b: {c: [{}]}})", {"1": "x", "a": None, "b": {"c": [{}]}}),
        ("Object.create(null)", {}),
        ("class A { constructor() { this.x = 1 } }; [new A]", [{"x": 1}]),
        ("new Map([['a', 1], [2, [3]]])", {"a": 1, 2: [3]}),
        ("new Set([1, 'a', null])", {1, "a", None}),
        ("new Date(0)", dt.datetime(1970, 1, 1, tzinfo=UTC)),
        ("new Date(-1)", dt.datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)),
        ("new Date(NaN)", None),
        ("new Uint8Array([1, 2, 3])", b"\1\2\3"),
        ("new Uint8Array([1, 2, 3]).subarray(1, 2)", b"\2"),
        ("new Uint16Array([258])", b"\2\1"),
        ("new DataView(new ArrayBuffer(2))", b"\0\0"),
        ("new ArrayBuffer(3)", b"\0\0\0"),
        (
            "const b = new ArrayBuffer(4); [b, new Uint8Array(b), new Uint8Array(b, 1, 2)]",
            [b"\0" * 4, b"\0" * 4, b"\0" * 2],
        ),
        ("/a+\\/b/gi", "a+\\/b"),
        ("[Object('s'), Object(1.5), Object(true), Object(2n)]", ["s", 1.5, True, 2]),
        ("Promise.resolve([1])", [1]),
    ],
)
def test_out_of_javascript(js, source, expected):
    value = js.evaluate(source)
    assert value == expected
    assert type(value) is type(expected)


def test_minus_zero_and_nan(js, same):
    for value in (js.evaluate("-0"), same(-0.0), same([-0.0])[0]):
        assert isinstance(value, float)
        assert math.copysign(1, value) == -1
    assert math.isnan(same(math.nan))
    assert math.isnan(same([math.nan])[0])


def test_error_objects_are_dicts(js):
    value = js.evaluate("[new RangeError('r', {cause: {a: 1}}), new Error('e')]")
    assert (value[0]["name"], value[0]["message"]) == ("RangeError", "r")
    assert value[0]["cause"] == {"a": 1}
    assert value[0]["stack"].startswith("RangeError: r\n")
    assert value[1]["name"] == "Error"


def test_shared_objects_stay_shared(js):
    value = js.evaluate("const o = {a: []}; ({one: o, two: [o, o.a]})")
    assert value["one"] is value["two"][0]
    assert value["one"]["a"] is value["two"][1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("[1, {a: () => 1}]", r"function.*\[1\]\.a"),
        ("[Symbol('s')]", "symbol"),
        ("[new Proxy({}, {})]", "Proxy"),
        ("[new WeakMap()]", "weak collection"),
        ("const a = {}; a.b = [a]; a", r"\$\.b\[0\]: a cycle"),
        ("new Map([[[1], 2]])", "Map"),
        ("new Set([[1]])", "Set"),
        ("[new Date(1e15)]", r"\$\[0\].*year"),
        ("new Date(-1e15)", "year"),
        ("let z = []; for (let i = 0; i < 1500; i++) z = [z]; z", "1000 deep"),
    ],
)
def test_what_has_no_python_form(js, source, message):
    with pytest.raises(jsrt.ConversionError, match=message):
        js.evaluate(source)
    assert js.evaluate("1 + 1") == 2


def test_a_throwing_getter(js):
    with pytest.raises(jsrt.JSError, match="from a getter"):
        js.evaluate("({get a() { throw new Error('from a getter') }})")


def test_big_values(same):
    text = "x" * (8 << 20)
    assert same(text) == text
    wide = "€" * (2 << 20)
    assert same(wide) == wide
    data = bytes(range(256)) * (16 << 10)
    assert same(data) == data
    assert same([data]) == [data]
    rows = [{"id": n, "name": f"row {n}", "ok": n % 2 == 0, "v": n / 3} for n in range(20_000)]
    assert same(rows) == rows


def test_many_arguments(js):
    js.compile("const count = (...args) => args.length")
    assert js.call("count", list(range(65_535))) == 65_535
    assert js.function("count")(*range(7)) == 7
    with pytest.raises(jsrt.ConversionError, match="too many arguments"):
        js.call("count", [0] * 65_536)


# ---- Round trips ------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-16", exclude_categories=[]), max_size=40).map(
    # A high surrogate before a low one is one character in JavaScript, so it is in Python too.
    lambda s: s.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | text
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(text, inner, max_size=6),
    max_leaves=40,
)
rich_scalars = (
    scalars
    | st.binary(max_size=64)
    | st.datetimes(min_value=dt.datetime(1, 1, 2), timezones=st.just(UTC)).map(
        lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000)
    )
)
keys = st.text(max_size=8) | st.integers(-(2**60), 2**60)
rich = st.recursive(
    rich_scalars | st.sets(st.integers() | st.text(max_size=5), max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)
fast = settings(
    deadline=None,
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fast
@given(value=plain)
def test_plain_round_trip(same, value):
    assert same(value) == value
    assert same([value, {"k": value}]) == [value, {"k": value}]


@fast
@given(value=rich)
def test_rich_round_trip(same, value):
    assert same(value) == value
    assert same([value, b""]) == [value, b""]


@fast
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        lambda inner: st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=9), inner, max_size=5
        ),
        max_leaves=30,
    )
)
def test_javascript_sees_what_json_says(js, value):
    def number(digits: str) -> int | float:
        # JavaScript writes large doubles without an exponent.
        return int(digits) if abs(int(digits)) <= 2**53 else float(digits)

    assert json.loads(js.call("text", [[value]]), parse_int=number) == [value]


@fast
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
@example(
    values=[5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1 / 3, 1e22, 1e-7, -0.0]
)
@example(values=[1e15, 1e16, 123456789012345680.0, 2.0**53, 2.0**63, 1e21, 4.35, 9.5e-5])
def test_floats_in_containers_are_the_same_numbers(same, values):
    result = same(values)
    assert result == values
    assert [math.copysign(1, x) for x in result] == [math.copysign(1, x) for x in values]
