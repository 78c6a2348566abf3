# SPDX-License-Identifier: MIT
"""The socket harness of tests/integration serves here too."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "integration"), str(TESTS / "conformance" / "http1")]
