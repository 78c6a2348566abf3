# SPDX-License-Identifier: MIT
"""TLS connections leave nothing behind, however they go."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from leak_process import TIMEOUT, leak_server
from leaktools import Memory, assert_flat, growth


class Serving:
    """The server process and what its clients need.

    Attributes:
        client: a context with a client certificate.
        counts: what the extension counted at the last measure.
    """

    def __init__(self, port: int, client: ssl.SSLContext) -> None:
        self.port = port
        self.client = client
        self.counts: dict[str, int] = {}

    def raw(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        # A request right behind the handshake's last message would wait for that one's ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect(self) -> ssl.SSLSocket:
        return self.client.wrap_socket(self.raw(), server_hostname="localhost")

    def measure(self) -> Memory:
        with self.connect() as sock:
            told = json.loads(ask(sock, "/measure"))
        self.counts = told["counts"]
        return Memory(**told["memory"])


@contextlib.contextmanager
def serving(folder: Path, verify: int = 0) -> Iterator[Serving]:
    """A server process; leaving the block stops it and expects nothing of it to be left."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    made = ca.issue_cert("localhost")
    made.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    client = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    ca.issue_cert("me@example.org", common_name="me").configure_cert(client)
    with leak_server(TLS=str(folder), TLS_CERT_REQS=str(verify)) as port:
        yield Serving(port, client)


def ask(sock: ssl.SSLSocket, path: str) -> bytes:
    """One request that is answered with a length; its body."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, f"closed after {data!r}"
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < size:
        more = sock.recv(65536)
        assert more, "closed within a body"
        body += more
    return body


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- what clients do, each of them `count` times ----


def hellos(server: Serving, count: int) -> None:
    """A connection, a request, and an end with close_notify, without, or by a reset."""
    for number in range(count):
        with server.connect() as sock:
            assert ask(sock, "/hello") == b"hello"
            if number % 3 == 0:
                sock.unwrap().close()
            elif number % 3 == 1:
                reset(sock)


def resumed(server: Serving, count: int) -> None:
    session = None
    for _ in range(count):
        with server.client.wrap_socket(
            server.raw(), server_hostname="localhost", session=session
        ) as sock:
            assert ask(sock, "/hello") == b"hello"
            session = sock.session


def handshakes(server: Serving, count: int) -> None:
    """Handshakes that are given up, refused, or never were any."""
    for number in range(count):
        with server.raw() as sock:
            if number % 4 == 0:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = server.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                sock.sendall(outgoing.read())
                assert sock.recv(100)
            elif number % 4 == 1:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
            elif number % 4 == 2:
                sock.sendall(b"\x16\x03\x01\x00\x04evil")
                sock.recv(1000)
            reset(sock)


def large(server: Serving, count: int) -> None:
    """Answers that do not fit into the socket's buffer, taken to the end or given up."""
    for number in range(count):
        with server.connect() as sock:
            sock.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert sock.recv(100)
            if number % 2:
                while sock.recv(262_144):
                    pass
            else:
                reset(sock)


def reloads(server: Serving, count: int) -> None:
    with server.connect() as sock:
        for _ in range(count):
            assert ask(sock, "/reload") == b"reloaded"


@pytest.mark.parametrize(
    ("shape", "count", "verify"),
    [
        (hellos, 500, 0),
        (hellos, 300, 1),
        (resumed, 200, 0),
        (handshakes, 400, 0),
        (large, 40, 0),
        (reloads, 100, 1),
    ],
    ids=["hellos", "client-certificates", "resumed", "handshakes", "large", "reloads"],
)
@pytest.mark.timeout(150)
def test_a_shape_leaves_nothing(
    tmp_path: Path, shape: Callable[[Serving, int], None], count: int, verify: int
) -> None:
    with serving(tmp_path, verify) as server:
        left = growth(lambda: shape(server, count), measure=server.measure, warm_up=2)
        assert_flat(left, count)
        assert server.counts["connections"] == server.counts["tls_sessions"] == 1
