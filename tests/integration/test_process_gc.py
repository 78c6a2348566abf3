# SPDX-License-Identifier: MIT
"""What a served process does with Python's garbage collector."""

from __future__ import annotations

import gc

import httpx
import pytest
from casgi_process import HERE, casgi

MODULE = """
import gc, sys
sys.path.append({here!r})
from process_apps import answer

{code}

async def app(scope, receive, send):
    if scope["type"] == "http":
        await answer(send, [gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()])
"""


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("code", "thresholds"),
    [
        ("", [5000, *gc.get_threshold()[1:]]),
        ("gc.set_threshold(321, 7, 9)", [321, 7, 9]),
        ("gc.set_threshold(0)", [0, *gc.get_threshold()[1:]]),
    ],
    ids=["default", "set", "off"],
)
def test_thresholds(tmp_path, workers, code, thresholds):
    (tmp_path / "served.py").write_text(MODULE.format(here=str(HERE), code=code))
    with casgi("served:app", "--workers", workers, cwd=tmp_path) as server:
        shown, frozen, enabled = httpx.get(server.url, trust_env=False).json()
    assert shown == thresholds
    assert frozen > 10_000  # What had been there when the server started.
    assert enabled
