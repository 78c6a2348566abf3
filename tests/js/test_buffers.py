# SPDX-License-Identifier: MIT
"""Writable buffers that JavaScript shares with Python: whose they are, for how long, how many."""

from __future__ import annotations

import array
import ctypes
import gc
import mmap
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from threadtools import in_threads

import jsrt
from jsrt import _jsrt

MEGABYTE = 1 << 20
FORKS = "ignore:This process:DeprecationWarning"
"""What Python says of a fork in a process with threads, since 3.12."""
CODE = """
let kept = [];
function keep(x) { kept.push(x); return x.length }
function drop() { kept = [] }
function last() { return kept[kept.length - 1] }
function fill(x, value) { x.fill(value); return x.constructor.name }
function length(x) { return x.length }
function read(x) { return Array.from(x) }
"""


@pytest.fixture
def ctx() -> Iterator[jsrt.Context]:
    with jsrt.Context(profile="bare", code=CODE) as context:
        yield context


def lent() -> int:
    return _jsrt._debug_counts()["lent"]


def eventually(context: jsrt.Context, holds: Callable[[], bool]) -> None:
    """V8 frees memory in sweeps on threads of its own; what they gave back, a call releases."""
    for _ in range(1000):
        context.collect()
        context.eval("0")
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("never released")


# ---- What crosses, and as what ---------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 8, 4096, MEGABYTE])
def test_a_bytearray_is_shared_whatever_its_size(ctx: jsrt.Context, size: int) -> None:
    data = bytearray(size)
    assert ctx.call("fill", [data, 7]) == "Uint8Array"
    assert data == bytes([7]) * size
    ctx.call("keep", [data])
    data[-1] = 9
    assert ctx.eval("last().at(-1)") == 9
    assert ctx.call("last", []) == bytes(data)


def test_bytes_and_what_is_read_only_are_copied(ctx: jsrt.Context) -> None:
    before = lent()
    data = bytearray(b"abcdefgh")
    for value in (b"abcdefgh", memoryview(b"abcdefgh"), memoryview(data).toreadonly()):
        assert ctx.call("fill", [value, 7]) == "Uint8Array"
        assert bytes(value) == b"abcdefgh"
    assert lent() == before


@pytest.mark.parametrize(
    ("code", "items", "name"),
    [
        ("b", [-1, 2], "Int8Array"),
        ("B", [1, 255], "Uint8Array"),
        ("h", [-1, 2], "Int16Array"),
        ("H", [1, 65535], "Uint16Array"),
        ("i", [-1, 2], "Int32Array"),
        ("I", [1, 2**32 - 1], "Uint32Array"),
        ("q", [-1, 2**62], "BigInt64Array"),
        ("Q", [1, 2**64 - 1], "BigUint64Array"),
        ("f", [1.5, -2.0], "Float32Array"),
        ("d", [1.5, 1e300], "Float64Array"),
    ],
)
def test_an_array_is_the_typed_array_of_its_items(
    ctx: jsrt.Context, code: str, items: list[Any], name: str
) -> None:
    values = array.array(code, items)
    assert ctx.call("read", [values]) == items
    ctx.compile("function first(x) { x[0] = x[1]; return x.constructor.name }")
    assert ctx.call("first", [values]) == name
    assert list(values) == [items[1], items[1]]
    assert ctx.call("read", [values[:0]]) == []


def test_other_exporters(ctx: jsrt.Context) -> None:
    numbers = (ctypes.c_double * 3)(1, 2, 3)
    assert ctx.call("fill", [numbers, 4]) == "Float64Array"
    assert list(numbers) == [4, 4, 4]
    with mmap.mmap(-1, 4096) as pages:
        assert ctx.call("fill", [pages, 65]) == "Uint8Array"
        assert pages[:2] == b"AA"
        with pytest.raises(BufferError):
            pages.close()
        eventually(ctx, lambda: lent() == 0)
    grid = memoryview(array.array("i", range(6))).cast("B").cast("i", (2, 3))
    assert ctx.call("length", [grid]) == 24  # a memoryview is bytes


