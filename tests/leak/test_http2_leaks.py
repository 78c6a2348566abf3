# SPDX-License-Identifier: MIT
"""HTTP/2 sessions and streams leave nothing behind, however they end."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from leak_process import leak_server
from leaktools import Memory, assert_flat, growth

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from http2_client import END_HEADERS, HEADERS, Client, frame


def connect(port: int) -> Client:
    return Client(("127.0.0.1", port))


def requests(port: int, count: int) -> None:
    """Many on one connection, with bodies, and with applications at fault."""
    with connect(port) as client:
        for number in range(count):
            assert client.ask("/hello").body == b"hello"
            if number % 5 == 0:
                assert client.post("/post", bytes(40_000)).status == 200
            if number % 10 == 0:
                assert client.ask("/raise").status == 500
                assert client.ask("/raise-late").reset is not None


def connections(port: int, count: int) -> None:
    """A few requests each, then an end with GOAWAY, without, or by a reset."""
    for number in range(count):
        with connect(port) as client:
            assert client.ask("/hello").body == b"hello"
            if number % 3 == 0:
                client.h2.close_connection()
                client.flush()
            elif number % 3 == 1:
                linger = struct.pack("ii", 1, 0)
                client.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def resets(port: int, count: int) -> None:
    """Streams given up with their bodies under way, both ways."""
    for _ in range(count // 20):
        with connect(port) as client:
            for number in range(20):
                if number % 2:
                    stream = client.open("/large")
                else:
                    stream = client.open("/post", "POST", end=False)
                    client.data(stream, bytes(20_000))
                client.ping()
                client.h2.reset_stream(stream, 8)
                client.flush()
            assert client.ask("/hello").status == 200


def abandoned(port: int, count: int) -> None:
    """Connections that go with streams open, or in the middle of a head."""
    for number in range(count):
        with connect(port) as client:
            for _ in range(3):
                client.open("/large" if number % 2 else "/wait")
            client.peer.send(frame(HEADERS, 0, 101, b"\x82")[: 9 + number % 2])


def broken(port: int, count: int) -> None:
    """Sessions that end with an error."""
    for number in range(count):
        with connect(port) as client:
            client.open("/wait")
            client.peer.send(
                (
                    frame(HEADERS, END_HEADERS, 2, b"\x82"),
                    frame(6, 0, 0, b"short"),
                    frame(HEADERS, END_HEADERS, 5, b"\xff" * 20),
                )[number % 3]
            )
            client.peer.rest()


@pytest.mark.parametrize(
    ("shape", "count"),
    [(requests, 400), (connections, 300), (resets, 400), (abandoned, 150), (broken, 150)],
)
@pytest.mark.timeout(150)
def test_a_shape_leaves_nothing(shape: Callable[[int, int], None], count: int) -> None:
    with leak_server(HTTP2="1") as port:

        def measure() -> Memory:
            with connect(port) as client:
                told = json.loads(client.ask("/measure").body)
            assert told["counts"]["http2_sessions"] <= 1
            return Memory(**told["memory"])

        assert_flat(growth(lambda: shape(port, count), measure=measure, warm_up=2), count)
