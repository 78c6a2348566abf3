# SPDX-License-Identifier: MIT
"""Echo servers over casgi's loop, uvloop and asyncio: CPU time of the server for one message.

    python tests/bench/loop_echo.py [--rounds 5] [--scale 1.0] [--only protocol,tcp] [--check]

Every cell is a way to write a server (a protocol, a buffered protocol, streams, loop.sock_*), a
transport (TCP, Unix, TLS) and a size of message. The client is a child process with blocking
sockets, so that the figures are those of the loop alone. The loops take turns in every round;
shown are the least of each loop, and the ratios of those. --floor adds what the same costs in C
without Python (echo_floor.c, compiled by cc): no loop can be below that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import trustme

KIB = 1024
SIZES = (1 * KIB, 10 * KIB, 100 * KIB)
COUNTS = {1 * KIB: 6000, 10 * KIB: 4000, 100 * KIB: 1000}
WAYS = ("protocol", "buffered", "streams", "sock")
TRANSPORTS = ("tcp", "unix", "tls")


class EchoProtocol(asyncio.Protocol):
    def __init__(self, done: Callable[[], object]) -> None:
        self.done = done

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.done()


class EchoBuffered(asyncio.BufferedProtocol):
    def __init__(self, done: Callable[[], object]) -> None:
        self.done = done
        self.buffer = bytearray(256 * KIB)
        self.view = memoryview(self.buffer)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.view[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.done()


async def serve(way: str, listening: socket.socket, context: ssl.SSLContext | None) -> None:
    """Echoes one connection until its client ends it."""
    loop = asyncio.get_running_loop()
    if way == "sock":
        connection, _ = await loop.sock_accept(listening)
        with connection:
            connection.setblocking(False)
            while data := await loop.sock_recv(connection, 256 * KIB):
                await loop.sock_sendall(connection, data)
        return
    done = asyncio.Event()
    server: Any
    if way == "streams":

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(256 * KIB):
                writer.write(data)
                await writer.drain()
            writer.close()
            done.set()

        server = await asyncio.start_server(echo, sock=listening, ssl=context)
    else:
        kind = EchoProtocol if way == "protocol" else EchoBuffered
        server = await loop.create_server(lambda: kind(done.set), sock=listening, ssl=context)
    await done.wait()
    server.close()


def client(address: Any, family: int, size: int, n: int, context: ssl.SSLContext | None) -> None:
    """In the child: n messages, one after the other."""
    peer = socket.socket(family)
    peer.connect(address)
    if family == socket.AF_INET:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        peer = context.wrap_socket(peer, server_hostname="localhost")
    message = b"x" * size
    for _ in range(n):
        peer.sendall(message)
        left = size
        while left:
            left -= len(peer.recv(left))
    peer.close()


class Contexts:
    """A certificate for localhost, and both sides' contexts of it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


