# SPDX-License-Identifier: MIT
"""The corpus of AWS's http_desync_guardian: nothing it calls severe reaches the application.

The corpus is fetched by cargo when the test runs and is no part of this repository; without cargo
or without a network the test is skipped. Its cases are lists of headers, most without a Host: one
is added, lest every one of them be refused for that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from exchanges import casgi

VERSION = "0.1.3"
MANIFEST = f"""
[package]
name = "corpus"
version = "0.0.0"
edition = "2021"

[dependencies]
http_desync_guardian = "={VERSION}"
"""

pytestmark = [
    pytest.mark.timeout(170),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "src").mkdir()
    (folder / "src" / "lib.rs").touch()
    (folder / "Cargo.toml").write_text(MANIFEST)
    home = folder / "home"
    try:
        subprocess.run(
            ["cargo", "fetch", "--quiet"],
            cwd=folder,
            env={**os.environ, "CARGO_HOME": str(home)},
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"cargo could not fetch the corpus: {error}")
    (tests,) = home.glob(f"registry/src/*/http_desync_guardian-{VERSION}/tests")
    cases = []
    for file in sorted(Path(tests).glob("*.yaml")):
        for case in yaml.safe_load(file.read_text()) or []:
            cases.append(case | {"name": f"{file.stem}: {case['name']}"})
    return cases


def raw(case: dict[str, Any]) -> bytes:
    """A case as a request."""
    lines = [f"{case['method']} {case['uri']} {case['version']}"]
    headers = case.get("headers") or []
    lines += [f"{header['name']}: {header['value']}" for header in headers]
    if not any(str(header["name"]).lower() == "host" for header in headers):
        lines.append("Host: h")
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def test_nothing_severe_reaches_the_app(corpus: list[dict[str, Any]]) -> None:
    assert len(corpus) >= 100
    reached: dict[str, list[str]] = {}
    with casgi() as client:
        for case in corpus:
            outcome = client.exchange(raw(case), quiet=0.05)
            if outcome.calls:
                reached.setdefault(case["expected"]["tier"], []).append(case["name"])
    assert reached.get("Severe", []) == []
    # That the requests are good enough to get through where nothing is wrong with them.
    assert len(reached["Compliant"]) >= 15