def test_numpy(ctx: jsrt.Context) -> None:
    np = pytest.importorskip("numpy")
    grid = np.zeros((2, 3), dtype=np.float32)
    assert ctx.call("fill", [grid, 1.5]) == "Float32Array"
    assert grid.tolist() == [[1.5] * 3] * 2
    assert ctx.call("read", [np.arange(6, dtype=np.int16)[::2]]) == [0, 2, 4]
    with pytest.raises(jsrt.ConversionError, match="format"):
        ctx.call("read", [np.zeros(2, dtype=complex)])


def test_what_has_no_typed_array_is_refused(ctx: jsrt.Context) -> None:
    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int))

    with pytest.raises(jsrt.ConversionError, match=r"format .*memoryview"):
        ctx.call("length", [(Point * 2)()])
    with pytest.raises(jsrt.ConversionError):
        ctx.call("length", [ctypes.c_int(1)])
    assert ctx.call("length", [memoryview((Point * 2)())]) == 16


def test_a_strided_or_unaligned_one_is_copied(ctx: jsrt.Context) -> None:
    data = bytearray(b"abcdefghijklmnop")
    for view in (memoryview(data)[::2], memoryview(data)[1:]):
        assert ctx.call("read", [view]) == list(view)
        ctx.call("fill", [view, 0])
    assert data == b"abcdefghijklmnop"
    ctx.call("fill", [memoryview(data)[8:], 65])
    assert data == b"abcdefghAAAAAAAA"


def test_inside_of_containers_and_twice(ctx: jsrt.Context) -> None:
    data, numbers = bytearray(8), array.array("d", [1, 2])
    ctx.compile(
        "function inside(o, again) { o.list[0].fill(1); o.map.numbers[0] = 5;"
        " again[1] = 9; return [o.list[1].length, o.list[0][1], o.list[0] === again] }"
    )
    value = {"list": [data, b"copied"], "map": {"numbers": numbers}}
    assert ctx.call("inside", [value, data]) == [6, 9, False]
    assert data == b"\1\x09" + b"\1" * 6
    assert list(numbers) == [5, 2]


def test_as_results_of_callbacks_and_through_handles(ctx: jsrt.Context) -> None:
    data = bytearray(8)
    ctx.expose("give", lambda: data)
    ctx.expose("table", data)
    ctx.eval("give().fill(3); table[0] = 4")
    assert data == b"\4" + b"\3" * 7
    holder = ctx.eval("new (class Holder { })")
    holder.data = data
    ctx.function("fill")(holder.data, 5)
    assert data == b"\5" * 8


def test_a_view_of_data_gives_copies(ctx: jsrt.Context) -> None:
    """jsrt.proxy keeps JavaScript from writing: its bytearrays are not shared either."""
    data = {"data": bytearray(8)}
    ctx.eval("let seen; function look(p) { seen = p.data; seen.fill(1); return p.data[0] }")
    assert ctx.call("look", [jsrt.proxy(data)]) == 0
    assert data == {"data": bytearray(8)}


def test_share_buffers_is_an_option_that_realms_inherit() -> None:
    data = bytearray(8)
    with jsrt.Context(profile="bare", share_buffers=False, code=CODE) as context:
        context.call("fill", [data, 1])
        context.call("fill", [array.array("d", [1]), 1])
        context.call("keep", [{"a": data}, data])
        with context.realm() as realm:
            realm.compile(CODE)
            realm.call("fill", [data, 1])
        assert data == bytes(8)
        assert lent() == 0
        data.extend(b"more")


def test_tenants_never_share() -> None:
    """A buffer that the application uses again would show one tenant what is another's."""
    data = bytearray(8)
    code = "let kept; function keep(x) { kept = x; x[0] = 1 } function look() { return kept[0] }"
    for isolation in ("realm", "isolate"):
        with jsrt.Tenants(isolation=isolation) as tenants:  # type: ignore[arg-type]
            tenants.call("a", code, "keep", [data])
            data[0] = 7
            assert tenants.call("a", code, "look") == 1
            data[0] = 0
    assert data == bytes(8)


