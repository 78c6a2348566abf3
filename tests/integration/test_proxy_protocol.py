# SPDX-License-Identifier: MIT
"""The PROXY protocol: whose header counts, what it changes, and what becomes of all others.

Headers byte by byte are tests/unit/c/test_proxy_protocol.c; a real HAProxy is test_haproxy.py.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from http_harness import Server, get, reply, serve
from tls_tools import Authority, TlsPeer, serve_tls, server_context

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.2", 443)
TRUST = {"proxy_protocol": True, "forwarded_allow_ips": "127.0.0.1", "proxy_headers": True}


def v2(family: int = 0x11, body: bytes | None = None, command: int = 0x21) -> bytes:
    """A binary header; body: addresses and extensions."""
    if body is None:
        body = addresses()
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER) -> bytes:
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    hosts = [socket.inet_pton(family, each[0]) for each in (client, server)]
    return b"".join(hosts) + struct.pack("!HH", client[1], server[1])


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


class Seen:
    """An application that keeps what it is told."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append((scope["client"], scope["server"], scope["scheme"]))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await reply(send, b"ok")


def seen(data: bytes, **config: Any) -> tuple[Any, Any, str]:
    """What the application sees of the one request in data; None for the connection's own ends."""
    app = Seen()
    with serve(app, **TRUST | config) as server, server.connect() as peer:
        peer.send(data)
        assert peer.response().status == 200
        own = peer.sock.getsockname(), peer.sock.getpeername()
        (found,) = app.scopes
        if found[0] is not None:
            assert server.access[0][1] == "{}:{}".format(*found[0])
        assert server.errors == []
    ends = (None if end == mine else end for end, mine in zip(found[:2], own, strict=True))
    return (*ends, found[2])


