# SPDX-License-Identifier: MIT
"""testssl.sh, where it is installed (Debian: testssl.sh), finds nothing above LOW at the server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme
from casgi_process import casgi
from tls_tools import Authority

TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")
HARMLESS = {"OK", "INFO", "LOW"}
# What concerns the certificates made for this test, headers, which are the application's, or the
# openssl program that testssl.sh has found.
NOT_OURS = ("cert_", "DNS_CAA", "security_headers", "HSTS", "engine_problem")


# A check that could not be made says nothing of the server. With TLS 1.3 the client that testssl.sh
# asks for a session at times leaves before the ticket, which comes behind the handshake, is there.
UNFINISHED = "check failed because of connect problem"
ATTEMPTS = 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(TESTSSL is None, reason="testssl.sh is not installed")
def test_nothing_above_low(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    rsa = authority.issue("rsa", key_type=trustme.KeyType.RSA)
    ecdsa = authority.issue("ecdsa", key_type=trustme.KeyType.ECDSA)
    flags = []
    for files in (rsa, ecdsa):
        flags += ["--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)]
    report = tmp_path / "report.json"
    with casgi("tls_apps:app", "--no-js", "--no-access-log", *flags) as server:
        for _ in range(ATTEMPTS):
            report.unlink(missing_ok=True)
            subprocess.run(
                # Protocols, server's order, forward secrecy, defaults, vulnerabilities.
                [str(TESTSSL), "--quiet", "--warnings", "batch", "--color", "0", "-p", "-s", "-f"]
                + ["-S", "-U", "--jsonfile", str(report), f"https://localhost:{server.port}"],
                capture_output=True,
                timeout=190,
            )
            findings = json.loads(report.read_text())
            if not any(UNFINISHED in finding["finding"] for finding in findings):
                break
        assert "Traceback" not in server.log
    ids = {finding["id"] for finding in findings}
    assert {"TLS1_3", "secure_client_renego", "heartbleed", "ROBOT"} <= ids
    bad = [
        (finding["severity"], finding["id"], finding["finding"])
        for finding in findings
        if finding["severity"] not in HARMLESS and not finding["id"].startswith(NOT_OURS)
    ]
    assert bad == []
