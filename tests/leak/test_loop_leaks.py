# SPDX-License-Identifier: MIT
"""The event loop leaves nothing behind: callbacks, timers, descriptors, tasks, loops themselves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme
from leaktools import assert_flat, growth

from asgiserver import _core
from asgiserver.loop import Loop

REPEATS = 4000


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop; nothing that the extension counts is left once it is closed and collected."""
    made = Loop()
    made.set_debug(False)  # python -X dev: tracebacks for every handle take a minute
    made.set_exception_handler(lambda _loop, _context: None)
    yield made
    made.close()
    del made


@pytest.fixture(autouse=True)
def _counters_return() -> Iterator[None]:
    gc.collect()
    before = _core._debug_counts()  # of other tests' loops, where they were not collected
    yield
    gc.collect()
    assert _core._debug_counts() == before


def nothing(*_args: object) -> None:
    pass


def fail() -> None:
    raise ValueError("on purpose")


def turn(loop: Loop) -> None:
    """One turn: everything that is ready now runs."""
    loop.call_soon(loop.stop)
    loop.run_forever()


# ---- what a loop is asked for, REPEATS times in all ----


def callbacks(loop: Loop) -> None:
    for number in range(REPEATS):
        loop.call_soon(nothing, number, "two", [3])
        if number % 100 == 0:
            turn(loop)
    turn(loop)


