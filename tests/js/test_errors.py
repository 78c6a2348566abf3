# SPDX-License-Identifier: MIT
"""Exceptions: what JavaScript throws, where; names; scopes; a context's own errors."""

from __future__ import annotations

import gc
import traceback
import weakref

import pytest

import jsrt

PROFILES = ["bare", "web"]
both = pytest.mark.parametrize("ctx", PROFILES, indirect=True)


@both
def test_a_thrown_error(ctx):
    ctx.compile("\nfunction outer() {\n  inner();\n}\nfunction inner() { null.x }", "lib.js")
    with pytest.raises(jsrt.JSError) as caught:
        ctx.call("outer")
    error = caught.value
    assert error.name == "TypeError"
    assert "reading 'x'" in error.message
    assert error.filename == "lib.js"
    assert error.line == 5
    assert "inner" in error.source_line
    assert "at inner (lib.js:5:" in error.stack
    assert "at outer (lib.js:3:3)" in error.stack
    lines = str(error).splitlines()
    assert lines[0] == f"TypeError: {error.message}"
    assert lines[1].strip().startswith("at inner (lib.js:5:")
    assert isinstance(error, jsrt.Error)


@both
@pytest.mark.parametrize(
    ("thrown", "value", "message"),
    [
        ("0", 0, "0"),
        ("''", "", ""),
        ("null", None, "null"),
        ("undefined", None, "undefined"),
        ("false", False, "false"),
        ("'text'", "text", "text"),
        ("{code: 7}", {"code": 7}, None),
        ("[1, 2]", [1, 2], "1,2"),
        ("12n", 12, "12"),
        ("() => 1", None, None),
    ],
)
def test_anything_can_be_thrown(ctx, thrown, value, message):
    ctx.compile(
        f"function f() {{ throw {thrown} }}"
        if thrown != "{code: 7}"
        else "function f() { throw {code: 7} }"
    )
    with pytest.raises(jsrt.JSError) as caught:
        ctx.call("f")
    assert caught.value.value == value
    assert type(caught.value.value) is type(value)
    if message is not None:
        assert caught.value.message == message


@both
def test_a_class_of_the_users_own(ctx):
    with pytest.raises(jsrt.JSError) as caught:
        ctx.evaluate("""
            class PaymentError extends Error {
                constructor(m) { super(m); this.name = 'PaymentError'; this.code = 402 }
            }
            throw new PaymentError('no money')
        """)
    assert caught.value.name == "PaymentError"
    assert caught.value.message == "no money"


@both
def test_a_rejected_promise(ctx):
    with pytest.raises(jsrt.JSError) as caught:
        ctx.evaluate("Promise.reject(new RangeError('r'))")
    assert caught.value.name == "RangeError"
    with pytest.raises(jsrt.JSError) as caught:
        ctx.evaluate("(async () => { throw 5 })()")
    assert caught.value.value == 5


@both
@pytest.mark.parametrize("method", ["compile", "eval", "evaluate"])
def test_syntax_errors(ctx, method):
    with pytest.raises(jsrt.JSSyntaxError) as caught:
        getattr(ctx, method)("let good = 1;\n  let x = ;\n", "my file.js")
    error = caught.value
    assert isinstance(error, SyntaxError)
    assert isinstance(error, jsrt.JSError)
    assert (error.name, error.line, error.column) == ("SyntaxError", 2, 10)
    assert (error.lineno, error.offset, error.text) == (2, 11, "  let x = ;")
    shown = str(error).splitlines()
    assert shown[0].startswith("SyntaxError: Unexpected token ';'")
    assert shown[1] == "    let x = ;"
    assert shown[2] == "            ^"
    assert "let x = ;" in "".join(traceback.format_exception(error))


@both
def test_code_that_failed_is_not_kept(ctx):
    ctx.compile("var a = 1")
    with pytest.raises(jsrt.JSSyntaxError):
        ctx.compile("var b = ;")
    with pytest.raises(jsrt.JSError):
        ctx.compile("throw new Error('no')")
    assert ctx.eval("a") == 1


@both
def test_scopes(ctx):
    assert ctx.eval("var v = 1; let l = 2; const c = 3; v + l + c") == 6
    assert ctx.eval("[v, l, c]") == [1, 2, 3]
    assert ctx.evaluate("var v = 10; let l = 20; const own = 30; v + l + own") == 60
    assert ctx.eval("[v, l, typeof own]") == [1, 2, "undefined"]
    assert ctx.compile("1 + 1") is None
    assert ctx.eval("") is None


@both
def test_names(ctx):
    ctx.compile("""
        function add(a, b) { return a + b }
        const arrow = x => x; let changed = () => 1;
        class K { static m() { return this === K } }
        const lib = { deep: { f() { return this === lib.deep } }, n: 1 };
        globalThis.late = () => 'global';
    """)
    assert ctx.call("add", [1, 2]) == 3
    assert ctx.call("add", (1, 2)) == 3
    assert ctx.call(name="add", args=["a", "b"]) == "ab"
    assert ctx.call("arrow", ["x"]) == "x"
    assert ctx.call("K.m") is True
    assert ctx.call("lib.deep.f") is True
    assert ctx.call("Math.max", [1, 5, 3]) == 5
    assert ctx.call("late") == "global"
    assert ctx.call("changed") == 1
    ctx.eval("changed = () => 2; globalThis.late = () => 'again'; add = () => 'new'; 0")
    assert [ctx.call(n) for n in ("changed", "late", "add")] == [2, "again", "new"]
    ctx.eval("lib.deep = { f: () => 'other' }; 0")
    assert ctx.call("lib.deep.f") == "other"


