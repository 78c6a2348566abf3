# SPDX-License-Identifier: MIT
"""jsrt.proxy: JavaScript reads of a Python object what it looks at."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import gc
import logging
import threading
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

import jsrt
from jsrt import _jsrt


def run(ctx: jsrt.Context, value: Any, code: str, writable: bool = False) -> Any:
    """The value of an expression over p, the view of a value."""
    return ctx.eval(f"(p => {code})", convert=False)(jsrt.proxy(value, writable=writable))


class Lazy(Mapping[str, int]):
    """A mapping that counts how often it is read."""

    def __init__(self, **items: int) -> None:
        self.items_ = items
        self.reads: list[str] = []

    def __getitem__(self, key: str) -> int:
        self.reads.append(key)
        return self.items_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    _secret: str = "no"
    z: ClassVar[int] = 7

    @property
    def sum(self) -> float:
        return self.x + self.y

    def method(self) -> int:
        return 1


class Slotted:
    __slots__ = ("_hidden", "a", "never")

    def __init__(self) -> None:
        self.a = 1
        self._hidden = 2


class Color(enum.Enum):
    RED = "red"


PEOPLE = {
    "name": "Ann",
    "tags": ["a", "b", "c"],
    "home": {"city": "Bern", "zip": 3000},
    "none": None,
    "pair": (1, 2),
    "é\u20ac": 1.5,
}


class TestReading:
    @pytest.mark.parametrize(
        ("code", "result"),
        [
            ("p.name", "Ann"),
            ("p.home.city", "Bern"),
            ("p.tags[1]", "b"),
            ("p.pair[1]", 2),
            ("p['é\u20ac']", 1.5),
            ("p.none", None),
            ("[p.missing === undefined, 'missing' in p, 'name' in p]", [True, False, True]),
            ("Object.keys(p)", list(PEOPLE)),
            ("Object.entries(p.home)", [["city", "Bern"], ["zip", 3000]]),
            ("({...p.home})", PEOPLE["home"]),
            ("[...p.tags, ...p.pair]", ["a", "b", "c", 1, 2]),
            ("{ const s = []; for (const t of p.tags) s.push(t); return s }", ["a", "b", "c"]),
            ("{ const s = []; for (const k in p.home) s.push(k); return s }", ["city", "zip"]),
            ("p.tags.length", 3),
            ("p.tags.map(t => t + t).join()", "aa,bb,cc"),
            ("p.tags.slice(1)", ["b", "c"]),
            ("p.tags.concat(['d'])", ["a", "b", "c", "d"]),
            ("[p.tags.includes('b'), p.tags.indexOf('c'), p.tags.at(-1)]", [True, 2, "c"]),
            ("Array.isArray(p.tags) && Array.isArray(p.pair) && !Array.isArray(p)", True),
            ("p.tags.filter(t => t > 'a').reduce((a, b) => a + b)", "bc"),
            ("JSON.parse(JSON.stringify(p))", {**PEOPLE, "pair": [1, 2]}),
            ("(({name, home: {city}, tags: [t]}) => [name, city, t])(p)", ["Ann", "Bern", "a"]),
            ("p.hasOwnProperty('name') && !Object.hasOwn(p, 'x')", True),
            ("String(p) + p.tags", "[object Object]a,b,c"),
            ("p.tags === p.tags && p.home === p.home", True),
            ("[p.tags[3], p.tags[-1], p.tags['01'], 3 in p.tags, 0 in p.tags].map(String)",
             ["undefined", "undefined", "undefined", "false", "true"]),
            ("Object.getOwnPropertyNames(p.tags)", ["0", "1", "2", "length"]),
            ("Reflect.ownKeys(p.pair)", ["0", "1", "length"]),
            ("structuredClone === undefined", False),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("ctx", ["bare", "web"], indirect=True)
    def test_expressions(self, ctx: jsrt.Context, code: str, result: Any) -> None:
        if "structuredClone" in code and ctx.profile == "bare":
            pytest.skip("not part of ECMAScript")
        assert run(ctx, PEOPLE, code) == result

    def test_only_what_is_touched(self, ctx: jsrt.Context) -> None:
        lazy = Lazy(a=1, b=2, c=3)
        assert run(ctx, lazy, "p.b + ('c' in p ? 1 : 0)") == 3
        assert lazy.reads == ["b", "c"]
        assert run(ctx, {"deep": [lazy], "not": lazy}, "p.deep[0].a") == 1
        assert lazy.reads == ["b", "c", "a"]

    def test_it_is_live(self, ctx: jsrt.Context) -> None:
        data: dict[str, Any] = {"list": [1]}
        look = ctx.eval("let p; const set = v => { p = v }; () => p.list.length", convert=False)
        ctx.call("set", [jsrt.proxy(data)])
        assert look() == 1
        data["list"].append(2)
        assert look() == 2
        data["list"] = [1, 2, 3]
        assert look() == 3

    def test_values_are_converted_as_ever(self, ctx: jsrt.Context) -> None:
        when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
        data = {
            "when": when,
            "price": decimal.Decimal("1.50"),
            "color": Color.RED,
            "raw": b"\x00\xff",
            "set": {1, 2},
            "big": 2**70,
            "flag": True,
        }
        for key in ("when", "raw", "big", "flag"):
            assert run(ctx, data, f"p.{key}") == data[key]
        assert run(ctx, data, "p.price + p.color") == "1.50red"
        assert run(ctx, data, "p.set instanceof Set && p.set.size") == 2

    def test_int_keys(self, ctx: jsrt.Context) -> None:
        data = {1: "one", -2: "minus two", "1": "text", 10**30: "out of reach", (1, 2): "pair"}
        assert run(ctx, data, "[p[1], p[-2], Object.keys(p)]") == [
            "text", "minus two", ["-2", "1"],
        ]  # fmt: skip
        assert run(ctx, {5: "five"}, "[p[5], p['05'], 5 in p, JSON.stringify(p)]") == [
            "five", None, True, '{"5":"five"}',
        ]  # fmt: skip

    def test_names_that_javascript_has_too(self, ctx: jsrt.Context) -> None:
        data = {"constructor": 1, "__proto__": 2, "toString": 3, "length": 4, "then": None}
        assert run(ctx, data, "[p.constructor, p['__proto__'], p.toString, p.length, p.then]") == [
            1, 2, 3, 4, None,
        ]  # fmt: skip
        assert run(ctx, {}, "typeof p.toString + (Object.getPrototypeOf(p) === Object.prototype)")
        assert run(ctx, {}, "p.then === undefined && !('then' in p)") is True

    def test_attributes(self, ctx: jsrt.Context) -> None:
        point = Point(1)
        assert run(ctx, point, "[p.x, p.y, p.sum, p.z, Object.keys(p)]") == [
            1, 0.5, 1.5, 7, ["x", "y"],
        ]  # fmt: skip
        assert run(ctx, [Slotted()], "[p[0].a, Object.keys(p[0]), p[0].never === undefined]") == [
            1, ["a"], True,
        ]  # fmt: skip
        assert run(ctx, point, "JSON.stringify(p)") == '{"x":1,"y":0.5}'

    def test_a_defaultdict_makes_nothing(self, ctx: jsrt.Context) -> None:
        data: Any = collections.defaultdict(list)
        assert run(ctx, data, "p.missing === undefined") is True
        assert data == {}

    def test_awaiting_one(self, ctx: jsrt.Context) -> None:
        data = {"a": 1}
        assert ctx.eval("(async p => await p)", convert=False)(jsrt.proxy(data)) is data

    def test_in_containers_and_exposed(self, ctx: jsrt.Context) -> None:
        data = {"a": [1]}
        f = ctx.eval("(x => x.one.a[0] + x.two[0].a[0])", convert=False)
        assert f({"one": jsrt.proxy(data), "two": [jsrt.proxy(data)]}) == 2
        ctx.expose("settings", jsrt.proxy(data))
        assert ctx.eval("settings.a[0]") == 1
        ctx.expose("get", lambda: jsrt.proxy(data))
        assert ctx.eval("get() === settings") is True


class TestBack:
    def test_the_object_itself(self, ctx: jsrt.Context) -> None:
        data = {"list": [{"deep": 1}], "point": Point(1)}
        assert run(ctx, data, "p") is data
        assert run(ctx, data, "p.list") is data["list"]
        assert run(ctx, data, "p.list[0]") is data["list"][0]  # type: ignore[index]
        assert run(ctx, data, "p.point") is data["point"]
        seen: list[Any] = []
        ctx.expose("give", seen.append)
        run(ctx, data, "{ give(p.point); give(p) }")
        assert seen[0] is data["point"]
        assert seen[1] is data

    def test_inside_of_a_result_it_has_no_form(self, ctx: jsrt.Context) -> None:
        with pytest.raises(jsrt.ConversionError, match=r"a Proxy at result\.x"):
            run(ctx, {"a": [1]}, "({x: p.a})")

    def test_a_proxy_of_it_is_another(self, ctx: jsrt.Context) -> None:
        assert isinstance(run(ctx, {}, "new Proxy(p, {})"), jsrt.JSObject)
        assert run(ctx, {"a": 1}, "new Proxy(p, {}).a") == 1

    def test_identity_and_kinds(self, ctx: jsrt.Context) -> None:
        data: dict[str, Any] = {}
        same = ctx.eval("((a, b) => a === b)", convert=False)
        assert same(jsrt.proxy(data), jsrt.proxy(data)) is True
        assert same(jsrt.proxy(data), jsrt.proxy(data, writable=True)) is False
        assert same(jsrt.proxy(data), jsrt.proxy({})) is False


class TestWriting:
    @pytest.mark.parametrize(
        "code",
        [
            "p.a = 1",
            "p.list[0] = 1",
            "p.list.push(1)",
            "p.list.length = 0",
            "delete p.a",
            "Object.defineProperty(p, 'a', {value: 1})",
            "Object.assign(p, {b: 1})",
            "Object.setPrototypeOf(p, null)",
            "p.__proto__ = {}",
            "Object.freeze(p)",
            "p[Symbol('s')] = 1",
            "p.list.sort()",
        ],
    )
    def test_refused(self, ctx: jsrt.Context, code: str) -> None:
        data = {"a": 0, "list": [2, 1]}
        with pytest.raises(jsrt.JSError, match="cannot be written to") as caught:
            run(ctx, data, code)
        assert caught.value.name == "TypeError"
        assert data == {"a": 0, "list": [2, 1]}

    @pytest.mark.parametrize(
        ("code", "after"),
        [
            ("p.a = {b: [1]}", {"a": {"b": [1]}, "list": [3, 1, 2], 5: "x"}),
            ("p.new = 'n'", {"a": 0, "list": [3, 1, 2], 5: "x", "new": "n"}),
            ("delete p.a && delete p.none", {"list": [3, 1, 2], 5: "x"}),
            ("p[5] = 'y'", {"a": 0, "list": [3, 1, 2], 5: "y"}),
            ("p.list.push(4, 5)", {"a": 0, "list": [3, 1, 2, 4, 5], 5: "x"}),
            ("p.list.pop()", {"a": 0, "list": [3, 1], 5: "x"}),
            ("p.list.shift()", {"a": 0, "list": [1, 2], 5: "x"}),
            ("p.list.unshift(9)", {"a": 0, "list": [9, 3, 1, 2], 5: "x"}),
            ("p.list.splice(1, 1)", {"a": 0, "list": [3, 2], 5: "x"}),
            ("p.list.splice(1, 0, 7, 8)", {"a": 0, "list": [3, 7, 8, 1, 2], 5: "x"}),
            ("p.list.sort()", {"a": 0, "list": [1, 2, 3], 5: "x"}),
            ("p.list.reverse()", {"a": 0, "list": [2, 1, 3], 5: "x"}),
            ("p.list[4] = 'e'", {"a": 0, "list": [3, 1, 2, None, "e"], 5: "x"}),
            ("p.list.fill(0)", {"a": 0, "list": [0, 0, 0], 5: "x"}),
            ("p.list.length = 1", {"a": 0, "list": [3], 5: "x"}),
            ("Object.assign(p, {a: 1, b: 2})", {"a": 1, "list": [3, 1, 2], 5: "x", "b": 2}),
            ("Object.defineProperty(p, 'a', {value: 1})", {"a": 1, "list": [3, 1, 2], 5: "x"}),
        ],
    )
    def test_done(self, ctx: jsrt.Context, code: str, after: Any) -> None:
        data = {"a": 0, "list": [3, 1, 2], 5: "x"}
        run(ctx, data, f"{{ 'use strict'; {code} }}", writable=True)
        assert data == after

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("p.list[20000] = 1", IndexError),
            ("p.list.length = 9", TypeError),
            ("p.list.x = 1", IndexError),
            ("p.pair[0] = 1", TypeError),
            ("p.point._secret = 1", TypeError),
            ("p.point.__class__ = 1", TypeError),
            ("p.point.method = 1", TypeError),
            ("p.point.sum = 1", AttributeError),
        ],
    )
    def test_impossible(self, ctx: jsrt.Context, code: str, error: type[Exception]) -> None:
        data = {"list": [1], "pair": (1, 2), "point": Point(1)}
        with pytest.raises(error):
            run(ctx, data, code, writable=True)
        assert data == {"list": [1], "pair": (1, 2), "point": Point(1)}

    def test_attributes(self, ctx: jsrt.Context) -> None:
        point = Point(1)
        run(ctx, point, "{ p.x = 5; p.extra = 'e' }", writable=True)
        assert (point.x, point.extra) == (5, "e")  # type: ignore[attr-defined]
        run(ctx, point, "delete p.extra", writable=True)
        assert not hasattr(point, "extra")

    def test_views_written_are_the_objects(self, ctx: jsrt.Context) -> None:
        data: dict[str, Any] = {"a": [1]}
        run(ctx, data, "p.b = p.a", writable=True)
        assert data["b"] is data["a"]


class TestErrors:
    def test_python_s_exception_crosses(self, ctx: jsrt.Context) -> None:
        class Broken:
            @property
            def fails(self) -> int:
                raise LookupError("from a property")

        with pytest.raises(LookupError, match="from a property"):
            run(ctx, Broken(), "p.fails")
        assert run(ctx, Broken(), "{ try { p.fails } catch (e) { return e.message } }") == (
            "from a property"
        )

    def test_unconvertible_values(self, ctx: jsrt.Context) -> None:
        with pytest.raises(jsrt.ConversionError):
            run(ctx, {"lock": threading.Lock()}, "p.lock")

    def test_what_has_no_view(self) -> None:
        for value in (1, "text", None, {1, 2}, print, int, gc, iter([]), Color.RED):
            with pytest.raises(TypeError, match="there is a proxy of"):
                jsrt.proxy(value)

    def test_a_property_may_call_javascript(self, ctx: jsrt.Context) -> None:
        class Nested:
            @property
            def value(self) -> int:
                return ctx.eval("40 + 2")

        assert run(ctx, Nested(), "p.value") == 42

    def test_endless_nesting_ends(self, ctx: jsrt.Context) -> None:
        class Endless:
            @property
            def next(self) -> Any:
                return run(ctx, self, "p.next")

        with pytest.raises((RecursionError, jsrt.JSError)):
            run(ctx, Endless(), "p.next")

    def test_a_cycle_is_no_problem_until_it_is_written(self, ctx: jsrt.Context) -> None:
        data: dict[str, Any] = {}
        data["self"] = data
        assert run(ctx, data, "p.self.self === p") is True
        with pytest.raises(jsrt.JSError, match="circular"):
            run(ctx, data, "JSON.stringify(p)")

    def test_timeouts_hold(self) -> None:
        with (
            jsrt.Context(profile="bare", timeout=0.2) as ctx,
            pytest.raises(jsrt.Timeout),
        ):
            run(ctx, {"a": 1}, "{ for (;;) p.a }")


class TestSecurity:
    """A view leads to data: nothing that can be called, nothing private, no frames."""

    @pytest.mark.parametrize(
        "code",
        [
            "p.function",
            "p.point.method",
            "p.class",
            "p.module",
            "p.generator",
            "p.logger.error",
            "p.logger.__init__",
            "p.logger.__class__",
            "p.logger._cache",
            "p.point.__dict__",
            "p.point.__init__",
            "p.error.with_traceback",
            "p.error.__traceback__",
            "p.list.append",
            "p.list.__class__",
            "p.keys",
            "p.get",
            "p.partial",
        ],
    )
    def test_is_undefined(self, ctx: jsrt.Context, code: str) -> None:
        class Failure(Exception):
            pass

        data = {
            "function": print,
            "class": Point,
            "module": logging,
            "generator": (n for n in range(3)),
            "logger": logging.getLogger("x"),
            "point": Point(1),
            "error": Failure("text"),
            "list": [1],
            "partial": __import__("functools").partial(print, 1),
        }
        assert run(ctx, data, f"String({code})") == "undefined"

    def test_frames_and_code(self, ctx: jsrt.Context) -> None:
        async def coroutine() -> None:
            pass

        waiting = coroutine()
        try:
            raise ValueError
        except ValueError as error:
            trace = error.__traceback__
        assert trace is not None
        for value in (trace, trace.tb_frame, trace.tb_frame.f_code):
            with pytest.raises(jsrt.ConversionError):
                run(ctx, {"x": value}, "p.x")
        assert run(ctx, {"x": waiting}, "p.x === undefined") is True
        waiting.close()

    def test_contexts_do_not_open_others(self, ctx: jsrt.Context) -> None:
        with pytest.raises(jsrt.ConversionError):
            run(ctx, {"x": ctx}, "p.x")

    def test_callables_inside_of_sets(self, ctx: jsrt.Context) -> None:
        with pytest.raises(jsrt.ConversionError):
            run(ctx, {"x": {print}}, "p.x")

    def test_mocks_of_everything_are_callable(self, ctx: jsrt.Context) -> None:
        class Anything:
            def __getattr__(self, name: str) -> Any:
                return getattr(__import__("os"), name)

        assert run(ctx, Anything(), "String(p.system)") == "undefined"

    def test_the_target_is_out_of_reach(self, ctx: jsrt.Context) -> None:
        code = "[Object.getOwnPropertySymbols(p).length, Object.isExtensible(p)]"
        assert run(ctx, {"a": 1}, code) == [0, True]

    def test_tampering_with_intrinsics(self, ctx: jsrt.Context) -> None:
        ctx.eval(
            "const stolen = []; const steal = t => { stolen.push(t) };"
            "Reflect.get = steal; Reflect.has = steal; globalThis.String = steal;"
            "globalThis.Proxy = steal; globalThis.TypeError = steal;"
            "Object.defineProperty(Object.prototype, 'get', {get() { steal(this) }});"
        )
        assert run(ctx, {"a": [1]}, "[p.a[0], p.toString === undefined, 'b' in p]") == [
            1, False, False,
        ]  # fmt: skip
        assert ctx.eval("stolen.length") == 0

    def test_realms_have_their_own(self) -> None:
        data = {"a": [1]}
        with jsrt.Context(profile="bare") as parent, parent.realm() as one, parent.realm() as two:
            views = [run(each, data, "Object.getPrototypeOf(p) === Object.prototype")
                     for each in (one, two)]  # fmt: skip
            assert views == [True, True]
            assert run(one, data, "p") is run(two, data, "p") is data


class TestLife:
    def test_released_when_collected(self, ctx: jsrt.Context) -> None:
        class Data(dict[str, Any]):
            pass

        data = Data(inner=Data())
        gone = [weakref.ref(data), weakref.ref(data["inner"])]
        assert run(ctx, data, "p.inner === p.inner") is True
        ctx.eval("globalThis.kept = null")
        del data
        for _ in range(3):
            ctx.collect()
            ctx.eval("0")
        gc.collect()
        assert [each() for each in gone] == [None, None]

    def test_held_as_long_as_javascript_does_and_released_at_close(self) -> None:
        class Data(dict[str, Any]):
            pass

        data = Data(a=Data(b=1))
        gone = weakref.ref(data["a"])
        with jsrt.Context(profile="bare") as ctx:
            ctx.eval("let kept; const keep = p => { kept = p.a }")
            ctx.call("keep", [jsrt.proxy(data)])
            del data
            ctx.collect()
            gc.collect()
            assert ctx.eval("kept.b") == 1
            assert gone() is not None
        gc.collect()
        assert gone() is None

    def test_a_realm_that_closed(self) -> None:
        class Data(dict[str, Any]):
            pass

        data = Data(a=1)
        gone = weakref.ref(data)
        with jsrt.Context(profile="bare") as parent:
            with parent.realm() as realm:
                realm.eval("let kept; const keep = p => { kept = p; return p.a }")
                assert realm.call("keep", [jsrt.proxy(data)]) == 1
            del data
            parent.collect()
            assert parent.eval("1") == 1
        gc.collect()
        assert gone() is None

    def test_an_address_used_again_is_another_view(self, ctx: jsrt.Context) -> None:
        for number in range(300):
            assert run(ctx, {"n": number, "list": [number]}, "p.n + p.list[0]") == 2 * number
            if number % 50 == 0:
                ctx.collect()

    def test_from_several_threads(self) -> None:
        data = {"n": {"m": 1}}
        code = "const f = p => { let s = 0; for (let i = 0; i < 200; i++) s += p.n.m; return s }"
        results: list[int] = []
        with jsrt.JSEngine(code, workers=2, profile="bare") as engine:

            def work() -> None:
                for _ in range(20):
                    results.append(engine.call("f", [jsrt.proxy(data)]))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        assert results == [200] * 80

    def test_the_wrapper(self) -> None:
        data = {"a": 1}
        view = jsrt.proxy(data)
        assert view.object is data
        assert repr(view) == "<jsrt.proxy of a dict>"
        assert repr(jsrt.proxy([], writable=True)) == "<jsrt.proxy of a list, writable>"
        assert isinstance(types.MappingProxyType(data), types.MappingProxyType)
        assert _jsrt.proxy is jsrt.proxy
