# SPDX-License-Identifier: MIT
"""Signals: the loop's handlers and Python's own, while the loop is blocked in its poll."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest
from subpython import environment

from asgiserver.loop import Loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def wakeup_fd_untouched() -> Iterator[None]:
    """Whatever the test does, set_wakeup_fd and the handlers are afterwards as before."""
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGINT)
    yield
    assert signal.set_wakeup_fd(-1) == -1
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGINT)) == before


def kill_soon(number: int) -> threading.Timer:
    """Sends this process a signal once the loop has had time to block."""
    timer = threading.Timer(0.1, os.kill, [os.getpid(), number])
    timer.start()
    return timer


def test_add_signal_handler(loop: Loop) -> None:
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, lambda *args: (seen.append(args), loop.stop()), 1, 2)
    killer = kill_soon(signal.SIGUSR1)
    loop.run_forever()
    killer.join()
    assert seen == [(1, 2)]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_a_signal_before_the_loop_runs_is_not_lost(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_closing_removes_handlers(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_python_handler_runs_while_the_loop_is_blocked(loop: Loop) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: loop.stop())
    try:
        killer = kill_soon(signal.SIGUSR1)
        loop.run_forever()
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_keyboard_interrupt_leaves_run_forever(loop: Loop) -> None:
    killer = kill_soon(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    killer.join()
    assert not loop.is_running()


def test_an_exception_in_a_python_handler_leaves_run_forever(loop: Loop) -> None:
    """As with asyncio's loops; timeouts of test runners count on it."""

    def raises(number: int, frame: object) -> None:
        raise ValueError("from the handler")

    before = signal.signal(signal.SIGUSR1, raises)
    try:
        killer = kill_soon(signal.SIGUSR1)
        with pytest.raises(ValueError, match="from the handler"):
            loop.run_forever()
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_wakeup_fd_gets_its_bytes_and_comes_back(loop: Loop) -> None:
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)
    with read, write:
        signal.set_wakeup_fd(write.fileno())
        try:
            loop.add_signal_handler(signal.SIGUSR1, loop.stop)
            killer = kill_soon(signal.SIGUSR1)
            loop.run_forever()
            killer.join()
            loop.remove_signal_handler(signal.SIGUSR1)
            assert read.recv(10) == bytes([signal.SIGUSR1])
        finally:
            assert signal.set_wakeup_fd(-1) == write.fileno()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_signals_that_cannot_be_caught(loop: Loop, number: int) -> None:
    with pytest.raises(RuntimeError, match="cannot be caught"):
        loop.add_signal_handler(number, print)


def test_wrong_arguments(loop: Loop) -> None:
    async def coroutine() -> None:
        pass

    with pytest.raises(TypeError, match="coroutines"):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)
    with pytest.raises(ValueError, match="invalid signal"):
        loop.add_signal_handler(10_000, print)
    with pytest.raises(TypeError):
        loop.remove_signal_handler("x")


def test_not_in_another_thread(loop: Loop) -> None:
    errors = []

    def run() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except RuntimeError as exc:
            errors.append(str(exc))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert "main thread" in errors[0]


RUNNER = """
    import asyncio, sys
    from asgiserver.loop import run_loop

    async def main():
        print("ready", flush=True)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            await asyncio.sleep(0.01)
            print("cleaned up", flush=True)
            raise

    try:
        run_loop(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(9)
"""


def test_ctrl_c_cancels_the_main_task() -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-X", "dev", "-c", textwrap.dedent(RUNNER)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert out == "cancelled\ncleaned up\ninterrupted\n"
    assert err == ""
    assert process.returncode == 9


def test_signals_during_a_storm_of_callbacks(loop: Loop) -> None:
    seen = []

    def spin() -> None:
        loop.call_soon(spin)

    def on_signal() -> None:
        seen.append(1)
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, on_signal)
    loop.call_soon(spin)
    killer = kill_soon(signal.SIGUSR1)
    loop.run_forever()
    killer.join()
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_asyncio_runner_on_the_main_thread() -> None:
    async def main() -> None:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler

    from asgiserver.loop import run_loop

    run_loop(main())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    asyncio.set_event_loop(None)
