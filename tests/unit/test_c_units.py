# SPDX-License-Identifier: MIT
"""Builds and runs the cmocka tests of the Python-free C files (base/, proto/, TLS) under ASan."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "asgiserver" / "core"
NAMES = (
    "test_base",
    "test_http1",
    "test_http1_out",
    "test_http2",
    "test_proxy_protocol",
    "test_stats",
    "test_ws",
    "test_ws_deflate",
    "test_tls",
)
TLS = [CORE / "net" / f"{name}.c" for name in ("tls", "tls_context", "tls_tickets")]


def llhttp() -> tuple[list[str], list[str]]:
    """Flags and sources (or libraries) of llhttp, found as setup.py finds them."""
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libllhttp"], capture_output=True, text=True
    )
    if found.returncode == 0:
        return [], found.stdout.split()
    for share in (ROOT / "build" / "deps" / "usr" / "share", Path("/usr/share")):
        if (share / "llhttp" / "llhttp.c").exists():
            sources = [str(share / "llhttp" / name) for name in ("api.c", "http.c", "llhttp.c")]
            return [f"-I{share / 'include' / 'llhttp'}", "-DLLHTTP_STRICT_MODE=1"], sources
    pytest.skip("llhttp is not installed")


@pytest.fixture(scope="session")
def llhttp_objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """llhttp's flags and what to link, compiled once."""
    flags, parts = llhttp()
    objects = []
    for part in parts:
        if part.endswith(".c"):
            target = tmp_path_factory.getbasetemp() / (Path(part).stem + "-llhttp.o")
            command = ["gcc", "-O1", "-w", *flags, "-c", part, "-o", str(target)]
            subprocess.run(command, check=True, timeout=120)
            part = str(target)
        objects.append(part)
    return flags, objects


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
@pytest.mark.parametrize("name", NAMES)
def test_c_unit(name: str, tmp_path: Path, llhttp_objects: tuple[list[str], list[str]]) -> None:
    flags, objects = llhttp_objects
    sources = sorted(str(p) for layer in ("base", "proto") for p in (CORE / layer).glob("*.c"))
    arguments = []
    if name == "test_tls":
        made = trustme.CA().issue_cert("localhost")
        made.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
        made.private_key_pem.write_to_path(str(tmp_path / "server.key"))
        sources += map(str, TLS)
        arguments.append(str(tmp_path))
    if name == "test_stats":
        sources.append(str(CORE / "net" / "stats.c"))
    program = tmp_path / name
    build = [
        "gcc",
        "-std=gnu11",
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-format-truncation",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        f"-I{CORE}",
        *flags,
        str(ROOT / "tests" / "unit" / "c" / f"{name}.c"),
        *sources,
        *objects,
        "-lcmocka",
        "-lssl",
        "-lcrypto",
        "-lz",
        "-lnghttp2",
        "-o",
        str(program),
    ]
    done = subprocess.run(build, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
