# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from http_harness import leftovers


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Every connection, listener and exchange of the core is gone when the test is over."""
    yield
    assert not any(leftovers().values()), leftovers()
