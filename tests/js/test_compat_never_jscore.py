# SPDX-License-Identifier: MIT
"""jsrt.compat.never_jscore against never_jscore itself: one list of scripts through both.

never_jscore runs in an interpreter that has it: `NEVER_JSCORE_PYTHON`, this one, or build/peers,
which `make bench-seed` makes. Without any, its half of the test is skipped, ours is not.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jsrt.compat import never_jscore

ROOT = Path(__file__).resolve().parents[2]

DRIVER = r"""
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
answers = []
objects = {}
for line in json.loads(sys.stdin.read()):
    kind, options, method, args, keywords = line
    key = json.dumps([kind, options])
    if key not in objects:
        objects = {}  # theirs: one at a time
        objects[key] = getattr(module, kind)(**options)
    try:
        answer = ["value", getattr(objects[key], method)(*args, **keywords)]
    except Exception as error:
        answer = ["error", type(error).__name__, str(error).split("\n")[0]]
    answers.append(answer)
print(json.dumps(answers))
"""

LIB = """
function f(...a) { return a }
const o = { m() { return this === o }, k: 1, deep: { er: (x) => x + 1 } };
function id(x) { return x }
let count = 0;
function inc() { return ++count }
async function later(x) { await null; return { x } }
function boom() { throw new RangeError("no") }
function early() { try { $return({ a: 2 }) } catch { return 3 } return 5 }
function store() { $storeResult("s"); return 7 }
function end() { $terminate({ b: [1, "x"] }); return 6 }
"""

EXPRESSIONS = [
    "undefined", "NaN", "Infinity", "null", "1.0", "-0", "1.5", "2 ** 53 + 2", "10n", "'a\\u20ac'",
    "new Date(0)", "new Map([[1, 2]])", "new Set([1])", "/a/g", "new Error('x')",
    "(function () {})", "Symbol('x')", "[1, , 3]", "[undefined, () => 1]",
    "({ a: undefined, b: () => 1, c: 1 })",
    "new Uint8Array([1, 2])", "new ArrayBuffer(2)", "(() => { const a = {}; a.a = a; return a })()",
    "Promise.resolve(5)", "(async () => 1)()", "new (class A { constructor() { this.x = 1 } })()",
    "({ toJSON() { return 'tj' } })", "({ a: 1n })", "[NaN, Infinity]", "new Boolean(false)",
    "new String('s')", "1e21", "123456789012", "9007199254740993", "0.1 + 0.2", "-5", "true",
    "({ '__proto__': 1, b: 2 })", "Object.create(null)", "new Proxy({ a: 1 }, {})", "2 ** 63",
    "globalThis === this", "let q = 1; q + 1", "if (1) { 7 }", "", "/* c */", "var zz = 5",
    "typeof zz", "kept = 3", "kept + 1", "throw new TypeError('boom')", "throw 'str'",
    "throw { a: 1 }",
    "new Promise((r) => setTimeout(() => r('late'), 5))", "({ then(r) { r('thenable') } })",
    "$return({ a: 1 }); 5", "$exit(7); 3", "$storeResult({ z: 1 }); 4", "typeof $terminate",
    "[1.0, -0, 1e300, [[]], {}]", "'\\u0000\\u2028'", "Promise.reject(new Error('r'))", "nope",
]  # fmt: skip

CALLS: list[tuple[str, Any]] = [
    ("f", [1, "a", None, True, [1, {"k": 2.5}], {"x": []}]), ("f", []), ("f", 5), ("f", "s"),
    ("f", {"a": 1}), ("f", None), ("o.m", []), ("o.deep.er", [1]), ("id", [2**53]), ("id", [2**60]),
    ("id", [-(2**63)]), ("id", [2**64]), ("id", [1.0]), ("id", ["\u2028'\"\\n`${1}"]), ("inc", []),
    ("inc", []), ("later", [1]), ("early", []), ("store", []), ("id", [{"a": {"b": [None]}}]),
    ("id", ["\u20ac\U0001f600"]), ("id", [0.1]), ("id", []), ("boom", []),
    ("nope", []), ("o.k", []),
]  # fmt: skip


def script() -> list[list[Any]]:
    """What both run: class, constructor's keywords, method, arguments, keywords."""
    context: list[Any] = ["Context", {}]
    lines = [[*context, "compile", [LIB], {}]]
    lines += [[*context, "evaluate", [text], {}] for text in EXPRESSIONS]
    lines += [[*context, "call", [name, args], {}] for name, args in CALLS]
    lines += [
        [*context, "call", ["later", [1]], {"auto_await": False}],
        [*context, "evaluate", ["Promise.resolve(3)"], {"auto_await": False}],
        [*context, "eval", ["1 + 1"], {}],
        [*context, "eval", ["1 + 1", True], {}],
        [*context, "eval", ["var stays = 2"], {}],
        [*context, "evaluate", ["stays"], {}],
        [*context, "compile", ["throw new Error('c')"], {}],
        [*context, "get_hook_data", [], {}],
        [*context, "call", ["end", []], {}],
        [*context, "get_hook_data", [], {}],
        [*context, "clear_hook_data", [], {}],
        [*context, "get_hook_data", [], {}],
        [*context, "evaluate", ["$terminate(5)"], {}],
        [*context, "get_hook_data", [], {}],
        [*context, "gc", [], {}],
        [*context, "reset_stats", [], {}],
        [*context, "evaluate", ["1"], {}],
        [*context, "get_stats", [], {}],
    ]
    engine: list[Any] = ["JSEngine", {"code": LIB, "workers": 1}]
    lines += [
        [*engine, "call", [name, args], {}] for name, args in CALLS
        if isinstance(args, list) and name not in ("early", "store")
    ]  # fmt: skip
    lines += [
        [*engine, "call", ["end", []], {}],
        [*engine, "call", ["inc", []], {}],
        [*engine, "execute", ["1 + 1"], {}],
        [*engine, "execute", ["var mine = 3; mine"], {}],
        [*engine, "execute", ["typeof mine"], {}],
        [*engine, "get_hook_data", [0], {}],
        [*engine, "clear_hook_data", [0], {}],
    ]
    return lines


