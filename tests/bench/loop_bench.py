# SPDX-License-Identifier: MIT
"""Event-loop micro-benchmarks: casgi's loop beside asyncio's and, where installed, uvloop.

    python tests/bench/loop_bench.py [--rounds 5] [--scale 1.0] [--only call_soon,...]

Prints CPU time (user and system) per operation in nanoseconds, the best of the rounds. The
loops take turns inside every round, so that a busy machine is unfair to none of them.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import closing

Bench = Callable[[asyncio.AbstractEventLoop, int], None]


def noop(*args: object) -> None:
    pass


def call_soon(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A callback that queues itself again: one callback a turn."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


def call_soon_batch(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """1,000 callbacks queued, then run."""
    for _ in range(n // 1000):
        for _ in range(1000):
            loop.call_soon(noop, None)
        loop.call_soon(loop.stop)
        loop.run_forever()


def call_later_cancel(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A timeout set and not needed."""

    async def main() -> None:
        for i in range(n):
            loop.call_later(60, noop).cancel()
            if i % 1000 == 0:
                await asyncio.sleep(0)

    loop.run_until_complete(main())


def timers_100k(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Timers set and cancelled in the order they were set, 100,000 pending."""

    async def main() -> None:
        pending = [loop.call_later(60 + i % 977, noop) for i in range(100_000)]
        for i in range(n):
            pending.append(loop.call_later(60 + i % 977, noop))
            pending[i].cancel()
            if i % 1000 == 0:
                await asyncio.sleep(0)
        for handle in pending:
            handle.cancel()

    loop.run_until_complete(main())


def timers_due(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Timers that are due when the loop gets to them."""

    async def main() -> None:
        done = loop.create_future()
        for _ in range(n):
            loop.call_later(0.0, noop)
        loop.call_later(0.001, done.set_result, None)
        await done

    loop.run_until_complete(main())


def call_soon_threadsafe(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """From a thread of the executor, while the loop waits."""

    def produce() -> None:
        for _ in range(n):
            loop.call_soon_threadsafe(noop)

    async def main() -> None:
        await loop.run_in_executor(None, produce)

    loop.run_until_complete(main())


def task_switch(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """sleep(0) in one task."""

    async def main() -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def create_task(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A task made and awaited."""

    async def nothing() -> None:
        pass

    async def main() -> None:
        for _ in range(n):
            await loop.create_task(nothing())

    loop.run_until_complete(main())


def future(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A future made, set and awaited."""

    async def main() -> None:
        for _ in range(n):
            waiter = loop.create_future()
            loop.call_soon(waiter.set_result, None)
            await waiter

    loop.run_until_complete(main())


def sock_pingpong(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """add_reader on both ends of a socketpair."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    todo = n

    def on_right() -> None:
        right.send(right.recv(64))

    def on_left() -> None:
        nonlocal todo
        left.recv(64)
        todo -= 1
        if todo:
            left.send(b"x")
        else:
            loop.stop()

    with left, right:
        loop.add_reader(left, on_left)
        loop.add_reader(right, on_right)
        left.send(b"x")
        loop.run_forever()
        loop.remove_reader(left)
        loop.remove_reader(right)


def streams_echo(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """StreamReader and StreamWriter over TCP, client and server on the loop."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(n):
            writer.write(b"x" * 100)
            await reader.readexactly(100)
        writer.close()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


BENCHES: list[tuple[Bench, int]] = [
    (call_soon, 200_000),
    (call_soon_batch, 300_000),
    (call_later_cancel, 200_000),
    (timers_100k, 100_000),
    (timers_due, 50_000),
    (call_soon_threadsafe, 50_000),
    (task_switch, 200_000),
    (create_task, 60_000),
    (future, 100_000),
    (sock_pingpong, 30_000),
    (streams_echo, 5_000),
]


def factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    from asgiserver.loop import new_event_loop

    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "casgi": new_event_loop,
        "asyncio": asyncio.SelectorEventLoop,
    }
    try:
        import uvloop
    except ImportError:
        pass
    else:
        found["uvloop"] = uvloop.new_event_loop
    return found


def measure(factory: Callable[[], asyncio.AbstractEventLoop], bench: Bench, n: int) -> float:
    with closing(factory()) as loop:
        asyncio.set_event_loop(loop)
        try:
            began = time.process_time_ns()
            bench(loop, n)
            took = time.process_time_ns() - began
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
    return took / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of each count")
    parser.add_argument("--only", default="", help="names, separated by commas")
    options = parser.parse_args()
    loops = factories()
    only = set(options.only.split(",")) - {""}
    others = [name for name in loops if name != "casgi"]
    head = "".join(f"{name:>10}" for name in loops) + "".join(f"  /{name:8}" for name in others)
    print(f"{'ns of CPU per operation':24}{head}")
    for bench, count in BENCHES:
        if only and bench.__name__ not in only:
            continue
        n = max(1000, int(count * options.scale))
        best = dict.fromkeys(loops, float("inf"))
        for _ in range(options.rounds):
            for name, factory in loops.items():
                best[name] = min(best[name], measure(factory, bench, n))
        cells = "".join(f"{best[name]:10.0f}" for name in loops)
        cells += "".join(f"  {best['casgi'] / best[name]:9.2f}" for name in others)
        print(f"{bench.__name__:24}{cells}", flush=True)


if __name__ == "__main__":
    main()
