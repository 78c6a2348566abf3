# SPDX-License-Identifier: MIT
"""Builds and runs tests/unit/c/test_jsv8*.c: the C ABI over V8, used without Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = ROOT / f"build/temp/obj-3{sys.version_info.minor}/jsrt._v8/jsrt/v8"
"""setup.py's, of the extension."""
SHARE = ROOT / "build" / "deps" / "usr" / "share"


@pytest.fixture(scope="module")
def program() -> Path:
    """The test program, built unless the tools or libnode's headers are missing."""
    if shutil.which("g++") is None or not Path("/usr/include/cmocka.h").exists():
        pytest.skip("needs g++ and libcmocka-dev")
    environment = dict(os.environ)
    if "CASGI_NODE_PREFIX" not in os.environ:  # compiled against what the script finds too
        environment["JSV8_OBJECTS"] = str(OBJECTS)
    built = subprocess.run(
        ["sh", str(ROOT / "tests/unit/c/build_jsv8.sh"), str(ROOT / "build" / "test-jsv8")],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    if "no libnode" in built.stderr:
        pytest.skip("needs libnode-dev")
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


def test_jsv8(program: Path) -> None:
    share = str(SHARE) if (SHARE / "nodejs").is_dir() else ""
    done = subprocess.run([str(program), share], capture_output=True, text=True, timeout=400)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    passed = re.search(r"PASSED.*?(\d+) test", output)
    assert passed is not None, output[-2000:]
    assert int(passed.group(1)) >= 25, output[-2000:]
