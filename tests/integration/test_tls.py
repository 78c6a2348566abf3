# SPDX-License-Identifier: MIT
"""TLS on the wire: handshakes, what is agreed on, and how connections end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from http_harness import TIMEOUT, Response, get, post, read_body, reply, start
from tls_tools import Authority, TlsPeer, serve_tls, server_context, write

from asgiserver import _core

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The request's body, or what the path says."""
    body = await read_body(receive)
    await reply(send, body or scope["path"].encode())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> Any:
    return authority.issue("server")


@pytest.fixture
def openssl_client(authority: Authority) -> Any:
    """Runs ``openssl s_client``, gives it lines once it is connected, and returns what it says."""

    def run(server: Any, *options: str, sends: list[bytes], until: str = "") -> str:
        with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options]
            + ["-CAfile", str(authority.file), "-servername", "localhost"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            text = b""
            killer = threading.Timer(TIMEOUT, process.kill)
            killer.start()
            try:
                while b"\n---\n" not in text.partition(b"Verify return code")[2]:
                    data = os.read(process.stdout.fileno(), 65536)
                    assert data, text
                    text += data
                for line in sends:
                    process.stdin.write(line)
                    process.stdin.flush()
                    time.sleep(0.1)  # s_client takes a command only at the start of a read
                while (until.encode() not in text or not until) and (
                    data := os.read(process.stdout.fileno(), 65536)
                ):
                    text += data
            finally:
                killer.cancel()
                process.kill()
        return text.decode("utf-8", "replace")

    return run


def served_name(peer: TlsPeer) -> list[str]:
    """The DNS names of the certificate that the server showed."""
    der = peer.tls.getpeercert(binary_form=True)
    assert der is not None
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return names.value.get_values_for_type(x509.DNSName)


class TestHandshake:
    @VERSIONS
    def test_request_and_scope(self, authority, files, version):
        scopes: list[dict[str, Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await reply(send, b"hello")

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(version=version)) as peer:
                peer.send(get())
                assert peer.response().body == b"hello"
                peer.send(get())
                assert peer.response().body == b"hello"
                cipher = peer.tls.cipher()
        number = 0x0303 if version is ssl.TLSVersion.TLSv1_2 else 0x0304
        info = scopes[0]["extensions"]["tls"]
        assert scopes[0]["scheme"] == "https"
        assert info["server_cert"] == files.pem
        assert tuple(info["client_cert_chain"]) == ()
        assert info["client_cert_name"] is info["client_cert_error"] is None
        assert info["tls_version"] == number
        known = {c["name"]: c["id"] & 0xFFFF for c in ssl.create_default_context().get_ciphers()}
        assert info["cipher_suite"] == known[cipher[0]]
        # Each scope has its own, so an application cannot change another's.
        assert scopes[1]["extensions"] == scopes[0]["extensions"]
        assert scopes[1]["extensions"]["tls"] is not info

    def test_no_extension_without_tls(self):
        from http_harness import serve

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await reply(send, str("tls" in scope.get("extensions", {})).encode())

        with serve(app) as server, server.connect() as peer:
            peer.send(get())
            assert peer.response().body == b"False"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_older_versions_are_refused(self, authority, files, version):
        context = authority.client(version=version)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with serve_tls(echo, server_context(files)) as server:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                TlsPeer(server.address, context)

    def test_version_bounds(self, authority, files):
        with serve_tls(echo, server_context(files, most=0x0303)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                assert peer.tls.version() == "TLSv1.2"

    @pytest.mark.parametrize(
        "ciphers", ["AES128-SHA256", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE+AESGCM"]
    )
    def test_weak_suites_are_refused(self, authority, files, ciphers):
        context = authority.client(version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
        with serve_tls(echo, server_context(files)) as server:
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                TlsPeer(server.address, context)

    def test_ciphers_setting(self, authority, files):
        setting = b"ECDHE-ECDSA-AES256-GCM-SHA384"
        with serve_tls(echo, server_context(files, ciphers=setting)) as server:
            context = authority.client(version=ssl.TLSVersion.TLSv1_2)
            with TlsPeer(server.address, context) as peer:
                assert peer.tls.cipher()[0] == setting.decode()

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (["h2", "http/1.1"], "http/1.1"),
            (["http/1.0"], "http/1.0"),
            (None, None),
        ],
    )
    def test_alpn(self, authority, files, offered, chosen):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(alpn=offered)) as peer:
                assert peer.tls.selected_alpn_protocol() == chosen
                peer.send(get("/alpn"))
                assert peer.response().body == b"/alpn"

    def test_alpn_without_a_common_protocol(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                TlsPeer(server.address, authority.client(alpn=["ftp"]))

    @VERSIONS
    def test_sessions_are_resumed(self, authority, files, version):
        context = authority.client(version=version)
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, context) as peer:
                peer.send(get())
                peer.response()
                assert not peer.tls.session_reused
                session = peer.tls.session
        # Another server with the same seed, as another worker is.
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, context, session=session) as peer:
                peer.send(get("/again"))
                assert peer.response().body == b"/again"
                assert peer.tls.session_reused
        with serve_tls(echo, server_context(files, seed=b"s" * 32)) as server:
            with TlsPeer(server.address, context, session=session) as peer:
                peer.send(get())
                peer.response()
                assert not peer.tls.session_reused

    def test_renegotiation_is_refused(self, authority, files, openssl_client):
        with serve_tls(echo, server_context(files)) as server:
            # "R" at the beginning of a line asks s_client to renegotiate.
            text = openssl_client(server, "-tls1_2", sends=[b"R\n"])
        assert "RENEGOTIATING" in text
        assert "no renegotiation" in text

    def test_key_update(self, authority, files, openssl_client):
        """A client that changes its keys, and asks for ours to be changed, goes on."""
        request = get("/keys", "Connection: close")
        with serve_tls(echo, server_context(files)) as server:
            text = openssl_client(server, "-tls1_3", sends=[b"K\n", request], until="/keys")
        assert "KEYUPDATE" in text
        assert "200 OK" in text


class TestNames:
    @pytest.mark.parametrize(
        ("asked", "served"),
        [
            ("a.example.org", ["a.example.org"]),
            ("A.Example.ORG", ["a.example.org"]),
            ("b.example.org", ["b.example.org", "c.example.org"]),
            ("c.example.org", ["b.example.org", "c.example.org"]),
            ("any.example.org", ["*.example.org"]),
            ("deep.any.example.org", ["localhost"]),
            ("unheard.of", ["localhost"]),
            ("example.org", ["localhost"]),
            ("localhost", ["localhost"]),
        ],
    )
    def test_sni_chooses(self, authority, asked, served):
        context = server_context(
            authority.issue("default", "localhost"),
            authority.issue("wild", "*.example.org"),
            authority.issue("a", "a.example.org"),
            authority.issue("bc", "b.example.org", "c.example.org"),
        )
        client = authority.client()
        client.check_hostname = False
        with serve_tls(echo, context) as server:
            with TlsPeer(server.address, client, name=asked) as peer:
                assert served_name(peer) == served

    @VERSIONS
    def test_rsa_and_ecdsa_for_one_name(self, authority, version):
        rsa = authority.issue("rsa", key_type=trustme.KeyType.RSA)
        ecdsa = authority.issue("ecdsa", key_type=trustme.KeyType.ECDSA)
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["extensions"]["tls"]["server_cert"])
            await reply(send)

        with serve_tls(app, server_context(rsa, ecdsa)) as server:
            with TlsPeer(server.address, authority.client(version=version)) as peer:
                peer.send(get())
                peer.response()
            if version is ssl.TLSVersion.TLSv1_2:
                only_rsa = authority.client(version=version, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
                with TlsPeer(server.address, only_rsa) as peer:
                    peer.send(get())
                    peer.response()
        assert seen == ([ecdsa.pem, rsa.pem] if version is ssl.TLSVersion.TLSv1_2 else [ecdsa.pem])

    def test_chain_is_sent(self, authority, tmp_path):
        child = authority.ca.create_child_ca()
        made = child.issue_cert("localhost")
        files = write(made, tmp_path / "leaf.pem", tmp_path / "leaf.key")
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get("/chain"))
                assert peer.response().body == b"/chain"


