# SPDX-License-Identifier: MIT
"""Long strings that V8 reads where Python has them: whose they are, for how long, and how many."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest
from threadtools import in_threads

import jsrt
from jsrt import _jsrt

LONG = 1 << 20
CODE = """
let kept = [];
function keep(x) { kept.push(x); return x.length }
function drop() { kept = [] }
function last() { return kept[kept.length - 1] }
function same(x) { return x }
function length(x) { return x.length }
"""


@pytest.fixture
def ctx() -> Iterator[jsrt.Context]:
    with jsrt.Context(profile="bare", code=CODE) as context:
        yield context


def hosted() -> int:
    return _jsrt._debug_counts()["hosted"]


@pytest.mark.parametrize("text", ["x" * LONG, "é" * LONG, "€é" * LONG, "\ud800x€" * LONG])
def test_it_arrives_and_returns_whole(ctx: jsrt.Context, text: str) -> None:
    before = hosted()
    assert ctx.call("same", [text]) == text
    assert hosted() == before + 1  # lent, not copied
    assert ctx.call("length", [text]) == len(text)


def test_what_needs_units_of_another_width_is_copied(ctx: jsrt.Context) -> None:
    before = hosted()
    assert ctx.call("length", ["\U0001f600" * LONG]) == 2 * LONG
    assert hosted() == before


def test_a_subclass_is_copied(ctx: jsrt.Context) -> None:
    class Text(str):
        __slots__ = ("more",)

    before = hosted()
    assert ctx.call("length", [Text("x" * LONG)]) == LONG
    assert hosted() == before


def test_python_keeps_it_as_long_as_javascript_does(ctx: jsrt.Context) -> None:
    text = "".join(["k", "x" * LONG])
    references = sys.getrefcount(text)
    assert ctx.call("keep", [text]) == len(text)
    assert sys.getrefcount(text) == references + 1
    del text
    gc.collect()
    held = ctx.call("last", [])
    assert (held[0], len(held)) == ("k", LONG + 1)


def test_it_goes_with_the_context() -> None:
    text = "x" * LONG
    references = sys.getrefcount(text)
    with jsrt.Context(profile="bare", code=CODE) as context:
        context.call("keep", [text])
        assert sys.getrefcount(text) == references + 1
    assert sys.getrefcount(text) == references


def test_what_javascript_dropped_is_given_back(ctx: jsrt.Context) -> None:
    """More than is ever lent at once: the isolate's memory does not grow with the calls."""
    before = hosted()
    for n in range(200):
        assert ctx.call("length", [str(n) + "x" * LONG]) == LONG + len(str(n))
    assert hosted() - before <= 48


def test_keeping_them_is_bounded_by_the_heap_limit() -> None:
    with jsrt.Context(profile="bare", heap_limit=64, code=CODE) as context:
        with pytest.raises(jsrt.HeapLimit):
            for n in range(200):
                context.call("keep", [str(n) + "x" * LONG])
        assert context.call("length", ["x" * LONG]) == LONG


def test_it_may_be_a_key_an_operand_and_a_source_of_slices(ctx: jsrt.Context) -> None:
    text = "".join(["ab", "x" * LONG])
    ctx.compile(
        "function uses(x) { const o = {}; o[x] = 1; const s = x.slice(1); x = null;"
        " return [Object.keys(o)[0].length, s.length, (s + s).indexOf('b', 1),"
        " JSON.stringify(s).length] }"
    )
    for _ in range(3):
        assert ctx.call("uses", [text]) == [LONG + 2, LONG + 1, LONG + 1, LONG + 3]


def test_twice_in_one_call_and_as_a_callbacks_result(ctx: jsrt.Context) -> None:
    text = "x" * LONG
    ctx.compile("function both(a, b) { return a === b && give() === a }")
    ctx.expose("give", lambda: text)
    references = sys.getrefcount(text)
    assert ctx.call("both", [text, text]) is True
    assert sys.getrefcount(text) == references + 3


def test_from_many_threads() -> None:
    text = "x" * LONG
    references = sys.getrefcount(text)
    with jsrt.JSEngine(CODE, workers=3, profile="bare") as engine:

        def work(_: int) -> None:
            for n in range(60):
                assert engine.call("length", [text]) == LONG
                assert engine.call("length", [f"{n}" + text]) == LONG + len(f"{n}")

        in_threads(4, work)
    assert sys.getrefcount(text) == references
