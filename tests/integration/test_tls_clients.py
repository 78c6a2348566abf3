# SPDX-License-Identifier: MIT
"""HTTPS and WSS as real clients see them: httpx, curl, openssl, websockets, several at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from casgi_process import Casgi, casgi
from tls_tools import Authority, Files
from websockets.asyncio.client import connect

APP = "tls_apps:app"
TIMEOUT = 20
# curl does not end with the sanitizers' runtime preloaded (tools/with-asan).
PLAIN_ENV = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> Files:
    return authority.issue("server")


@pytest.fixture(scope="module", params=["1", "3"], ids=["one-process", "workers"])
def server(request: pytest.FixtureRequest, files: Files) -> Iterator[Casgi]:
    arguments = ("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key))
    with casgi(APP, "--no-js", "--workers", request.param, *arguments) as running:
        assert f"casgi running on https://127.0.0.1:{running.port} " in running.log
        yield running
        assert running.log.count("Traceback") == 0, running.log


@pytest.fixture
def url(server: Casgi) -> str:
    return f"https://localhost:{server.port}"


class TestHttpx:
    def test_keep_alive_and_bodies(self, url, authority):
        body = hashlib.shake_128(b"x").digest(3_000_000)
        with httpx.Client(verify=authority.client(), timeout=TIMEOUT, trust_env=False) as client:
            for _ in range(20):
                answer = client.get(f"{url}/scope?q=1").json()
                assert answer["scheme"] == "https"
                assert answer["tls"]["tls_version"] == 0x0304
            assert client.post(f"{url}/echo", content=body).content == body
            pieces = [body[n : n + 70_000] for n in range(0, len(body), 70_000)]
            assert client.post(f"{url}/echo", content=iter(pieces)).content == body
            with client.stream("GET", f"{url}/stream") as response:
                lines = list(response.iter_lines())
            assert lines == [f"line {n}" for n in range(1000)]

    def test_fifty_at_once(self, url, authority):
        async def main() -> list[int]:
            async with httpx.AsyncClient(
                verify=authority.client(), timeout=TIMEOUT, trust_env=False
            ) as client:
                answers = await asyncio.gather(
                    *(client.post(f"{url}/echo", content=b"%d" % n * 1000) for n in range(50))
                )
            assert [a.content for a in answers] == [b"%d" % n * 1000 for n in range(50)]
            return [a.status_code for a in answers]

        assert asyncio.run(main()) == [200] * 50

    def test_unknown_authority(self, url):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url, trust_env=False)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
class TestCurl:
    def curl(self, authority: Authority, *arguments: str) -> bytes:
        command = ["curl", "-sS", "--fail", "--noproxy", "*", "--cacert", str(authority.file)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, timeout=TIMEOUT, env=PLAIN_ENV
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @pytest.mark.parametrize("version", ["--tlsv1.3", "--tls-max=1.2"])
    def test_get(self, url, authority, version):
        options = version.split("=")
        answer = json.loads(self.curl(authority, *options, f"{url}/scope"))
        assert answer["tls"]["tls_version"] == (0x0304 if version == "--tlsv1.3" else 0x0303)

    def test_upload_and_download(self, url, authority, tmp_path):
        data = hashlib.shake_128(b"y").digest(20_000_000)
        (tmp_path / "data").write_bytes(data)
        # With "Expect: 100-continue", which curl sends for a body of this size.
        got = self.curl(authority, "--data-binary", f"@{tmp_path / 'data'}", f"{url}/echo")
        assert got == data

    def test_http_1_0(self, url, authority):
        assert self.curl(authority, "--http1.0", f"{url}/stream").count(b"\n") == 1000

    def test_plain_http(self, server, authority):
        done = subprocess.run(
            ["curl", "-s", "--noproxy", "*", f"http://127.0.0.1:{server.port}/"],
            capture_output=True,
            timeout=TIMEOUT,
            env=PLAIN_ENV,
        )
        assert done.stdout == b"This port speaks HTTPS only."


class TestOpenssl:
    @pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
    def test_s_client(self, server, authority, version):
        """Its end of input closes the connection with close_notify; ours answers it."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"localhost:{server.port}", version, "-CAfile"]
            + [str(authority.file), "-verify_return_error", "-ign_eof", "-crlf"],
            input=b"GET /scope HTTP/1.1\nHost: h\nConnection: close\n\n",
            capture_output=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stderr
        assert b"Verify return code: 0 (ok)" in done.stdout
        assert b"HTTP/1.1 200 OK" in done.stdout

    def test_sessions_of_all_workers(self, server, authority, tmp_path):
        """A ticket is good at whichever worker the next connection reaches."""
        target = ["-connect", f"localhost:{server.port}", "-CAfile", str(authority.file)]
        ticket = str(tmp_path / "session")
        request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        common = {"input": request, "capture_output": True, "timeout": TIMEOUT}
        command = ["openssl", "s_client", *target, "-ign_eof", "-tls1_3"]
        subprocess.run([*command, "-sess_out", ticket], check=True, **common)
        for _ in range(8):
            done = subprocess.run([*command, "-sess_in", ticket], check=True, **common)
            assert b"Reused, TLSv1.3" in done.stdout


