# SPDX-License-Identifier: MIT
"""One piece of work in several threads at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """The results of work(0) to work(count - 1), a thread each; raises what one of them raised."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count), timeout=100))
