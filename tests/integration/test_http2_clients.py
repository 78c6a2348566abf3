# SPDX-License-Identifier: MIT
"""HTTP/2 over TLS, and clients of others: curl, httpx, nghttp, h2load."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from casgi_process import casgi
from http2_client import GOAWAY, HEADERS, Client, split
from http_harness import read_body, reply, serve, start
from tls_tools import Authority, TlsPeer, serve_tls, server_context

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]
BODY = {"type": "http.response.body"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    match scope["path"]:
        case "/echo":
            await reply(send, await read_body(receive))
        case "/version":
            await reply(send, f"{scope['http_version']} {scope['scheme']}".encode())
        case "/large":
            await start(send)
            for _ in range(40):
                await send(BODY | {"body": b"x" * 100_000, "more_body": True})
            await send(BODY)
        case _:
            await reply(send, b"hello")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> Any:
    return server_context(authority.issue("server"), http2=True)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, data: bytes = b"") -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, timeout=45)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (None, None),
    ],
)
def test_alpn(
    authority: Authority,
    context: Any,
    version: ssl.TLSVersion,
    offer: list[str] | None,
    chosen: str | None,
) -> None:
    with serve_tls(app, context, http2=True) as server:
        peer = TlsPeer(server.address, authority.client(alpn=offer, version=version))
        with peer:
            assert peer.tls.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("secure", [True, False])
def test_draining(authority: Authority, workers: str, secure: bool, tmp_path: Path) -> None:
    """SIGTERM with a request under way: GOAWAY, its answer, and the end."""
    release = tmp_path / "release"
    arguments = ["--http2", "--workers", workers]
    files = authority.issue("draining")
    if secure:
        arguments += ["--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)]
    with casgi("process_apps:app", *arguments, env={"RELEASE": str(release)}) as server:
        address = ("127.0.0.1", server.port)
        with Client(address, peer=H2Peer(address, authority) if secure else None) as client:
            stream = client.open("/hold")
            server.wait_for("holding")
            server.signal(signal.SIGTERM)
            client.until(lambda: len(client.goaways) == 1)
            release.touch()
            # python-h2 is done at a GOAWAY: what comes now is only looked at.
            data = b""
            while more := client.peer.sock.recv(65536):
                data += more
            heads = [(kind, id_) for kind, _, id_, _ in split(data)]
            assert (HEADERS, stream) in heads
            assert (GOAWAY, 0) in heads
        server.wait()


def test_not_offered_unless_it_is_on(authority: Authority) -> None:
    context = server_context(authority.issue("plain"))
    with serve_tls(app, context) as server:
        with TlsPeer(server.address, authority.client(alpn=["h2", "http/1.1"])) as peer:
            assert peer.tls.selected_alpn_protocol() == "http/1.1"


def test_httpx(authority: Authority, context: Any) -> None:
    async def ask(url: str) -> None:
        async with httpx.AsyncClient(http2=True, verify=authority.client()) as client:
            answer = await client.get(f"{url}/version")
            assert (answer.http_version, answer.text) == ("HTTP/2", "2 https")
            answers = await asyncio.gather(
                *(client.post(f"{url}/echo", content=bytes([n]) * n * 9000) for n in range(50))
            )
            assert [a.content for a in answers] == [bytes([n]) * n * 9000 for n in range(50)]
            assert len((await client.get(f"{url}/large")).content) == 4_000_000

    with serve_tls(app, context, http2=True) as server:
        asyncio.run(ask(f"https://localhost:{server.port}"))


def test_curl(authority: Authority, context: Any, tmp_path: Path) -> None:
    curl = tool("curl")
    if b"HTTP2" not in run(curl, "--version"):
        pytest.skip("curl without HTTP/2")
    content = bytes(range(256)) * 8000
    with serve_tls(app, context, http2=True) as server:
        url = f"https://localhost:{server.port}"
        base = [curl, "-sS", "--http2", "--cacert", str(authority.file), "-w", " %{http_version}"]
        assert run(*base, f"{url}/version") == b"2 https 2"
        assert run(*base, "--http1.1", f"{url}/version") == b"1.1 https 1.1"
        sent = run(*base, "--data-binary", "@-", f"{url}/echo", data=content)
        assert sent == content + b" 2"
        assert run(*base, "-T", "-", f"{url}/echo", data=content) == content + b" 2"
        assert len(run(*base, f"{url}/large")) == 4_000_002
    with serve(app, http2=True) as server:
        base = [curl, "-sS", "-w", " %{http_version}"]
        assert run(*base, "--http2-prior-knowledge", f"{server.url}/version") == b"2 http 2"
        # Upgrade: h2c is not taken up (RFC 9113 3.1 has done away with it): HTTP/1.1 goes on.
        assert run(*base, "--http2", f"{server.url}/version") == b"1.1 http 1.1"


@pytest.mark.parametrize("secure", [True, False])
def test_h2load(authority: Authority, context: Any, secure: bool) -> None:
    h2load = tool("h2load")
    with serve_tls(app, context, http2=True) if secure else serve(app, http2=True) as server:
        url = f"http{'s' if secure else ''}://127.0.0.1:{server.port}"
        for path, requests in (("/", 3000), ("/large", 60)):
            told = run(h2load, "-n", str(requests), "-c", "10", "-m", "20", url + path).decode()
            assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in told
            assert f"{requests} 2xx" in told


def test_nghttp(authority: Authority, context: Any, tmp_path: Path) -> None:
    nghttp = tool("nghttp")
    with serve_tls(app, context, http2=True) as server:
        url = f"https://localhost:{server.port}"
        (tmp_path / "body").write_bytes(b"b" * 200_000)
        got = run(nghttp, "-d", str(tmp_path / "body"), "-H", ":method: PUT", f"{url}/echo")
        assert got == b"b" * 200_000
        assert run(nghttp, "-m", "5", f"{url}/version") == b"2 https" * 5


def test_an_answer_in_many_records(authority: Authority, context: Any) -> None:
    with serve_tls(app, context, http2=True) as server:
        client = Client(server.address, peer=H2Peer(server.address, authority))
        with client:
            streams = [client.open("/large") for _ in range(3)]
            for stream in streams:
                assert len(client.answer(stream).body) == 4_000_000
            assert client.post("/echo", bytes(500_000)).body == bytes(500_000)


class H2Peer:
    """A blocking TLS socket that looks like a Peer."""

    def __init__(self, address: Any, authority: Authority) -> None:
        raw = socket.create_connection(address, 10)
        self.sock = authority.client(alpn=["h2"]).wrap_socket(raw, server_hostname="localhost")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
