# SPDX-License-Identifier: MIT
"""_core.release_idle_pages: lets go of what is a library's file's own, and of nothing else."""

import ctypes
import mmap
import re
import sqlite3
from pathlib import Path

import pytest
from programs import output_of

from asgiserver import _core


def library_segment(name: str, access: str) -> tuple[int, int]:
    """Where the first segment of a loaded library with this access lies: start and end."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        found = re.match(rf"([0-9a-f]+)-([0-9a-f]+) {access} .*/{name}", line)
        if found:
            return int(found[1], 16), int(found[2], 16)
    pytest.fail(f"{name} has no {access} segment")


def test_most_of_a_started_process_is_let_go_and_still_works() -> None:
    program = """
        import asyncio, json, ssl, sqlite3
        from asgiserver import _core

        def code_kib():
            # The program's own file is left alone: only libraries count here.
            kib = 0
            for line in open("/proc/self/smaps"):
                if line[0] in "0123456789abcdef" and "-" in line.split()[0]:
                    counts = ".so" in line and line.split()[1] in ("r--p", "r-xp")
                elif line.startswith("Private_Clean:") or line.startswith("Shared_Clean:"):
                    kib += int(line.split()[1]) * counts
            return kib

        before = code_kib()
        released = _core.release_idle_pages()
        print(before, code_kib(), released // 1024)
        assert json.loads(json.dumps([1, {"a": 2}])) == [1, {"a": 2}]
        assert sqlite3.connect(":memory:").execute("select 40 + 2").fetchone() == (42,)
        ssl.create_default_context()
        asyncio.run(asyncio.sleep(0))
    """
    before, after, released = map(int, output_of(program).split())
    assert released > before / 2
    assert after < before / 2


@pytest.mark.parametrize("access", ["r--p", "r-xp"])
def test_a_page_that_was_written_to_keeps_what_was_written(access: str) -> None:
    """As a debugger's breakpoint, or a function that was patched in place."""
    sqlite3.connect(":memory:").close()  # loaded now, and run by nobody
    start, end = library_segment(r"libsqlite3\.so", access)
    address = end - mmap.PAGESIZE
    page = (ctypes.c_ubyte * mmap.PAGESIZE).from_address(address)
    libc = ctypes.CDLL(None, use_errno=True)
    protect = libc.mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert start < address
    assert protect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0
    old = page[-1]
    page[-1] = old ^ 0xFF
    restored = mmap.PROT_READ | (mmap.PROT_EXEC if "x" in access else 0)
    assert protect(address, mmap.PAGESIZE, restored) == 0
    try:
        _core.release_idle_pages()
        assert page[-1] == old ^ 0xFF
    finally:
        assert protect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        page[-1] = old
        assert protect(address, mmap.PAGESIZE, restored) == 0
