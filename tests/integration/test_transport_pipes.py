# SPDX-License-Identifier: MIT
"""_core.ReadPipeTransport and _core.WritePipeTransport over real pipes, sockets and terminals."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from looptools import loop, no_leaks  # noqa: F401

from asgiserver import _core
from asgiserver.loop import Loop

BIG = bytes(range(256)) * 4096  # 1 MiB: more than a pipe holds


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = b""
        self.arrived = asyncio.Event()
        self.resumed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return True  # of no effect: a pipe has no other direction

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")
        self.resumed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, size: int) -> None:
        while len(self.data) < size:
            self.arrived.clear()
            await self.arrived.wait()


def run(loop: Loop, main: Any) -> None:  # noqa: F811
    loop.run_until_complete(asyncio.wait_for(main, 30))


@asynccontextmanager
async def reader() -> AsyncIterator[tuple[Any, Recorder, int]]:
    """A transport that reads, its protocol, and the descriptor to write to."""
    reading, writing = os.pipe()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(
        Recorder, os.fdopen(reading, "rb", 0)
    )
    assert type(transport) is _core.ReadPipeTransport
    try:
        yield transport, protocol, writing
    finally:
        os.close(writing)
        await protocol.lost
        transport.close()


@asynccontextmanager
async def writer() -> AsyncIterator[tuple[Any, Recorder, int]]:
    """A transport that writes, its protocol, and the descriptor to read from; which is closed."""
    reading, writing = os.pipe()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(
        Recorder, os.fdopen(writing, "wb", 0)
    )
    assert type(transport) is _core.WritePipeTransport
    try:
        yield transport, protocol, reading
    finally:
        transport.close()
        await protocol.lost


def test_reading_to_the_end(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        async with reader() as (transport, protocol, writing):
            assert isinstance(transport, asyncio.ReadTransport)
            assert transport.get_extra_info("pipe").readable()
            assert transport.get_extra_info("socket") is None
            os.write(writing, b"first")
            await protocol.until(5)
            os.write(writing, b" second")
            await protocol.until(12)
            assert protocol.data == b"first second"
            assert transport.is_reading()
        assert protocol.events == ["made", "eof", "lost"]
        assert transport.is_closing()
        assert repr(transport).startswith("<ReadPipeTransport closed fd=")

    run(loop, main())


def test_a_paused_reader_reads_nothing(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        async with reader() as (transport, protocol, writing):
            transport.pause_reading()
            assert not transport.is_reading()
            os.write(writing, b"held back")
            # Another pipe's turn has come and gone.
            async with reader() as (_, other, there):
                os.write(there, b"x")
                await other.until(1)
            assert protocol.data == b""
            transport.resume_reading()
            await protocol.until(9)

    run(loop, main())


def test_writing_more_than_the_pipe_holds(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        async with writer() as (transport, protocol, reading):
            assert isinstance(transport, asyncio.WriteTransport)
            assert transport.can_write_eof()
            transport.write(BIG)
            transport.writelines([b"and", bytearray(b" more"), memoryview(b" of it")])
            transport.write(bytearray(b"."))
            assert transport.get_write_buffer_size() > 0
            assert "pause" in protocol.events
            transport.write_eof()
            transport.write(b"too late")
            with os.fdopen(reading, "rb") as file:
                got = await loop.run_in_executor(None, file.read)
            assert got == BIG + b"and more of it."
            assert await protocol.lost is None
        assert protocol.events == ["made", "pause", "resume", "lost"]

    run(loop, main())


def test_the_reader_goes(loop: Loop) -> None:  # noqa: F811
    """Seen at once, without a write; an error only where something was left to be written."""

    async def main() -> None:
        async with writer() as (_transport, protocol, reading):
            os.close(reading)
            assert await protocol.lost is None
        async with writer() as (transport, protocol, reading):
            transport.write(BIG)
            os.close(reading)
            assert isinstance(await protocol.lost, BrokenPipeError)
            for _ in range(10):
                transport.write(b"lost")

    run(loop, main())


def test_abort_drops_what_waits(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        async with writer() as (transport, protocol, reading):
            transport.write(BIG)
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert await protocol.lost is None
            os.close(reading)

    run(loop, main())


def test_a_socket_as_a_pipe(loop: Loop) -> None:  # noqa: F811
    """As asyncio gives one to a child for its standard input."""

    async def main() -> None:
        left, right = socket.socketpair()
        with right:
            transport, protocol = await loop.connect_write_pipe(
                Recorder, os.fdopen(left.detach(), "wb", 0)
            )
            transport.write(b"over a socket")
            assert right.recv(100) == b"over a socket"
        assert await protocol.lost is None

    run(loop, main())


def test_a_pseudo_terminal(loop: Loop) -> None:  # noqa: F811
    """Its end is EIO, which nobody is told of but the protocol."""
    reports: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: reports.append(context))

    async def main() -> None:
        master, slave = pty.openpty()
        reading, protocol = await loop.connect_read_pipe(
            Recorder, os.fdopen(os.dup(master), "rb", 0)
        )
        writing, sink = await loop.connect_write_pipe(Recorder, os.fdopen(master, "wb", 0))
        writing.write(b"typed\n")
        assert os.read(slave, 100) == b"typed\n"
        os.write(slave, b"shown")
        await protocol.until(5)
        assert not sink.lost.done()  # a terminal that may be read from has not lost its peer
        writing.close()
        await sink.lost
        os.close(slave)
        assert isinstance(await protocol.lost, OSError)
        del reading, writing

    run(loop, main())
    assert reports == []
    loop.set_exception_handler(None)


def test_no_pipe(loop: Loop, tmp_path: Path) -> None:  # noqa: F811
    async def main() -> None:
        with (tmp_path / "file").open("w+b", 0) as file:
            with pytest.raises(ValueError, match="pipes/sockets"):
                await loop.connect_read_pipe(Recorder, file)
            with pytest.raises(ValueError, match="only for pipes"):
                await loop.connect_write_pipe(Recorder, file)

    run(loop, main())


def test_one_that_is_forgotten(loop: Loop) -> None:  # noqa: F811
    """Not closed and collected, it says so and closes its pipe."""

    async def main() -> None:
        reading, writing = os.pipe()
        made = [*await loop.connect_read_pipe(Recorder, os.fdopen(reading, "rb", 0))]
        made[0].pause_reading()
        with pytest.warns(ResourceWarning, match="unclosed transport <ReadPipeTransport"):
            made.clear()
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x")
        os.close(writing)

    run(loop, main())