def run(python: str, module: str, lines: list[list[Any]]) -> list[list[Any]]:
    environment = dict(os.environ)
    if module.startswith("jsrt"):
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [python, "-c", DRIVER, module],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def peer_python() -> str | None:
    """An interpreter that has never_jscore."""
    named = os.environ.get("NEVER_JSCORE_PYTHON")
    for python in [named, sys.executable, str(ROOT / "build/peers/bin/python")]:
        if python and Path(python).exists():
            check = [python, "-c", "import never_jscore"]
            if subprocess.run(check, capture_output=True, timeout=60).returncode == 0:
                return python
    return None


def comparable(line: list[Any], answer: list[Any]) -> list[Any]:
    """An answer without what is each library's own: positions in texts of errors."""
    if answer[0] == "error":
        text = answer[2].split(" (")[0]
        return ["error", answer[1], text]
    return answer


def test_both_say_the_same() -> None:
    python = peer_python()
    if python is None:
        pytest.skip("never_jscore is not installed")
    lines = script()
    theirs, ours = (
        run(python, "never_jscore", lines),
        run(sys.executable, never_jscore.__name__, lines),
    )
    different = [
        (line[2:], their, our)
        for line, their, our in zip(lines, theirs, ours, strict=True)
        if comparable(line, their) != comparable(line, our) or type(their[1]) is not type(our[1])
    ]
    assert different == []


def test_ours_alone() -> None:
    """The same list without never_jscore: a few answers, written down."""
    lines = script()
    answers = run(sys.executable, never_jscore.__name__, lines)
    found = {json.dumps(line[2:4]): answer for line, answer in zip(lines, answers, strict=True)}

    def answer(method: str, *args: Any) -> Any:
        return found[json.dumps([method, list(args)])]

    assert answer("evaluate", "-0") == ["value", 0]
    assert answer("evaluate", "10n") == ["value", "10"]
    assert answer("evaluate", "new Uint8Array([1, 2])") == ["value", {"0": 1, "1": 2}]
    assert answer("evaluate", "throw new TypeError('boom')") == [
        "error",
        "Exception",
        "Evaluate error: TypeError: boom",
    ]
    assert answer("call", "early", []) == ["value", {"a": 2}]
    assert answer("call", "o.m", []) == ["value", True]
    assert answer("get_stats") == ["value", [1]]