def cancelled_callbacks(loop: Loop) -> None:
    for _ in range(REPEATS // 100):
        handles = [loop.call_soon(nothing, object()) for _ in range(100)]
        for handle in handles[::2]:
            handle.cancel()
        turn(loop)


def callbacks_that_raise(loop: Loop) -> None:
    for _ in range(REPEATS // 100):
        for _ in range(100):
            loop.call_soon(fail)
        turn(loop)


def callbacks_from_a_thread(loop: Loop) -> None:
    def queue() -> None:
        for _ in range(REPEATS):
            loop.call_soon_threadsafe(nothing, object())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=queue)
    thread.start()
    loop.run_forever()
    thread.join()


def timers(loop: Loop) -> None:
    """Some run, some are cancelled at once, some after others were added."""
    for _ in range(REPEATS // 400):
        due = [loop.call_later(0, nothing, object()) for _ in range(100)]
        later = [loop.call_later(100 + n, nothing, object()) for n in range(200)]
        for _ in range(100):
            loop.call_later(50, nothing).cancel()
        last = loop.call_later(0.001, loop.stop)
        loop.run_forever()
        for timer in later:
            timer.cancel()
        del due, last
    turn(loop)


def readers(loop: Loop) -> None:
    left, right = socket.socketpair()
    with left, right:
        for number in range(REPEATS // 4):
            loop.add_reader(left, nothing, number)
            loop.add_reader(left, left.recv, 10)  # replaces the other
            loop.add_writer(left, nothing, object())
            right.send(b"x")
            turn(loop)
            loop.remove_writer(left)
            loop.remove_reader(left)


def tasks(loop: Loop) -> None:
    async def step(number: int) -> None:
        await asyncio.sleep(0)
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        assert await future == number
        if number % 3 == 0:
            raise ValueError("on purpose")
        if number % 3 == 1:
            await loop.create_future()

    async def main() -> None:
        for _ in range(REPEATS // 100):
            running = [loop.create_task(step(n), name="leak") for n in range(100)]
            for _ in range(4):
                await asyncio.sleep(0)
            for task in running[1::3]:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    loop.run_until_complete(main())


def timeouts(loop: Loop) -> None:
    async def main() -> None:
        for _ in range(REPEATS // 10):
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(loop.create_future(), 0)

    loop.run_until_complete(main())


def generators_and_threads(loop: Loop) -> None:
    async def numbers():
        for number in range(10):
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        for _ in range(REPEATS // 20):
            async for number in numbers():
                if number == 2:
                    break  # finished by the loop's hook
        for _ in range(REPEATS // 20):
            await asyncio.to_thread(nothing)

    loop.run_until_complete(main())


def connections(loop: Loop) -> None:
    """asyncio's own transports over our descriptors."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for _ in range(REPEATS // 20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"line\n")
            assert await reader.read() == b"line\n"
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def tls_connections(loop: Loop) -> None:
    """Some are closed, some dropped with data in the queue."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    served: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        writer.write(await reader.readline())
        writer.write(bytes(300_000))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        for number in range(REPEATS // 40):
            reader, writer = await asyncio.open_connection(
                *address, ssl=client_context, server_hostname="localhost"
            )
            writer.write(b"line\n")
            assert await reader.readline() == b"line\n"
            if number % 2:
                writer.transport.abort()
            else:
                assert len(await reader.read()) == 300_000
                writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        # The server's side of the last one may end a turn after the client's.
        for writer in served:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()
        gc.collect()

    loop.run_until_complete(main())


def datagrams(loop: Loop) -> None:
    """Each endpoint answers once; some are aborted, some hear of an error."""

    class Echo(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answered: asyncio.Future[bytes] = loop.create_future()
            self.ended: asyncio.Future[None] = loop.create_future()

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            self.answered.set_result(data)

        def connection_lost(self, exc: Exception | None) -> None:
            self.ended.set_result(None)

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            for number in range(REPEATS // 20):
                transport, protocol = await loop.create_datagram_endpoint(
                    Echo, local_addr=("127.0.0.1", 0)
                )
                transport.sendto(b"x", ("localhost" if number % 4 else "::1", 9))
                transport.sendto(b"there", peer.getsockname())
                data, address = peer.recvfrom(100)
                peer.sendto(data, address)
                assert await protocol.answered == b"there"
                if number % 2:
                    transport.abort()
                else:
                    transport.close()
                await protocol.ended

    loop.run_until_complete(main())


def pipes(loop: Loop) -> None:
    """Written through; some are closed, some aborted with data in the queue."""

    async def main() -> None:
        for number in range(REPEATS // 20):
            reading, writing = os.pipe()
            reader = asyncio.StreamReader()
            source, _ = await loop.connect_read_pipe(
                lambda reader=reader: asyncio.StreamReaderProtocol(reader),
                os.fdopen(reading, "rb", 0),
            )
            sink, _ = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, os.fdopen(writing, "wb", 0)
            )
            sink.write(bytes(200_000))
            if number % 2:
                assert len(await reader.readexactly(1000)) == 1000
                sink.abort()
            else:
                sink.write_eof()
                assert len(await reader.read()) == 200_000
            source.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def children(loop: Loop) -> None:
    async def child() -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=pipe, stdout=pipe)
        assert await process.communicate(b"meow") == (b"meow", None)

    async def main() -> None:
        for _ in range(REPEATS // 400):
            await asyncio.gather(*(child() for _ in range(8)))

    loop.run_until_complete(main())


def signals(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    for _ in range(REPEATS // 20):
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize(
    ("work", "repeats"),
    [
        (callbacks, REPEATS),
        (cancelled_callbacks, REPEATS),
        (callbacks_that_raise, REPEATS),
        (callbacks_from_a_thread, REPEATS),
        (timers, REPEATS),
        (readers, REPEATS // 4),
        (tasks, REPEATS),
        (timeouts, REPEATS // 10),
        (generators_and_threads, REPEATS // 20),
        (connections, REPEATS // 20),
        (tls_connections, REPEATS // 40),
        (datagrams, REPEATS // 20),
        (pipes, REPEATS // 20),
        (children, REPEATS // 50),
        (signals, REPEATS // 20),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_work_leaves_nothing(work: Callable[[Loop], None], repeats: int, loop: Loop) -> None:
    before = _core._debug_counts()
    left = growth(lambda: work(loop), warm_up=2)
    assert_flat(left, repeats)
    after = _core._debug_counts()
    for kind in ("ready", "readers", "timers"):
        assert after[kind] == before[kind]


def test_loops_leave_nothing() -> None:
    """Loops that are closed while work is still queued."""

    def work() -> None:
        for _ in range(100):
            loop = Loop()
            left, right = socket.socketpair()
            with left, right:
                loop.add_reader(left, nothing, left)
                loop.call_soon(nothing, loop)
                loop.call_later(100, nothing, loop)
                loop.call_soon(loop.stop)
                loop.run_forever()
                loop.call_soon(nothing, loop)
                loop.remove_reader(left)
            loop.close()

    assert_flat(growth(work), 100)


def test_loops_keep_no_descriptors() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(20):
        loop = Loop()
        loop.add_signal_handler(signal.SIGUSR1, nothing)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_leak_would_be_seen(loop: Loop) -> None:
    kept: list[object] = []

    def work() -> None:
        for _ in range(REPEATS):
            loop.call_soon(kept.append, [0])
        turn(loop)

    with pytest.raises(AssertionError, match=f"after {REPEATS}"):
        assert_flat(growth(work), REPEATS)