class TestBytes:
    @VERSIONS
    def test_every_split(self, authority, files, version):
        """A handshake and a request whose records arrive byte by byte."""
        with serve_tls(echo, server_context(files)) as server:
            context = authority.client(version=version)
            with TlsPeer(server.address, context, handshake=False) as peer:
                peer.shake(pieces=1)
                peer.push(pieces=1)
                peer.send(post(b"abc"), pieces=1)
                assert peer.response().body == b"abc"

    @VERSIONS
    def test_request_in_the_flight_of_finished(self, authority, files, version):
        """The last handshake message and the request in one segment."""
        with serve_tls(echo, server_context(files)) as server:
            context = authority.client(version=version)
            with TlsPeer(server.address, context, handshake=False) as peer:
                peer.shake()
                if version is ssl.TLSVersion.TLSv1_3:
                    assert peer.outgoing.pending
                peer.send(get("/early"))
                assert peer.response().body == b"/early"

    def test_pipelined_over_record_boundaries(self, authority, files):
        """Requests in tiny records, in one record, and all of them in one write."""
        bodies = [bytes([65 + n]) * (n * 777) for n in range(1, 20)]
        data = b"".join(post(body) for body in bodies)
        with serve_tls(echo, server_context(files)) as server:
            for size in (1000, 16384, len(data)):
                with TlsPeer(server.address, authority.client()) as peer:
                    for begin in range(0, len(data), size):
                        peer.tls.write(data[begin : begin + size])
                    peer.push()
                    assert [peer.response().body for _ in bodies] == bodies

    def test_many_small_pipelined(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(b"".join(get(f"/{n}") for n in range(2000)))
                for n in range(2000):
                    assert peer.response().body == f"/{n}".encode()

    @VERSIONS
    def test_big_bodies_both_ways(self, authority, files, version):
        body = hashlib.shake_128(b"body").digest(9_000_001)

        with serve_tls(echo, server_context(files)) as server:
            with socket.create_connection(server.address, TIMEOUT) as raw:
                context = authority.client(version=version)
                with context.wrap_socket(raw, server_hostname="localhost") as sock:
                    # One thread: before 3.13 an SSLSocket must not be read and written at once.
                    sock.setblocking(False)
                    left, got = memoryview(post(body)), bytearray()
                    while not got.endswith(body[-64:]):
                        writers = [sock] if left else []
                        ready = select.select([sock], writers, [], TIMEOUT)
                        assert any(ready), "nothing moves any more"
                        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                            if left:
                                left = left[sock.send(left[:65536]) :]
                        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                            while True:
                                data = sock.recv(262144)
                                assert data, "the answer was cut short"
                                got += data
        assert bytes(got).partition(b"\r\n\r\n")[2] == body

    def test_streamed_pieces_of_all_sizes(self, authority, files):
        sizes = [1, 100, 8192, 8193, 16384, 16385, 65536, 70000, 300_000, 3, 1_000_000]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await start(send)
            for n, size in enumerate(sizes):
                await send(
                    {
                        "type": "http.response.body",
                        "body": bytes([97 + n]) * size,
                        "more_body": True,
                    }
                )
            await send({"type": "http.response.body", "body": b""})

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                body = peer.response().body
                assert body == b"".join(bytes([97 + n]) * size for n, size in enumerate(sizes))

    def test_a_client_that_does_not_read_holds_the_application(self, authority, files):
        """Backpressure out: send() waits, and what waits is not sealed ahead of time."""
        piece = b"z" * 1_000_000
        begun, sent = [0], [0]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await start(send)
            for _ in range(40):
                begun[0] += 1
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                sent[0] += 1
            await send({"type": "http.response.body", "body": b""})

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(), receive_buffer=16384) as peer:
                peer.send(get())
                server.until(lambda: begun[0] > 0)
                before = -1
                while before != begun[0]:  # until it gets no further
                    before = begun[0]
                    time.sleep(0.1)
                assert sent[0] < 12
                assert peer.response().body == piece * 40
                assert sent[0] == 40

    def test_an_application_that_does_not_read_holds_the_client(self, authority, files):
        """Backpressure in: the client's bytes stay in the kernel."""
        release: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            import asyncio

            event = asyncio.Event()
            release.append(event)
            await event.wait()
            await reply(send, str(len(await read_body(receive))).encode())

        size = 30_000_000
        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.tls.write(post(b"", "X-Ignored: 1").replace(b"h: 0", b"h: %d" % size))
                peer.tls.write(bytes(size))
                data = peer.outgoing.read()
                peer.sock.setblocking(False)
                sent = stalls = 0
                while stalls < 20:
                    try:
                        sent += peer.sock.send(data[sent : sent + 65536])
                        stalls = 0
                    except BlockingIOError:
                        stalls += 1
                        time.sleep(0.02)
                assert sent < size // 2
                peer.sock.settimeout(TIMEOUT)
                server.call(release[0].set)
                peer.sock.sendall(data[sent:])
                assert peer.response().body == str(size).encode()


