# SPDX-License-Identifier: MIT
"""Odd uses in calls: arguments, names, callbacks. One function each."""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

from engines import HEAP_MB, Engine, Ours
from use import CONVERSION, define_id, nested, use

DEEP = 100_000


# ---- Arguments -----------------------------------------------------------------------------------


@use("argument", CONVERSION)
def deep_list(engine: Engine) -> Any:
    """list nested 100,000 deep as an argument"""
    define_id(engine)
    engine.call("id", [nested(DEEP)])


@use("argument", CONVERSION)
def deep_dict(engine: Engine) -> Any:
    """dict nested 100,000 deep as an argument"""
    define_id(engine)
    value: dict[str, Any] = {}
    for _ in range(DEEP):
        value = {"a": value}
    engine.call("id", [value])


@use("argument", CONVERSION)
def cyclic_list(engine: Engine) -> Any:
    """cyclic list as an argument"""
    define_id(engine)
    value: list[Any] = [1]
    value.append(value)
    engine.call("id", [value])


@use("argument", CONVERSION)
def cyclic_dict(engine: Engine) -> Any:
    """cyclic dict as an argument"""
    define_id(engine)
    value: dict[str, Any] = {}
    value["a"] = {"b": [value]}
    engine.call("id", [value])


@use("argument", "= 'a\\ud800b'")
def surrogate_argument(engine: Engine) -> Any:
    """lone surrogate as an argument"""
    define_id(engine)
    return engine.call("id", ["a\ud800b"])


@use("argument", "= True")
def huge_int(engine: Engine) -> Any:
    """int of 10,000 digits as an argument"""
    define_id(engine)
    return engine.call("id", [10**10_000]) == 10**10_000


@use("argument", CONVERSION, heavy=True, alone=True)
def beyond_bigint(engine: Engine) -> Any:
    """int of 2**30 bits and more as an argument"""
    define_id(engine)
    engine.call("id", [1 << ((1 << 30) + 64)])


@use("argument", "= {nan: 1}")
def nan_key(engine: Engine) -> Any:
    """dict with NaN for a key"""
    define_id(engine)
    return engine.call("id", [{float("nan"): 1}])


@use("argument", "= {1}")
def set_argument(engine: Engine) -> Any:
    """set as an argument"""
    define_id(engine)
    return engine.call("id", [{1}])


@use("argument", "= 6")
def generator_argument(engine: Engine) -> Any:
    """generator as an argument"""
    engine.define("function sum(g) { let s = 0; for (const x of g) s += x; return s }")
    return engine.call("sum", [(n for n in range(4))])


@use("argument", "Timeout")
def endless_generator(engine: Engine) -> Any:
    """generator without end as an argument"""

    def endless() -> Any:
        while True:
            yield 1

    engine.define("function sum(g) { let s = 0; for (const x of g) s += x; return s }")
    return engine.call("sum", [endless()])


@use("argument", "= b'\\x00\\xff'")
def bytes_argument(engine: Engine) -> Any:
    """bytes as an argument"""
    define_id(engine)
    return engine.call("id", [b"\x00\xff"])


@use("argument", "MemoryError")
def huge_bytes(engine: Engine) -> Any:
    """bytes of twice the heap limit as an argument"""
    define_id(engine)
    return len(engine.call("id", [bytes(2 * HEAP_MB << 20)]))


@use("argument", "= ['t', 7, {'a': 1}]")
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


@use("argument", "KeyError")
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


@use("argument", CONVERSION)
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


@use("argument", f"= 'alive' | RuntimeError | {CONVERSION}")
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


@use("argument", f"= 'alive' | RuntimeError | {CONVERSION}")
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


@use("argument", "BufferError")
def resized_bytearray(engine: Engine) -> Any:
    """bytearray resized while the call runs"""
    data = bytearray(1000)
    engine.expose("grow", lambda: data.extend(bytes(1 << 20)))
    engine.define("function f(b) { grow(); return b.length }")
    return engine.call("f", [data])


@use("argument", CONVERSION)
def not_convertible(engine: Engine) -> Any:
    """object() as an argument"""
    define_id(engine)
    engine.call("id", [[{"a": object()}]])


@use("argument", "MemoryError")
def hoarded_bytearrays(engine: Engine) -> Any:
    """every bytearray kept that it was ever given"""
    engine.define("let kept = []; function keep(b) { kept.push(b); return kept.length }")
    for _ in range(2 * HEAP_MB):
        engine.call("keep", [bytearray(1 << 20)])


@use("argument", "BufferError")
def kept_bytearray(engine: Engine) -> Any:
    """bytearray resized after a call that kept it"""
    data = bytearray(1000)
    engine.define("let kept; function keep(b) { kept = b }")
    engine.call("keep", [data])
    data.clear()


@use("argument", "ValueError")
def released_view(engine: Engine) -> Any:
    """released memoryview as an argument"""
    define_id(engine)
    view = memoryview(b"abc")
    view.release()
    engine.call("id", [view])


@use("argument", CONVERSION)
def many_arguments(engine: Engine) -> Any:
    """100,000 arguments"""
    engine.define("function count() { return arguments.length }")
    return engine.call("count", [0] * 100_000)


@use("argument", CONVERSION, heavy=True, alone=True)
def million_arguments(engine: Engine) -> Any:
    """10,000,000 arguments"""
    engine.define("function count() { return arguments.length }")
    engine.call("count", [0] * 10_000_000)


@use("argument", CONVERSION, heavy=True, alone=True)
def half_gigabyte(engine: Engine) -> Any:
    """512 MB str as an argument"""
    define_id(engine)
    engine.call("id", ["x" * (512 << 20)])


