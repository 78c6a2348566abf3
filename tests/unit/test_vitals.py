# SPDX-License-Identifier: MIT
"""What a supervisor concludes from a loop's pulse."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from asgiserver import new_event_loop
from asgiserver.vitals import (
    LINES,
    POLLING,
    RUNNING,
    WAITING,
    Pulses,
    Watchdog,
    resident_bytes,
    sleeps,
)


def test_watchdog():
    dog = Watchdog(5)
    assert dog.blocked_for((1, RUNNING), 0, 0) is None
    assert dog.blocked_for((1, RUNNING), 0, 4.9) is None
    assert dog.blocked_for((1, RUNNING), 0, 5) == 5
    assert dog.blocked_for((2, RUNNING), 0, 6) is None, "another turn"
    assert dog.blocked_for((2, POLLING), 0, 20) is None, "idle"
    assert dog.blocked_for((2, RUNNING), 0, 21) is None
    assert dog.blocked_for((3, WAITING), 0, 40) is None, "somebody else has the GIL"
    assert dog.blocked_for((3, WAITING), 0, 50) is None
    assert dog.blocked_for((4, RUNNING), 0, 51) is None
    dog.forget()
    assert dog.blocked_for((4, RUNNING), 0, 90) is None
    assert dog.blocked_for((4, RUNNING), 0, 95) == 5


def test_waiting_for_the_gil_is_not_blocking():
    dog = Watchdog(5)
    assert dog.blocked_for((1, RUNNING), 1000, 0) is None
    assert dog.blocked_for((1, RUNNING), 1900, 5) is None
    assert dog.blocked_for((1, RUNNING), 1950, 20) == 20


def test_sleeps_of_a_thread():
    before = sleeps(os.getpid())
    for _ in range(10):
        time.sleep(0.001)
    assert sleeps(os.getpid()) >= before + 10
    assert sleeps(2**22 + 1) == 0


def test_lines_are_used_again_and_run_out():
    pulses = Pulses()
    taken = [pulses.take() for _ in range(LINES)]
    assert len(set(taken)) == LINES
    assert pulses.take() is None
    pulses.give_back(None)
    pulses.buffer(7)[:] = b"\1" * len(pulses.buffer(7))
    pulses.give_back(7)
    assert pulses.take() == 7
    assert pulses.read(7) == (0, POLLING)


def test_a_loop_shows_its_pulse():
    pulses = Pulses()
    line = pulses.take()
    loop = new_event_loop()
    try:
        loop._set_pulse(pulses.buffer(line))
        assert pulses.read(line)[1] == POLLING

        async def look():
            seen = [pulses.read(line)]
            seen.append(pulses.read(line))
            await asyncio.sleep(0)
            seen.append(pulses.read(line))
            await asyncio.to_thread(lambda: None)
            seen.append(pulses.read(line))
            return seen

        first, same, turned, polled = loop.run_until_complete(look())
        assert first == same
        assert first[0] < turned[0] < polled[0]
        assert {state for _, state in (first, turned, polled)} == {RUNNING}
        assert pulses.read(line)[1] == POLLING
        before = pulses.read(line)
        loop._set_pulse(None)
        loop.run_until_complete(asyncio.sleep(0))
        assert pulses.read(line) == before
    finally:
        loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop._set_pulse(None)


@pytest.mark.parametrize("buffer", [bytearray(8), b"x" * 64, "text"])
def test_not_a_place_for_a_pulse(buffer):
    loop = new_event_loop()
    try:
        with pytest.raises((ValueError, TypeError, BufferError)):
            loop._set_pulse(buffer)
    finally:
        loop.close()


def test_the_buffer_is_held_as_long_as_the_loop_is_open():
    loop, buffer = new_event_loop(), bytearray(64)
    loop._set_pulse(buffer)
    with pytest.raises(BufferError):
        buffer.extend(b"x")
    loop.close()
    buffer.extend(b"x")


def test_resident_memory():
    assert resident_bytes(os.getpid()) > 5 << 20
    assert resident_bytes(2**22 + 1) == 0
