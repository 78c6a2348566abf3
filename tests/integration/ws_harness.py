# SPDX-License-Identifier: MIT
"""What the WebSocket tests share: handshakes and frames by hand, clients, applications."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

from http_harness import Peer, Server, get
from websockets.sync.client import ClientConnection, connect

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


# -- clients -------------------------------------------------------------------------------------


def client(server: Server, path: str = "/", **options: Any) -> ClientConnection:
    options = {"compression": None, "ping_interval": None, "max_size": None} | options
    return connect(f"ws://127.0.0.1:{server.port}{path}", **options)


def upgrade(path: str = "/", *lines: str, key: str = KEY, version: str = "13") -> bytes:
    return get(
        path,
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {version}",
        *lines,
    )


def frame(first: int, payload: bytes = b"", mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A frame as a client sends it; without a mask where mask is empty."""
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head = bytes([first, flag | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, flag | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, flag | 127]) + struct.pack("!Q", len(payload))
    if mask:
        times = mask * (len(payload) // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(payload, times, strict=False))
    return head + mask + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def read_frame(peer: Peer) -> tuple[int, bytes]:
    first, length = peer.take(2)
    assert not length & 0x80, "a server does not mask"
    if length == 126:
        (length,) = struct.unpack("!H", peer.take(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", peer.take(8))
    return first, peer.take(length)


def closed_with(peer: Peer) -> tuple[int, bytes]:
    """The code and reason of the close frame that has to come next, and the end after it."""
    first, payload = read_frame(peer)
    assert first == CLOSE
    peer.finish()
    assert peer.rest() == b""
    return struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:]


@contextlib.contextmanager
def raw(server: Server, *lines: str, path: str = "/", **options: Any) -> Any:
    """A socket on which the handshake is through."""
    with server.connect(**options) as peer:
        peer.send(upgrade(path, *lines))
        assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        yield peer


# -- applications --------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Recorder:
    """Accepts, and keeps what it receives up to the disconnect."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not self.messages or self.messages[-1]["type"] != "websocket.disconnect":
            self.messages.append(await receive())
        # … which is what there is from now on.
        assert await receive() == self.messages[-1]


def until_idle(server: Server) -> None:
    server.until(lambda: server.core.tasks == 0)
