# SPDX-License-Identifier: MIT
"""_core.keep_freed_memory: freed blocks of a body's size are used again without the kernel."""

from __future__ import annotations

import os

import pytest
from programs import output_of

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(bool(os.environ.get("CASGI_ASAN")), reason="has another malloc"),
]


def test_pages_are_not_faulted_in_again() -> None:
    program = """
        import resource
        from asgiserver import _core

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                bodies = [bytes(1 << 20) for _ in range(8)]
                for body in bodies:
                    assert not any(body[::4096])
                del bodies, body
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        before = faults()
        assert _core.keep_freed_memory()
        faults()
        print(before, faults())
    """
    before, after = map(int, output_of(program).split())
    assert before > 20_000  # 8 MiB, 20 times
    assert after < before / 10


@pytest.mark.parametrize(
    "name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"]
)
def test_settings_of_the_environment_stay(name: str) -> None:
    program = "from asgiserver import _core; print(_core.keep_freed_memory())"
    assert output_of(program, **{name: "262144"}) == "False"
    assert output_of(program, GLIBC_TUNABLES="glibc.malloc.trim_threshold=262144") == "False"
    assert output_of(program, GLIBC_TUNABLES="glibc.rtld.nns=4") == "True"
