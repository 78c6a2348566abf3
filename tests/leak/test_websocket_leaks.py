# SPDX-License-Identifier: MIT
"""WebSockets leave nothing behind, compressed or not, however they end."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from leaktools import assert_flat, growth
from test_server_leaks import Client, Serving, get, serving

TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
RSV1 = 0x40
OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=8",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
)
NORMAL = struct.pack("!H", 1000)


def frame(first: int, payload: bytes = b"") -> bytes:
    """Masked with zeros, so the payload stays readable."""
    if len(payload) < 126:
        head = bytes([first, 0x80 | len(payload)])
    else:
        head = bytes([first, 0xFE]) + struct.pack("!H", len(payload))
    return head + bytes(4) + payload


def pack(data: bytes) -> bytes:
    """By a stream that refers to nothing before, so it fits every agreement."""
    packer = zlib.compressobj(wbits=-9)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read(client: Client) -> tuple[int, bytes]:
    """The next frame."""

    def take(size: int) -> bytes:
        while len(client.buffer) < size:
            data = client.sock.recv(262_144)
            assert data, "closed"
            client.buffer += data
        taken, client.buffer = client.buffer[:size], client.buffer[size:]
        return taken

    first, length = take(2)
    if length == 126:
        (length,) = struct.unpack("!H", take(2))
    return first, take(length)


@contextmanager
def websocket(server: Serving, offer: str = "", path: str = "/") -> Iterator[Client]:
    lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with server.connect() as client:
        client.send(get(path, *lines, *([f"Sec-WebSocket-Extensions: {offer}"] if offer else [])))
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 " if path == "/deny" else b"HTTP/1.1 101 ")
        assert (b"permessage-deflate" in head) is (bool(offer) and path != "/deny")
        yield client


def finish(client: Client) -> None:
    client.send(frame(CLOSE, NORMAL))
    assert read(client) == (CLOSE, NORMAL)
    assert client.rest() == b""


# ---- what clients do, each of them `count` times ----


def messages(server: Serving, count: int) -> None:
    """Many messages over one connection."""
    with websocket(server) as client:
        for number in range(count):
            data = b"x" * (number * 37 % 3000)
            client.send(frame(BINARY, data) + frame(PING, b"?"))
            assert sorted([read(client), read(client)])[0] == (BINARY, data)
        finish(client)


def compressed(server: Serving, count: int) -> None:
    """The same through every agreement, with messages that shrink and such that do not."""
    for offer in OFFERS:
        with websocket(server, offer) as client:
            for number in range(count // 3):
                data = os.urandom(300) if number % 5 == 0 else b"abc%d" % number * 200
                client.send(frame(BINARY | RSV1, pack(data)))
                assert read(client)[0] & ~RSV1 == BINARY
            finish(client)


def short_lived(server: Serving, count: int) -> None:
    """A connection for each message."""
    for number in range(count):
        with websocket(server, OFFERS[number % 3]) as client:
            client.send(frame(TEXT | RSV1, pack(b"hello " * 50)))
            assert read(client)[0] == TEXT | RSV1
            finish(client)


def broken(server: Serving, count: int) -> None:
    """Streams given up half-way: faults, resets within a compressed message, too much, denials."""
    for number in range(count):
        kind = number % 6
        with websocket(server, OFFERS[number % 3], "/deny" if kind == 5 else "/") as client:
            if kind == 5:
                client.rest()
                continue
            client.send(frame(TEXT | RSV1, pack(b"hello " * 50)))
            read(client)
            if kind == 0:
                client.send(frame(TEXT | RSV1, b"\xff\xff"))
                assert read(client)[1][:2] == struct.pack("!H", 1002)
            elif kind == 1:
                client.send(frame(0x01 | RSV1, pack(b"half " * 100)[:-3]))
                client.reset()
            elif kind == 2:
                client.send(frame(TEXT | RSV1, pack(b"\xff")))
                assert read(client)[1][:2] == struct.pack("!H", 1007)
            elif kind == 3:
                client.send(frame(TEXT, b"raise"))
                assert read(client) == (TEXT, b"raise")
                assert read(client)[1][:2] == struct.pack("!H", 1011)
                client.send(frame(CLOSE))
                client.rest()
            else:
                client.send(frame(TEXT, b"unread") + frame(0x83, b"?"))
                assert read(client) == (TEXT, b"unread")
                assert read(client)[1][:2] == struct.pack("!H", 1002)


@pytest.mark.parametrize(
    ("shape", "count"),
    [(messages, 600), (compressed, 600), (short_lived, 300), (broken, 360)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_shape_leaves_nothing(shape: Callable[[Serving, int], None], count: int) -> None:
    with serving() as server:
        left = growth(lambda: shape(server, count), measure=server.measure)
        assert_flat(left, count)
        assert server.counts["connections"] == server.counts["cycles"] == 1
