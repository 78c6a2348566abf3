# SPDX-License-Identifier: MIT
"""Context.realm(): several global scopes in one isolate."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable

import pytest

import asgiserver
import jsrt
from jsrt import _jsrt


def settle(context: jsrt.Context) -> int:
    """Realms alive, once those given back are released."""
    gc.collect()
    context.eval("1")
    context.eval("1")
    return _jsrt._debug_counts()["realms"]


def test_globals_are_apart(ctx: jsrt.Context) -> None:
    ctx.compile("var shared = 'main'; let block = 1")
    one, two = ctx.realm(), ctx.realm()
    assert one.eval("typeof shared + typeof block") == "undefinedundefined"
    one.eval("var shared = 'one'; globalThis.x = 1")
    two.eval("var shared = 'two'")
    assert [each.eval("shared") for each in (ctx, one, two, one)] == ["main", "one", "two", "one"]
    assert two.eval("typeof x") == "undefined"
    assert _jsrt._debug_counts()["isolates"] == 1


def test_intrinsics_are_apart(ctx: jsrt.Context) -> None:
    one, two = ctx.realm(), ctx.realm()
    one.eval("Array.prototype.map = () => 'mine'; Object.prototype.evil = 1; JSON.parse = null")
    assert one.eval("[1].map(x => x)") == "mine"
    assert two.eval("[[1].map(x => x + 1), ({}).evil, typeof JSON.parse]") == [
        [2],
        None,
        "function",
    ]
    assert ctx.eval("({}).evil") is None
    two.compile("function id(x) { return x }")
    assert two.call("id", [{"a": [1, {"b": None}]}]) == {"a": [1, {"b": None}]}


def test_functions_and_calls_switch(ctx: jsrt.Context) -> None:
    realms = [ctx.realm() for _ in range(5)]
    for n, realm in enumerate(realms):
        realm.compile(f"let calls = 0; function f(x) {{ calls++; return [{n}, x, calls] }}")
    held = [realm.function("f") for realm in realms]
    for round_ in range(1, 4):
        for n, realm in enumerate(realms):
            assert realm.call("f", ["a"]) == [n, "a", 2 * round_ - 1]
            assert held[n]("b") == [n, "b", 2 * round_]
    with pytest.raises(jsrt.JSError, match="no such function: f"):
        ctx.call("f")


def test_small_and_large_results(ctx: jsrt.Context) -> None:
    realm = ctx.realm()
    value = {"rows": [{"id": n, "t": "x" * n} for n in range(200)]}
    realm.compile("const id = (x) => x; class P { constructor() { this.a = 1 } }")
    assert realm.call("id", [value]) == value
    assert realm.eval("new P()").to_python() == {"a": 1}
    assert realm.eval("new Map([[1, new Set([2])]])") == {1: {2}}


def test_errors_name_the_realms_code(ctx: jsrt.Context) -> None:
    realm = ctx.realm()
    realm.compile("function f() { return null.x }", filename="r.js")
    with pytest.raises(jsrt.JSError) as caught:
        realm.call("f")
    assert caught.value.name == "TypeError"
    assert "r.js:1" in caught.value.stack


def test_closing_one_leaves_the_others(ctx: jsrt.Context) -> None:
    before = settle(ctx)
    one, two = ctx.realm(), ctx.realm()
    one.eval("1"), two.eval("var a = 2")
    assert settle(ctx) == before + 2
    one.close()
    assert one.closed
    assert not two.closed
    assert not ctx.closed
    with pytest.raises(jsrt.ContextClosed):
        one.eval("1")
    assert two.eval("a") == 2
    with two:
        pass
    assert settle(ctx) == before
    assert ctx.eval("1 + 1") == 2


def test_dropped_realms_are_freed(ctx: jsrt.Context) -> None:
    before = settle(ctx)
    for _ in range(50):
        ctx.realm().eval("globalThis.a = 1")
    assert settle(ctx) == before
    assert ctx.heap_statistics()["contexts"] < 60


def test_the_parents_end_is_theirs() -> None:
    context = jsrt.Context(profile="bare")
    realm = context.realm()
    realm.eval("1")
    context.close()
    with pytest.raises(jsrt.ContextClosed):
        realm.eval("1")
    with pytest.raises(jsrt.ContextClosed):
        context.realm()
    assert realm.closed


def test_a_realm_keeps_its_parents_isolate() -> None:
    realm = jsrt.Context(profile="bare").realm()
    gc.collect()
    assert realm.eval("[1, 2].length") == 2


def test_a_dropped_current_realm_is_replaced(ctx: jsrt.Context) -> None:
    realm = ctx.realm()
    realm.compile("var a = 1")
    del realm
    gc.collect()
    other = ctx.realm()
    assert other.eval("typeof a") == "undefined"
    assert ctx.eval("typeof a") == "undefined"


def test_time_limits_are_each_ones_own() -> None:
    with jsrt.Context(profile="bare", timeout=30) as context:
        quick = context.realm(timeout=0.1)
        started = time.monotonic()
        with pytest.raises(jsrt.Timeout):
            quick.eval("for (;;) {}")
        assert time.monotonic() - started < 5
        assert (quick.timeout, context.timeout, context.realm().timeout) == (0.1, 30, 30)
        slow = "const end = Date.now() + 300; while (Date.now() < end) {} 'done'"
        assert context.evaluate(slow) == "done"
        assert context.realm(timeout=None).evaluate(slow) == "done"
        assert quick.eval("1 + 1") == 2


def test_a_heap_limit_makes_all_of_them_again() -> None:
    with jsrt.Context(profile="bare", heap_limit=16) as context:
        context.compile("function who() { return 'main' }")
        one, two = context.realm(), context.realm()
        one.compile("function who() { return 'one' } var left = 1")
        two.compile("function who() { return 'two' }")
        held = two.function("who")
        one.eval("left = 2")
        with pytest.raises(jsrt.HeapLimit):
            one.eval("const a = []; for (;;) a.push([1, 2, 3])")
        assert [two.call("who"), one.call("who"), context.call("who"), held()] == [
            "two",
            "one",
            "main",
            "two",
        ]
        assert one.eval("left") == 1


def test_bad_arguments(ctx: jsrt.Context) -> None:
    with pytest.raises(TypeError):
        ctx.realm(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ctx.realm(name=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        ctx.realm(timeout=-1)


def test_from_several_threads(ctx: jsrt.Context) -> None:
    realms = [ctx.realm() for _ in range(8)]
    wrong: list[object] = []

    def work(n: int) -> None:
        realm = realms[n]
        realm.compile(f"let count = 0; function f() {{ return [{n}, ++count] }}")
        for count in range(1, 301):
            answer = realm.call("f")
            if answer != [n, count]:
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@pytest.mark.parametrize("ctx", ["web"], indirect=True)
class TestBesideNode:
    """Realms of a context with Node's environment have its web APIs."""

    def test_web_apis(self, ctx: jsrt.Context) -> None:
        realm = ctx.realm()
        assert realm.eval("new URL('http://a/b?c=1').searchParams.get('c')") == "1"
        assert realm.eval("new TextEncoder().encode('ab')") == b"ab"
        assert realm.eval("crypto.randomUUID().length") == 36
        assert realm.eval("structuredClone({ a: [1] })") == {"a": [1]}
        assert realm.eval("new Promise((done) => setTimeout(() => done(5), 5))") == 5
        assert realm.eval("typeof console.log + typeof require") == "functionundefined"
        assert realm.eval("global === globalThis && globalThis.URL === URL")

    def test_its_own_globals_are_not_shared(self, ctx: jsrt.Context) -> None:
        ctx.eval("var mine = 1; globalThis.other = 2")
        realm = ctx.realm()
        assert realm.eval("typeof mine + typeof other") == "undefinedundefined"
        realm.eval("URL = 1")
        assert ctx.eval("typeof URL") == "function"

    def test_code_from_text_and_webassembly(self, ctx: jsrt.Context) -> None:
        realm = ctx.realm()
        assert realm.eval("eval('1 + 2') + new Function('return 4')()") == 7
        empty = "new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])"
        assert realm.eval(f"WebAssembly.instantiate({empty}).then((x) => typeof x.instance)")

    def test_what_needs_an_environment_is_an_error(self, ctx: jsrt.Context) -> None:
        with pytest.raises(jsrt.JSError):
            ctx.realm().eval("import('fs')")
        with pytest.raises(jsrt.JSError, match="q"):
            ctx.realm().eval("(async () => { throw new TypeError('q') })()")

    def test_awaited(self, ctx: jsrt.Context) -> None:
        one, two = ctx.realm(), ctx.realm()
        for n, realm in enumerate((one, two)):
            realm.compile(
                f"const later = (ms) => new Promise((r) => setTimeout(() => r([{n}, ms]), ms))"
            )

        async def main() -> list[object]:
            calls = [one.call_async("later", [20]), two.call_async("later", [5])]
            return list(await asyncio.gather(*calls))

        assert asyncio.run(main()) == [[0, 20], [1, 5]]


