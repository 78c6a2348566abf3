# SPDX-License-Identifier: MIT
"""Echoes WebSocket messages for a while and prints how many came back.

    python tests/bench/ws_load.py PORT CONNECTIONS BYTES SECONDS

Every connection has one binary message under way. The first answer of each is compared with what
was sent, of later ones the number of bytes. The frame is masked once and sent over and over: the
client shall cost little, as what counts is the server's CPU time.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import sys
import time


def frames(payload: bytes) -> tuple[bytes, bytes]:
    """The message as a client sends it, masked, and as a server does."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return b"\x82" + bytes([length[0] | 0x80]) + length[
        1:
    ] + mask + masked, b"\x82" + length + payload


def opened(port: int) -> socket.socket:
    """A connection after its handshake."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, "closed in the handshake"
        answer += piece
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return sock


def received(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, "closed"
        data += piece
    return data


def main() -> None:
    port, connections, size, seconds = map(int, sys.argv[1:])
    sent, wanted = frames(os.urandom(size))
    total = len(wanted)
    socks = {}
    for _ in range(connections):
        sock = opened(port)
        sock.sendall(sent)
        assert received(sock, total) == wanted, "wrong answer"
        socks[sock.fileno()] = sock
    got = dict.fromkeys(socks, 0)
    poll = select.epoll()
    for fd in socks:
        poll.register(fd, select.EPOLLIN)
    messages, room, until = 0, bytearray(1 << 18), time.monotonic() + seconds
    for sock in socks.values():
        sock.sendall(sent)
    while time.monotonic() < until:
        for fd, _ in poll.poll(10):
            sock = socks[fd]
            taken = sock.recv_into(room)
            assert taken, "closed"
            so_far = got[fd] + taken
            if so_far < total:
                got[fd] = so_far
                continue
            assert so_far == total, "more than was sent"
            got[fd] = 0
            messages += 1
            sock.sendall(sent)
    print(messages)


if __name__ == "__main__":
    main()
