# SPDX-License-Identifier: MIT
"""_core.StreamTransport against plain sockets: reading, writing, flow control, ways to end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import ssl
import struct
import time
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from looptools import loop, no_leaks  # noqa: F401

from asgiserver import _core
from asgiserver.loop import Loop

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Recorder(asyncio.Protocol):
    """Keeps what it is told, and the value of VARIABLE when it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.contexts: list[str] = []
        self.data = b""
        self.arrived = asyncio.Event()
        self.resumed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.keep_open = False

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.contexts.append(VARIABLE.get())

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        if not self.data:
            self.note("data")
        self.data += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self.note("eof")
        self.arrived.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")
        self.resumed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost")
        self.lost.set_result(exc)

    async def until(self, size: int) -> None:
        while len(self.data) < size:
            self.arrived.clear()
            await self.arrived.wait()


Scenario = Callable[[Any, Any, socket.socket], Awaitable[None]]


def pair(
    loop: Loop,  # noqa: F811
    scenario: Scenario,
    protocol: type[Any] = Recorder,
) -> None:
    """Runs scenario(transport, protocol, the plain socket at the other end)."""

    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        with far:
            transport, made = await loop.create_unix_connection(protocol, sock=near)
            assert type(transport) is _core.StreamTransport
            async with asyncio.timeout(20):
                await scenario(transport, made, far)
                transport.abort()
                await made.lost

    loop.run_until_complete(main())


def test_data_both_ways(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        await loop.sock_sendall(far, b"hello")
        await protocol.until(5)
        transport.write(b"a")
        transport.write(bytearray(b"b"))
        transport.write(memoryview(b"cd"))
        transport.writelines([b"e", bytearray(b"f"), b"", memoryview(b"g")])
        assert await loop.sock_recv(far, 100) == b"abcdefg"
        assert protocol.events == ["made", "data"]
        assert isinstance(transport, asyncio.Transport)

    pair(loop, scenario)


@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"]])
def test_only_bytes_are_written(loop: Loop, wrong: Any) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        with pytest.raises(TypeError):
            transport.write(wrong)

    pair(loop, scenario)


def test_flow_control_and_order(loop: Loop) -> None:  # noqa: F811
    """More than the kernel takes: pause, queue, resume below the low mark, nothing out of order."""
    pieces = [os.urandom(50_000) for _ in range(80)]
    mutable = bytearray(pieces[40])
    pieces[40] = bytes(mutable)

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        transport.set_write_buffer_limits(high=200_000, low=10_000)
        assert transport.get_write_buffer_limits() == (10_000, 200_000)
        for number, piece in enumerate(pieces[:60]):
            transport.write(mutable if number == 40 else piece)
        mutable[:] = bytes(len(mutable))  # what was queued is a copy
        transport.writelines(pieces[60:])
        assert protocol.events == ["made", "pause"]
        queued = transport.get_write_buffer_size()
        assert queued > 200_000
        got = b""
        while len(got) < 4_000_000:
            got += await loop.sock_recv(far, 100_000)
        assert got == b"".join(pieces)
        await protocol.resumed.wait()
        assert protocol.events == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0

    pair(loop, scenario)


@pytest.mark.parametrize(
    ("high", "low", "limits"),
    [(None, None, (16384, 65536)), (100, None, (25, 100)), (None, 10, (10, 40)), (0, 0, (0, 0))],
)
def test_water_marks(
    loop: Loop,  # noqa: F811
    high: int | None,
    low: int | None,
    limits: tuple[int, int],
) -> None:
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        transport.set_write_buffer_limits(high=high, low=low)
        assert transport.get_write_buffer_limits() == limits
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)

    pair(loop, scenario)


