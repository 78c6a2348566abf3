# SPDX-License-Identifier: MIT
"""The clients people use against the servers they use, on casgi's loop.

asyncpg on PostgreSQL, redis-py on Redis, aiohttp and httpx on nginx, and many children at once. The
servers are Debian's; where one is not installed its tests are skipped.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from real_servers import NGINX, POSTGRES, REDIS, Address, nginx, postgresql, redis_server

from asgiserver.loop import Loop

pytest_plugins = ("looptools",)

LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB
CHILDREN = 64


@pytest.fixture(scope="module")
def postgres() -> Iterator[Address]:
    pytest.importorskip("asyncpg")
    if POSTGRES is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql() as address:
        yield address


@pytest.fixture(scope="module")
def redis_at() -> Iterator[Address]:
    pytest.importorskip("redis")
    if REDIS is None:
        pytest.skip("Redis is not installed")
    with redis_server() as address:
        yield address


@pytest.fixture(scope="module")
def nginx_at() -> Iterator[Address]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    with nginx({"small": b"x" * 1000, "large": LARGE}) as address:
        yield address


def run(loop: Loop, main: Any) -> Any:
    return loop.run_until_complete(asyncio.wait_for(main, 40))


# ---- asyncpg on PostgreSQL ----


def where(address: Address, way: str) -> dict[str, Any]:
    """asyncpg's arguments for a way to connect."""
    common = {"port": address.port, "user": "postgres", "database": "postgres", "timeout": 10}
    if way == "unix":
        return {**common, "host": address.unix}
    if way == "tcp":
        return {**common, "host": "127.0.0.1", "ssl": False}
    context = ssl.create_default_context(cafile=address.authority)
    return {**common, "host": "localhost", "ssl": context}


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_asyncpg_queries(loop: Loop, postgres: Address, way: str) -> None:
    import asyncpg

    async def main() -> None:
        connection = await asyncpg.connect(**where(postgres, way))
        try:
            assert await connection.fetchval("select 6 * 7") == 42
            encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
            assert await connection.fetchval(encrypted) is (way == "tls")
            assert await connection.fetchval("select $1::bytea", LARGE) == LARGE
            rows = await connection.fetch(
                "select i, i::text || 'é' as t from generate_series(1, 20000) i"
            )
            assert [(r["i"], r["t"]) for r in rows] == [(i, f"{i}é") for i in range(1, 20001)]
            await connection.execute("create temp table t (i int primary key, t text)")
            await connection.executemany(
                "insert into t values ($1, $2)", [(i, str(i)) for i in range(3000)]
            )
            with pytest.raises(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    await connection.execute("delete from t where i > 10")
                    await connection.execute("insert into t values (1, 'again')")
            assert await connection.fetchval("select count(*) from t") == 3000
            copied = bytearray()

            async def collect(data: bytes) -> None:
                copied.extend(data)

            await connection.copy_from_table("t", output=collect, format="csv")
            assert copied == b"".join(b"%d,%d\n" % (i, i) for i in range(3000))
            async with connection.transaction():
                seen = 0
                async for row in connection.cursor("select i from t order by i", prefetch=37):
                    assert row["i"] == seen
                    seen += 1
            assert seen == 3000
        finally:
            await connection.close()

    run(loop, main())


def test_asyncpg_pool_timeouts_and_ends(loop: Loop, postgres: Address) -> None:
    """20 tasks share 5 connections; a query given up is cancelled at the server, not waited for."""
    import asyncpg

    async def main() -> None:
        async with asyncpg.create_pool(min_size=5, max_size=5, **where(postgres, "tcp")) as pool:
            sums = await asyncio.gather(
                *(
                    pool.fetchval("select sum(i) from generate_series(1, $1) i", n)
                    for n in range(20)
                )
            )
            assert sums[1:] == [n * (n + 1) // 2 for n in range(1, 20)]
            with pytest.raises(asyncio.TimeoutError):
                await pool.fetchval("select pg_sleep(30)", timeout=0.1)
            async with pool.acquire() as victim:
                waiting = asyncio.ensure_future(victim.fetchval("select pg_sleep(30)"))
                pid = victim.get_server_pid()
                killed = "select pg_terminate_backend($1)"
                while not await pool.fetchval(
                    "select state = 'active' from pg_stat_activity where pid = $1", pid
                ):
                    await asyncio.sleep(0.01)
                assert await pool.fetchval(killed, pid)
                with pytest.raises(asyncpg.PostgresError, match="administrator command"):
                    await waiting
            assert await pool.fetchval("select 1") == 1

    run(loop, main())


def test_asyncpg_notifications(loop: Loop, postgres: Address) -> None:
    import asyncpg

    async def main() -> None:
        listening = await asyncpg.connect(**where(postgres, "unix"))
        telling = await asyncpg.connect(**where(postgres, "tls"))
        got: asyncio.Queue[str] = asyncio.Queue()
        await listening.add_listener("news", lambda _c, _pid, _channel, text: got.put_nowait(text))
        for i in range(200):
            await telling.execute(f"notify news, '{i}'")
        assert [await got.get() for _ in range(200)] == [str(i) for i in range(200)]
        await listening.close()
        await telling.close()

    run(loop, main())


# ---- redis-py on Redis ----


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_redis(loop: Loop, redis_at: Address, way: str) -> None:
    import redis.asyncio

    def connect() -> Any:
        if way == "unix":
            return redis.asyncio.Redis(unix_socket_path=redis_at.unix)
        return redis.asyncio.Redis(host="127.0.0.1", port=redis_at.port)

    async def main() -> None:
        async with connect() as client, connect() as other:
            await client.flushall()
            await client.set("large", LARGE)
            assert await client.get("large") == LARGE
            async with client.pipeline(transaction=False) as pipe:
                for i in range(2000):
                    pipe.set(f"k{i}", i).get(f"k{i}")
                assert (await pipe.execute())[1::2] == [b"%d" % i for i in range(2000)]
            numbers = await asyncio.gather(*(client.incr("n") for _ in range(50)))
            assert sorted(numbers) == list(range(1, 51))

            async def add() -> None:
                # Optimistic locking: tried again where another was faster.
                async with client.pipeline() as pipe:
                    while True:
                        try:
                            await pipe.watch("sum")
                            now = int(await pipe.get("sum") or 0)
                            pipe.multi()
                            pipe.set("sum", now + 1)
                            await pipe.execute()
                            return
                        except redis.WatchError:
                            continue

            await asyncio.gather(*(add() for _ in range(10)))
            assert await client.get("sum") == b"10"
            waiting = asyncio.ensure_future(client.blpop(["list"], timeout=20))
            await other.rpush("list", "pushed")
            assert await waiting == (b"list", b"pushed")

    run(loop, main())


def test_redis_subscription(loop: Loop, redis_at: Address) -> None:
    import redis.asyncio

    async def main() -> None:
        async with redis.asyncio.Redis(host="127.0.0.1", port=redis_at.port) as client:
            async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe("news")
                # The subscription's confirmation: what is published from now on arrives.
                await pubsub.get_message(timeout=5)
                for i in range(200):
                    assert await client.publish("news", i) == 1
                got = []
                async for message in pubsub.listen():
                    got.append(int(message["data"]))
                    if len(got) == 200:
                        break
                assert got == list(range(200))
                assert await pubsub.get_message(timeout=0.05) is None

    run(loop, main())


# ---- aiohttp and httpx on nginx ----


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_aiohttp(loop: Loop, nginx_at: Address, way: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> None:
        context = ssl.create_default_context(cafile=nginx_at.authority)
        if way == "unix":
            connector = aiohttp.UnixConnector(nginx_at.unix)
        else:
            connector = aiohttp.TCPConnector(ssl=context, limit=20)
        base = f"http://127.0.0.1:{nginx_at.port}"
        if way == "tls":
            base = f"https://localhost:{nginx_at.tls_port}"
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get(path: str) -> bytes:
                async with session.get(f"{base}/{path}") as answer:
                    assert answer.status == 200
                    return await answer.read()  # type: ignore[no-any-return]

            assert await asyncio.gather(*(get("hello") for _ in range(200))) == [b"hello\n"] * 200
            for body in await asyncio.gather(*(get("large") for _ in range(4))):
                assert body == LARGE
            async with session.get(f"{base}/large", headers={"range": "bytes=1000-1999"}) as part:
                assert part.status == 206
                assert await part.read() == LARGE[1000:2000]
            # Read slowly, and given up in the middle.
            async with session.get(f"{base}/large") as answer:
                async for chunk in answer.content.iter_chunked(100_000):
                    assert chunk == LARGE[: len(chunk)]
                    break
            assert await get("small") == b"x" * 1000

    run(loop, main())


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_httpx(loop: Loop, nginx_at: Address, way: str) -> None:
    httpx = pytest.importorskip("httpx")

    async def main() -> None:
        context = ssl.create_default_context(cafile=nginx_at.authority)
        transport = httpx.AsyncHTTPTransport(
            uds=nginx_at.unix if way == "unix" else None, verify=context
        )
        base = f"http://127.0.0.1:{nginx_at.port}"
        if way == "tls":
            base = f"https://localhost:{nginx_at.tls_port}"
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=20) as client:
            answers = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
            assert [answer.content for answer in answers] == [b"hello\n"] * 50
            for answer in await asyncio.gather(*(client.get("/large") for _ in range(3))):
                assert answer.content == LARGE
            async with client.stream("GET", "/large") as answer:
                got = b"".join([chunk async for chunk in answer.aiter_bytes(70_000)])
                assert got == LARGE

    run(loop, main())


# ---- 64 children at once ----

ECHO_AND_TELL = (
    "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data);"
    "sys.stderr.write(str(len(data))); sys.exit(int(sys.argv[1]))"
)


def test_children_that_echo(loop: Loop) -> None:
    """64 children with three pipes each: every byte, every exit code, nobody left behind."""

    async def child(number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", ECHO_AND_TELL, str(number),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        data = b"%d " % number * 50_000
        out, err = await process.communicate(data)
        assert out == data
        assert err == b"%d" % len(data)
        assert process.returncode == number

    async def main() -> None:
        await child(7)  # what a loop opens for its first child stays
        before = len(os.listdir("/proc/self/fd"))
        await asyncio.gather(*(child(number) for number in range(CHILDREN)))
        assert len(os.listdir("/proc/self/fd")) == before

    run(loop, main())


def test_children_that_are_killed(loop: Loop) -> None:
    """64 children wait for each other, then each gets a signal and is reaped."""

    async def main() -> None:
        processes = await asyncio.gather(
            *(
                asyncio.create_subprocess_exec(
                    "/bin/sh", "-c", "echo up; exec sleep 60", stdout=asyncio.subprocess.PIPE
                )
                for _ in range(CHILDREN)
            )
        )
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"up\n"
        for number, process in enumerate(processes):
            if number % 2:
                process.terminate()
            else:
                process.kill()
        codes = await asyncio.gather(*(process.wait() for process in processes))
        assert codes == [-signal.SIGKILL, -signal.SIGTERM] * (CHILDREN // 2)

    run(loop, main())


def test_children_come_and_go(loop: Loop) -> None:
    """Waves of short children by exec and by shell, with 64 alive at a time."""

    async def child(number: int) -> int:
        if number % 2:
            process = await asyncio.create_subprocess_exec("true")
        else:
            process = await asyncio.create_subprocess_shell("exit 3")
        return await process.wait()

    async def main() -> None:
        for _ in range(4):
            codes = await asyncio.gather(*(child(number) for number in range(CHILDREN)))
            assert codes == [3, 0] * (CHILDREN // 2)

    run(loop, main())