class TestEnds:
    @VERSIONS
    def test_connection_close_sends_close_notify(self, authority, files, version):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(version=version)) as peer:
                peer.send(get("/bye", "Connection: close"))
                assert peer.rest().endswith(b"/bye")
                assert peer.closed
                assert peer.ended

    def test_keep_alive_timeout_sends_close_notify(self, authority, files):
        with serve_tls(echo, server_context(files), timeout_keep_alive=0.2) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                peer.response()
                assert peer.rest() == b""
                assert peer.closed

    def test_error_answer_sends_close_notify(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
                assert peer.rest().startswith(b"HTTP/1.1 400 ")
                assert peer.closed

    def test_shutdown_sends_close_notify(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                peer.response()
                server.call(server.core.shutdown)
                assert peer.rest() == b""
                assert peer.closed

    def test_failed_application_does_not(self, authority, files):
        """A body that ends with the connection must not look complete when it is not."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await start(send)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("on purpose")

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(b"GET / HTTP/1.0\r\n\r\n")
                assert peer.rest().endswith(b"half")
                assert not peer.closed
                assert peer.ended

    def test_aborted_server_does_not(self, authority, files):
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await start(send)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            await receive()
            await receive()

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                peer.until(b"half")
                server.call(server.core.abort)
                peer.rest()
                assert not peer.closed

    @VERSIONS
    def test_half_closed_client_gets_its_answer(self, authority, files, version):
        """close_notify from the client, and only later the answer; then ours."""
        messages: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await read_body(receive)
            messages.append((await receive())["type"])
            await reply(send, b"after your end")

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(version=version)) as peer:
                peer.send(get())
                peer.close_notify()
                assert Response.parse(peer.until(b"\r\n\r\n")).status == 200
                assert peer.take(14) == b"after your end"
                assert peer.rest() == b""
                assert peer.closed
        assert messages == ["http.disconnect"]

    def test_fin_without_close_notify(self, authority, files):
        """Cut off after a whole request: answered. Within one: the application is told, no hang."""
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            while True:
                message = await receive()
                seen.append(message["type"])
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    break
            await reply(send, b"answer")

        with serve_tls(app, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                peer.finish()
                assert peer.rest().endswith(b"answer")
            assert seen == ["http.request"]
            seen.clear()
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(post(b"12345")[:-2])
                peer.finish()
                peer.rest()
            server.until(lambda: server.core.connections == 0)
            assert seen == ["http.request", "http.disconnect"]

    def test_bytes_after_close_notify_are_ignored(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get("/one"))
                peer.close_notify()
                with contextlib.suppress(OSError):
                    peer.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
                assert peer.rest().endswith(b"/one")

    def test_broken_record(self, authority, files):
        """A record that does not authenticate ends the connection, with an alert."""
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get())
                peer.response()
                peer.sock.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
                with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
                    while peer.more():
                        pass
            server.until(lambda: server.core.connections == 0)

    def test_broken_record_behind_a_good_request(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.tls.write(get("/good"))
                peer.sock.sendall(peer.outgoing.read() + b"\x17\x03\x03\x00\x40" + bytes(64))
                with contextlib.suppress(ssl.SSLError):
                    peer.rest()
            server.until(lambda: server.core.connections == 0 and server.core.tasks == 0)


class TestFailures:
    @pytest.mark.parametrize(
        "request_line",
        [get(), b"POST / HTTP/1.1\r\nHost: h\r\n\r\n", b"CONNECT h:1 HTTP/1.1\r\n\r\n"],
    )
    def test_plain_http_is_told(self, files, request_line):
        with serve_tls(echo, server_context(files)) as server:
            answer = server.exchange(request_line)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert body == b"This port speaks HTTPS only."

    def test_plain_http_with_a_body_gets_the_whole_answer(self, files):
        with serve_tls(echo, server_context(files)) as server, server.connect() as peer:
            peer.send(post(b"p" * 200_000))
            assert peer.rest().endswith(b"This port speaks HTTPS only.")

    @pytest.mark.parametrize(
        "garbage", [b"\x00" * 300, b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x05hello"]
    )
    def test_garbage(self, files, garbage):
        with serve_tls(echo, server_context(files)) as server, server.connect() as peer:
            peer.send(garbage)
            peer.finish()
            assert b"HTTP" not in peer.rest()
            server.until(lambda: server.core.connections == 0)
            levels = {level for level, message, _ in server.errors}
            assert levels == {10}
            assert all(
                message.startswith("TLS handshake failed: ") for _, message, _ in server.errors
            )

    @pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
    def test_handshake_deadline(self, files, beginning):
        config = {"timeout_tls_handshake": 0.3, "timeout_header": 30.0}
        with serve_tls(echo, server_context(files), **config) as server, server.connect() as peer:
            peer.send(beginning)
            begin = time.monotonic()
            assert peer.rest() == b""
            assert 0.2 < time.monotonic() - begin < 3

    def test_header_deadline_follows(self, authority, files):
        config = {"timeout_tls_handshake": 30.0, "timeout_header": 0.3}
        with serve_tls(echo, server_context(files), **config) as server:
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(b"GET / HT")
                begin = time.monotonic()
                assert peer.rest().startswith(b"HTTP/1.1 408 ")
                assert 0.2 < time.monotonic() - begin < 3
                assert peer.closed

    def test_closed_during_the_handshake(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            for _ in range(20):
                peer = TlsPeer(server.address, authority.client(), handshake=False)
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                peer.push()
                peer.sock.close()
            server.until(lambda: server.core.connections == 0)
            with TlsPeer(server.address, authority.client()) as peer:
                peer.send(get("/fine"))
                assert peer.response().body == b"/fine"

    def test_shutdown_during_the_handshake(self, authority, files):
        with serve_tls(echo, server_context(files)) as server:
            with TlsPeer(server.address, authority.client(), handshake=False) as peer:
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                peer.push()
                assert peer.pull()
                server.call(server.core.shutdown)
                # One that goes on gets its answer, the last of the connection.
                peer.handshake()
                peer.send(get("/last"))
                assert peer.rest().endswith(b"/last")


def test_server_takes_only_a_context() -> None:
    from asgiserver.loop import Loop

    loop = Loop()
    try:
        with pytest.raises(TypeError, match="must be a TLSContext"):
            _core.Server(loop, echo, {"tls": ssl.create_default_context()})
    finally:
        loop.close()


def test_unix_socket(authority: Authority, files: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with serve_tls(echo, server_context(files), family=socket.AF_UNIX, path=path) as server:
        with TlsPeer(server.address, authority.client()) as peer:
            peer.send(get("/unix"))
            assert peer.response().body == b"/unix"
