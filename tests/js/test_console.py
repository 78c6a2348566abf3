# SPDX-License-Identifier: MIT
"""``Context(console=...)``: what scripts tell their console arrives in Python's logging."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

import jsrt

PROFILES = ("bare", "web", "node")


class Kept(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[tuple[str, str]]:
        """Levels and messages since the last time."""
        taken = [(each.levelname, each.getMessage()) for each in self.records]
        self.records.clear()
        return taken


@pytest.fixture
def log() -> Iterator[Kept]:
    logger, handler = logging.getLogger("test.js"), Kept()
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(params=PROFILES)
def ctx(request: pytest.FixtureRequest) -> Iterator[jsrt.Context]:
    with jsrt.Context(profile=request.param, console="test.js") as context:
        yield context


def test_levels(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval("for (const m of ['debug', 'log', 'info', 'warn', 'error', 'dirxml']) console[m](m)")
    assert log.take() == [
        ("DEBUG", "debug"),
        ("INFO", "log"),
        ("INFO", "info"),
        ("WARNING", "warn"),
        ("ERROR", "error"),
        ("INFO", "dirxml"),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        ("'a', 'b'", "a b"),
        ("'%s, %d years, %i months, %f', 'Ann', 42, 7.9, '2.5'", "Ann, 42 years, 7 months, 2.5"),
        ("'%s', 'a', 'b', 1", "a b 1"),
        ("'100%', 1", "100% 1"),
        ("'%%d %d', 1", "%d 1"),
        ("'%%'", "%%"),
        ("'%j', {a: [1]}", '{"a":[1]}'),
        ("'%cred', 'color: red'", "red"),
        ("'%d %s', 1", "1 %s"),
        ("1, -0, 1n, null, undefined, true, Symbol('s')", "1 -0 1n null undefined true Symbol(s)"),
        ("[1, 'a', [null, {}]]", "[ 1, 'a', [ null, {} ] ]"),
        ("{a: 1, 'b-c': 'x', [Symbol('k')]: 2n}", "{ a: 1, 'b-c': 'x', [Symbol(k)]: 2n }"),
        ("{a: {b: {c: {d: 1}}}}", "{ a: { b: { c: [Object] } } }"),
        ("\"it's\", [\"it's\", 'say \"x\"', '\\n']", "it's [ \"it's\", 'say \"x\"', '\\n' ]"),
        ("new Map([['a', 1]]), new Set([1])", "Map(1) { 'a' => 1 } Set(1) { 1 }"),
        ("new Date(0), /a+/g", "1970-01-01T00:00:00.000Z /a+/g"),
        ("function f() {}, class A {}, () => 1", "[Function: f] [class A] [Function (anonymous)]"),
        ("new (class Point { x = 1 })", "Point { x: 1 }"),
        ("Object.create(null)", "[Object: null prototype] {}"),
        ("new Uint8Array([1, 2])", "Uint8Array(2) [ 1, 2 ]"),
        ("[1, , , 2]", "[ 1, <2 empty items>, 2 ]"),
        ("{get a() { throw 1 }, set a(v) {}}", "{ a: [Getter/Setter] }"),
        ("{get b() { throw 2 }}", "{ b: [Getter] }"),
        ("new Number(3)", "[Number: 3]"),
    ],
)  # fmt: skip
def test_format(ctx: jsrt.Context, log: Kept, arguments: str, text: str) -> None:
    ctx.eval(f"console.log({arguments})")
    assert log.take() == [("INFO", text)]


def test_errors_and_cycles(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval("const o = {self: null}; o.self = o; console.error(new TypeError('no'), o)")
    [(level, text)] = log.take()
    assert level == "ERROR"
    assert text.startswith("TypeError: no\n    at ")
    assert "[Circular" in text


def test_what_throws_when_it_is_looked_at(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval(
        "console.log(new Proxy({}, {get() { throw 1 }, ownKeys() { throw 2 },"
        " getPrototypeOf() { throw 3 }, getOwnPropertyDescriptor() { throw 4 }}))"
    )
    assert len(log.take()) == 1


def test_where(ctx: jsrt.Context, log: Kept) -> None:
    ctx.compile("\nfunction told() {\n  console.warn('x')\n}", filename="lib/told.js")
    ctx.call("told")
    [record] = log.records
    assert (record.pathname, record.lineno, record.funcName) == ("lib/told.js", 3, "told")
    assert (record.filename, record.js_filename, record.js_lineno) == ("told.js", "lib/told.js", 3)  # type: ignore[attr-defined]
    assert record.name == "test.js"


def test_percent_signs_are_text(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval("console.log('%s', '%d %(name)s {0}')")
    assert log.take() == [("INFO", "%d %(name)s {0}")]


def test_groups_counts_and_assertions(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval(
        "console.group('G'); console.log('a\\nb'); console.groupEnd(); console.groupEnd();"
        "console.log('c'); console.count(); console.count('x'); console.count();"
        "console.countReset(); console.count(); console.countReset('none');"
        "console.assert(true, 'no'); console.assert(0, 'bad %d', 1); console.assert(0, {a: 1});"
        "console.assert()"
    )
    assert log.take() == [
        ("INFO", "G"),
        ("INFO", "  a\n  b"),
        ("INFO", "c"),
        ("INFO", "default: 1"),
        ("INFO", "x: 1"),
        ("INFO", "default: 2"),
        ("INFO", "default: 1"),
        ("WARNING", "Count for 'none' does not exist"),
        ("ERROR", "Assertion failed: bad 1"),
        ("ERROR", "Assertion failed { a: 1 }"),
        ("ERROR", "Assertion failed"),
    ]


def test_timers(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval(
        "console.time('t'); console.timeLog('t', 'still', 1); console.timeEnd('t');"
        "console.timeEnd('t'); console.time(); console.time()"
    )
    (_, still), (_, end), missing, twice = log.take()
    assert re.fullmatch(r"t: [0-9.]+m?s still 1", still)
    assert re.fullmatch(r"t: [0-9.]+m?s", end)
    assert missing == ("WARNING", "Timer 't' does not exist")
    assert twice == ("WARNING", "Timer 'default' already exists")


def test_table(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval("console.table([{a: 1, b: 'x'}, {a: 22, c: true}, 3]); console.table(5)")
    (_, table), (_, plain) = log.take()
    assert table.splitlines() == [
        "| (index) | a  | b   | c    | Values |",
        "|---------|----|-----|------|--------|",
        "| 0       | 1  | 'x' |      |        |",
        "| 1       | 22 |     | true |        |",
        "| 2       |    |     |      | 3      |",
    ]
    assert plain == "5"
    ctx.eval("console.table([{a: 1, b: 2}], ['b'])")
    assert log.take()[0][1].splitlines()[0] == "| (index) | b |"


def test_trace(ctx: jsrt.Context, log: Kept) -> None:
    ctx.compile("function deep() { console.trace('here %d', 1) }", filename="deep.js")
    ctx.call("deep")
    [(level, text)] = log.take()
    first, second, *_ = text.splitlines()
    assert (level, first) == ("INFO", "Trace: here 1")
    assert "deep.js" in second


def test_nothing_is_formatted_where_nobody_listens(ctx: jsrt.Context, log: Kept) -> None:
    logging.getLogger("test.js").setLevel(logging.WARNING)
    ctx.eval("let looked = 0; const o = {toJSON() { looked++ }}; console.log('%j', o)")
    assert (log.take(), ctx.eval("looked")) == ([], 0)
    ctx.eval("console.warn('%j', o)")
    assert (len(log.take()), ctx.eval("looked")) == (1, 1)


def test_long_texts_are_cut(ctx: jsrt.Context, log: Kept) -> None:
    ctx.eval("console.log('x'.repeat(1_000_000))")
    [(_, text)] = log.take()
    assert text.endswith("x... 934464 more characters")
    ctx.eval(
        "console.log(Array.from({length: 1000}, () => Array.from({length: 1000}, () => ({}))))"
    )
    assert len(log.take()[0][1]) < 70_000


def test_timers_and_promises_write_too(log: Kept) -> None:
    with jsrt.Context(profile="web", console="test.js") as ctx:
        ctx.eval("new Promise(r => setTimeout(() => { console.log('late'); r() }, 1))")
    assert log.take() == [("INFO", "late")]


def test_none_is_as_it_was(run_python: Callable[..., CompletedProcess[str]]) -> None:
    done = run_python(
        "import jsrt\n"
        "for profile in ('bare', 'web'):\n"
        "    with jsrt.Context(profile=profile) as ctx:\n"
        "        ctx.eval('console.log(`out`); console.error(`err`)')\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 0)


def test_loggers_that_are_given(log: Kept) -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("test.js"), {"user": "ann"})
    for console in (logging.getLogger("test.js"), adapter):
        with jsrt.Context(profile="bare", console=console) as ctx:
            ctx.eval("console.log(1)")
    first, second = log.records
    assert (hasattr(first, "user"), second.user) == (False, "ann")  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="console must be"):
        jsrt.Context(profile="bare", console=7)  # type: ignore[arg-type]


def test_what_the_handler_raises_reaches_the_script_and_python(log: Kept) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("a filter of ours")

    log.addFilter(refuse)
    with jsrt.Context(profile="bare", console="test.js") as ctx:
        assert ctx.eval("try { console.log(1) } catch (e) { e.name + e.message }") == (
            "LookupErrora filter of ours"
        )
        with pytest.raises(LookupError, match="a filter of ours"):
            ctx.eval("console.log(1)")


def test_scripts_do_not_find_the_writer(ctx: jsrt.Context) -> None:
    assert ctx.eval("Reflect.ownKeys(globalThis).filter(k => String(k).includes('jsrt'))") == []
    assert ctx.eval("Object.prototype.toString.call(console)") == "[object console]"


def test_realms(log: Kept) -> None:
    for profile in ("bare", "web"):
        with jsrt.Context(profile=profile, console="test.js") as parent:
            with parent.realm() as inherits, parent.realm(console="test.js.child") as own:
                inherits.eval("console.log('same', {a: 1})")
                own.eval("console.log('own', [1])")
                parent.eval("console.log('parent')")
            assert [(each.name, each.getMessage()) for each in log.records] == [
                ("test.js", "same { a: 1 }"),
                ("test.js.child", "own [ 1 ]"),
                ("test.js", "parent"),
            ]
            log.records.clear()


def test_threads(log: Kept) -> None:
    code = "const say = n => { console.log('n', n); return n }"
    with jsrt.JSEngine(code, workers=2, profile="bare", console="test.js") as engine:
        threads = [
            threading.Thread(
                target=lambda k=k: [engine.call("say", [k * 100 + n]) for n in range(50)]
            )
            for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    said = sorted(int(text[2:]) for _, text in log.take())
    assert said == [k * 100 + n for k in range(4) for n in range(50)]


@pytest.mark.parametrize("isolation", ["realm", "isolate"])
def test_tenants(log: Kept, isolation: str) -> None:
    with jsrt.Tenants(isolation=isolation, console="test.js") as tenants:  # type: ignore[arg-type]
        for name in ("ann", "bob"):
            tenants.call(name, "const main = x => console.info('got', x)", "main", [name])
    seen = [(each.tenant, each.pathname, each.getMessage()) for each in log.records]  # type: ignore[attr-defined]
    assert seen == [("ann", "ann.js", "got ann"), ("bob", "bob.js", "got bob")]


def test_after_a_heap_limit(log: Kept) -> None:
    with jsrt.Context(profile="bare", heap_limit=8, console="test.js") as ctx:
        with pytest.raises(jsrt.HeapLimit):
            ctx.eval("const all = []; for (;;) all.push(new Array(1000).fill(1.5))")
        ctx.eval("console.log('again')")
    assert log.take() == [("INFO", "again")]


def test_the_context_goes(log: Kept) -> None:
    ctx = jsrt.Context(profile="bare", console="test.js")
    ctx.eval("console.log(1)")
    gone = weakref.ref(ctx)
    del ctx
    assert gone() is None
