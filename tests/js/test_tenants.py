# SPDX-License-Identifier: MIT
"""jsrt.Tenants: scripts of many users, apart from each other and bounded together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import jsrt

COUNTER = "let n = 0; function next(by) { n += by; return n }"
SCRIPT = "const mine = {n}; let calls = 0; function main(x) {{ return [mine, x, ++calls] }}"


@pytest.fixture(params=["realm", "isolate"])
def tenants(request: pytest.FixtureRequest) -> Iterator[jsrt.Tenants]:
    with jsrt.Tenants(isolation=request.param, timeout=5, max_tenants=8) as made:
        yield made


def test_state_stays_and_is_ones_own(tenants: jsrt.Tenants) -> None:
    assert [tenants.call("a", COUNTER, "next", [1]) for _ in range(3)] == [1, 2, 3]
    assert tenants.call("b", COUNTER, "next", [10]) == 10
    assert tenants.call("a", COUNTER, "next", (1,)) == 4
    assert len(tenants) == 2
    assert "a" in tenants
    assert "c" not in tenants


def test_a_new_script_starts_again(tenants: jsrt.Tenants) -> None:
    tenants.call("a", COUNTER, "next", [1])
    assert tenants.call("a", "function next() { return typeof n }", "next") == "undefined"
    assert len(tenants) == 1


def test_the_least_recently_used_goes(tenants: jsrt.Tenants) -> None:
    for n in range(8):
        tenants.call(n, COUNTER, "next", [1])
    tenants.call(0, COUNTER, "next", [1])
    tenants.call(8, COUNTER, "next", [1])
    assert len(tenants) == 8
    assert 1 not in tenants
    assert tenants.call(0, COUNTER, "next", [1]) == 3
    assert tenants.call(1, COUNTER, "next", [1]) == 1
    figures = tenants.stats()
    assert (figures["tenants"], figures["made"], figures["evicted"]) == (8, 10, 2)
    assert figures["memory"] > 0


def test_drop_and_close(tenants: jsrt.Tenants) -> None:
    tenants.call("a", COUNTER, "next", [1])
    assert tenants.drop("a")
    assert not tenants.drop("a")
    assert tenants.call("a", COUNTER, "next", [1]) == 1
    tenants.close()
    with pytest.raises(jsrt.ContextClosed):
        tenants.call("a", COUNTER, "next", [1])
    tenants.close()
    assert tenants.stats()["tenants"] == 0


def test_a_script_that_fails_makes_no_tenant(tenants: jsrt.Tenants) -> None:
    with pytest.raises(jsrt.JSSyntaxError, match=r"bad\.js"):
        tenants.call("bad", "let let = 1", "main")
    with pytest.raises(jsrt.JSError, match="mine"):
        tenants.call("bad", "throw new Error('mine')", "main")
    assert "bad" not in tenants
    with pytest.raises(jsrt.JSError):
        tenants.check("nonsense(")
    tenants.check(COUNTER)
    with pytest.raises(TypeError):
        tenants.call("bad", 5, "main")  # type: ignore[arg-type]
    assert len(tenants) == 0


def test_an_error_leaves_the_tenant(tenants: jsrt.Tenants) -> None:
    script = "let n = 0; function f() { n++; if (n < 2) throw new Error('x'); return n }"
    with pytest.raises(jsrt.JSError):
        tenants.call("a", script, "f")
    assert tenants.call("a", script, "f") == 2


@pytest.mark.parametrize("isolation", ["realm", "isolate"])
def test_limits(isolation: str) -> None:
    limits = {"timeout": 2, "max_memory": 64, "heap_limit": 24}
    with jsrt.Tenants(isolation=isolation, **limits) as tenants:  # type: ignore[arg-type]
        loop = "let n = 0; function f(x) { n++; while (x) ; return n }"
        bomb = (
            "let n = 0; const a = [];"
            "function f(x) { n++; while (x) a.push(new Array(9999).fill(n)); return n }"
        )
        assert tenants.call("good", COUNTER, "next", [1]) == 1
        started = time.monotonic()
        with pytest.raises(jsrt.Timeout):
            tenants.call("loop", loop, "f", [True])
        assert time.monotonic() - started < 15
        assert tenants.call("loop", loop, "f", [False]) == 1
        with pytest.raises(jsrt.HeapLimit):
            tenants.call("bomb", bomb, "f", [True])
        assert tenants.call("bomb", bomb, "f", [False]) == 1
        # In a shared isolate the heap limit ends everybody's state, but nobody's service.
        assert tenants.call("good", COUNTER, "next", [1]) == (1 if isolation == "realm" else 2)
        with pytest.raises(jsrt.Timeout):
            tenants.call("top", "for (;;) {}", "f")
        figures = tenants.stats()
        assert (figures["timeouts"], figures["heap_limits"]) == (2, 1)


def test_no_way_from_one_to_another() -> None:
    probe = """
    function probe() {
      const found = [];
      for (const reach of [
        () => globalThis.secret, () => Object.prototype.secret, () => Symbol.prototype.secret,
        () => (async () => {}).constructor("return globalThis.secret")(),
        () => new Error().constructor.secret, () => [].constructor.secret,
        () => Reflect.ownKeys(globalThis).includes("secret"),
        () => {
          try { null.x } catch (e) {
            return e.constructor.constructor("return globalThis")().secret;
          }
        },
      ]) {
        const value = reach();
        if (value && !(value instanceof Promise)) found.push(String(value));
      }
      return found;
    }"""
    plant = """
    for (const each of [globalThis, Object.prototype, Symbol.prototype, Error, Array, Promise,
        Function.prototype, Object.getPrototypeOf(function* () {}())]) each.secret = "s3";
    Error.prepareStackTrace = () => "s3"; Promise.prototype.then = () => "s3";
    function f() { return [1] }"""
    with jsrt.Tenants() as tenants:
        assert tenants.call("a", plant, "f") == [1]
        assert tenants.call("b", probe, "probe") == []
        assert tenants.call("c", "async function f() { return await 5 }", "f") == 5
        assert tenants.call("c", "function f() { return new Error('x').stack }", "f").startswith(
            "Error: x"
        )


def test_memory_is_bounded_and_answers_are_right() -> None:
    """The bench `tests/bench/tenants.py` in small: garbage and evictions, each answer compared."""
    table = "const table = Array.from({ length: 4000 }, (_, i) => [i, `row ${i}`]);"
    with jsrt.Tenants(max_memory=24, timeout=20) as tenants:
        for round_ in range(2):
            for n in range(120):
                answer = tenants.call(n, table + SCRIPT.format(n=n), "main", [round_])
                assert answer[:2] == [n, round_]
        figures = tenants.stats()
        assert figures["evicted"] > 50
        assert figures["heap_limits"] == 0
        assert figures["memory"] < 24 * 1.25


def test_growing_by_calls_is_seen() -> None:
    script = "const kept = []; function f() { kept.push(new Array(20000).fill(1)); return 1 }"
    with jsrt.Tenants(max_memory=32, timeout=20) as tenants:
        tenants.call("quiet", COUNTER, "next", [1])
        for _ in range(300):
            tenants.call("greedy", script, "f")
        assert tenants.stats()["evicted"] >= 1


@pytest.mark.parametrize("isolation", ["realm", "isolate"])
def test_threads(isolation: str) -> None:
    wrong: list[object] = []
    bounds = {"max_tenants": 6, "max_isolates": 2, "timeout": 20}
    with jsrt.Tenants(isolation=isolation, **bounds) as tenants:  # type: ignore[arg-type]

        def work(seed: int) -> None:
            for i in range(120):
                n = (seed * 7 + i) % 10
                answer = tenants.call(n, SCRIPT.format(n=n), "main", [seed])
                if answer[:2] != [n, seed]:
                    wrong.append(answer)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert wrong == []
        assert len(tenants) <= 6


def test_bad_arguments() -> None:
    for wrong in (
        {"isolation": "process"},
        {"isolation": "realm", "profile": "web"},
        {"max_tenants": 0},
        {"max_isolates": 0},
        {"max_memory": 8},
        {"timeout": 0},
    ):
        with pytest.raises(ValueError):
            jsrt.Tenants(**wrong)  # type: ignore[arg-type]
