# SPDX-License-Identifier: MIT
"""Context(seed=, now=): the same numbers and the same time in every run."""

from __future__ import annotations

import pytest

import jsrt

NUMBERS = "Array.from({ length: 5 }, Math.random)"
NOON = 1_700_000_000.5


@pytest.mark.parametrize("profile", ["bare", "web"])
def test_seed(profile: str) -> None:
    with (
        jsrt.Context(profile=profile, seed=7) as one,  # type: ignore[arg-type]
        jsrt.Context(profile=profile, seed=7) as two,  # type: ignore[arg-type]
        jsrt.Context(profile=profile, seed=8) as other,  # type: ignore[arg-type]
    ):
        first = one.eval(NUMBERS)
        assert first == two.eval(NUMBERS) == one.realm().eval(NUMBERS)
        assert first != one.eval(NUMBERS)
        assert first != other.eval(NUMBERS)
        many = one.eval("Array.from({ length: 2000 }, Math.random)")
        assert all(0 <= each < 1 for each in many)
        assert 0.45 < sum(many) / 2000 < 0.55


def test_the_clock_stands() -> None:
    with jsrt.Context(profile="web", now=NOON) as ctx:
        assert ctx.eval("[Date.now(), new Date().getTime(), performance.now()]") == [
            NOON * 1000,
            NOON * 1000,
            0,
        ]
        assert ctx.eval("new Date() instanceof Date && new Date().constructor === Date")
        assert ctx.eval("[new Date(5).getTime(), Date.UTC(1970, 0), Date.parse('1970-01-01')]") == [
            5,
            0,
            0,
        ]
        assert ctx.eval("typeof Date() + Date.name + Date.length") == "stringDate7"
        assert ctx.eval("class D extends Date {}; new D() instanceof D && +new D()") == NOON * 1000
        assert ctx.eval("new Date()").timestamp() == NOON
        assert ctx.realm().eval("Date.now()") == NOON * 1000


def test_also_after_a_heap_limit_and_in_a_pool() -> None:
    with jsrt.Context(profile="bare", heap_limit=16, seed=1, now=0) as ctx:
        first = ctx.eval(NUMBERS)
        with pytest.raises(jsrt.HeapLimit):
            ctx.eval("const a = []; for (;;) a.push([1, 2, 3])")
        assert ctx.eval(NUMBERS) == first
        assert ctx.eval("Date.now()") == 0


def test_bad_arguments() -> None:
    for wrong in ({"seed": "x"}, {"now": "x"}):
        with pytest.raises(TypeError):
            jsrt.Context(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds"):
        jsrt.Context(now=1e300)
    jsrt.Context(seed=-1).close()
    jsrt.Context(seed=2**80).close()
