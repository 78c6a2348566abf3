# SPDX-License-Identifier: MIT
"""Answers to pipelined requests leave together, and no client waits for what only it could free."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from http_harness import get, post, read_body, reply, serve

pytestmark = [pytest.mark.timeout(170), pytest.mark.usefixtures("nothing_left")]
REQUESTS = 50


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """/at-once, /turns (waits for some turns of the loop), /sleep, and bodies are read."""
    if scope["path"] == "/turns":
        await turns(3)
    elif scope["path"] == "/sleep":
        await asyncio.sleep(0.0001)
    await reply(send, await read_body(receive))


SHAPES = {
    "at once": [get("/at-once")],
    "turns": [get("/at-once"), get("/turns")],
    "sleeps": [get("/at-once"), get("/sleep"), get("/at-once")],
    "bodies": [get("/at-once"), post(b"body of it"), get("/turns")],
}


def complete(data: bytes) -> int:
    """How many answers of `application` are in data, which ends with one of them."""
    return data.count(b"\r\n\r\n")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("shape", SHAPES)
def test_cut_at_every_byte(shape: str, busy: bool, tmp_path: Path) -> None:
    """Each whole request is answered while the client sends nothing more.

    busy: something else is ready in every turn of the loop, so that no poll ever blocks.
    """
    kinds = SHAPES[shape]
    requests = [kinds[i % len(kinds)] for i in range(REQUESTS)]
    data = b"".join(requests)
    ends, size = [], 0
    for request in requests:
        size += len(request)
        ends.append(size)

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    # On a machine so busy that seconds pass between two bytes, no deadline is to end this.
    patience = {"timeout_keep_alive": 300.0, "timeout_header": 300.0, "timeout_body": 300.0}
    address = {"family": socket.AF_UNIX, "path": str(tmp_path / "s")}
    with serve(application, **address, **patience) as server:
        other = asyncio.run_coroutine_threadsafe(spin(), server.loop) if busy else None
        with server.connect() as peer:
            peer.sock.settimeout(120)

            def receive(count: int) -> None:
                seen = b""
                while complete(seen) < count or not seen.endswith((b"\r\n\r\n", b"body of it")):
                    piece = peer.sock.recv(65536)
                    assert piece, f"closed after {complete(seen)} of {count} answers"
                    seen += piece
                assert complete(seen) == count

            for cut in range(1, len(data), 1 if shape == "at once" and not busy else 7):
                peer.send(data[:cut])
                answered = sum(end <= cut for end in ends)
                if answered:
                    receive(answered)
                peer.send(data[cut:])
                receive(REQUESTS - answered)
        if other is not None:
            other.cancel()


def arrived(sock: socket.socket) -> int:
    """Bytes that wait for the client, which stay there."""
    found = fcntl.ioctl(sock, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(found, sys.byteorder)


def test_they_leave_together(tmp_path: Path) -> None:
    """Sixteen answers in one write, where the machine lets that happen within some milliseconds."""
    before: list[int] = []
    peers: list[socket.socket] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before.append(sum(map(arrived, peers)))
        await reply(send, b"x")

    with serve(app, family=socket.AF_UNIX, path=str(tmp_path / "s")) as server:
        for _ in range(50):
            before.clear()
            with server.connect() as peer:
                peers[:] = [peer.sock]
                peer.send(get() * 16)
                for _ in range(16):
                    assert peer.response().body == b"x"
                peers.clear()
            if sum(before) == 0:
                break
        else:
            pytest.fail("never sixteen answers at once")


def test_an_answer_does_not_wait_for_one_that_waits() -> None:
    release: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            release.append(asyncio.Event())
            await release[0].wait()
        await reply(send, scope["path"].encode())

    with serve(app) as server, server.connect() as peer:
        peer.send(get("/one") + get("/two") + get("/late") + get("/three"))
        assert [peer.response().body for _ in range(2)] == [b"/one", b"/two"]
        server.until(lambda: bool(release))
        server.call(release[0].set)
        assert [peer.response().body for _ in range(2)] == [b"/late", b"/three"]


def test_an_answer_does_not_wait_for_a_body_still_to_come() -> None:
    with serve(application) as server, server.connect() as peer:
        body = post(b"0123456789")
        peer.send(get("/at-once") * 3 + body[:-4])
        assert [peer.response().body for _ in range(3)] == [b""] * 3
        peer.send(body[-4:])
        assert peer.response().body == b"0123456789"


def arrivals(tmp_path: Path, count: int, body: bytes, seconds: float = 0) -> list[int]:
    """Bytes of answers that the client had when the application began each of `count` pipelined
    requests, which it answers with the body, after blocking the loop for so long."""
    before: list[int] = []
    peers: list[socket.socket] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before.append(sum(map(arrived, peers)))
        time.sleep(seconds)
        await reply(send, body)

    with (
        serve(app, family=socket.AF_UNIX, path=str(tmp_path / "s")) as server,
        server.connect() as peer,
    ):
        peers.append(peer.sock)
        peer.send(get() * count)
        server.until(lambda: len(before) == count)
        peers.clear()
        for _ in range(count):
            assert peer.response().body == body
    return before


def test_slow_applications_hold_nothing_for_long(tmp_path: Path) -> None:
    """Each blocks the loop for longer than an answer may be held: others have left by then."""
    before = arrivals(tmp_path, 8, b"x", seconds=0.007)
    assert before[3] > 0
    assert before[7] > before[3]


def test_large_answers_are_not_gathered(tmp_path: Path) -> None:
    """What is held is bounded: the buffer's high-water mark, and one answer."""
    assert arrivals(tmp_path, 20, b"x" * 8192)[10] > 0


@pytest.mark.parametrize("path", ["/at-once", "/turns"])
def test_end_of_the_client_behind_pipelined_requests(path: str) -> None:
    """A half-closed client gets all its answers, however they were read."""
    with serve(application) as server:
        for count in (1, 2, 5, 50):
            answer = server.exchange(get(path) * count)
            assert complete(answer) == count


def test_more_requests_while_one_is_worked_on() -> None:
    """What comes while an application works waits in the kernel, behind what one read brought."""
    gate: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/gate":
            gate.append(asyncio.Event())
            await gate[-1].wait()
        await reply(send, scope["path"].encode())

    with serve(app) as server, server.connect() as peer:
        for _ in range(3):
            gate.clear()
            peer.send(get("/gate") + get("/a"))
            server.until(lambda: bool(gate))
            for _ in range(5):
                peer.send(get("/b") * 100)
                server.run(asyncio.sleep(0.001))
            server.call(gate[0].set)
            bodies = [peer.response().body for _ in range(502)]
            assert bodies == [b"/gate", b"/a"] + [b"/b"] * 500