@use("argument", CONVERSION, heavy=True, alone=True)
def half_gigabyte_source(engine: Engine) -> Any:
    """512 MB str as the source"""
    engine.eval("/*" + "x" * (512 << 20) + "*/")


@use("argument", f"= {HEAP_MB << 20}")
def text_of_twice_the_limit(engine: Engine) -> Any:
    """str of twice the heap limit as an argument"""
    engine.define("function length(x) { return x.length }")
    return engine.call("length", ["\u20ac" * (HEAP_MB << 20)])


@use("argument", "HeapLimit", heavy=True)
def list_of_twice_the_limit(engine: Engine) -> Any:
    """list that fills the heap twice, as an argument"""
    engine.define("function length(x) { return x.length }")
    engine.call("length", [[[n] for n in range(3_000_000)]])


# ---- Names ---------------------------------------------------------------------------------------


@use("name", "JSError ReferenceError")
def code_as_name(engine: Engine) -> Any:
    """source text as the name of a function"""
    engine.call("(function () { globalThis.pwned = 1 })", [])
    return f"ran: {engine.eval('typeof pwned')}"


@use("name", "= 6")
def odd_names(engine: Engine) -> Any:
    """names: empty, dots, dunder, NUL, 1 MB"""
    refused = 0
    for name in ("", ".", "a..b", "__proto__.constructor", "a\0b", "x" * (1 << 20), "\ud800"):
        try:
            engine.call(name, [])
        except Exception:
            refused += 1
    return refused


@use("name", "= <jsrt.JSFunction>")
def prototype_name(engine: Engine) -> Any:
    """constructor.constructor as a name"""
    return engine.call("constructor.constructor", ["return 7"])


# ---- Callbacks -----------------------------------------------------------------------------------


@use("callback", "ZeroDivisionError")
def callback_raises(engine: Engine) -> Any:
    """callback raises ZeroDivisionError"""
    engine.expose("f", lambda: 1 // 0)
    engine.eval("f()")


@use("callback", "= 7")
def callback_caught(engine: Engine) -> Any:
    """callback's exception caught by JavaScript"""
    engine.expose("f", lambda: 1 // 0)
    return engine.eval("let got = 0; try { f() } catch (e) { got = 7 } got")


@use("callback", "KeyboardInterrupt")
def callback_interrupt(engine: Engine) -> Any:
    """callback raises KeyboardInterrupt, JavaScript catches all"""

    def f() -> None:
        raise KeyboardInterrupt

    engine.expose("f", f)
    engine.eval("for (;;) { try { f() } catch {} finally { continue } }")


@use("callback", "SystemExit")
def callback_exits(engine: Engine) -> Any:
    """callback raises SystemExit, JavaScript catches all"""
    engine.expose("f", lambda: sys.exit(3))
    engine.eval("for (;;) { try { f() } catch {} finally { continue } }")


@use("callback", "RuntimeError")
def callback_closes(engine: Engine) -> Any:
    """callback closes the context"""
    engine.expose("f", engine.owner.close if isinstance(engine, Ours) else engine.close)
    engine.eval("f(); 7")


@use("callback", "= 7")
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


@use("callback", "= 7")
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


@use("callback", "RecursionError | JSError RangeError")
def mutual_recursion(engine: Engine) -> Any:
    """JavaScript and Python call each other, 10,000 deep"""

    def down(n: int) -> Any:
        return engine.call("js", [n])

    engine.expose("down", down)
    engine.define("function js(n) { return n <= 0 ? 'bottom' : down(n - 1) }")
    return engine.call("js", [10_000])


@use("callback", "JSError RangeError | RecursionError", alone=True)
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


@use("callback", "= True")
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


@use("callback", "Timeout")
def callback_slow(engine: Engine) -> Any:
    """callback outlasts the timeout"""
    engine.expose("f", lambda: time.sleep(0.6))
    engine.eval("f(); for (;;) {}")


@use("callback", "= 2000")
def callback_collects(engine: Engine) -> Any:
    """callback collects garbage, 1,000 times"""
    engine.expose("f", lambda x: gc.collect(0) * 0 + len(x))
    return engine.eval("let s = 0; for (let i = 0; i < 1000; i++) s += f([{}, i]); s")


@use("callback", "= 7")
def callback_returns_odd(engine: Engine) -> Any:
    """callback returns what cannot be converted"""
    engine.expose("f", lambda: [nested(DEEP)])
    return engine.eval("let got; try { f() } catch (e) { got = 7 } got")


@use("callback", "HeapLimit")
def callback_bomb(engine: Engine) -> Any:
    """heap bomb around callbacks"""
    engine.expose("f", lambda n: [n] * 1000)
    engine.eval("const kept = []; for (let i = 0;; i++) kept.push(f(i))")


@use("callback", "= {'a': 7}")
def callback_in_getter(engine: Engine) -> Any:
    """callback in a getter of the result"""
    engine.expose("f", lambda: 7)
    return engine.eval("({get a() { return f() }})")


@use("callback", "Odd")
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


@use("callback", "= 1")
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


@use("callback", "MemoryError")
def exposed_class(engine: Engine) -> Any:
    """class with a hostile __call__ exposed"""

    class Callable_:
        def __call__(self, *args: Any) -> Any:
            raise MemoryError

        def __getattr__(self, name: str) -> Any:
            raise MemoryError

    engine.expose("f", Callable_())  # type: ignore[arg-type]
    engine.eval("f(1)")
