# SPDX-License-Identifier: MIT
"""What an idle WebSocket costs: resident memory of a server process, per connection.

    python tests/bench/ws_idle.py [--count 1000] [--uvicorn]

Each form starts a server of its own, opens a tenth of the connections so that what is allocated
once is there, and then the rest; the growth of its resident memory is divided by their number. The
application is raw ASGI and waits in ``receive()``. The goal: 6 KiB without compression.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import zlib
from contextlib import ExitStack

from idle_server import resident, serving

GOAL = 6 * 1024
APP = ("process_apps:websocket", "--ws-ping-interval", "300")
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "User-Agent: idle\r\nOrigin: http://127.0.0.1\r\n"
)
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def compressed_message() -> bytes:
    """A masked (with zeros) compressed text frame of 1,000 bytes."""
    packer = zlib.compressobj(wbits=-12)
    data = (packer.compress(b"0123456789" * 100) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return bytes([0xC1, 0x80 | len(data)]) + bytes(4) + data


PLAIN_MESSAGE = bytes([0x81, 0x85]) + bytes(4) + b"hello"


def connect(port: int, offer: bool, message: bytes) -> socket.socket:
    """An accepted WebSocket; message: what it says first, and waits to hear back."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall((HANDSHAKE + OFFER * offer + "\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(65536)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert (b"permessage-deflate" in head) is offer, head
    if message:
        sock.sendall(message)
        assert sock.recv(65536)[0] & 0x0F == 1
    return sock


def measure(module: str, count: int, offer: bool, message: bytes, *options: str) -> int:
    """Bytes of resident memory per connection."""
    with ExitStack() as stack:
        port, pid = stack.enter_context(serving(module, *APP, *options))
        for _ in range(count // 10):
            stack.enter_context(connect(port, offer, message))
        before = resident(pid)
        for _ in range(count):
            stack.enter_context(connect(port, offer, message))
        return (resident(pid) - before) // count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--uvicorn", action="store_true", help="measure uvicorn, too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the goal is missed")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * arguments.count + 1000), hard))
    forms = [
        ("no compression", False, b""),
        ("no compression, one message", False, PLAIN_MESSAGE),
        ("compression agreed on", True, b""),
        ("compression, one message", True, compressed_message()),
    ]
    servers = [("asgiserver", ("--no-js",))] + [("uvicorn", ())] * arguments.uvicorn
    print(f"RSS per idle WebSocket, {arguments.count} of them")
    first = 0
    for module, options in servers:
        for name, offer, message in forms:
            size = measure(module, arguments.count, offer, message, *options)
            first = first or size
            print(f"{module:>10}  {name:<28} {size / 1024:6.1f} KiB", flush=True)
    print(f"goal: {GOAL / 1024:.0f} KiB for the first: {'met' if first <= GOAL else 'missed'}")
    return int(arguments.check and first > GOAL)


if __name__ == "__main__":
    sys.exit(main())
