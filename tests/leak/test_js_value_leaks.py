# SPDX-License-Identifier: MIT
"""What crosses between Python and JavaScript by other ways than a copy leaves nothing behind."""

from __future__ import annotations

import gc
import itertools
import logging
from collections.abc import Callable, Iterator

import pytest
from leaktools import Memory, assert_flat, growth

import jsrt
from jsrt import _jsrt

ROUNDS = 4000


@pytest.fixture(autouse=True)
def _counters_return() -> Iterator[None]:
    gc.collect()
    before = _jsrt._debug_counts()
    yield
    gc.collect()
    assert _jsrt._debug_counts() == before


@pytest.fixture
def logger() -> logging.Logger:
    """One without parents: pytest keeps what reaches the root."""
    logger = logging.Logger("leak.js", logging.INFO)
    logger.addHandler(logging.NullHandler())
    return logger


def assert_nothing_stays(js: jsrt.Context, work: Callable[[], object], repeats: int) -> None:
    """Neither in Python nor in V8."""
    sizes: list[int] = []

    def measure() -> Memory:
        js.collect()
        js.eval("0")  # what V8 has dropped is released when a call ends
        sizes.append(js.heap_statistics()["heap_used"])
        return Memory.now()

    assert_flat(growth(work, measure=measure), repeats)
    grown = min(after - before for before, after in itertools.pairwise(sizes))
    assert grown < repeats * 8, f"{grown} bytes of V8's heap after {repeats}"


def test_console(logger: logging.Logger) -> None:
    js = jsrt.Context(
        profile="bare",
        console=logger,
        code="const say = n => { console.log('%d of %o', n, {a: [n]}); console.debug(n) }",
    )

    def work() -> None:
        for number in range(ROUNDS):
            js.call("say", [number])

    assert_nothing_stays(js, work, ROUNDS)
    js.close()


def test_consoles_of_realms(logger: logging.Logger) -> None:
    js = jsrt.Context(profile="bare", console=logger)

    def work() -> None:
        for _ in range(100):
            with js.realm() as realm:
                realm.eval("console.log(1)")

    assert_flat(growth(work), 100)
    js.close()
