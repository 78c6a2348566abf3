# SPDX-License-Identifier: MIT
"""Real clients over casgi's loop, uvloop and asyncio: CPU time of the client for one operation.

    python tests/bench/loop_clients.py [--rounds 5] [--scale 1.0] [--only asyncpg,redis] [--check]

asyncpg on PostgreSQL, redis-py on Redis, aiohttp and httpx on nginx (Debian's servers, started
here), datagrams between two sockets of a loop, and children of asyncio.create_subprocess_exec, 64
at once. The loops take turns in every round; shown are the least of each loop, and the ratios of
those. The cells of children count the children's CPU time, too: what a loop does between fork and
exec is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from loop_echo import factories

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from real_servers import NGINX, POSTGRES, REDIS, Address, nginx, postgresql, redis_server

KIB = 1024
FILES = {"small": b"x" * KIB, "large": b"x" * 1024 * KIB}
CHILDREN = 64

# A cell: done n times within a running loop. Returns the CPU seconds that the n took.
Cell = Callable[[int], Awaitable[float]]


def used(children: bool = False) -> float:
    """CPU seconds of this process, and of its children that have ended."""
    seconds = time.process_time()
    if children:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds += usage.ru_utime + usage.ru_stime
    return seconds


async def repeated(
    n: int, operation: Callable[[], Awaitable[Any]], tasks: int = 1, children: bool = False
) -> float:
    """Does the operation n times, by so many tasks."""

    async def some() -> None:
        for _ in range(n // tasks):
            await operation()

    await operation()
    began = used(children)
    if tasks == 1:
        await some()
    else:
        await asyncio.gather(*(some() for _ in range(tasks)))
    return used(children) - began


def asyncpg_cells(at: Address) -> dict[str, tuple[int, Cell]]:
    import asyncpg

    where: dict[str, Any] = {"port": at.port, "user": "postgres", "database": "postgres"}
    tcp, unix = {**where, "host": "127.0.0.1", "ssl": False}, {**where, "host": at.unix}

    async def one(n: int, where: dict[str, Any], query: str, *args: Any) -> float:
        connection = await asyncpg.connect(**where)
        try:
            return await repeated(n, lambda: connection.fetch(query, *args))
        finally:
            await connection.close()

    async def pooled(n: int) -> float:
        async with asyncpg.create_pool(min_size=10, max_size=10, **tcp) as pool:
            return await repeated(n, lambda: pool.fetchval("select 1"), tasks=20)

    async def connecting(n: int) -> float:
        async def connect() -> None:
            await (await asyncpg.connect(**tcp)).close()

        return await repeated(n, connect)

    rows = "select i, i::text from generate_series(1, 1000) i"
    return {
        "asyncpg select 1, TCP": (3000, lambda n: one(n, tcp, "select 1")),
        "asyncpg select 1, Unix": (3000, lambda n: one(n, unix, "select 1")),
        "asyncpg 1000 rows": (500, lambda n: one(n, tcp, rows)),
        "asyncpg 100 KiB there and back": (
            500,
            lambda n: one(n, tcp, "select $1::bytea", bytes(100 * KIB)),
        ),
        "asyncpg pool, 20 tasks": (4000, pooled),
        "asyncpg connect and close": (200, connecting),
    }


def redis_cells(at: Address) -> dict[str, tuple[int, Cell]]:
    import redis.asyncio

    async def getting(n: int, tasks: int) -> float:
        pool = redis.asyncio.BlockingConnectionPool(
            host="127.0.0.1", port=at.port, max_connections=tasks
        )
        async with redis.asyncio.Redis(connection_pool=pool) as client:
            await client.set("key", b"x" * 100)
            try:
                return await repeated(n, lambda: client.get("key"), tasks)
            finally:
                await pool.aclose()

    async def pipelined(n: int) -> float:
        async with redis.asyncio.Redis(unix_socket_path=at.unix) as client:

            async def hundred() -> None:
                async with client.pipeline(transaction=False) as pipe:
                    for i in range(100):
                        pipe.set(f"k{i}", i)
                    await pipe.execute()

            return await repeated(n, hundred)

    return {
        "redis get": (2000, lambda n: getting(n, 1)),
        "redis get, 20 tasks": (3000, lambda n: getting(n, 20)),
        "redis pipeline of 100, Unix": (60, pipelined),
    }


def nginx_cells(at: Address) -> dict[str, tuple[int, Cell]]:
    import ssl

    context = ssl.create_default_context(cafile=at.authority)
    plain, tls = f"http://127.0.0.1:{at.port}", f"https://localhost:{at.tls_port}"

    async def aiohttp_gets(n: int, url: str, tasks: int, **options: Any) -> float:
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=context, **options)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get() -> None:
                async with session.get(url) as answer:
                    await answer.read()

            return await repeated(n, get, tasks)

    async def httpx_gets(n: int, url: str, tasks: int) -> float:
        import httpx

        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return await repeated(n, lambda: client.get(url), tasks)

    return {
        "aiohttp 1 KiB": (1500, lambda n: aiohttp_gets(n, f"{plain}/small", 1)),
        "aiohttp 1 KiB, 20 tasks": (2000, lambda n: aiohttp_gets(n, f"{plain}/small", 20)),
        "aiohttp 1 KiB, TLS": (1500, lambda n: aiohttp_gets(n, f"{tls}/small", 1)),
        "aiohttp 1 MiB": (80, lambda n: aiohttp_gets(n, f"{plain}/large", 1)),
        "aiohttp 1 MiB, TLS": (60, lambda n: aiohttp_gets(n, f"{tls}/large", 1)),
        "aiohttp a connection each": (
            500,
            lambda n: aiohttp_gets(n, f"{plain}/small", 1, force_close=True),
        ),
        "httpx 1 KiB": (600, lambda n: httpx_gets(n, f"{plain}/small", 1)),
        "httpx 1 KiB, TLS": (600, lambda n: httpx_gets(n, f"{tls}/small", 1)),
    }


class Datagrams(asyncio.DatagramProtocol):
    """Both ends of the benchmark: a server that echoes, and a client that counts."""

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if not self.left:
            self.transport.sendto(data, address)
            return
        self.left -= 1
        if self.left:
            self.transport.sendto(data)
        else:
            self.done.set_result(None)


def datagram_cells() -> dict[str, tuple[int, Cell]]:
    async def echoed(n: int, size: int, family: int) -> float:
        loop = asyncio.get_running_loop()
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        server, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=(host, 0))
        address = server.get_extra_info("sockname")[:2]
        client, counting = await loop.create_datagram_endpoint(
            lambda: Datagrams(n), remote_addr=address
        )
        began = used()
        client.sendto(b"x" * size)
        await counting.done
        took = used() - began
        client.close()
        server.close()
        await asyncio.sleep(0)
        return took

    return {
        "datagram 64 bytes": (6000, lambda n: echoed(n, 64, socket.AF_INET)),
        "datagram 8 KiB": (4000, lambda n: echoed(n, 8 * KIB, socket.AF_INET)),
        "datagram 64 bytes, IPv6": (6000, lambda n: echoed(n, 64, socket.AF_INET6)),
    }


class Counting(asyncio.Protocol):
    """The reading end of a pipe."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left == 0:
            self.done.set_result(None)