@both
@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "lib.no",
        "lib.n",
        "lib.no.way",
        "",
        ".",
        "a..b",
        "1;evil()",
        "(x=>x)",
        "add()",
        "this",
        "if",
        "add\n",
        "evil`x`",
        "x" * 1000,
        "\ud800",
    ],
)
def test_bad_names_are_data(ctx, name):
    ctx.compile(
        "var ran = false; function evil() { ran = true } const lib = {n: 1}; function add() {}"
    )
    for _ in range(2):
        with pytest.raises((jsrt.JSError, UnicodeEncodeError)):
            ctx.call(name)
    with pytest.raises((jsrt.JSError, UnicodeEncodeError)):
        ctx.function(name)
    assert ctx.eval("ran") is False


@both
def test_a_held_function(ctx):
    ctx.compile("let add = (a, b) => a + b; const lib = {me() { return this === lib }}")
    add = ctx.function("add")
    assert add(1, 2) == 3
    assert add.name == "add"
    assert add.context is ctx
    assert "add" in repr(add)
    ctx.eval("add = () => 'replaced'; 0")
    assert add(1, 2) == 3
    assert ctx.call("add") == "replaced"
    assert ctx.function("lib.me")() is True
    with pytest.raises(TypeError, match="keyword"):
        add(a=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.call(),
        lambda c: c.call(1),
        lambda c: c.call("f", 5),
        lambda c: c.call("f", {"a": 1}),
        lambda c: c.call("f", [], 3),
        lambda c: c.call("f", nope=1),
        lambda c: c.call("f", name="f"),
        lambda c: c.eval(b"1"),
        lambda c: c.compile(None),
        lambda c: c.eval("1", 5),
        lambda c: c.function(3),
        lambda c: jsrt.Context("web"),
        lambda c: jsrt.Context(nope=1),
        lambda c: jsrt.Function(),
    ],
)
def test_wrong_arguments(ctx, call):
    with pytest.raises(TypeError):
        call(ctx)


def test_closing():
    ctx = jsrt.Context(profile="bare")
    assert not ctx.closed
    assert "not booted" in repr(ctx)
    f = None
    with ctx as inside:
        assert inside is ctx
        ctx.compile("function f() { return 1 }")
        f = ctx.function("f")
        assert "booted" in repr(ctx)
    assert ctx.closed
    ctx.close()
    for use in (
        lambda: ctx.eval("1"),
        lambda: ctx.call("f"),
        f,
        lambda: ctx.function("f"),
        ctx.heap_statistics,
        ctx.__enter__,
        lambda: ctx.compile("1"),
    ):
        with pytest.raises(jsrt.ContextClosed):
            use()


def test_nothing_boots_before_the_first_use():
    before = jsrt._jsrt._debug_counts()["isolates"]
    contexts = [jsrt.Context() for _ in range(1000)]
    assert jsrt._jsrt._debug_counts()["isolates"] == before
    assert len(contexts) == 1000


def test_properties():
    with jsrt.Context(profile="bare", heap_limit=64, timeout=1.5) as ctx:
        assert (ctx.profile, ctx.heap_limit, ctx.timeout) == ("bare", 64, 1.5)
        stats = ctx.heap_statistics()
        assert 0 < stats["heap_used"] <= stats["heap_total"]
        ctx.collect()
    with jsrt.Context() as ctx:
        assert (ctx.profile, ctx.heap_limit, ctx.timeout) == ("web", None, None)


def test_code_in_the_constructor():
    with jsrt.Context(profile="bare", code="const a = 5") as ctx:
        assert ctx.eval("a") == 5
    with pytest.raises(jsrt.JSSyntaxError):
        jsrt.Context(profile="bare", code="const a = ")


def test_weak_references_and_cycles():
    ctx = jsrt.Context(profile="bare", code="function f() {}")
    f = ctx.function("f")
    gone = weakref.ref(ctx)
    del ctx
    assert gone() is not None
    f()
    del f
    gc.collect()
    assert gone() is None


def test_a_finalizer_that_calls_back_during_a_conversion(ctx):
    ctx.compile("const rows = n => Array.from({length: n}, (_, i) => ({i, a: [i], s: 'k' + i}))")
    seen = []

    class Sly:
        def __init__(self):
            self.me = self

        def __del__(self):
            seen.append(ctx.eval("1 + 1"))

    gc.set_threshold(10)
    try:
        for _ in range(20):
            Sly()
            rows = ctx.call("rows", [2000])
            assert rows[1999] == {"i": 1999, "a": [1999], "s": "k1999"}
    finally:
        gc.set_threshold(700, 10, 10)
    gc.collect()
    assert seen
    assert set(seen) == {2}
