# SPDX-License-Identifier: MIT
"""Who the client is behind a proxy: X-Forwarded-*, Forwarded, and who may say so."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from http_harness import get, reply, serve

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]

FOR, PROTO = "X-Forwarded-For: ", "X-Forwarded-Proto: "


class Seen:
    """An application that keeps client and scheme."""

    def __init__(self) -> None:
        self.scopes: list[tuple[Any, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append((scope["client"], scope["scheme"]))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await reply(send, b"ok")


def seen(lines: list[str], allow: Any = "127.0.0.1", **config: Any) -> tuple[Any, str]:
    """What the app sees of a request with these header lines; None for the peer's own address."""
    app = Seen()
    settings = {"proxy_headers": True, "forwarded_allow_ips": allow} | config
    with serve(app, **settings) as server, server.connect() as peer:
        peer.send(get("/", *lines))
        assert peer.response().status == 200
        own = peer.sock.getsockname()
        (found,) = app.scopes
        client = own if found[0] == own else found[0]
        assert server.access[0][1] == f"{client[0]}:{client[1]}"
    return (None if client == own else client), found[1]


CASES: list[tuple[list[str], str, Any, str]] = [
    ([], "*", None, "http"),
    ([FOR + "1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "http"),
    ([FOR + "1.2.3.4"], "10.0.0.0/8", None, "http"),
    ([FOR + "1.2.3.4"], "", None, "http"),
    ([FOR + "1.2.3.4"], "127.0.0.0/8", ("1.2.3.4", 0), "http"),
    ([FOR + "1.2.3.4"], "::ffff:127.0.0.1", ("1.2.3.4", 0), "http"),
    ([FOR + "1.2.3.4:99"], "127.0.0.1", ("1.2.3.4", 99), "http"),
    ([FOR + "[2001:db8::1]:99"], "127.0.0.1", ("2001:db8::1", 99), "http"),
    ([FOR + "[2001:db8::1]"], "127.0.0.1", ("2001:db8::1", 0), "http"),
    ([FOR + "2001:db8::1"], "127.0.0.1", ("2001:db8::1", 0), "http"),
    ([FOR + "[2001:db8::1"], "127.0.0.1", ("[2001:db8::1", 0), "http"),
    ([FOR + "1.2.3.4:x"], "127.0.0.1", ("1.2.3.4:x", 0), "http"),
    ([FOR + "evil, 1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "http"),
    ([FOR + '", 1.2.3.4'], "127.0.0.1", ("1.2.3.4", 0), "http"),
    ([FOR + "evil", FOR + "1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "http"),
    ([FOR + "5.6.7.8, 1.2.3.4"], "127.0.0.1,1.2.3.4", ("5.6.7.8", 0), "http"),
    ([FOR + "5.6.7.8", FOR + "1.2.3.4,127.0.0.1"], "127.0.0.1, 1.0.0.0/8", ("5.6.7.8", 0), "http"),
    ([FOR + "1.2.3.4, 127.0.0.1"], "127.0.0.1,1.2.3.4", ("1.2.3.4", 0), "http"),
    ([FOR + "evil, 1.2.3.4"], "*", ("evil", 0), "http"),
    ([FOR + "one, x", FOR + "two"], "*", ("one", 0), "http"),
    ([FOR + "me, proxy"], "127.0.0.1,proxy", ("me", 0), "http"),
    ([FOR], "127.0.0.1", None, "http"),
    ([FOR + "1.2.3.4, "], "127.0.0.1", None, "http"),
    ([FOR + "1.2.3.4, 2001:DB8:0::1"], "127.0.0.1,2001:db8::/32", ("1.2.3.4", 0), "http"),
    ([FOR + "1.2.3.4, 10.1.2.3"], "127.0.0.1,10.1.2.4/31", ("10.1.2.3", 0), "http"),
    ([FOR + "1.2.3.4, 10.1.2.3"], "127.0.0.1,10.1.2.2/31", ("1.2.3.4", 0), "http"),
    ([PROTO + "https"], "127.0.0.1", None, "https"),
    ([PROTO + "HTTPS"], "127.0.0.1", None, "http"),
    ([PROTO + "https"], "10.0.0.1", None, "http"),
    ([PROTO + "gopher"], "127.0.0.1", None, "http"),
    ([PROTO + "http", PROTO + "https"], "127.0.0.1", None, "https"),
    ([PROTO + "https", FOR + "1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "https"),
    (["Forwarded: for=1.2.3.4"], "127.0.0.1", None, "http"),
]


@pytest.mark.parametrize(("lines", "allow", "client", "scheme"), CASES)
def test_x_forwarded(lines: list[str], allow: str, client: Any, scheme: str) -> None:
    assert seen(lines, allow) == (client, scheme)


@pytest.mark.parametrize(("lines", "allow", "client", "scheme"), CASES)
def test_as_uvicorn(lines: list[str], allow: str, client: Any, scheme: str) -> None:
    """uvicorn's middleware sees the same, but for addresses in another notation."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    if allow in ("::ffff:127.0.0.1", "127.0.0.1,10.1.2.4/31"):
        pytest.skip("uvicorn tells ::ffff:127.0.0.1 from 127.0.0.1, and ignores 10.1.2.4/31")
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append((scope["client"], scope["scheme"]))

    headers = [
        (name.lower().encode(), value.strip().encode())
        for name, _, value in (line.partition(":") for line in lines)
    ]
    scope = {"type": "http", "client": ("127.0.0.1", 7), "scheme": "http", "headers": headers}
    middleware = ProxyHeadersMiddleware(app, allow)  # type: ignore[arg-type]
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    assert found == [(client or ("127.0.0.1", 7), scheme)]


@pytest.mark.parametrize(
    ("lines", "allow", "client", "scheme"),
    [
        (["Forwarded: for=1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "http"),
        (["Forwarded: For=1.2.3.4;Proto=https;by=x"], "127.0.0.1", ("1.2.3.4", 0), "https"),
        (['forwarded: for="[2001:db8::1]:4711"'], "127.0.0.1", ("2001:db8::1", 4711), "http"),
        (['Forwarded: for="1.2.3.4:5"; proto="https"'], "127.0.0.1", ("1.2.3.4", 5), "https"),
        (["Forwarded: for=evil;proto=https, for=1.2.3.4"], "127.0.0.1", ("1.2.3.4", 0), "http"),
        (
            ["Forwarded: for=5.6.7.8;proto=https", "Forwarded: for=127.0.0.1;proto=http"],
            "127.0.0.1",
            ("5.6.7.8", 0),
            "https",
        ),
        (['Forwarded: host="a,b";for=1.2.3.4'], "127.0.0.1", ("1.2.3.4", 0), "http"),
        (['Forwarded: for=", for=1.2.3.4'], "127.0.0.1", ("1.2.3.4", 0), "http"),
        (["Forwarded: for=_hidden"], "127.0.0.1", ("_hidden", 0), "http"),
        (["Forwarded: by=x"], "127.0.0.1", None, "http"),
        (["Forwarded: for=first, for=last"], "*", ("first", 0), "http"),
        (["Forwarded: for=1.2.3.4"], "10.0.0.1", None, "http"),
        ([FOR + "1.2.3.4", PROTO + "https"], "127.0.0.1", None, "http"),
    ],
)
def test_forwarded(lines: list[str], allow: str, client: Any, scheme: str) -> None:
    assert seen(lines, allow, forwarded_header=True) == (client, scheme)


def test_a_list_of_peers_and_switched_off() -> None:
    lines = [FOR + "1.2.3.4"]
    assert seen(lines, ["10.0.0.1", "127.0.0.1"]) == (("1.2.3.4", 0), "http")
    assert seen(lines, "*", proxy_headers=False) == (None, "http")


def test_each_request_of_a_connection() -> None:
    app = Seen()
    settings = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
    with serve(app, **settings) as server, server.connect() as peer:
        peer.send(get("/", FOR + "1.1.1.1") + get() + get("/", FOR + "2.2.2.2"))
        for _ in range(3):
            peer.response()
        own = peer.sock.getsockname()
    assert [client for client, _ in app.scopes] == [("1.1.1.1", 0), own, ("2.2.2.2", 0)]


@pytest.mark.parametrize(("proto", "scheme"), [("https", "wss"), ("wss", "wss"), ("http", "ws")])
def test_websocket_scheme(proto: str, scheme: str) -> None:
    app = Seen()
    key = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    key.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with serve(app, proxy_headers=True, forwarded_allow_ips="127.0.0.1") as server:
        server.exchange(get("/", *key, PROTO + proto, FOR + "1.2.3.4"))
    assert app.scopes == [(("1.2.3.4", 0), scheme)]


@pytest.mark.parametrize(("allow", "client"), [("unix:", ("1.2.3.4", 0)), ("127.0.0.1", None)])
def test_unix_peers(allow: str, client: Any, tmp_path: Path) -> None:
    app = Seen()
    path = str(tmp_path / "s")
    settings: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": allow}
    with serve(app, family=socket.AF_UNIX, path=path, **settings) as server:
        with server.connect() as peer:
            peer.send(get("/", FOR + "1.2.3.4"))
            peer.response()
    assert app.scopes == [(client, "http")]


def test_endless_lists_cost_little() -> None:
    """64 KiB of commas, of trusted hops, of open quotes."""
    for text in ("," * 60_000, "127.0.0.1," * 6000, '"' + "," * 60_000):
        for allow in ("127.0.0.1", "*"):
            for header in (False, True):
                name = "Forwarded: " if header else FOR
                seen([name + text], allow, forwarded_header=header)
