# SPDX-License-Identifier: MIT
"""Runs small programs in a Python of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def output_of(program: str, **environment: str) -> str:
    """What a program prints.

    Args:
        environment: variables beside those of this process.

    Raises:
        CalledProcessError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
    )
    return done.stdout.strip()
