# SPDX-License-Identifier: MIT
"""A thousand connections of slowhttptest: each is closed by its deadline.

How long others wait meanwhile is measured by tests/bench/slow_clients.py.
"""

from __future__ import annotations

import time

import pytest
from casgi_process import casgi
from slowhttp import ALL_CLOSED, SLOWHTTPTEST, attack, connections

pytestmark = [
    pytest.mark.skipif(SLOWHTTPTEST is None, reason="slowhttptest is not installed"),
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(120),
]

COUNT = 1000
PATIENCE = 60
TIMEOUTS = ("--timeout-header", "2", "--timeout-body", "2", "--timeout-write", "1")
APP = ("slow_apps:app", "--no-js", "--no-access-log", *TIMEOUTS)


@pytest.mark.parametrize("name", ["slow headers", "slow body"])
def test_senders(name: str) -> None:
    with casgi(*APP) as server:
        with attack(name, server.port, COUNT, PATIENCE) as process:
            output, _ = process.communicate(timeout=PATIENCE + 30)
        assert ALL_CLOSED in output, output[-800:]
        assert server.get().text == "ok"
        assert "Traceback" not in server.log


def test_readers() -> None:
    """They would go on with what they have received; the server is rid of them, and its kernel."""
    with casgi(*APP) as server:
        with attack("slow read", server.port, COUNT, PATIENCE) as process:
            seen, end = 0, time.monotonic() + PATIENCE / 2
            while (now := connections(server.port)) > 0 or seen < COUNT / 2:
                seen = max(seen, now)
                assert time.monotonic() < end, f"{now} of {seen} connections are left"
                time.sleep(0.05)
            assert process.poll() is None, "they have not gone by themselves"
        assert server.get().text == "ok"
        assert "Traceback" not in server.log
