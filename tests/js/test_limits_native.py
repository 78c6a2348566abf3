# SPDX-License-Identifier: MIT
"""Limits where V8's own C++ is at work: BigInts, WebAssembly's memory, one large allocation."""

from __future__ import annotations

import os
import time

import pytest

import jsrt


@pytest.mark.parametrize(
    "code",
    ["let n = 3n; for (;;) n *= n", "(1n << (1n << 28n)).toString().length"],
    ids=["squares", "text"],
)
def test_huge_bigints_time_out_and_later_calls_are_not_hit(code: str) -> None:
    with jsrt.Context(profile="bare", timeout=0.2, code="const add = (a, b) => a + b") as ctx:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(jsrt.Timeout, match=r"0\.2 s"):
                ctx.eval(f"{{ {code} }}")
            assert time.monotonic() - started < 5  # without being stopped: half a minute
            for n in range(1000):
                assert ctx.call("add", [n, 1]) == n + 1


def test_a_callback_that_outlasts_the_timeout_stops_that_call_only() -> None:
    with jsrt.Context(profile="bare", timeout=0.1) as ctx:
        ctx.expose("sleep", lambda: time.sleep(0.4))
        with pytest.raises(jsrt.Timeout):
            ctx.eval("sleep(); for (;;) {}")
        assert ctx.eval("1 + 1") == 2
        assert ctx.eval("(() => 7)()") == 7


@pytest.mark.parametrize(
    "code",
    [
        "const all = []; for (;;) { const m = new WebAssembly.Memory({initial: 500}); "
        "new Uint8Array(m.buffer).fill(1); all.push(m) }",
        "const m = new WebAssembly.Memory({initial: 1}); "
        "for (;;) { m.grow(100); new Uint8Array(m.buffer).fill(1) }",
    ],
    ids=["many", "growing"],
)
def test_memory_of_webassembly_counts(code: str) -> None:
    with jsrt.Context(profile="bare", timeout=20, heap_limit=64) as ctx:
        with pytest.raises(jsrt.HeapLimit, match="64 MB"):
            ctx.eval(f"{{ {code} }}")
        assert ctx.eval("new WebAssembly.Memory({initial: 10}).buffer.byteLength") == 10 << 16


@pytest.mark.skipif(
    int(jsrt.v8_version.split(".")[0]) >= 11, reason="V8 has no switch for it any more: documented"
)
def test_memory_of_webassembly_cannot_be_shared() -> None:
    with jsrt.Context(profile="bare") as ctx:
        made = "new WebAssembly.Memory({initial: 1, maximum: 1, shared: true}).buffer"
        assert ctx.eval(f"try {{ {made} instanceof ArrayBuffer }} catch {{ true }}") is True


def test_one_allocation_beyond_the_limit_is_a_heap_limit() -> None:
    with jsrt.Context(profile="bare", heap_limit=64) as ctx:
        with pytest.raises(jsrt.HeapLimit):
            ctx.eval("throw new Error('x'.repeat(1e8))")
        assert ctx.eval("1 + 1") == 2


def test_one_allocation_beyond_all_bounds_names_the_limit(run_python) -> None:  # type: ignore[no-untyped-def]
    done = run_python(
        "import jsrt; jsrt.Context(profile='bare', heap_limit=32)"
        ".eval(\"JSON.stringify(Array(1e8).fill('abc'))\")"
    )
    assert done.returncode == -6
    said = [line for line in done.stderr.splitlines() if line.startswith("jsrt: fatal: ")]
    assert len(said) == 1
    assert "the heap limit is 32 MB" in said[0]


def test_asked_for_collections_condemn_nothing(tmp_path: object) -> None:
    with jsrt.Context(profile="bare", heap_limit=64) as ctx:
        ctx.eval("globalThis.kept = 7")
        ctx.collect()
        ctx.heap_snapshot(os.path.join(str(tmp_path), "x.heapsnapshot"))
        assert ctx.eval("kept") == 7


def test_a_result_nested_too_deeply_is_a_conversion_error() -> None:
    with jsrt.Context(profile="bare") as ctx:
        with pytest.raises(jsrt.ConversionError, match="nested too deeply"):
            ctx.eval("let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a")
        with pytest.raises(jsrt.ConversionError, match="Proxy"):
            ctx.eval("const r = Proxy.revocable({}, {}); r.revoke(); [r.proxy]")


def test_a_subinterpreter_is_refused(run_python) -> None:  # type: ignore[no-untyped-def]
    sub = pytest.importorskip("_xxsubinterpreters")
    done = run_python(
        f"import {sub.__name__} as sub\ns = sub.create()\n"
        "try: sub.run_string(s, 'import jsrt')\nexcept Exception as e: print(e)"
    )
    assert "does not support subinterpreters" in done.stdout