def test_each_realm_has_its_own_exposed_names(ctx: jsrt.Context) -> None:
    one, two = ctx.realm(), ctx.realm()
    ctx.expose("who", lambda: "main")
    one.expose("who", lambda: "one")
    for _ in range(2):
        assert one.eval("who()") == "one"
        assert ctx.eval("who()") == "main"
        assert two.eval("typeof who") == "undefined"
    one.expose("late", 1)
    two.eval("0")
    assert one.eval("late") == 1


def test_a_handle_is_used_in_its_own_realm(ctx: jsrt.Context) -> None:
    one, two = ctx.realm(), ctx.realm()
    maker = one.eval("(class P { constructor() { this.list = [1] } more() { return [2, 3] } })")
    two.eval("Array.prototype.toString = () => 'theirs'")
    made = maker.new()
    assert maker.context is one
    two.eval("1")  # another one is current
    assert made.more() == [2, 3]
    assert made.list.to_python() == [1]
    assert one.eval("(x) => x instanceof Object")(made) is True
    one.close()
    with pytest.raises(jsrt.ContextClosed):
        made.more()
    assert two.eval("1 + 1") == 2


def test_python_called_from_one_realm_cannot_enter_another(ctx: jsrt.Context) -> None:
    one, two = ctx.realm(), ctx.realm()
    two.compile("const f = () => 2")
    handle = two.eval("() => 3")
    one.expose("other", lambda: two.call("f"))
    one.expose("held", lambda: handle())
    one.expose("same", lambda: one.eval("40 + 2"))
    assert one.eval("same()") == 42
    for name in ("other", "held"):
        with pytest.raises(RuntimeError, match="another realm"):
            one.eval(f"{name}()")
    assert one.eval("same()") == 42
    assert two.call("f") == 2
    assert handle() == 3


