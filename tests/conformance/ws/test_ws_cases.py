# SPDX-License-Identifier: MIT
"""Replays ws_cases.py against a server: each case whole, byte by byte, and cut at every place."""

from __future__ import annotations

import contextlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ws_cases import CLOSE, FIN, MAX_SIZE, PONG, RSV1, Case, all_cases, close

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))

from http_harness import Peer, Server, leftovers, serve
from ws_harness import echo, read_frame, upgrade

pytestmark = pytest.mark.timeout(60)

CASES = all_cases()
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
ENDS = 40
"""How far from both ends of a long sequence it is cut."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(echo, ws_max_size=MAX_SIZE) as running:
        yield running
    assert not any(leftovers().values())


def test_there_are_enough() -> None:
    assert len(CASES) >= 200
    assert sum(case.deflate for case in CASES) >= 50
    assert sum(case.code is None for case in CASES) >= 100


def ways_to_send(wire: bytes) -> list[list[bytes]]:
    """The whole; each byte alone, where it is short; every cut in two."""
    ways = [[wire]]
    if len(wire) <= 2 * ENDS:
        ways.append([wire[at : at + 1] for at in range(len(wire))])
        cuts = list(range(1, len(wire)))
    else:
        cuts = [*range(1, ENDS), len(wire) // 2, *range(len(wire) - ENDS, len(wire))]
        if len(wire) > 1000:
            cuts = [*cuts[:16], *cuts[-4:]]
    return ways + [[wire[:at], wire[at:]] for at in cuts]


def read_answer(peer: Peer, case: Case) -> tuple[int, bytes]:
    """The next frame, one of the case's answer; (opcode, payload)."""
    first, payload = read_frame(peer)
    assert first & ~RSV1 == FIN | (first & 0x0F)
    assert case.deflate or not first & RSV1
    return first & 0x0F, payload


def expect(peer: Peer, case: Case) -> None:
    """Reads what the case wants to be answered, to the end of the connection.

    A pong leaves at once, an echo when the application comes to it: only the order among pongs and
    the order among echoes is fixed. What a client sends just before it closes need not be echoed;
    what it sends before it breaks the rules is.
    """
    pongs = [frame for frame in case.answer if frame[0] == PONG]
    echoes = [frame for frame in case.answer if frame[0] != PONG]
    received = []
    if case.code is None:
        received = [read_answer(peer, case) for _ in case.answer]
        peer.send(close(1000))
    while (last := read_answer(peer, case))[0] != CLOSE:
        received.append(last)
    assert [frame for frame in received if frame[0] == PONG] == pongs
    echoed = [frame for frame in received if frame[0] != PONG]
    assert echoed == (echoes[: len(echoed)] if case.closes else echoes)
    code = struct.unpack("!H", last[1][:2])[0] if last[1] else 1005
    assert code == (1000 if case.code is None else case.code)
    assert peer.rest() == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(server: Server, case: Case) -> None:
    ways = ways_to_send(case.wire)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(server.connect()) for _ in ways]
        for peer in peers:
            peer.send(upgrade("/", *[OFFER] * case.deflate))
        for peer in peers:
            assert peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        for turn in range(max(len(way) for way in ways)):
            for peer, way in zip(peers, ways, strict=True):
                if turn < len(way):
                    with contextlib.suppress(ConnectionError):  # it has answered already
                        peer.send(way[turn])
            # Two turns of the loop: what was sent is read before the rest follows.
            for _ in range(2):
                server.call(lambda: None)
        for peer, way in zip(peers, ways, strict=True):
            try:
                expect(peer, case)
            except AssertionError as error:
                raise AssertionError(f"sent in pieces of {[len(p) for p in way]}") from error
