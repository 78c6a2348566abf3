# SPDX-License-Identifier: MIT
"""Threads: wake-ups from others, several loops at once, the GIL while the loop waits, fork."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest
from subpython import python

from asgiserver.loop import Loop, new_event_loop, run_loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")


def test_call_soon_threadsafe_from_four_threads(loop: Loop) -> None:
    per_thread = 5000
    seen: dict[int, list[int]] = {i: [] for i in range(4)}
    finished = 0

    def done() -> None:
        nonlocal finished
        finished += 1
        if finished == len(seen):
            loop.stop()

    def produce(who: int) -> None:
        for i in range(per_thread):
            loop.call_soon_threadsafe(seen[who].append, i)
            if i % 500 == 0:
                time.sleep(0.001)
        loop.call_soon_threadsafe(done)

    threads = [threading.Thread(target=produce, args=(i,)) for i in seen]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    # Each thread's callbacks are all there, in the order of its calls.
    assert all(got == list(range(per_thread)) for got in seen.values())


def test_a_blocked_loop_wakes_at_once(loop: Loop) -> None:
    waits = []

    async def main() -> None:
        for _ in range(50):
            woken = loop.create_future()
            sent = 0.0

            def wake(woken: asyncio.Future[None] = woken) -> None:
                nonlocal sent
                time.sleep(0.002)
                sent = time.monotonic()
                loop.call_soon_threadsafe(woken.set_result, None)

            thread = threading.Thread(target=wake)
            thread.start()
            await woken
            waits.append(time.monotonic() - sent)
            thread.join()

    loop.run_until_complete(asyncio.wait_for(main(), 30))
    assert sorted(waits)[25] < 0.02


def test_threadsafe_before_the_loop_runs(loop: Loop) -> None:
    seen: list[int] = []
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, 1))
    thread.start()
    thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1]


def test_stop_and_timers_from_another_thread_reach_a_blocked_loop(loop: Loop) -> None:
    """Not promised by asyncio, but no reason to hang."""
    timer = threading.Timer(0.05, loop.stop)
    timer.start()
    loop.run_forever()
    timer.join()
    timer = threading.Timer(0.05, loop.call_later, (0.01, loop.stop))
    timer.start()
    loop.run_forever()
    timer.join()


def test_other_threads_run_while_the_loop_waits(loop: Loop) -> None:
    """The GIL is down in a blocking poll: a thread gets through a lot of bytecode meanwhile."""
    count = 0
    halt = False

    def work() -> None:
        nonlocal count
        while not halt:
            count += 1

    thread = threading.Thread(target=work)
    thread.start()
    loop.run_until_complete(asyncio.sleep(0.1))
    halt = True
    thread.join()
    assert count > 10_000


def test_a_loop_in_each_of_several_threads() -> None:
    results: list[int] = []

    async def main(who: int) -> int:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        async with server:
            for _ in range(20):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
                await asyncio.sleep(0.0005)
        assert isinstance(loop, Loop)
        return who

    def run(who: int) -> None:
        results.append(run_loop(main(who)))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [0, 1, 2, 3]


def test_loops_talk_to_each_other(loop: Loop) -> None:
    other = new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()

    async def there(value: int) -> int:
        await asyncio.sleep(0.001)
        return value * 2

    async def main() -> int:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(21), other))

    assert loop.run_until_complete(main()) == 42
    other.call_soon_threadsafe(other.stop)
    thread.join()
    other.close()


def test_call_soon_threadsafe_races_with_close() -> None:
    for _ in range(20):
        made = new_event_loop()
        halt = threading.Event()

        def hammer(made: Loop = made, halt: threading.Event = halt) -> None:
            while not halt.is_set():
                try:
                    made.call_soon_threadsafe(int)
                except RuntimeError:
                    return

        thread = threading.Thread(target=hammer)
        thread.start()
        made.run_until_complete(asyncio.sleep(0.001))
        made.close()
        halt.set()
        thread.join()


def test_a_forked_child_leaves_its_parents_loop_alone() -> None:
    done = python("""
        import asyncio, gc, os, socket, sys, warnings
        from asgiserver.loop import new_event_loop
        warnings.simplefilter("ignore")
        loop = new_event_loop()
        left, right = socket.socketpair()
        got = []
        loop.add_reader(left, lambda: (got.append(left.recv(9)), loop.stop()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        pid = os.fork()
        if pid == 0:
            # The child closes its copy and runs a loop of its own.
            loop.close()
            del loop
            gc.collect()
            own = new_event_loop()
            own.run_until_complete(asyncio.sleep(0.01))
            own.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        right.send(b"still here")
        loop.run_forever()
        loop.close()
        print(got)
    """)
    assert done.returncode == 0, done.stderr
    assert "still her" in done.stdout


def test_thread_id_is_the_runners(loop: Loop) -> None:
    async def main() -> int | None:
        return loop._thread_id

    assert loop._thread_id is None
    assert loop.run_until_complete(main()) == threading.get_ident()
    assert loop._thread_id is None
    assert os.getpid() > 0
