# SPDX-License-Identifier: MIT
"""TLS settings that cannot be used: one line, exit code 3, soon; contradictions: usage errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from casgi_process import HERE, casgi
from cryptography.hazmat.primitives import serialization
from tls_tools import Authority

APP = "tls_apps:app"
WORKERS = pytest.mark.parametrize("workers", ["1", "4"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """good.pem and .key, other.pem and .key, encrypted.key ("secret"), ca.pem, empty, text."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    good = authority.issue("good")
    authority.issue("other")
    key = serialization.load_pem_private_key(good.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (authority.folder / "encrypted.key").write_bytes(encrypted)
    (authority.folder / "empty").touch()
    (authority.folder / "text").write_text("hello\n")
    broken = good.certificate.read_text().replace("\n", "\nAAAA", 3)
    (authority.folder / "broken.pem").write_text(broken)
    return authority.folder


def arguments(folder: Path, text: str) -> list[str]:
    """``"certfile=good.pem ciphers=X"`` as flags; what names a file of the folder, in full."""
    made = []
    for part in text.split():
        name, _, value = part.partition("=")
        if (folder / value).exists() or value.startswith("missing"):
            value = str(folder / value)
        made += [f"--ssl-{name}", value]
    return made


FAILURES = {
    "certfile=missing.pem keyfile=good.key": r"TLS certificate \S+missing.pem: No such file or dir",
    "certfile=good.pem keyfile=missing.key": r"TLS key \S+missing.key: No such file or directory",
    "certfile=good.pem": r"TLS key \S+good.pem: there is no PEM private key in it, and no --ssl-k",
    "certfile=good.pem keyfile=text": r"TLS key \S+text: there is no PEM private key in it",
    "certfile=good.pem keyfile=empty": r"TLS key \S+empty: there is no PEM private key in it",
    "certfile=good.pem keyfile=.": r"TLS key \S+: Is a directory",
    "certfile=text keyfile=good.key": r"TLS certificate \S+text: there is no PEM certificate in it",
    "certfile=empty keyfile=good.key": r"TLS certificate \S+empty: there is no PEM certificate",
    "certfile=good.key": r"TLS certificate \S+good.key: there is no PEM certificate in it",
    "certfile=broken.pem keyfile=good.key": r"TLS certificate \S+broken.pem: ",
    "certfile=good.pem keyfile=other.key": r"The TLS key \S+other.key does not belong to \S+good.p",
    "certfile=good.pem keyfile=encrypted.key": r"it is encrypted, and --ssl-keyfile-password is n",
    "certfile=good.pem keyfile=encrypted.key keyfile-password=guess": r"wrong --ssl-keyfile-passw",
    "certfile=good.pem keyfile=good.key ciphers=NONSENSE": r"--ssl-ciphers NONSENSE: no cipher mat",
    "certfile=good.pem keyfile=good.key cert-reqs=2 ca-certs=text": r"CA certificates of \S+text: ",
    "certfile=good.pem keyfile=good.key cert-reqs=2 ca-certs=missing.pem": r"No such file or dir",
    "certfile=good.pem keyfile=good.key certfile=other.pem keyfile=good.key": r"does not belong to",
}


@WORKERS
@pytest.mark.parametrize("text", FAILURES)
def test_one_line_and_code_3(folder: Path, text: str, workers: str) -> None:
    begin = time.monotonic()
    with casgi(APP, "--no-js", "--workers", workers, *arguments(folder, text)) as server:
        assert server.wait() == 3, server.log
        took = time.monotonic() - begin
    errors = re.findall(r"^ERROR: .*$", server.log, re.M)
    assert len(errors) == 1, server.log
    assert re.search(FAILURES[text], errors[0]), errors[0]
    assert "Traceback" not in server.log
    assert "secret" not in server.log
    assert "guess" not in server.log
    assert took < (20 if os.environ.get("CASGI_ASAN") else 2)


@WORKERS
def test_encrypted_key(folder: Path, workers: str) -> None:
    flags = arguments(folder, "certfile=good.pem keyfile=encrypted.key")
    env = {"CASGI_SSL_KEYFILE_PASSWORD": "secret"}
    with casgi(APP, "--no-js", "--workers", workers, *flags, env=env) as server:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile"]
            + [str(folder / "ca.pem")],
            input=b"",
            capture_output=True,
            timeout=20,
        )
        assert b"Verify return code: 0 (ok)" in done.stdout
        assert "secret" not in server.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("keyfile=good.key", "ssl_keyfile needs ssl_certfile"),
        ("cert-reqs=1", "ssl_cert_reqs needs ssl_certfile"),
        ("certfile=good.pem cert-reqs=2", "ssl_cert_reqs needs ssl_ca_certs"),
        ("certfile=good.pem cert-reqs=3", "ssl_cert_reqs must be 0, 1 or 2, not 3"),
        ("certfile=good.pem version=4", "ssl_version must be 17 or 2 (TLS 1.2 and 1.3) or 5"),
        (
            "certfile=good.pem certfile=other.pem keyfile=good.key",
            "ssl_keyfile is given 1 times and ssl_certfile 2 times",
        ),
        ("certfile=good.pem reload-interval=-1", "reload-interval"),
    ],
)
def test_usage_errors(folder: Path, flags: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asgiserver", APP, *arguments(folder, flags)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert message in " ".join(re.sub(r"[│╭╰─╮╯]", " ", done.stderr).split())