@pytest.mark.parametrize("run", [asyncio.run, asgiserver.run_loop])
def test_nor_can_python_called_from_a_timer(run: Callable[..., object]) -> None:
    async def main() -> None:
        with jsrt.Context(profile="web") as ctx:
            realm = ctx.realm()
            realm.compile("const f = () => 2")
            ctx.eval("1")
            seen: asyncio.Future[object] = asyncio.get_running_loop().create_future()

            def from_timer() -> None:
                try:
                    seen.set_result(realm.call("f"))
                except RuntimeError as error:
                    seen.set_result(error)

            ctx.expose("fromTimer", from_timer)
            ctx.eval("void setTimeout(() => fromTimer(), 1)")
            assert "another realm" in str(await asyncio.wait_for(seen, 10))
            assert realm.call("f") == 2
            assert ctx.eval("typeof f") == "undefined"

    run(main())


def test_a_handle_that_is_awaited_elsewhere_stays_its_realms(ctx: jsrt.Context) -> None:
    async def main() -> None:
        one, two = ctx.realm(), ctx.realm()
        one.compile("let go; class P {}; const later = () => new Promise((done) => { go = done })")
        future = one.call_async("later")
        two.eval("1")
        one.eval("go(new P())")
        made = await future
        two.close()
        assert repr(made)
        assert made.to_python() == {}
        one.close()
        with pytest.raises(jsrt.ContextClosed):
            made.to_python()

    asyncio.run(main())


def test_what_a_getter_queues_does_not_run_in_the_next_realm(ctx: jsrt.Context) -> None:
    one, two = ctx.realm(), ctx.realm()
    two.eval("1")
    got = one.eval(
        "({ get a() { Promise.resolve().then(() => { globalThis.ran = 1 }); return 5 } })"
    )
    assert got == {"a": 5}
    assert one.eval("globalThis.ran") == 1
