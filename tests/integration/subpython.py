# SPDX-License-Identifier: MIT
"""Runs small programs in a Python of their own, which imports the asgiserver under test."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from asgiserver import _core


def environment() -> dict[str, str]:
    """The environment in which a new Python imports the asgiserver that is tested here."""
    here = str(Path(_core.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": here}


def python(code: str, *args: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own, in development mode, with this asgiserver."""
    return subprocess.run(
        [sys.executable, "-P", "-X", "dev", "-c", textwrap.dedent(code), *args],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