SSL_BY_TLS = extension(0x20, b"\x01\0\0\0\0" + extension(0x21, b"TLSv1.3"))
IPV6 = (("2001:db8::1", 1), ("::1", 65535))
PATHS = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
GOOD: list[tuple[str, bytes, tuple[Any, Any, str]]] = [
    ("v1", V1, (CLIENT, SERVER, "http")),
    ("v1-ipv6", b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", (*IPV6, "http")),
    ("v1-unknown", b"PROXY UNKNOWN\r\n", (None, None, "http")),
    ("v1-unknown-addresses", b"PROXY UNKNOWN ::1 ::1 1 2\r\n", (None, None, "http")),
    ("v2", v2(), (CLIENT, SERVER, "http")),
    ("v2-ipv6", v2(0x21, addresses(*IPV6)), (*IPV6, "http")),
    ("v2-unix", v2(0x31, PATHS), ("none", ("/run/server", None), "http")),
    ("v2-unspec", v2(0x00, b""), (None, None, "http")),
    ("v2-unspec-block", v2(0x00, b"whatever"), (None, None, "http")),
    ("v2-local", v2(0x00, b"", 0x20), (None, None, "http")),
    ("v2-local-addresses", v2(command=0x20), (None, None, "http")),
    ("v2-authority", v2(body=addresses() + extension(2, b"host")), (CLIENT, SERVER, "http")),
    ("v2-tls", v2(body=addresses() + SSL_BY_TLS), (CLIENT, SERVER, "https")),
    ("v2-long", v2(body=addresses() + extension(4, bytes(16369))), (CLIENT, SERVER, "http")),
]
BAD: list[tuple[str, bytes]] = [
    ("absent", b""),
    ("v1-no-port", b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"),
    ("v1-bare-lf", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"),
    ("v1-lower-case", b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
    ("v1-long", b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n"),
    ("v2-version-1", v2(command=0x11)),
    ("v2-command", v2(command=0x22)),
    ("v2-udp", v2(0x12)),
    ("v2-short", v2(0x21)),
    ("v2-extension", v2(body=addresses() + b"\4\0\1")),
    ("v2-checksum", v2(body=addresses() + extension(3, b"\0\0\0\0"))),
    ("v2-too-long", v2(body=addresses() + bytes(16373))),
    ("tls", b"\x16\x03\x01\x02\x00"),
]


@pytest.mark.parametrize(
    ("header", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD]
)
def test_good(header: bytes, expected: Any) -> None:
    client, server, scheme = seen(header + get())
    assert ("none" if client is None and header[13:14] == b"1" else client, server, scheme) == (
        expected
    )


@pytest.mark.parametrize("header", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_bad(header: bytes) -> None:
    """Closed without an answer, and the application never called."""
    app = Seen()
    with serve(app, **TRUST) as server, server.connect() as peer:
        with contextlib.suppress(ConnectionError):
            peer.send(header + get())
        assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)
        assert [line[:2] for line in server.errors] == [
            (30, "Invalid PROXY protocol header received.")
        ]
    assert app.scopes == []


def in_pieces(server: Server, peer: Any, data: bytes, cuts: list[int]) -> None:
    """Sends data cut at these places, each piece after the server has had a turn for the last."""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        peer.sock.sendall(data[start:end])
        server.call(lambda: None)


@pytest.mark.parametrize(
    ("header", "expected"),
    [row[1:] for row in GOOD if len(row[1]) < 300],
    ids=[row[0] for row in GOOD if len(row[1]) < 300],
)
def test_cut_at_every_byte(header: bytes, expected: Any) -> None:
    app = Seen()
    data = header + get()
    with serve(app, **TRUST) as server:
        for cuts in [[n] for n in range(1, len(header) + 2)] + [list(range(1, len(data)))]:
            with server.connect() as peer:
                in_pieces(server, peer, data, cuts)
                assert peer.response().status == 200
                own = peer.sock.getsockname()
            client = app.scopes.pop()[0]
            assert client == (
                None if expected[0] == "none" else expected[0] if expected[0] else own
            )
        assert app.scopes == []
        assert server.errors == []


@pytest.mark.parametrize("header", [row[1] for row in BAD[1:8]], ids=[row[0] for row in BAD[1:8]])
def test_bad_cut_at_every_byte(header: bytes) -> None:
    app = Seen()
    with serve(app, **TRUST) as server:
        for cut in range(1, len(header) + 1):
            with server.connect() as peer, contextlib.suppress(ConnectionError):
                in_pieces(server, peer, header + get(), [cut])
                assert peer.rest() == b""
    assert app.scopes == []


def test_end_of_the_connection_in_front_of_the_header() -> None:
    """A load balancer's look whether the port is open is worth no line of the log."""
    app = Seen()
    with serve(app, **TRUST) as server:
        assert server.exchange(b"") == b""
        assert server.exchange(V1[:9]) == b""
        server.until(lambda: server.core.connections == 0)
        assert server.errors == []
    assert app.scopes == []


@pytest.mark.parametrize("part", [b"", V1[:20], v2()[:20]])
def test_deadline(part: bytes) -> None:
    app = Seen()
    with serve(app, **TRUST, timeout_header=0.2) as server, server.connect() as peer:
        peer.send(part)
        assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)
    assert app.scopes == []


def test_draining_does_not_wait_for_a_header() -> None:
    with serve(Seen(), **TRUST) as server, server.connect() as peer:
        server.until(lambda: server.core.connections == 1)
        server.call(server.core.shutdown)
        assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)


def test_every_request_of_the_connection() -> None:
    app = Seen()
    with serve(app, **TRUST) as server, server.connect() as peer:
        peer.send(V1 + get() + get())
        assert [peer.response().status for _ in range(2)] == [200, 200]
        peer.send(get())
        assert peer.response().status == 200
        peer.send(V1 + get())  # One header a connection.
        assert peer.response().status == 400
    assert app.scopes == [(CLIENT, SERVER, "http")] * 3


@pytest.mark.parametrize(
    "config", [{"forwarded_allow_ips": "10.0.0.0/8"}, {"proxy_protocol": False}]
)
class TestOthers:
    """Peers that are no trusted proxies, and a server that does not speak the protocol."""

    def test_are_served(self, config: Any) -> None:
        assert seen(get(), **config) == (None, None, "http")

    @pytest.mark.parametrize("header", [V1, v2()])
    def test_introduce_nobody(self, config: Any, header: bytes) -> None:
        app = Seen()
        with serve(app, **TRUST | config) as server, server.connect() as peer:
            peer.send(header + get())
            assert peer.response().status == 400
        assert app.scopes == []


FOR = "X-Forwarded-For: 203.0.113.9"


@pytest.mark.parametrize(
    ("header", "allow", "client"),
    [
        # The client behind a proxy that passes its bytes on could have said anything.
        (V1, "127.0.0.1", CLIENT),
        (V1, "127.0.0.1,192.0.2.0/24", ("203.0.113.9", 0)),
        (V1, "*", ("203.0.113.9", 0)),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1", ("203.0.113.9", 0)),
        (v2(0, b"", 0x20), "127.0.0.1", ("203.0.113.9", 0)),
    ],
)
def test_forwarded_for(header: bytes, allow: str, client: Any) -> None:
    assert seen(header + get("/", FOR), forwarded_allow_ips=allow)[0] == client


@pytest.mark.parametrize("header", [V1, v2(0x31, PATHS)])
def test_unix_peers(header: bytes, tmp_path: Path) -> None:
    app = Seen()
    path = str(tmp_path / "s")
    config = TRUST | {"forwarded_allow_ips": "unix:"}
    with serve(app, family=socket.AF_UNIX, path=path, **config) as server:
        with server.connect() as peer:
            peer.send(header + get("/", FOR))
            assert peer.response().status == 200
        with server.connect() as peer:
            peer.send(get("/", FOR))
            assert peer.rest() == b""
    assert [scope[0] for scope in app.scopes] == [CLIENT if header == V1 else None]


def test_unix_peers_that_are_not_trusted(tmp_path: Path) -> None:
    app = Seen()
    path = str(tmp_path / "s")
    with serve(app, family=socket.AF_UNIX, path=path, **TRUST) as server, server.connect() as peer:
        peer.send(get())
        assert peer.response().status == 200
    assert app.scopes == [(None, (path, None), "http")]


def test_connections_of_one_client() -> None:
    """The bound is on the clients, not on the proxy."""
    with serve(Seen(), **TRUST, limit_connections_per_client=2) as server:
        with contextlib.ExitStack() as stack:
            for number in range(3):
                peer = stack.enter_context(server.connect())
                peer.send(v2(body=addresses((f"192.0.2.{number}", 1))) + get())
                assert peer.response().status == 200
            for number, served in ((0, True), (0, False), (1, True), (1, False), (3, True)):
                peer = stack.enter_context(server.connect())
                peer.send(v2(body=addresses((f"192.0.2.{number}", 2))) + get())
                if served:
                    assert peer.response().status == 200
                else:
                    assert peer.rest() == b""
        server.until(lambda: server.core.connections == 0)
        with server.connect() as peer:
            peer.send(v2(body=addresses(("192.0.2.0", 1))) + get())
            assert peer.response().status == 200


@pytest.mark.parametrize(("header", "scheme"), [(V1, "ws"), (GOOD[12][1], "wss")])
def test_websocket(header: bytes, scheme: str) -> None:
    app = Seen()
    key = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    key.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with serve(app, **TRUST) as server:
        assert server.exchange(header + get("/", *key)).startswith(b"HTTP/1.1 403 ")
    assert app.scopes == [(CLIENT, SERVER, scheme)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> Any:
    return server_context(authority.issue("server"))


class TestTls:
    def test_in_front_of_the_handshake(self, authority: Authority, context: Any) -> None:
        """However the header's bytes and those of the handshake come."""
        app = Seen()
        client = authority.client()
        with serve_tls(app, context, **TRUST) as server:
            for header in (V1, v2()):
                for cut in range(1, len(header) + 60):
                    with TlsPeer(server.address, client, handshake=False) as peer:
                        with pytest.raises(ssl.SSLWantReadError):
                            peer.tls.do_handshake()
                        in_pieces(server, peer, header + peer.outgoing.read(), [cut])
                        peer.handshake()
                        peer.send(get())
                        assert peer.response().status == 200
        assert set(app.scopes) == {(CLIENT, SERVER, "https")}

    @pytest.mark.parametrize("header", [b"", V1[:-2] + b"\n"])
    def test_without_one(self, authority: Authority, context: Any, header: bytes) -> None:
        app = Seen()
        with serve_tls(app, context, **TRUST) as server:
            with TlsPeer(server.address, authority.client(), handshake=False) as peer:
                peer.sock.sendall(header)
                with pytest.raises(ConnectionError):
                    peer.handshake()
        assert app.scopes == []

    def test_within(self, authority: Authority, context: Any) -> None:
        """What the client itself says is no introduction."""
        app = Seen()
        with serve_tls(app, context, **TRUST) as server:
            with TlsPeer(server.address, authority.client(), handshake=False) as peer:
                peer.sock.sendall(V1)
                peer.handshake()
                peer.send(V1 + get())
                assert peer.response().status == 400
        assert app.scopes == []

    @pytest.mark.parametrize("part", [b"", V1[:20], V1])
    def test_deadline(self, context: Any, part: bytes) -> None:
        with serve_tls(Seen(), context, **TRUST, timeout_tls_handshake=0.2) as server:
            with server.connect() as peer:
                peer.send(part)
                assert peer.rest() == b""
                server.until(lambda: server.core.connections == 0)

    def test_plain_http_behind_the_header(self, context: Any) -> None:
        app = Seen()
        with serve_tls(app, context, **TRUST) as server, server.connect() as peer:
            peer.send(V1 + get())
            assert peer.response().status == 400
        assert app.scopes == []
