# SPDX-License-Identifier: MIT
"""A real HAProxy (Debian: haproxy) in front of casgi, with send-proxy and send-proxy-v2."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from casgi_process import casgi
from tls_tools import Authority

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed"),
    pytest.mark.timeout(90),
]

APP = ("proxied_apps:app", "--no-js", "--no-access-log", "--proxy-protocol")
CONFIG = """
global
    log stderr format raw daemon
defaults
    mode {mode}
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend front
    bind {front}
    default_backend back
backend back
    server casgi {back} {options}
"""


@contextlib.contextmanager
def haproxy(
    folder: Path, back: str, options: str, *, mode: str = "tcp", bind: str = ""
) -> Iterator[int]:
    """HAProxy in front of an address; gives its port."""
    assert HAPROXY is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # It serves on our socket, so that its port is free and open from the start.
        fd, port = listener.fileno(), listener.getsockname()[1]
        text = CONFIG.format(front=f"fd@{fd} {bind}", back=back, options=options, mode=mode)
        (folder / "haproxy.cfg").write_text(text)
        process = subprocess.Popen(
            [HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")],
            pass_fds=[fd],
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        yield port
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert "[ALERT]" not in errors, errors


@contextlib.contextmanager
def ask(url: str, **options: Any) -> Iterator[Any]:
    """Sends a request from a connection of our own; gives the answer and our address."""
    with httpx.Client(timeout=20, trust_env=False, **options) as client:
        with client.stream("GET", url) as response:
            ours = response.extensions["network_stream"].get_extra_info("client_addr")
            response.read()
            yield response.json(), list(ours)


@pytest.mark.parametrize(
    "options",
    [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
    ],
)
@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_addresses(options: str, mode: str, tmp_path: Path) -> None:
    with casgi(*APP) as server:
        with haproxy(tmp_path, f"127.0.0.1:{server.port}", options, mode=mode) as port:
            with ask(f"http://127.0.0.1:{port}/") as (answer, ours):
                assert answer["client"] == ours
                assert answer["server"] == ["127.0.0.1", port]
                assert answer["scheme"] == "http"


def test_ipv6(tmp_path: Path) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with casgi(*APP, "--bind", "[::1]:0") as server:
        found = server.wait_for(r"http://\[::1\]:(\d+) ")
        with haproxy(tmp_path, f"[::1]:{found[1]}", "send-proxy") as port:
            with ask(f"http://127.0.0.1:{port}/") as (answer, ours):
                assert answer["client"] == ours


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with casgi(*APP, "--uds", str(path), "--forwarded-allow-ips", "unix:") as server:
        server.wait_for("casgi running on")
        with haproxy(tmp_path, f"unix@{path}", "send-proxy-v2") as port:
            with ask(f"http://127.0.0.1:{port}/") as (answer, ours):
                assert answer["client"] == ours


def test_tls_at_the_proxy(tmp_path: Path) -> None:
    """HAProxy ends TLS and says so in the header: the scheme is https."""
    authority = Authority(tmp_path)
    files = authority.issue("front")
    both = tmp_path / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    with casgi(*APP) as server:
        back = f"127.0.0.1:{server.port}"
        bind = f"ssl crt {both}"
        with haproxy(tmp_path, back, "send-proxy-v2-ssl-cn", bind=bind) as port:
            with ask(f"https://localhost:{port}/", verify=authority.client()) as (answer, ours):
                assert answer["client"] == ours
                assert answer["scheme"] == "https"
        with haproxy(tmp_path, back, "send-proxy-v2-ssl") as port:
            with ask(f"http://127.0.0.1:{port}/") as (answer, _):
                assert answer["scheme"] == "http"


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2"])
def test_tls_at_casgi(options: str, tmp_path: Path) -> None:
    """HAProxy passes the client's TLS through, behind its header."""
    authority = Authority(tmp_path)
    files = authority.issue("server")
    flags = ("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key))
    with casgi(*APP, *flags) as server:
        with haproxy(tmp_path, f"127.0.0.1:{server.port}", options) as port:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = authority.client(version=version)
                with ask(f"https://localhost:{port}/", verify=context) as (answer, ours):
                    assert answer["client"] == ours
                    assert answer["scheme"] == "https"


def test_health_checks(tmp_path: Path) -> None:
    """HAProxy speaks for itself in them, by a LOCAL header: they have its own address."""
    options = "check inter 50ms send-proxy-v2 check-send-proxy\n    option httpchk GET /check"
    with casgi(*APP) as server:
        with haproxy(tmp_path, f"127.0.0.1:{server.port}", options, mode="http") as port:
            with ask(f"http://127.0.0.1:{port}/") as (answer, ours):
                assert answer["client"] == ours
            checked = server.wait_for(r"checked by ([\d.]+), port (\d+), at port (\d+)", count=3)
            assert checked[1] == "127.0.0.1"
            assert int(checked[2]) != ours[1]
            assert int(checked[3]) == server.port
        assert not re.search("Invalid|Traceback|WARNING", server.log)


def test_without_a_header(tmp_path: Path) -> None:
    with casgi(*APP) as server:
        with haproxy(tmp_path, f"127.0.0.1:{server.port}", "") as port:
            with pytest.raises(httpx.HTTPError):
                with ask(f"http://127.0.0.1:{port}/"):
                    pass
        server.wait_for("Invalid PROXY protocol header received")
