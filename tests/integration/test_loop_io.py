# SPDX-License-Identifier: MIT
"""Descriptors, asyncio's transports, subprocesses and executors on the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from asgiserver import _core
from asgiserver.loop import Loop, run_loop

pytest_plugins = ("looptools",)
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def pair():  # type: ignore[no-untyped-def]
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


def turns(loop: Loop, n: int = 2) -> None:
    """Runs n turns, each with a poll."""
    for _ in range(n):
        loop.call_soon(loop.stop)
        loop.run_forever()


# ---- add_reader and add_writer


def test_reader_and_writer(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, right = pair
    seen = []
    loop.add_reader(left, lambda name: (seen.append((name, left.recv(10))), loop.stop()), "left")
    loop.add_writer(right, lambda: (right.send(b"hello"), loop.remove_writer(right)))
    loop.run_forever()
    assert seen == [("left", b"hello")]
    assert loop.remove_writer(right) is False
    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False


def test_add_reader_leaves_the_blocking_mode_alone(loop: Loop) -> None:
    read, write = os.pipe()
    loop.add_reader(read, loop.stop)
    assert os.get_blocking(read)
    os.write(write, b"x")
    loop.run_forever()
    assert os.get_blocking(read)
    loop.remove_reader(read)
    os.close(read)
    os.close(write)


def test_a_reader_is_called_until_the_data_is_read(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, right = pair
    calls = []
    loop.add_reader(left, calls.append, 1)
    right.send(b"x")
    turns(loop, 5)
    assert len(calls) >= 4
    loop.remove_reader(left)


def test_a_new_reader_replaces_and_cancels_the_old(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, right = pair
    seen = []
    first = loop._add_reader(left.fileno(), seen.append, "first")
    loop.add_reader(left.fileno(), lambda: (seen.append("second"), loop.stop()))
    assert first.cancelled()
    right.send(b"x")
    loop.run_forever()
    assert seen == ["second"]
    loop.remove_reader(left)


def test_a_reader_removed_in_the_turn_it_is_ready_is_not_called(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, right = pair
    seen = []

    def on_left() -> None:
        seen.append("left")
        loop.remove_reader(right)

    def on_right() -> None:
        seen.append("right")
        loop.remove_reader(left)

    loop.add_reader(left, on_left)
    loop.add_reader(right, on_right)
    left.send(b"x")
    right.send(b"x")
    turns(loop, 3)
    assert len(set(seen)) == 1
    loop.remove_reader(left)
    loop.remove_reader(right)


def test_hang_up_is_reported_to_both(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, right = pair
    seen = []
    loop.add_reader(left, seen.append, "reader")
    loop.add_writer(left, seen.append, "writer")
    right.close()
    turns(loop)
    assert {"reader", "writer"} <= set(seen)
    loop.remove_reader(left)
    loop.remove_writer(left)


def test_regular_files_are_refused_as_by_asyncio(loop: Loop, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        with pytest.raises(PermissionError):
            loop.add_writer(file.fileno(), print)
        assert loop.remove_reader(file) is False


def test_bad_descriptors(loop: Loop) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop._add_reader(1000, print)
    with pytest.raises(ValueError):
        loop._add_reader(-1, print)
    with pytest.raises(TypeError):
        loop._add_reader("x", print)
    assert _core._debug_counts()["readers"] == 0


@pytest.mark.parametrize("polled", [False, True])
def test_a_descriptor_closed_by_its_owner_and_used_anew(loop: Loop, polled: bool) -> None:
    """Closed with its reader in place, before or after the kernel was told of it."""
    seen = []
    first, other = socket.socketpair()
    number = first.fileno()
    loop.add_reader(number, seen.append, "stale")
    if polled:
        turns(loop)
    first.close()
    turns(loop)
    again, peer = socket.socketpair()
    if again.fileno() == number:
        again.detach()
    else:
        os.dup2(again.fileno(), number)
        again.close()
    loop._add_writer(number, lambda: (seen.append("writer"), loop.stop()))
    loop.run_forever()
    assert seen == ["writer"]
    loop._add_reader(number, lambda: (seen.append("reader"), loop.stop()))
    loop._remove_writer(number)
    peer.send(b"x")
    loop.run_forever()
    assert seen == ["writer", "reader"]
    loop._remove_reader(number)
    os.close(number)
    # Closed and never told: removing is no error.
    loop._add_reader(other.fileno(), print)
    number = other.fileno()
    other.close()
    assert loop._remove_reader(number) is True
    peer.close()


def test_many_descriptors_ready_at_once(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(400)]
    waiting = set(range(len(pairs)))

    def on_read(i: int) -> None:
        pairs[i][0].recv(1)
        loop.remove_reader(pairs[i][0])
        waiting.discard(i)
        if not waiting:
            loop.stop()

    for i, (left, right) in enumerate(pairs):
        loop.add_reader(left, on_read, i)
        right.send(b"x")
    loop.run_forever()
    assert not waiting
    for left, right in pairs:
        left.close()
        right.close()


def test_closing_the_loop_drops_readers(loop: Loop, pair) -> None:  # type: ignore[no-untyped-def]
    left, _ = pair
    loop.add_reader(left, print)
    loop.add_writer(left, print)
    loop.close()


def test_a_descriptor_with_a_transport_is_refused(loop: Loop) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        fd = writer.get_extra_info("socket").fileno()
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(fd, print)
        assert "read=polling" in repr(writer.transport)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


# ---- asyncio's own transports


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends more than any buffer holds, so that the writer side has to wait."""
    message = os.urandom(3_000_000)

    async def send() -> None:
        writer.write(message)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    _, got = await asyncio.gather(send(), reader.readexactly(len(message)))
    assert got == message
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tcp_streams(host: str) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, host, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(20):
                await asyncio.gather(
                    *[talk(*await asyncio.open_connection(host, port)) for _ in range(4)]
                )

    run_loop(main())