def listen(transport: str, folder: Path) -> socket.socket:
    """The server's socket."""
    family = socket.AF_UNIX if transport == "unix" else socket.AF_INET
    listening = socket.socket(family)
    path = folder / "echo.sock"
    path.unlink(missing_ok=True)
    listening.bind(str(path) if transport == "unix" else ("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    return listening


def start_client(
    listening: socket.socket, size: int, n: int, context: ssl.SSLContext | None
) -> int:
    """Forks the client. Returns: its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            client(listening.getsockname(), listening.family, size, n, context)
        finally:
            os._exit(0)
    return pid


def measure(
    factory: Callable[[], asyncio.AbstractEventLoop],
    way: str,
    transport: str,
    size: int,
    n: int,
    contexts: Contexts,
    folder: Path,
) -> float:
    """CPU nanoseconds of this process for one message."""
    tls = contexts if transport == "tls" else None
    listening = listen(transport, folder)
    pid = start_client(listening, size, n, tls and tls.client)
    with closing(factory()) as loop:
        asyncio.set_event_loop(loop)
        serving: Awaitable[None] = serve(way, listening, tls and tls.server)
        began = time.process_time_ns()
        loop.run_until_complete(serving)
        took = time.process_time_ns() - began
        asyncio.set_event_loop(None)
    listening.close()
    os.waitpid(pid, 0)
    return took / n


def compiled_floor(folder: Path) -> Path:
    """The program of echo_floor.c."""
    program = folder / "echo_floor"
    source = Path(__file__).with_name("echo_floor.c")
    subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    return program


def measure_floor(program: Path, transport: str, size: int, n: int, folder: Path) -> float:
    """CPU nanoseconds of that program for one message."""
    listening = listen(transport, folder)
    pid = start_client(listening, size, n, None)
    server = subprocess.Popen(
        [str(program), str(listening.fileno())], pass_fds=[listening.fileno()]
    )
    _, status, usage = os.wait4(server.pid, 0)
    server.returncode = status
    listening.close()
    os.waitpid(pid, 0)
    if status != 0:
        sys.exit("the floor's echo failed")
    return (usage.ru_utime + usage.ru_stime) * 1e9 / n


def factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    from asgiserver.loop import new_event_loop

    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"casgi": new_event_loop}
    try:
        import uvloop
    except ImportError:
        pass
    else:
        found["uvloop"] = uvloop.new_event_loop
    found["asyncio"] = asyncio.SelectorEventLoop
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of each count")
    parser.add_argument("--only", default="", help="ways, transports and sizes in KiB, by comma")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--floor", action="store_true", help="and what C alone takes")
    options = parser.parse_args()
    loops = factories()
    only = set(options.only.split(",")) - {""}
    contexts = Contexts()
    ratios: dict[str, list[float]] = {name: [] for name in loops if name != "casgi"}
    floors: list[float] = []
    head = "".join(f"{name:>10}" for name in loops)
    tail = "     floor  floor/asyncio" if options.floor else ""
    print(f"{'us of CPU per message':26}{head}" + "".join(f"  /{name:8}" for name in ratios) + tail)
    with tempfile.TemporaryDirectory() as folder:
        program = compiled_floor(Path(folder)) if options.floor else None
        for way in WAYS:
            for transport in TRANSPORTS:
                for size in SIZES:
                    words = {way, transport, str(size // KIB)}
                    groups = ({*WAYS}, {*TRANSPORTS}, {str(s // KIB) for s in SIZES})
                    wanted = all(not (only & g) or only & g & words for g in groups)
                    if not wanted or (way, transport) == ("sock", "tls"):
                        continue
                    n = max(100, int(COUNTS[size] * options.scale))
                    best = dict.fromkeys(loops, float("inf"))
                    for _ in range(options.rounds):
                        for name, factory in loops.items():
                            took = measure(factory, way, transport, size, n, contexts, Path(folder))
                            best[name] = min(best[name], took)
                    cells = "".join(f"{best[name] / 1000:10.2f}" for name in loops)
                    for name, found in ratios.items():
                        found.append(best["casgi"] / best[name])
                        cells += f"  {found[-1]:9.2f}"
                    if program is not None and transport != "tls":
                        floor = min(
                            measure_floor(program, transport, size, n, Path(folder))
                            for _ in range(options.rounds)
                        )
                        floors.append(floor / best["asyncio"])
                        cells += f"{floor / 1000:10.2f}  {floors[-1]:13.2f}"
                    print(f"{way:10}{transport:6}{size // KIB:6} KiB{cells}", flush=True)
    if floors:
        print(f"floor/asyncio: median {statistics.median(floors):.2f}, least {min(floors):.2f}")
    missed = False
    for name, found in ratios.items():
        goal = 0.9 if name == "uvloop" else 0.4
        print(f"casgi/{name}: median {statistics.median(found):.2f}, worst {max(found):.2f}")
        missed |= statistics.median(found) > goal or (name == "uvloop" and max(found) > 1.0)
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