# ---- Lives -----------------------------------------------------------------------------------


def test_it_cannot_be_resized_while_javascript_has_it(ctx: jsrt.Context) -> None:
    data = bytearray(b"12345678")
    ctx.call("keep", [data])
    with pytest.raises(BufferError):
        data.extend(b"9")
    ctx.call("drop", [])

    def grows() -> bool:
        try:
            data.extend(b"9")
        except BufferError:
            return False
        return True

    eventually(ctx, grows)


def test_a_memoryview_can_be_released_meanwhile(ctx: jsrt.Context) -> None:
    data = bytearray(b"12345678")
    with memoryview(data) as view:
        ctx.call("keep", [view])
    assert ctx.call("last", []) == data
    with pytest.raises(ValueError, match="released"):
        ctx.call("keep", [view])


def test_python_keeps_it_as_long_as_javascript_does(ctx: jsrt.Context) -> None:
    class Data(bytearray):
        pass

    data = Data(b"x" * MEGABYTE)
    gone = weakref.ref(data)
    ctx.call("keep", [data])
    del data
    gc.collect()
    assert gone() is not None
    assert ctx.call("last", []) == b"x" * MEGABYTE
    ctx.call("drop", [])
    eventually(ctx, lambda: gone() is None)


def test_it_goes_with_the_context() -> None:
    data = bytearray(8)
    with jsrt.Context(profile="bare", code=CODE) as context:
        context.call("keep", [data])
        assert lent() == 1
    assert lent() == 0
    data.extend(b"9")


def test_it_goes_with_a_context_dropped_by_another_thread() -> None:
    data = bytearray(8)
    holder = [jsrt.Context(profile="bare", code=CODE)]
    holder[0].call("keep", [data])
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join(60)
    gc.collect()
    with jsrt.Context(profile="bare") as context:
        eventually(context, lambda: lent() == 0)
    data.extend(b"9")


def test_a_cycle_through_javascript_is_found_by_the_collector() -> None:
    class Data(bytearray):
        pass

    data: Any = Data(8)
    data.context = jsrt.Context(profile="bare", code=CODE)
    data.context.call("keep", [data])
    gone = weakref.ref(data)
    del data
    gc.collect()
    gc.collect()
    assert gone() is None
    assert lent() == 0


def test_the_main_thread_releases_it_without_another_call(ctx: jsrt.Context) -> None:
    data = bytearray(8)
    ctx.call("keep", [data])
    ctx.call("drop", [])
    ctx.collect()
    for _ in range(1000):
        if not lent():
            break
        time.sleep(0.01)
    else:
        pytest.fail("never released")


# ---- What JavaScript does to it --------------------------------------------------------------


def test_transfer_and_detach() -> None:
    data = bytearray(b"12345678")
    with jsrt.Context(profile="web") as context:
        context.compile(
            "let moved; function move(x) {"
            " moved = structuredClone(x.buffer, {transfer: [x.buffer]}); return x.length }"
            "function write() { new Uint8Array(moved)[0] = 65 }"
        )
        assert context.call("move", [data]) == 0
        context.call("write")
        assert data == b"A2345678"
        with pytest.raises(BufferError):
            data.clear()
        assert context.call("move", [data]) == 0  # again: another ArrayBuffer
    data.clear()