def parameters(function: Any) -> list[tuple[str, Any]]:
    return [(each.name, each.default) for each in inspect.signature(function).parameters.values()]


def test_signatures() -> None:
    none = inspect.Parameter.empty
    assert parameters(never_jscore.Context) == [
        ("enable_extensions", True),
        ("enable_logging", False),
        ("random_seed", None),
        ("enable_node_compat", False),
        ("fast_return", False),
    ]
    assert parameters(never_jscore.JSEngine) == [
        ("code", none),
        ("workers", None),
        ("enable_extensions", True),
        ("enable_node_compat", False),
        ("enable_logging", False),
        ("random_seed", None),
        ("fast_return", False),
    ]
    call = parameters(never_jscore.Context.call)
    assert call == [("self", none), ("name", none), ("args", none), ("auto_await", None)]
    evaluate = parameters(never_jscore.Context.eval)
    assert evaluate == [
        ("self", none),
        ("code", none),
        ("return_value", False),
        ("auto_await", None),
    ]
    assert never_jscore.__all__ == ["Context", "JSEngine"]
    assert never_jscore.__version__ == "2.5.2"


class TestDifferences:
    """What is different on purpose, as the module's text lists it."""

    def test_arguments_are_data(self) -> None:
        context = never_jscore.Context()
        context.compile("function id(x) { return x }")
        assert context.call("id", [{"__proto__": 1}]) == {"__proto__": 1}
        nested: list[Any] = []
        nested.append(nested)
        with pytest.raises(Exception, match="nesting"):
            context.call("id", nested)
        for wrong in ((1, 2), b"a", {1, 2}, float("nan"), "\ud800", [10**400]):
            with pytest.raises(Exception, match=r"Unsupported|Invalid"):
                context.call("id", [wrong])
        with pytest.raises(TypeError):
            context.call("id", [{1: 2}])

    def test_names_are_not_source(self) -> None:
        context = never_jscore.Context()
        for name in ("(x => x)", "1;globalThis.hacked=1", "", "a b", "f()"):
            with pytest.raises(Exception, match=r"is not a name|is not defined"):
                context.call(name, [])
        assert context.evaluate("typeof hacked") == "undefined"

    def test_a_call_waits_for_its_own_promise(self) -> None:
        context = never_jscore.Context()
        context.compile(
            "function A(x) { setTimeout(() => {}, 60000); return x }"
            "async function B(x) { return x }"
        )
        assert context.call("A", ["alice"]) == "alice"
        assert context.call("B", ["bob"]) == "bob"

    def test_falsy_throws_are_raised(self) -> None:
        context = never_jscore.Context()
        for text in ("0", "null", "undefined", "''"):
            with pytest.raises(Exception, match="Evaluate error"):
                context.evaluate(f"throw {text}")

    def test_hooks_and_contexts_are_apart(self) -> None:
        one, two = never_jscore.Context(), never_jscore.Context()
        with pytest.raises(Exception, match="execution terminated"):
            one.evaluate("try { $terminate([1]) } catch {} 5")
        assert (one.get_hook_data(), two.get_hook_data()) == ("[1]", None)
        del one
        assert two.evaluate("1 + 1") == 2

    def test_seed(self, tmp_path: Path) -> None:
        text = "[Math.random(), Math.random()]"
        first = never_jscore.Context(random_seed=42).evaluate(text)
        assert first == never_jscore.Context(random_seed=42).evaluate(text)
        assert first != never_jscore.Context(random_seed=43).evaluate(text)
        context = never_jscore.Context()
        assert len(context.get_heap_statistics()) == 11
        context.take_heap_snapshot(str(tmp_path / "x"))
        assert "snapshot" in json.loads((tmp_path / "x").read_text())

    def test_engine(self) -> None:
        with pytest.raises(Exception, match="Compile error"):
            never_jscore.JSEngine("nonsense(")
        engine = never_jscore.JSEngine(LIB, workers=2)
        assert engine.call("early", []) == {"a": 2}
        assert engine.call("store", []) == "s"
        assert repr(engine) == "JSEngine(workers=2)"
        with pytest.raises(TypeError):
            engine.call("f", 5)  # type: ignore[arg-type]