class TestWebsockets:
    def test_messages(self, server, authority):
        async def main() -> None:
            uri = f"wss://localhost:{server.port}/chat"
            async with connect(uri, ssl=authority.client(), max_size=None) as ws:
                scope = json.loads(await ws.recv())
                assert scope["scheme"] == "wss"
                assert scope["tls"]["tls_version"] == 0x0304
                assert "websocket.http.response" in scope["extensions"]
                for message in ("hello", "\u4e2d" * 50_000, b"\0" * 3_000_000, b""):
                    await ws.send(message)
                    assert await ws.recv() == message
            assert ws.close_code == 1000

        asyncio.run(asyncio.wait_for(main(), TIMEOUT))

    def test_many_messages_under_way(self, server, authority):
        async def main() -> None:
            uri = f"wss://localhost:{server.port}/chat"
            async with connect(uri, ssl=authority.client()) as ws:
                await ws.recv()
                sending = asyncio.ensure_future(self.send_all(ws))
                for n in range(2000):
                    assert await ws.recv() == f"message {n}"
                await sending

        asyncio.run(asyncio.wait_for(main(), TIMEOUT))

    async def send_all(self, ws: Any) -> None:
        for n in range(2000):
            await ws.send(f"message {n}")


def test_client_certificate_by_flags(authority: Authority, files: Files) -> None:
    mine = authority.issue("alice", common_name="alice")
    arguments = ("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key))
    clients = ("--ssl-cert-reqs", "2", "--ssl-ca-certs", str(authority.file))
    with casgi(APP, "--no-js", *arguments, *clients) as server:
        url = f"https://localhost:{server.port}/scope"
        context = authority.client(certificate=mine)
        answer = httpx.get(url, verify=context, trust_env=False, timeout=TIMEOUT).json()
        assert answer["tls"]["client_cert_name"].startswith("CN=alice")
        with pytest.raises(httpx.HTTPError):
            httpx.get(url, verify=authority.client(), trust_env=False, timeout=TIMEOUT)


def test_environment_and_run(authority: Authority, files: Files, tmp_path: Path) -> None:
    """Settings from UVICORN_* variables, and as keywords of run()."""
    both = tmp_path / "both.pem"
    both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    with casgi(APP, "--no-js", env={"UVICORN_SSL_CERTFILE": str(both)}) as server:
        url = f"https://localhost:{server.port}/scope"
        assert httpx.get(url, verify=authority.client(), trust_env=False).status_code == 200
    code = (
        "import pathlib, asgiserver as uvicorn\n"
        f"uvicorn.run({APP!r}, port=0, no_js=True, ssl_certfile=pathlib.Path({str(both)!r}),"
        " app_dir='.', ssl_keyfile_password='unused', ssl_version=17, ssl_ciphers='TLSv1')\n"
    )
    import sys

    with casgi(command=(sys.executable, "-u", "-c", code)) as server:
        url = f"https://localhost:{server.port}/scope"
        assert httpx.get(url, verify=authority.client(), trust_env=False).status_code == 200