def test_its_size_is_its_own(ctx: jsrt.Context) -> None:
    """Nothing before or after it can be reached, and nothing resizes it."""
    data = bytearray(b"0123456789abcdef")
    ctx.compile(
        """
        function poke(x) {
          const b = x.buffer, tried = [];
          for (const attempt of [
            () => b.resize(1 << 20), () => new Uint8Array(b, 0, 17), () => new Uint8Array(b, 17),
            () => new DataView(b).setUint8(16, 1), () => new DataView(b).setFloat64(9, 1),
            () => x.set([1, 2], 15), () => new Float64Array(b, 4),
            () => Atomics.wait(new Int32Array(b), 0, 0, 1),
          ]) try { attempt(); tried.push("done") } catch (e) { tried.push(e.name) }
          x[16] = 1; x[-1] = 1;
          return [b.byteLength, x.byteOffset, tried];
        }
        """
    )
    size, offset, tried = ctx.call("poke", [memoryview(data)[:16]])
    assert (size, offset) == (16, 0)
    assert "done" not in tried
    assert data == b"0123456789abcdef"


def test_atomics_and_webassembly(ctx: jsrt.Context) -> None:
    numbers = array.array("i", [1, 2, 3])
    ctx.compile(
        """
        function atomics(x) { return Atomics.add(x, 0, 41) + Atomics.exchange(x, 1, 7) }
        function wasm(x) {
          const memory = new WebAssembly.Memory({initial: 1});
          new Uint8Array(memory.buffer).set(x);
          memory.grow(1);
          return new Uint8Array(memory.buffer, 0, 4);
        }
        """
    )
    assert ctx.call("atomics", [numbers]) == 3
    assert list(numbers) == [42, 7, 3]
    assert ctx.call("wasm", [bytearray(b"abcd")]) == b"abcd"


def test_a_worker_that_it_was_given_to_outlives_nothing() -> None:
    """Node's worker_threads take the memory to another isolate."""
    data = bytearray(b"12345678")
    with jsrt.Context(profile="node") as context:
        context.compile(
            """
            const {Worker} = require("worker_threads");
            function give(x) {
              return new Promise((done, failed) => {
                const worker = new Worker(
                  `const {parentPort} = require("worker_threads");
                   parentPort.once("message", x => {
                     x[0] = 65; parentPort.postMessage(x.length) })`,
                  {eval: true});
                worker.on("error", failed);
                worker.once("message", n => worker.terminate().then(() => done([n, x.length])));
                worker.postMessage(x, [x.buffer]);
              });
            }
            """
        )
        assert context.call("give", [data]) == [8, 0]
        assert data == b"A2345678"
        eventually(context, lambda: lent() == 0)
    data.extend(b"9")


def test_web_apis_take_it() -> None:
    data = bytearray(b"caf\xc3\xa9")
    with jsrt.Context(profile="web") as context:
        context.compile(
            "const text = x => new TextDecoder().decode(x);"
            "const digest = async x => new Uint8Array(await crypto.subtle.digest('SHA-256', x));"
            "const into = x => new TextEncoder().encodeInto('abc', x).written;"
        )
        assert context.call("text", [data]) == "café"
        assert len(context.call("digest", [data])) == 32
        assert context.call("into", [data]) == 3
        assert data.startswith(b"abc")


# ---- Bounds ----------------------------------------------------------------------------------


def test_keeping_them_is_bounded_by_the_heap_limit() -> None:
    with jsrt.Context(profile="bare", heap_limit=32, code=CODE) as context:
        with pytest.raises((jsrt.HeapLimit, MemoryError)):
            for _ in range(64):
                context.call("keep", [bytearray(MEGABYTE)])
        assert _jsrt._debug_counts()["lent"] <= 32
        context.call("drop", [])
        assert context.call("length", [bytearray(MEGABYTE)]) == MEGABYTE


def test_what_javascript_drops_does_not_add_up() -> None:
    with jsrt.Context(profile="bare", heap_limit=32, code=CODE) as context:
        data = bytearray(MEGABYTE)
        for _ in range(300):
            assert context.call("length", [data]) == MEGABYTE
            assert context.call("length", [bytearray(MEGABYTE)]) == MEGABYTE
        assert lent() <= 32


