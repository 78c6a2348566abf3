# SPDX-License-Identifier: MIT
"""Connections with a PROXY protocol header, or without one that is due, leave nothing behind."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable

import pytest
from leak_process import TIMEOUT, leak_server
from leaktools import Memory, assert_flat, growth

PROXY = "127.0.0.2"
"""Where the proxy connects from; whoever measures connects from 127.0.0.1 and needs no header."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
GOOD = (
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    b"PROXY UNKNOWN\r\n",
    SIGNATURE + b"\x21\x11\0\x0c" + b"\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb",
    SIGNATURE + b"\x21\x31\0\xd8" + b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0"),
    SIGNATURE + b"\x20\0\0\0",
    SIGNATURE + b"\x20\0\x40\0" + bytes(16384),
)
BAD = (b"", GET, GOOD[0][:20], GOOD[3][:100], GOOD[0].replace(b" 443", b""), GOOD[5][:5000])


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT, source_address=(PROXY, 0))


def introduced(port: int, count: int) -> None:
    for number in range(count):
        with connect(port) as sock:
            header = GOOD[number % len(GOOD)]
            sock.sendall(header[: number % 50])
            sock.sendall(header[number % 50 :] + GET)
            assert sock.recv(65536).endswith(b"hello")


def not_introduced(port: int, count: int) -> None:
    """Refused, given up, or reset."""
    for number in range(count):
        with connect(port) as sock:
            sock.sendall(BAD[number % len(BAD)])
            if number % 4 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif number % 4 == 1:
                sock.shutdown(socket.SHUT_WR)
                try:
                    assert sock.recv(100) == b""
                except ConnectionResetError:
                    pass


@pytest.mark.parametrize(("shape", "count"), [(introduced, 600), (not_introduced, 600)])
@pytest.mark.timeout(120)
def test_a_shape_leaves_nothing(shape: Callable[[int, int], None], count: int) -> None:
    with leak_server(PROXIES=PROXY) as port:
        counts: dict[str, int] = {}

        def measure() -> Memory:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
                sock.sendall(b"GET /measure HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                data = b""
                while more := sock.recv(65536):
                    data += more
            told = json.loads(data.partition(b"\r\n\r\n")[2])
            counts.update(told["counts"])
            return Memory(**told["memory"])

        left = growth(lambda: shape(port, count), measure=measure)
        assert_flat(left, count)
        assert counts["connections"] == 1
