# SPDX-License-Identifier: MIT
"""Measures whether work leaves something behind: Python blocks, malloc'ed bytes, resident memory.

A leak grows whenever the work is done again; caches, free lists and arenas grow once, though not
all of them in the first window. So work is measured in several windows, one after the other, and
the smallest growth counts; while that is more than measuring itself adds, there are more windows.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

WINDOWS = 3
MORE_WINDOWS = 8

_clear_caches: Callable[[], None] = getattr(sys, "_clear_internal_caches", sys._clear_type_cache)
_libc = ctypes.CDLL(None, use_errno=True)
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _MallInfo2(ctypes.Structure):
    """glibc's struct mallinfo2: sums over all arenas."""

    _fields_ = [  # noqa: RUF012
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


_libc.mallinfo2.restype = _MallInfo2


@dataclass(frozen=True)
class Memory:
    """What a process holds.

    Attributes:
        blocks: memory blocks of Python's allocator.
        malloced: bytes taken from malloc and not given back; Python's arenas are not among them.
        resident: bytes of memory the kernel has given us.
    """

    blocks: int
    malloced: int
    resident: int

    @classmethod
    def now(cls) -> Memory:
        """Measures after everything unreachable is collected and what is free is given back."""
        # Python keeps each name that an attribute was asked for by, found or not, in a cache that
        # fills slowly; asyncio's debug mode makes new ones with every repr() of a handle.
        _clear_caches()
        for _ in range(3):
            gc.collect()
        _libc.malloc_trim(0)
        info = _libc.mallinfo2()
        with open("/proc/self/statm", "rb") as statm:
            pages = int(statm.read().split()[1])
        return cls(sys.getallocatedblocks(), info.uordblks + info.hblkhd, pages * _PAGE)

    def __sub__(self, other: Memory) -> Memory:
        return Memory(
            self.blocks - other.blocks,
            self.malloced - other.malloced,
            self.resident - other.resident,
        )


def smallest(growths: list[Memory]) -> Memory:
    """The smallest of each kind: what every window had in common."""
    return Memory(
        min(g.blocks for g in growths),
        min(g.malloced for g in growths),
        min(g.resident for g in growths),
    )


def growth(
    work: Callable[[], object], *, measure: Callable[[], Memory] = Memory.now, warm_up: int = 1
) -> Memory:
    """What each repetition of the work leaves behind, after a warm-up."""
    for _ in range(warm_up):
        work()
    growths: list[Memory] = []
    before = measure()
    while len(growths) < WINDOWS or (
        len(growths) < MORE_WINDOWS and not is_flat(smallest(growths))
    ):
        work()
        after = measure()
        growths.append(after - before)
        before = after
    return smallest(growths)


def is_flat(left: Memory) -> bool:
    """Whether that is no more than what measuring itself and other threads add."""
    return left.blocks < 10 and left.malloced < 1024


def assert_flat(left: Memory, repeats: int) -> None:
    """Fails where each of `repeats` repetitions within a window left something behind.

    One Python object for every other repetition, or 32 bytes for each, is enough to fail; what
    measuring itself and other threads add (a handful of objects, a few hundred bytes) is not.
    """
    assert left.blocks < repeats // 4 + 10, f"{left} after {repeats}"
    assert left.malloced < repeats * 8 + 1024, f"{left} after {repeats}"


@pytest.fixture
def js_counters_return() -> Iterator[None]:
    """After the test jsrt's extension has no more objects than before."""
    from jsrt import _jsrt

    gc.collect()
    before = _jsrt._debug_counts()
    yield
    gc.collect()
    assert _jsrt._debug_counts() == before