def test_a_sweep_gives_back_while_calls_fetch(ctx: jsrt.Context) -> None:
    """Many small ones: V8 gives loans back on its threads just as calls release them."""
    ctx.compile("let held; const take = (b, o) => { b[0] = 1; held = o; return b }")
    ctx.expose("give", lambda: bytearray(64))
    for number in range(60_000):
        data = bytearray(8 + number % 500)
        assert ctx.call("take", [data, {"in": data}])[0] == 1
        ctx.eval("held = give()")


def test_memory_that_is_used_again_shows_nothing_of_before(ctx: jsrt.Context) -> None:
    """Copies reuse blocks that V8 has freed; what JavaScript makes is zero all the same."""
    ctx.compile(
        "function make(n) { return new Uint8Array(n).every(x => x === 0) }"
        "function all(x, value) { return x.every(y => y === value) && x.buffer.byteLength }"
    )
    for turn in range(120):
        size = MEGABYTE - 7919 * (turn % 7)
        value = turn % 250 + 1
        assert ctx.call("all", [bytes([value]) * size, value]) == size
        assert ctx.call("make", [size])


def test_bytes_that_are_copied_are_bounded_by_the_heap_limit() -> None:
    with jsrt.Context(profile="bare", heap_limit=32, code=CODE) as context:
        for _ in range(200):
            assert context.call("length", [bytes(MEGABYTE)]) == MEGABYTE
        with pytest.raises((jsrt.HeapLimit, MemoryError)):
            for _ in range(64):
                context.call("keep", [bytes(MEGABYTE)])
        with pytest.raises((jsrt.HeapLimit, MemoryError)):
            context.call("length", [bytes(64 * MEGABYTE)])
    with jsrt.Context(profile="bare", code=CODE) as context:
        assert context.call("length", [b""]) == 0


def test_javascript_cannot_come_between_a_copy_and_its_buffer(ctx: jsrt.Context) -> None:
    ctx.compile(
        "let seen = []; const real = ArrayBuffer; globalThis.ArrayBuffer = function (n) {"
        " seen.push(n); return new real(0) };"
        "Object.defineProperty(real, Symbol.species, {get() { seen.push('species'); return real }})"
    )
    assert ctx.call("length", [b"abc"]) == 3
    assert ctx.call("read", [array.array("d", [1])[:]]) == [1]
    assert ctx.eval("seen") == []


def test_from_many_threads() -> None:
    data = bytearray(1000)
    with jsrt.JSEngine(CODE, workers=3, profile="bare") as engine:

        def work(_: int) -> None:
            for _ in range(100):
                assert engine.call("length", [data]) == 1000
                assert engine.call("fill", [bytearray(MEGABYTE), 3]) == "Uint8Array"

        in_threads(4, work)
    gc.collect()
    with jsrt.Context(profile="bare") as context:
        eventually(context, lambda: lent() == 0)
    data.clear()


# ---- The end of the process ------------------------------------------------------------------

EXITS = {
    "kept by JavaScript": "",
    "dropped by JavaScript": "ctx.call('drop'); ctx.collect()",
    "its context forgotten": "del ctx",
    "in a daemon thread": (
        "import threading; threading.Thread(target=other, daemon=True).start(); time.sleep(0.2)"
    ),
    "many, in the middle of sweeps": (
        "for _ in range(200): ctx.function('length')(bytearray(1 << 20))"
    ),
    "forked": (
        "pid = os.fork()\nif pid: assert os.waitpid(pid, 0)[1] == 0\ndel ctx, data; gc.collect()"
    ),
}


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_exits(how: str) -> None:
    code = f"""
import contextlib, gc, os, time, jsrt
CODE = {CODE!r}
def other():
    ctx = jsrt.Context(profile="bare", code=CODE)
    ctx.call("keep", [bytearray(1 << 20)])
    with contextlib.suppress(jsrt.JSError):
        ctx.eval("for (;;);")
ctx = jsrt.Context(profile="bare", code=CODE)
data = bytearray(1 << 20)
ctx.call("keep", [data])
{EXITS[how]}
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", FORKS, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(jsrt.__file__).resolve().parents[1],
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
