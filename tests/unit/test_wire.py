# SPDX-License-Identifier: MIT
"""Builds and runs the cmocka tests of jsrt's wire format under ASan, and keeps it Python-free."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "jsrt" / "core"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_wire(tmp_path: Path) -> None:
    program = tmp_path / "test_wire"
    build = [
        "gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
        "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{CORE}",
        str(ROOT / "tests" / "unit" / "c" / "test_wire.c"), str(CORE / "wire.c"),
        str(CORE / "buf.c"), "-lcmocka", "-o", str(program),
    ]  # fmt: skip
    done = subprocess.run(build, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def includes(path: Path) -> set[str]:
    return set(re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["wire.c", "wire.h", "buf.c", "buf.h"])
def test_the_codec_includes_neither_python_nor_v8(name: str) -> None:
    allowed = {"wire.h", "buf.h", "stdlib.h", "string.h", "stddef.h", "stdint.h"}
    assert includes(CORE / name) <= allowed


def test_the_two_halves_meet_in_one_header_only() -> None:
    shim = {path.name for path in (ROOT / "jsrt" / "v8").glob("*.h*")}
    core = {path.name for path in CORE.glob("*.h")}
    for path in CORE.glob("*.[ch]"):
        assert includes(path) & shim <= {"jsv8.h"}, path.name
        assert not includes(path) & {"v8.h", "node.h"}, path.name
    for path in (ROOT / "jsrt" / "v8").glob("*.*"):
        assert not includes(path) & {"Python.h"}, path.name
        assert not (includes(path) & core) - shim, path.name
