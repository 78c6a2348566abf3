# SPDX-License-Identifier: MIT
"""Certificates made for the tests, a TLS server on the harness, and a client that shows records.

The client drives an ``ssl.SSLObject`` by hand over a plain socket: it decides which bytes leave
when, and tells an end with close_notify from one without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from http_harness import App, Peer, Server, serve

from asgiserver import _core

TLS_1_2, TLS_1_3 = 0x0303, 0x0304


@dataclasses.dataclass(frozen=True)
class Files:
    """A certificate on disk.

    Attributes:
        certificate: with its chain.
        key: its private key.
        pem: the certificate alone, as text.
    """

    certificate: Path
    key: Path
    pem: str


class Authority:
    """A CA, its file, and certificates of it written to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *identities: str, **options: Any) -> Files:
        """A certificate for identities (default: localhost) in files of that name."""
        made = self.ca.issue_cert(*(identities or ("localhost", "127.0.0.1")), **options)
        return write(made, self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def client(self, **options: Any) -> ssl.SSLContext:
        """A client context that trusts this CA."""
        return client_context(self.file, **options)


def write(made: trustme.LeafCert, certificate: Path, key: Path) -> Files:
    """Writes a certificate and its key, each at once, as deployment tools do."""
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    for path, data in ((certificate, chain), (key, made.private_key_pem.bytes())):
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data)
        fresh.replace(path)
    return Files(certificate, key, made.cert_chain_pems[0].bytes().decode())


def client_context(
    authority: Path,
    *,
    version: ssl.TLSVersion | None = None,
    certificate: Files | None = None,
    alpn: list[str] | None = None,
    ciphers: str | None = None,
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def server_context(
    *files: Files,
    password: bytes | None = None,
    ca_certs: Path | None = None,
    ciphers: bytes | None = None,
    verify: int = 0,
    least: int = TLS_1_2,
    most: int = TLS_1_3,
    seed: bytes = bytes(32),
    seeded: int = 0,
    http2: bool = False,
) -> Any:
    """What tls.make_context() gives a server."""
    return _core.TLSContext(
        tuple((os.fsencode(f.certificate), os.fsencode(f.key)) for f in files),
        password,
        None if ca_certs is None else os.fsencode(ca_certs),
        ciphers,
        verify,
        least,
        most,
        seed,
        seeded,
        True,
        http2,
    )


@contextlib.contextmanager
def serve_tls(app: App, context: Any, **config: Any) -> Iterator[Server]:
    """As http_harness.serve(), over TLS; no session outlives it."""
    with serve(app, tls=context, scheme="https", **config) as server:
        yield server
    assert _core._debug_counts()["tls_sessions"] == 0


class TlsPeer(Peer):
    """A TLS client on a plain socket.

    Args:
        address: of the server.
        context: the client's.
        handshake: whether to do it at once.

    Attributes:
        tls: the session.
        closed: the server has sent close_notify.
        ended: the server has closed the connection.
    """

    def __init__(
        self,
        address: Any,
        context: ssl.SSLContext,
        *,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
        handshake: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(address, **options)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=name, session=session
        )
        self.closed = self.ended = False
        self.plain = bytearray()
        if handshake:
            try:
                self.handshake()
            except BaseException:
                self.sock.close()
                raise

    def handshake(self) -> None:
        self.shake()
        self.push()

    def shake(self, pieces: int | None = None) -> None:
        """The handshake, sent in pieces of that size, but for its last flight, if there is one."""
        while True:
            try:
                self.tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                self.push(pieces)
                if not self.pull():
                    raise ConnectionResetError("closed during the handshake") from None

    def push(self, pieces: int | None = None) -> None:
        """Sends the records that are ready, in pieces of that size."""
        data = self.outgoing.read()
        for start in range(0, len(data), pieces or len(data) or 1):
            self.sock.sendall(data[start : start + (pieces or len(data))])

    def pull(self) -> bool:
        """Takes records from the socket. False at its end."""
        data = self.sock.recv(65536)
        if not data:
            self.ended = True
            return False
        self.incoming.write(data)
        return True

    def send(self, data: bytes, pieces: int | None = None) -> None:
        self.tls.write(data)
        self.push(pieces)

    def close_notify(self) -> None:
        """Says that no more will be sent."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.push()

    def more(self) -> bytes:
        """The next plain bytes; b"" at the end, whichever it is."""
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                if not self.pull():
                    return b""
                continue
            except ssl.SSLZeroReturnError:
                data = b""
            if not data:
                self.closed = True
                return b""
            self.buffer += data
            return data

    def rest(self) -> bytes:
        """Everything to the end of the connection; sets closed and ended."""
        with contextlib.suppress(ConnectionResetError):
            while self.more():
                pass
        if self.closed and not self.ended:
            with contextlib.suppress(ConnectionResetError):
                while data := self.sock.recv(65536):
                    assert not data, "bytes after close_notify"
            self.ended = True
        return self.cut(len(self.buffer))


def connected(sock: socket.socket) -> bool:
    """Whether the other side has not closed."""
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        sock.setblocking(True)
