# SPDX-License-Identifier: MIT
"""jsrt.JSEngine: one script in several isolates, for calls from many threads."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from collections.abc import Iterator

import pytest
from threadtools import in_threads

import jsrt

CODE = """
let calls = 0;
function add(a, b) { return a + b }
function count() { return ++calls }
function spin(ms) { const end = Date.now() + ms; while (Date.now() < end) ; return ms }
function fail(n) { if (n % 10 === 7) throw new RangeError(`no ${n}`); return n }
async function later(x) { await null; return [x] }
"""


@pytest.fixture
def engine() -> Iterator[jsrt.JSEngine]:
    with jsrt.JSEngine(CODE, workers=2, profile="bare") as made:
        yield made


def test_calls(engine: jsrt.JSEngine) -> None:
    assert engine.call("add", [1, 2]) == 3
    assert engine.call("later", ["x"]) == ["x"]
    assert engine.eval("calls") == 0
    assert engine.evaluate("const a = 1; a") == 1
    with pytest.raises(jsrt.JSError, match="no such function"):
        engine.call("nothing", [])
    assert engine.workers == 2
    assert "workers=2" in repr(engine)


def test_isolates_are_made_when_calls_overlap(engine: jsrt.JSEngine) -> None:
    for _ in range(5):
        engine.call("add", [1, 2])
    assert engine.stats()["isolates"] == 1
    in_threads(6, lambda _: engine.call("spin", [60]))
    figures = engine.stats()
    assert (figures["isolates"], figures["idle"], figures["waiting"]) == (2, 2, 0)
    assert figures["waits"] >= 1
    assert figures["wait_time"] > 0.01
    assert figures["calls"] >= 11
    assert figures["heap"] > 100_000


def test_ten_threads_get_right_answers(engine: jsrt.JSEngine) -> None:
    def work(seed: int) -> list[object]:
        return [engine.call("add", [seed, n]) for n in range(400)]

    expected = [[seed + n for n in range(400)] for seed in range(10)]
    assert in_threads(10, work) == expected


def test_compile_reaches_all_isolates(engine: jsrt.JSEngine) -> None:
    in_threads(4, lambda _: engine.call("spin", [30]))
    engine.compile("function added() { return 'here' }")
    barrier = threading.Barrier(2)

    def work(_: int) -> object:
        barrier.wait(20)
        engine.call("spin", [30])
        return [engine.call("added", []) for _ in range(10)]

    assert in_threads(2, work) == [["here"] * 10] * 2


def test_nobody_is_passed_over(engine: jsrt.JSEngine) -> None:
    """Threads that call again at once do not keep out one that waits."""
    stop = threading.Event()
    longest = 0.0

    def hog() -> None:
        while not stop.is_set():
            engine.call("spin", [3])

    hogs = [threading.Thread(target=hog) for _ in range(6)]
    for thread in hogs:
        thread.start()
    try:
        for _ in range(20):
            started = time.monotonic()
            engine.call("spin", [1])
            longest = max(longest, time.monotonic() - started)
    finally:
        stop.set()
        for thread in hogs:
            thread.join(20)
    assert longest < 2  # six others, a few turns each


def test_threads_wait_without_descriptors(engine: jsrt.JSEngine) -> None:
    """What wakes a thread is a pipe; where none can be opened it is served all the same."""
    in_threads(4, lambda _: engine.call("spin", [30]))
    with jsrt.JSEngine(CODE, workers=1, profile="bare") as other:
        other.call("add", [1, 2])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                os.pipe()
            assert in_threads(4, lambda n: other.call("spin", [n])) == [0, 1, 2, 3]
            assert other.stats()["waits"] > 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_bounded_number_of_pipes_is_kept() -> None:
    """For the threads that wait next, of whatever engine."""

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    def use() -> None:
        with jsrt.JSEngine(CODE, workers=1, profile="bare") as engine:
            for _ in range(3):
                in_threads(20, lambda _: engine.call("spin", [2]))

    before = count()
    for _ in range(3):
        use()
        gc.collect()
        assert count() - before <= 2 * 16 + 4


def test_shrinks_when_idle(engine: jsrt.JSEngine) -> None:
    in_threads(4, lambda _: engine.call("spin", [40]))
    assert engine.stats()["isolates"] == 2
    assert engine.shrink(idle=3600) == 0
    assert engine.shrink() == 2
    figures = engine.stats()
    assert (figures["isolates"], figures["shrunk"], figures["heap"]) == (0, 2, 0)
    assert engine.call("count", []) == 1


def test_timeout_and_wait() -> None:
    with jsrt.JSEngine(CODE, workers=1, profile="bare", timeout=0.3) as engine:
        with pytest.raises(jsrt.Timeout):
            engine.call("spin", [60_000])
        assert engine.call("add", [1, 2]) == 3
    with jsrt.JSEngine(CODE, workers=1, profile="bare", wait=0.2) as engine:
        busy = threading.Thread(target=engine.call, args=("spin", [1500]))
        busy.start()
        while engine.stats()["calls"] < 2:
            time.sleep(0.001)
        with pytest.raises(jsrt.Timeout, match=r"no isolate was free within 0\.2 s"):
            engine.call("add", [1, 2])
        busy.join(20)
        assert engine.call("add", [1, 2]) == 3
        assert engine.stats()["waiting"] == 0


def test_map(engine: jsrt.JSEngine) -> None:
    seen: list[tuple[int, int]] = []
    results = engine.map(
        "add", [[n, 1] for n in range(100)], progress=lambda done, of: seen.append((done, of))
    )
    assert results == [n + 1 for n in range(100)]
    assert seen == [(n, 100) for n in range(1, 101)]
    assert engine.map("add", []) == []
    assert engine.map("spin", [[5]] * 4) == [5] * 4


def test_map_stops_at_an_error(engine: jsrt.JSEngine) -> None:
    with pytest.raises(jsrt.JSError, match="no 7"):
        engine.map("fail", ([n] for n in range(1000)))
    assert engine.stats()["calls"] < 500

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.map("spin", [[2]] * 500, progress=stop)
    assert engine.call("add", [1, 2]) == 3


def test_the_code_is_run_at_once() -> None:
    with pytest.raises(jsrt.JSSyntaxError):
        jsrt.JSEngine("nonsense(", workers=2)
    with pytest.raises(ValueError):
        jsrt.JSEngine(CODE, workers=0)
    with pytest.raises(ValueError):
        jsrt.JSEngine(CODE, wait=0)


def test_a_heap_limit_condemns_one_isolate_only() -> None:
    with jsrt.JSEngine(CODE, workers=2, profile="bare", heap_limit=16) as engine:
        in_threads(4, lambda _: engine.call("spin", [30]))
        with pytest.raises(jsrt.HeapLimit):
            engine.eval("const a = []; for (;;) a.push(new Array(1000).fill(1))")
        assert in_threads(4, lambda n: engine.call("add", [n, 1])) == [1, 2, 3, 4]


def test_closed_while_threads_wait() -> None:
    engine = jsrt.JSEngine(CODE, workers=1, profile="bare")
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(engine.call("spin", [400]))
        except jsrt.ContextClosed:
            outcomes.append("closed")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while engine.stats()["waiting"] < 3:
        time.sleep(0.001)
    engine.close()
    for thread in threads:
        thread.join(20)
    assert sorted(map(str, outcomes)) == ["400", "closed", "closed", "closed"]
    assert engine.closed
    with pytest.raises(jsrt.ContextClosed):
        engine.call("add", [1, 2])


def test_web_apis() -> None:
    with jsrt.JSEngine("const host = (u) => new URL(u).host", workers=2) as engine:
        assert in_threads(3, lambda n: engine.call("host", [f"http://h{n}/"])) == ["h0", "h1", "h2"]
