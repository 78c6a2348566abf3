# SPDX-License-Identifier: MIT
"""What the loop's tests share: a loop that is closed afterwards, and the count of live objects."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from asgiserver import _core
from asgiserver.loop import Loop, new_event_loop


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """After the test every object of the extension that the test made is gone."""
    gc.collect()
    before = _core._debug_counts()
    yield
    gc.collect()
    assert _core._debug_counts() == before


@pytest.fixture
def loop(no_leaks: None) -> Iterator[Loop]:
    """A casgi loop, not running, closed after the test. Debug mode is for the tests that ask."""
    made = new_event_loop()
    made.set_debug(False)  # python -X dev turns it on
    asyncio.set_event_loop(made)
    yield made
    if not made.is_closed():
        made.run_until_complete(made.shutdown_asyncgens())
        made.run_until_complete(made.shutdown_default_executor())
        made.close()
    asyncio.set_event_loop(None)
