# SPDX-License-Identifier: MIT
"""_core.DatagramTransport against plain sockets: addresses, errors, a full socket, the ends."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from looptools import loop, no_leaks  # noqa: F401

from asgiserver import _core
from asgiserver.loop import Loop

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Recorder(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.flow: list[str] = []
        self.contexts: set[str] = set()
        self.resumed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.contexts.add(VARIABLE.get())

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.contexts.add(VARIABLE.get())
        self.got.put_nowait((data, address))

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def pause_writing(self) -> None:
        self.flow.append("pause")

    def resume_writing(self) -> None:
        self.flow.append("resume")
        self.resumed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.contexts.add(VARIABLE.get())
        self.lost.set_result(exc)


def run(
    loop: Loop,  # noqa: F811
    scenario: Callable[[Any, Recorder, socket.socket], Awaitable[None]],
    family: int = socket.AF_INET,
    connected: bool = False,
) -> None:
    """A scenario with a transport, its protocol, and a plain socket that it may talk to."""

    async def main() -> None:
        host = FAMILIES[family]
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.bind((host, 0))
            peer.settimeout(10)
            where: Any = {"local_addr": (host, 0)}
            if connected:
                where = {"remote_addr": peer.getsockname()[:2]}
            transport, protocol = await loop.create_datagram_endpoint(Recorder, **where)
            assert type(transport) is _core.DatagramTransport
            try:
                await scenario(transport, protocol, peer)
            finally:
                transport.close()
                assert await protocol.lost is None

    loop.run_until_complete(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("connected", [False, True])
def test_there_and_back(loop: Loop, family: int, connected: bool) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        name = transport.get_extra_info("sockname")
        assert transport.get_extra_info("peername") == (peer.getsockname() if connected else None)
        assert transport.get_extra_info("socket").family == family
        for data in (b"one", b"", bytes(60_000), bytearray(b"array"), memoryview(b"view")):
            transport.sendto(data, None if connected else peer.getsockname()[:2])
            assert peer.recvfrom(70_000) == (bytes(data), name)
            peer.sendto(data, name)
            assert await protocol.got.get() == (bytes(data), peer.getsockname())

    run(loop, scenario, family, connected)


def test_many_peers_in_a_burst(loop: Loop) -> None:  # noqa: F811
    """More than one read takes, from addresses that alternate; answered to the address given."""

    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.settimeout(10)
            name = transport.get_extra_info("sockname")
            for i in range(50):
                (peer, other)[i % 2].sendto(b"%d" % i, name)
            for i in range(50):
                data, address = await protocol.got.get()
                assert (data, address) == (b"%d" % i, (peer, other)[i % 2].getsockname())
                transport.sendto(data, address)
            assert [peer.recv(10) for _ in range(25)] == [b"%d" % i for i in range(0, 50, 2)]
            assert [other.recv(10) for _ in range(25)] == [b"%d" % i for i in range(1, 50, 2)]

    run(loop, scenario)


def test_a_host_by_name(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        transport.sendto(b"by name", ("localhost", peer.getsockname()[1]))
        assert peer.recv(10) == b"by name"

    run(loop, scenario)


def test_closed_by_the_protocol_within_a_burst(loop: Loop) -> None:  # noqa: F811
    """Of the datagrams read together the protocol gets none after it has closed."""

    class Closing(Recorder):
        def datagram_received(self, data: bytes, address: Any) -> None:
            super().datagram_received(data, address)
            self.transport.close()

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(
            Closing, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for _ in range(5):
                peer.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.lost
        assert protocol.got.qsize() == 1
        transport.sendto(b"dropped", ("127.0.0.1", 9))

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_errors_of_the_socket_end_nothing(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        address = peer.getsockname()
        peer.close()
        transport.sendto(b"nobody there")
        assert isinstance(await protocol.errors.get(), ConnectionRefusedError)
        transport.sendto(bytes(70_000))
        error = await protocol.errors.get()
        while isinstance(error, ConnectionRefusedError):
            error = await protocol.errors.get()
        assert "too long" in str(error)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.settimeout(10)
            transport.sendto(b"here now")
            assert again.recv(20) == b"here now"

    run(loop, scenario, connected=True)


def test_wrong_arguments(loop: Loop) -> None:  # noqa: F811
    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        with pytest.raises(TypeError, match="bytes-like"):
            transport.sendto("text")
        with pytest.raises(TypeError):
            transport.sendto()
        with pytest.raises(TypeError):
            transport.sendto(b"", None, 3)
        with pytest.raises(TypeError, match="unexpected"):
            transport.sendto(b"", where=1)
        with pytest.raises(ValueError, match="Invalid address"):
            transport.sendto(b"x", ("127.0.0.1", 1))
        transport.sendto(data=b"named", addr=peer.getsockname())
        assert peer.recv(10) == b"named"

    run(loop, scenario, connected=True)


def test_a_protocol_that_raises_stays(loop: Loop) -> None:  # noqa: F811
    reports: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: reports.append(context["exception"]))

    class Raising(Recorder):
        def datagram_received(self, data: bytes, address: Any) -> None:
            super().datagram_received(data, address)
            raise ValueError(data)

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(
            Raising, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for data in (b"a", b"b"):
                peer.sendto(data, transport.get_extra_info("sockname"))
                await protocol.got.get()
        transport.close()
        await protocol.lost

    loop.run_until_complete(asyncio.wait_for(main(), 30))
    assert [repr(exception) for exception in reports] == ["ValueError(b'a')", "ValueError(b'b')"]
    loop.set_exception_handler(None)
    reports.clear()


def test_unix_sockets_and_a_full_one(loop: Loop, tmp_path: Path) -> None:  # noqa: F811
    """A Unix socket that nobody reads from fills: the rest waits, in order, and then goes."""

    async def main() -> None:
        path = str(tmp_path / "peer")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            transport, protocol = await loop.create_datagram_endpoint(
                Recorder, local_addr=str(tmp_path / "own"), family=socket.AF_UNIX
            )
            transport.set_write_buffer_limits(20_000)
            sent = 0
            while "pause" not in protocol.flow:
                transport.sendto(b"%5d" % sent * 200, path)
                sent += 1
            assert transport.get_write_buffer_size() > 20_000
            peer.setblocking(False)
            for number in range(sent):
                assert await loop.sock_recv(peer, 2000) == b"%5d" % number * 200
            await protocol.resumed.wait()
            assert protocol.flow == ["pause", "resume"]
            assert transport.get_write_buffer_size() == 0
            peer.sendto(b"back", str(tmp_path / "own"))
            assert await protocol.got.get() == (b"back", path)
            transport.close()
            await protocol.lost

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_what_waits_is_sent_before_the_end(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with right:
            right.setblocking(False)
            transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=left)
            sent = 0
            while transport.get_write_buffer_size() < 10_000:
                transport.sendto(b"%5d" % sent * 200)
                sent += 1
            transport.close()
            assert transport.is_closing()
            assert not protocol.lost.done()
            for number in range(sent):
                assert await loop.sock_recv(right, 2000) == b"%5d" % number * 200
            await protocol.lost

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_abort_drops_what_waits(loop: Loop) -> None:  # noqa: F811
    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with right:
            right.setblocking(False)
            transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=left)
            while transport.get_write_buffer_size() < 10_000:
                transport.sendto(bytes(1000))
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert await protocol.lost is None

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_the_context_is_that_of_the_maker(loop: Loop) -> None:  # noqa: F811
    seen: list[set[str]] = []

    async def scenario(transport: Any, protocol: Recorder, peer: socket.socket) -> None:
        VARIABLE.set("changed")
        peer.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.got.get()
        transport.close()
        await protocol.lost
        seen.append(protocol.contexts)

    context = contextvars.copy_context()
    context.run(VARIABLE.set, "maker")
    context.run(run, loop, scenario)
    assert seen == [{"maker"}]
