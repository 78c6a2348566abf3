# SPDX-License-Identifier: MIT
"""JavaScript stacks at a signal, beside faulthandler's."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import jsrt

CODE = """
function outer(end) { return inner(end); }
function inner(end) {
    while (Date.now() < end) {}
    return 1;
}
"""
SIGNAL = signal.SIGRTMIN + 6


@pytest.fixture
def stacks(tmp_path):
    """A file that stacks are written to, JavaScript's behind Python's."""
    with (tmp_path / "stacks").open("w+") as file:
        jsrt.dump_stacks_on(SIGNAL, file.fileno())
        faulthandler.register(SIGNAL, file=file, all_threads=True, chain=True)
        yield file
        faulthandler.unregister(SIGNAL)
        signal.signal(SIGNAL, signal.SIG_DFL)


def text_of(file, wanted: str) -> str:
    """What is in the file once that is."""
    end = time.monotonic() + 10
    while wanted not in (text := os.pread(file.fileno(), 1 << 20, 0).decode()):
        assert time.monotonic() < end, text
        time.sleep(0.01)
    return text


def send_soon(file, wanted: str) -> threading.Thread:
    """Sends the signal, from a thread that lives until that is in the file: faulthandler walks the
    list of threads without the GIL, and must not meet one that ends."""

    def send() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), SIGNAL)
        text_of(file, wanted)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_running_call(stacks):
    with jsrt.Context() as context:
        context.compile(CODE, filename="loop.js")
        sender = send_soon(stacks, 'File "loop.js", line 2 in outer')
        context.call("outer", [time.time() * 1000 + 1000])
        sender.join()
        text = text_of(stacks, 'File "loop.js", line 2 in outer')
        assert "in test_a_running_call" in text
        python, _, javascript = text.partition("JavaScript (most recent call first):\n")
        assert "loop.js" not in python
        assert javascript.splitlines()[:2] == [
            '  File "loop.js", line 4 in inner',
            '  File "loop.js", line 2 in outer',
        ]
        # The call and the isolate go on as before.
        assert context.call("inner", [0]) == 1


def test_threads(stacks):
    """Every running call, whichever thread it is in."""
    with jsrt.Context(pool=2) as context:
        context.compile(CODE, filename="loop.js")
        context.call("inner", [0])
        end = time.time() + 4
        threads = [
            threading.Thread(target=context.call, args=(name, [end * 1000]))
            for name in ("outer", "inner")
        ]
        for thread in threads:
            thread.start()
        # The two may take their time to begin.
        both = False
        while not both and time.time() < end:
            os.ftruncate(stacks.fileno(), 0)
            os.kill(os.getpid(), SIGNAL)
            time.sleep(0.1)
            text = os.pread(stacks.fileno(), 1 << 20, 0).decode("utf-8", "replace")
            both = text.count("JavaScript (most recent") == 2 and text.count("in outer") == 1
        for thread in threads:
            thread.join()
        assert both, text


def test_nothing_runs(stacks):
    with jsrt.Context() as context:
        context.evaluate("1")
        os.kill(os.getpid(), SIGNAL)
        text_of(stacks, "in test_nothing_runs")
        time.sleep(0.1)
        context.evaluate("1")
        assert "JavaScript" not in text_of(stacks, "in test_nothing_runs")


def test_deep_stacks_are_cut(stacks):
    with jsrt.Context() as context:
        name = "n" * 300
        context.compile(
            f"function {name}(depth, end) {{"
            f" if (depth > 0) return {name}(depth - 1, end); while (Date.now() < end) {{}} }}"
        )
        sender = send_soon(stacks, name)
        context.call(name, [200, time.time() * 1000 + 700])
        sender.join()
        text = text_of(stacks, name)
        assert len(text[text.index("JavaScript") :]) <= 8192


def test_not_a_signal():
    with pytest.raises(OSError, match="Invalid argument"):
        jsrt.dump_stacks_on(9999, 1)


def test_without_anything_else():
    """No engine, no faulthandler: the signal does nothing."""
    code = f"import jsrt, os; jsrt.dump_stacks_on({SIGNAL}, 2); os.kill(os.getpid(), {SIGNAL})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