def child_cells() -> dict[str, tuple[int, Cell]]:
    pipes: Any = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}

    async def short(n: int) -> float:
        async def child() -> None:
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()

        return await repeated(n, child, CHILDREN, children=True)

    async def communicating(n: int, size: int) -> float:
        data = bytes(size)

        async def child() -> None:
            process = await asyncio.create_subprocess_exec("/bin/cat", **pipes)
            out, _ = await process.communicate(data)
            assert len(out) == size

        return await repeated(n, child, CHILDREN, children=True)

    async def conversing(n: int) -> float:
        """Lines to a child that lives on, and back."""
        process = await asyncio.create_subprocess_exec("/bin/cat", **pipes)
        stdin: Any = process.stdin
        stdout: Any = process.stdout

        async def line() -> None:
            stdin.write(b"a line\n")
            await stdout.readline()

        try:
            return await repeated(n, line)
        finally:
            stdin.close()
            await process.wait()

    async def pipe(n: int, size: int) -> float:
        """The loop's own pipe transports, without a child."""
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        source, counting = await loop.connect_read_pipe(
            lambda: Counting(n * size), os.fdopen(reading, "rb", 0)
        )
        sink, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0))
        data = bytes(size)
        began = used()
        for number in range(n):
            sink.write(data)
            if number % 8 == 0:
                await asyncio.sleep(0)
        await counting.done
        took = used() - began
        sink.close()
        source.close()
        await asyncio.sleep(0)
        return took

    return {
        "64 children at once, true": (CHILDREN * 3, short),
        "64 children, 1 KiB through cat": (CHILDREN * 2, lambda n: communicating(n, KIB)),
        "64 children, 1 MiB through cat": (CHILDREN, lambda n: communicating(n, 1024 * KIB)),
        "child, a line there and back": (3000, conversing),
        "pipe, 1 KiB": (5000, lambda n: pipe(n, KIB)),
        "pipe, 32 KiB": (2000, lambda n: pipe(n, 32 * KIB)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of each count")
    parser.add_argument("--only", default="", help="beginnings of cells' names, by comma")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    options = parser.parse_args()
    loops = factories()
    only = tuple(options.only.split(","))
    ratios: dict[str, list[float]] = {name: [] for name in loops if name != "casgi"}
    head = "".join(f"{name:>10}" for name in loops)
    print(f"{'us of CPU per operation':34}{head}" + "".join(f"  /{name:8}" for name in ratios))

    def measure(cell: Cell, n: int, factory: Callable[[], asyncio.AbstractEventLoop]) -> float:
        with closing(factory()) as loop:
            asyncio.set_event_loop(loop)
            try:
                # Where the loop has no say in it, asyncio's watcher of children wants to know it.
                watcher = asyncio.get_child_watcher()
                watcher.attach_loop(loop)
                return loop.run_until_complete(cell(n)) / n * 1e6
            finally:
                watcher.attach_loop(None)
                asyncio.set_event_loop(None)

    def show(cells: dict[str, tuple[int, Cell]]) -> None:
        for title, (count, cell) in cells.items():
            if not title.startswith(only):
                continue
            n = max(CHILDREN, int(count * options.scale) // CHILDREN * CHILDREN)
            best = dict.fromkeys(loops, float("inf"))
            for _ in range(options.rounds):
                for name, factory in loops.items():
                    best[name] = min(best[name], measure(cell, n, factory))
            line = "".join(f"{best[name]:10.1f}" for name in loops)
            for name, found in ratios.items():
                found.append(best["casgi"] / best[name])
                line += f"  {found[-1]:9.2f}"
            print(f"{title:34}{line}", flush=True)

    show(datagram_cells())
    show(child_cells())
    servers: list[tuple[str, object, Any, Any]] = [
        ("asyncpg", POSTGRES, postgresql, asyncpg_cells),
        ("redis", REDIS, redis_server, redis_cells),
        ("aiohttp httpx", NGINX, lambda: nginx(FILES), nginx_cells),
    ]
    for clients, installed, server, cells in servers:
        wanted = any(word.startswith(client) for client in clients.split() for word in only)
        if installed is None or not (wanted or options.only == ""):
            continue
        with server() as address:
            show(cells(address))
    for name, found in ratios.items():
        print(f"casgi/{name}: median {statistics.median(found):.2f}, worst {max(found):.2f}")
    return 1 if options.check and max(ratios.get("uvloop", [0])) > 1.0 else 0


if __name__ == "__main__":
    sys.exit(main())
