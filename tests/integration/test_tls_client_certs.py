# SPDX-License-Identifier: MIT
"""Client certificates: who gets in, and what the application is told about them."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme
from cryptography import x509
from http_harness import get, reply
from tls_tools import Authority, Files, TlsPeer, serve_tls, server_context, write

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
OPTIONAL, REQUIRED = 1, 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that the server does not know."""
    return Authority(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> Any:
    return authority.issue("server")


class Recorder:
    """An application that keeps what each scope says about TLS."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["extensions"]["tls"])
        await reply(send, b"in")


def ask(server: Any, context: ssl.SSLContext) -> bytes:
    """One request; the body of its answer."""
    with TlsPeer(server.address, context) as peer:
        peer.send(get())
        return peer.response().body


def refusal(server: Any, context: ssl.SSLContext) -> str:
    """Why a client does not get in. With TLS 1.3 it learns that only when it reads."""
    with pytest.raises(ssl.SSLError) as caught:
        ask(server, context)
    return str(caught.value).lower().replace("_", " ")


def sent(mine: Files, authority: Authority) -> tuple[str, ...]:
    """What Python's client sends: its certificate, and the CA's out of its own trust store."""
    return (mine.pem, authority.ca.cert_pem.bytes().decode())


class TestWhoGetsIn:
    @VERSIONS
    @pytest.mark.parametrize("verify", [OPTIONAL, REQUIRED])
    def test_a_good_certificate(self, authority, files, version, verify):
        mine = authority.issue("alice", "alice@example.org", common_name="alice")
        app = Recorder()
        with serve_tls(
            app, server_context(files, verify=verify, ca_certs=authority.file)
        ) as server:
            assert ask(server, authority.client(version=version, certificate=mine)) == b"in"
        (info,) = app.seen
        assert tuple(info["client_cert_chain"]) == sent(mine, authority)
        assert info["client_cert_name"].startswith("CN=alice,")
        assert info["client_cert_error"] is None

    @VERSIONS
    def test_none_where_it_is_optional(self, authority, files, version):
        app = Recorder()
        context = server_context(files, verify=OPTIONAL, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            assert ask(server, authority.client(version=version)) == b"in"
        (info,) = app.seen
        assert tuple(info["client_cert_chain"]) == ()
        assert info["client_cert_name"] is info["client_cert_error"] is None

    @VERSIONS
    def test_none_where_it_is_required(self, authority, files, version):
        app = Recorder()
        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            text = refusal(server, authority.client(version=version))
            server.until(lambda: server.core.connections == 0)
            assert "peer did not return a certificate" in server.errors[0][1]
        assert "certificate required" in text or "handshake failure" in text
        assert app.seen == []

    @VERSIONS
    @pytest.mark.parametrize("verify", [OPTIONAL, REQUIRED])
    def test_of_another_authority(self, authority, others, files, version, verify):
        app = Recorder()
        stranger = others.issue("mallory")
        context = server_context(files, verify=verify, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            text = refusal(server, authority.client(version=version, certificate=stranger))
            server.until(lambda: server.core.connections == 0)
            assert "unable to get local issuer certificate" in server.errors[0][1]
        assert "unknown ca" in text
        assert app.seen == []

    def test_expired(self, authority, files, tmp_path):
        import datetime

        app = Recorder()
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        old = authority.issue("old", not_after=past)
        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            assert "certificate expired" in refusal(server, authority.client(certificate=old))
        assert app.seen == []

    def test_not_asked_for(self, authority, files):
        app = Recorder()
        mine = authority.issue("bob")
        with serve_tls(app, server_context(files)) as server:
            assert ask(server, authority.client(certificate=mine)) == b"in"
        assert tuple(app.seen[0]["client_cert_chain"]) == ()


class TestWhatIsTold:
    def test_chain_in_the_order_it_was_sent(self, authority, files, tmp_path):
        child = authority.ca.create_child_ca()
        made = child.issue_cert("carol@example.org", common_name="carol")
        mine = write(made, tmp_path / "carol.pem", tmp_path / "carol.key")
        app = Recorder()
        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            ask(server, authority.client(certificate=mine))
        chain = tuple(app.seen[0]["client_cert_chain"])
        assert chain == tuple(blob.bytes().decode() for blob in made.cert_chain_pems)
        assert len(chain) == 2
        first = x509.load_pem_x509_certificate(chain[0].encode())
        second = x509.load_pem_x509_certificate(chain[1].encode())
        first.verify_directly_issued_by(second)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("J\xfcrgen \u4e2d", "CN=J\xfcrgen \u4e2d"),
            ('a,b+c"d\\e<f>;g', 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>\\;g'),
            ("#sharp ", "CN=\\#sharp\\ "),
        ],
    )
    def test_name_is_written_as_rfc_4514_says(self, authority, files, name, expected):
        mine = authority.issue("odd", "odd@example.org", common_name=name)
        app = Recorder()
        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            ask(server, authority.client(certificate=mine))
        text = app.seen[0]["client_cert_name"]
        assert text.startswith(expected + ",")
        made = x509.load_pem_x509_certificate(mine.pem.encode())
        assert x509.Name.from_rfc4514_string(text) == made.subject

    @VERSIONS
    def test_every_connection_proves_itself(self, authority, files, version):
        """No tickets: the chain and the CA certificates of today count for each connection."""
        mine = authority.issue("dave", key_type=trustme.KeyType.RSA)
        client = authority.client(version=version, certificate=mine)
        app = Recorder()
        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(app, context) as server:
            with TlsPeer(server.address, client) as peer:
                peer.send(get())
                peer.response()
                session = peer.tls.session
            with TlsPeer(server.address, client, session=session) as peer:
                peer.send(get())
                assert peer.response().body == b"in"
                assert not peer.tls.session_reused
        assert [tuple(info["client_cert_chain"]) for info in app.seen] == [
            sent(mine, authority)
        ] * 2

    def test_acceptable_authorities_are_named(self, authority, files):
        import subprocess

        context = server_context(files, verify=REQUIRED, ca_certs=authority.file)
        with serve_tls(Recorder(), context) as server:
            done = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"],
                input=b"",
                capture_output=True,
                timeout=20,
            )
        assert b"Acceptable client certificate CA names" in done.stdout
        assert b"Testing CA" in done.stdout