def test_unix_streams(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with await asyncio.start_unix_server(echo, path):
            await talk(*await asyncio.open_unix_connection(path))

    run_loop(main())


def test_connection_refused() -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*unused.getsockname())

    run_loop(main())


def test_tls_streams(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trust = ssl.create_default_context(cafile=str(cert))

    async def main() -> None:
        async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context) as server:
            address = server.sockets[0].getsockname()
            streams = await asyncio.open_connection(
                *address, ssl=trust, server_hostname="localhost"
            )
            message = os.urandom(200_000)
            streams[1].write(message)
            assert await streams[0].readexactly(len(message)) == message
            streams[1].close()
            await streams[1].wait_closed()

    run_loop(main())


def test_datagrams() -> None:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]
            self.transport = transport

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            self.transport.sendto(data[::-1], address)

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answer = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            self.answer.set_result(data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        client, protocol = await loop.create_datagram_endpoint(
            Client, remote_addr=server.get_extra_info("sockname")
        )
        client.sendto(b"abc")
        assert await asyncio.wait_for(protocol.answer, 5) == b"cba"
        client.close()
        server.close()
        await asyncio.sleep(0)

    run_loop(main())


def test_sock_methods(loop: Loop) -> None:
    async def main() -> None:
        with socket.socket() as listener:
            listener.setblocking(False)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            client = socket.socket()
            client.setblocking(False)
            _, (server, _) = await asyncio.gather(
                loop.sock_connect(client, listener.getsockname()), loop.sock_accept(listener)
            )
            with client, server:
                message = b"x" * 1_000_000
                received = bytearray()

                async def receive() -> None:
                    while len(received) < len(message):
                        received.extend(await loop.sock_recv(server, 65536))

                await asyncio.gather(loop.sock_sendall(client, message), receive())
                assert received == message

    loop.run_until_complete(main())


def test_getaddrinfo(loop: Loop) -> None:
    found = loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    assert found[0][4] == ("127.0.0.1", 80)


# ---- processes and threads


def test_subprocess_with_output_and_input() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; print(sys.stdin.read().upper()); sys.exit(3)",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(b"hello"), 20)
        assert out == b"HELLO\n"
        assert process.returncode == 3

    run_loop(main())


def test_subprocess_shell_killed() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_shell("exec sleep 60")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == -15

    run_loop(main())


def test_run_in_executor(loop: Loop) -> None:
    async def main() -> None:
        results = await asyncio.gather(
            *(loop.run_in_executor(None, pow, i, 2) for i in range(50)),
            asyncio.to_thread(sum, [1, 2]),
        )
        assert results == [i * i for i in range(50)] + [3]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)

    loop.run_until_complete(main())