def test_paused_reading_holds_data_back(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        await loop.sock_sendall(far, b"late")
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert protocol.data == b""
        transport.resume_reading()
        await protocol.until(4)
        assert protocol.data == b"late"

    pair(loop, scenario)


def test_half_close(loop: Loop) -> None:  # noqa: F811
    """write_eof() ends our side after what is queued; theirs, with keep_open, leaves ours open."""

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        protocol.keep_open = True
        message = os.urandom(1_000_000)
        transport.write(message)
        assert transport.can_write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            transport.write(b"x")
        with pytest.raises(RuntimeError, match="after write_eof"):
            transport.writelines([b"x"])
        got = b""
        while data := await loop.sock_recv(far, 100_000):
            got += data
        assert got == message
        await loop.sock_sendall(far, b"still")
        await protocol.until(5)
        protocol.arrived.clear()
        far.shutdown(socket.SHUT_WR)
        await protocol.arrived.wait()
        assert protocol.events[-1] == "eof"
        assert not transport.is_closing()

    pair(loop, scenario)


def test_eof_closes(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        far.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.events == ["made", "eof", "lost"]
        assert await loop.sock_recv(far, 1) == b""

    pair(loop, scenario)


def test_close_sends_the_queue_first(loop: Loop) -> None:  # noqa: F811
    message = os.urandom(2_000_000)

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        transport.write(message)
        transport.close()
        assert transport.is_closing()
        got = b""
        while data := await loop.sock_recv(far, 100_000):
            got += data
        assert got == message
        assert await protocol.lost is None
        transport.write(b"nobody")  # dropped, as by asyncio

    pair(loop, scenario)


def test_abort_drops_the_queue(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        transport.write(bytes(5_000_000))
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        got = 0
        while data := await loop.sock_recv(far, 100_000):
            got += len(data)
        assert got < 5_000_000

    pair(loop, scenario)


def test_a_reset_is_reported(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        accepted: asyncio.Future[Recorder] = loop.create_future()

        class Server(Recorder):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                accepted.set_result(self)

        server = await loop.create_server(Server, "127.0.0.1", 0)
        peer = socket.create_connection(server.sockets[0].getsockname())
        protocol = await accepted
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert isinstance(await protocol.lost, ConnectionResetError)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_an_exception_of_the_protocol_ends_it(loop: Loop) -> None:  # noqa: F811
    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("on purpose")

    reports: list[tuple[str, bool]] = []

    def report(_loop: Any, context: dict[str, Any]) -> None:
        reports.append((context["message"], type(context["transport"]) is _core.StreamTransport))

    loop.set_exception_handler(report)

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        await loop.sock_sendall(far, b"x")
        assert isinstance(await protocol.lost, ValueError)

    pair(loop, scenario, Failing)
    assert reports == [("Fatal error: protocol.data_received() call failed.", True)]


def test_buffered_protocol(loop: Loop) -> None:  # noqa: F811
    class Buffered(asyncio.BufferedProtocol, Recorder):  # type: ignore[misc]
        def __init__(self) -> None:
            Recorder.__init__(self)
            self.buffer = bytearray(1000)

        def get_buffer(self, sizehint: int) -> bytearray:
            assert sizehint == -1
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            Recorder.data_received(self, bytes(self.buffer[:nbytes]))

    message = os.urandom(123_456)

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(far, message))
        await protocol.until(len(message))
        await sending
        assert protocol.data == message

    pair(loop, scenario, Buffered)


def test_everything_runs_in_the_context_of_the_connection(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        VARIABLE.set("made here")
        near, far = socket.socketpair()
        far.setblocking(False)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=near)
        VARIABLE.set("another")
        transport.set_write_buffer_limits(high=0)
        transport.write(bytes(2_000_000))
        await loop.sock_sendall(far, b"x")
        await protocol.until(1)
        while not protocol.resumed.is_set():
            await loop.sock_recv(far, 100_000)
        far.close()
        await protocol.lost
        assert {"data", "pause", "resume", "lost"} < set(protocol.events)
        assert set(protocol.contexts) == {"made here"}

    loop.run_until_complete(main())


def test_the_socket_may_be_closed_under_it(loop: Loop) -> None:  # noqa: F811
    """The transport has a descriptor of its own: libuv would abort the process."""

    async def main() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=near)
        near.close()
        transport.pause_reading()
        transport.resume_reading()
        await loop.sock_sendall(far, b"x")
        await protocol.until(1)
        transport.close()
        await protocol.lost
        assert await loop.sock_recv(far, 1) == b""
        far.close()

    loop.run_until_complete(main())


def test_extra_info_outlives_the_connection(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        transport, protocol = await loop.create_connection(Recorder, *address)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        name = sock.getsockname()
        await protocol.lost
        assert transport.get_extra_info("peername") == address
        assert transport.get_extra_info("sockname") == name
        assert transport.get_extra_info("unknown", 5) == 5
        assert repr(transport).startswith("<StreamTransport closed fd=")
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def forget(held: list[Any]) -> None:
    held.clear()
    gc.collect()


def test_one_that_is_forgotten_warns(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        near, far = socket.socketpair()
        transport, _ = await loop.create_unix_connection(Recorder, sock=near)
        transport.pause_reading()
        held = [transport]
        alive = weakref.ref(transport)
        del transport, _
        with far, pytest.warns(ResourceWarning, match="unclosed transport"):
            forget(held)
        assert alive() is None

    loop.run_until_complete(main())


def test_the_loop_closes_under_an_open_transport(loop: Loop) -> None:  # noqa: F811
    async def main() -> Any:
        near, far = socket.socketpair()
        return *(await loop.create_unix_connection(Recorder, sock=near)), far

    transport, protocol, far = loop.run_until_complete(main())
    protocol.lost.cancel()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        transport.close()
    held = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        forget(held)
    far.close()


def test_sendfile(loop: Loop, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "file"
    content = os.urandom(3_000_000)
    path.write_bytes(content)

    async def scenario(transport: Any, protocol: Recorder, far: socket.socket) -> None:
        async def receive() -> bytes:
            got = b""
            while len(got) < len(content) + 4:
                got += await loop.sock_recv(far, 200_000)
            return got

        receiving = asyncio.ensure_future(receive())
        transport.write(b"head")
        with path.open("rb") as file:
            assert await loop.sendfile(transport, file) == len(content)
        assert await receiving == b"head" + content

    pair(loop, scenario)


# ---- TLS


class Contexts:
    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    return Contexts()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("size", [1, 1000, 16384, 16385, 300_000, 2_000_000])
def test_tls_echo(loop: Loop, contexts: Contexts, size: int) -> None:  # noqa: F811
    message = os.urandom(size)

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts.server)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=contexts.client, server_hostname="localhost"
        )

        async def send() -> None:
            writer.write(message)
            await writer.drain()

        async with asyncio.timeout(20):
            _, got = await asyncio.gather(send(), reader.readexactly(size))
        assert got == message
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_start_tls(loop: Loop, contexts: Contexts) -> None:  # noqa: F811
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.start_tls(contexts.server)
        await echo(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(contexts.client, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object") is not None
        writer.write(b"secret")
        assert await reader.readexactly(6) == b"secret"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_stats(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        before = loop.stats()
        for _ in range(10):
            await asyncio.sleep(0)
        after = loop.stats()
        assert after["turns"] >= before["turns"] + 10
        assert after["callbacks"] >= before["callbacks"] + 10
        assert after["handles"] >= 0
        assert after["max_lag"] >= after["lag"] >= 0

    loop.run_until_complete(main())


def test_lag_is_what_an_event_had_to_wait(loop: Loop) -> None:  # noqa: F811
    """Be it for a callback of the ready queue or for a protocol, which a poll itself calls."""

    class Slow(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            time.sleep(0.03)
            done.set()

    done = asyncio.Event()

    async def by_protocol() -> None:
        ours, peer = socket.socketpair()
        transport, _ = await loop.create_connection(Slow, sock=ours)
        loop._take_lag()
        peer.send(b"x")
        await done.wait()
        # A turn that has ended is in the figures, the one under way is not.
        await asyncio.sleep(0.001)
        peer.close()
        transport.close()

    loop.run_until_complete(by_protocol())
    assert loop.stats()["max_lag"] >= 0.03
    assert loop._take_lag() >= 0.03
    assert loop._take_lag() == 0
    assert loop.stats()["max_lag"] >= 0.03, "taking the lag forgets nothing"
    loop.call_soon(time.sleep, 0.02)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert loop.stats()["lag"] >= 0.02
    assert loop._take_lag() >= 0.02


def test_the_stats_of_a_turn(loop: Loop) -> None:  # noqa: F811
    def ends() -> None:
        seen.append(loop.stats())
        loop.stop()

    seen: list[dict[str, int | float]] = []
    assert loop.stats()["callbacks_per_turn"] == 0
    for _ in range(9):
        loop.call_soon(seen.clear)
    timer = loop.call_later(60, seen.clear)
    loop.call_soon(ends)
    loop.run_forever()
    assert (seen[0]["turns"], seen[0]["callbacks"], seen[0]["callbacks_per_turn"]) == (1, 10, 10)
    assert (seen[0]["polls"], seen[0]["timers"], seen[0]["ready"]) == (1, 1, 0)
    assert seen[0]["handles"] >= 2
    timer.cancel()
    assert loop.stats()["timers"] == 0


def test_sixty_four_children(loop: Loop) -> None:  # noqa: F811
    async def child(number: int) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(b"%d" % number * 1000)
        assert process.returncode == 0
        return output

    async def main() -> list[bytes]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*map(child, range(64)))

    assert loop.run_until_complete(main()) == [b"%d" % n * 1000 for n in range(64)]


def test_tls_to_a_buffered_protocol(loop: Loop, contexts: Contexts) -> None:  # noqa: F811
    """A buffer smaller than a record, and than what a read brings."""
    message = os.urandom(300_000)

    class Buffered(asyncio.BufferedProtocol, Recorder):  # type: ignore[misc]
        def __init__(self) -> None:
            Recorder.__init__(self)
            self.buffer = bytearray(1000)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            Recorder.data_received(self, bytes(self.buffer[:nbytes]))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(message)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts.server)
        _, protocol = await loop.create_connection(
            Buffered,
            *server.sockets[0].getsockname(),
            ssl=contexts.client,
            server_hostname="localhost",
        )
        async with asyncio.timeout(20):
            assert await protocol.lost is None
        assert protocol.data == message
        assert protocol.events == ["made", "data", "lost"]
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [100, 60_000])
def test_tls_data_before_the_end_reaches_a_paused_protocol(
    loop: Loop,  # noqa: F811
    contexts: Contexts,
    size: int,
) -> None:
    message = os.urandom(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(message)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts.server)
        transport, protocol = await loop.create_connection(
            Recorder,
            *server.sockets[0].getsockname(),
            ssl=contexts.client,
            server_hostname="localhost",
        )
        transport.pause_reading()
        await asyncio.sleep(0.05)
        transport.resume_reading()
        async with asyncio.timeout(20):
            assert await protocol.lost is None
        assert protocol.data == message
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
