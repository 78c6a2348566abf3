# SPDX-License-Identifier: MIT
"""permessage-deflate (RFC 7692): negotiation, both directions, bounds, memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import struct
import zlib
from typing import Any

import pytest
from http_harness import Peer, Server, parse, serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from ws_harness import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Recorder,
    client,
    closed_with,
    echo,
    frame,
    raw,
    read_frame,
    until_idle,
    upgrade,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_left")]

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
RSV1 = 0x40
TAIL = b"\x00\x00\xff\xff"


class Deflater:
    """A peer's two streams, by zlib itself and with exactly the windows agreed on."""

    def __init__(self, bits: int = 12, read_bits: int = 12) -> None:
        self.out = zlib.compressobj(wbits=-bits)
        self.into = zlib.decompressobj(wbits=-read_bits)

    def pack(self, data: bytes) -> bytes:
        packed = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(TAIL)
        return packed[:-4]

    def unpack(self, data: bytes) -> bytes:
        return self.into.decompress(data + TAIL)


def agreed(server: Server, *offers: str) -> str:
    """The extensions that the answer to a handshake names."""
    with server.connect() as peer:
        peer.send(upgrade("/", *(f"Sec-WebSocket-Extensions: {offer}" for offer in offers)))
        response = parse(peer.until(b"\r\n\r\n"))
        assert response.status == 101
        return response.headers.get(b"sec-websocket-extensions", b"").decode()


def compressible(size: int) -> str:
    words = random.Random(size)
    parts = []
    for _ in range(size // 3 + 1):
        parts.append(words.choice(["window ", "frame ", "é ", "message "]))
        parts.append(str(words.randint(0, 99)))
    text = "".join(parts)
    return text[:size]


# -- negotiation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (["permessage-deflate"], "; server_max_window_bits=12"),
        (
            ["permessage-deflate; client_max_window_bits"],
            "; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            [
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
                "server_max_window_bits=10; client_max_window_bits=9"
            ],
            "; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10; client_max_window_bits=9",
        ),
        (['permessage-deflate; server_max_window_bits="8"'], "; server_max_window_bits=8"),
        (
            ["permessage-deflate; unheard_of", "permessage-deflate; server_max_window_bits=9"],
            "; server_max_window_bits=9",
        ),
        (
            ["permessage-deflate; server_max_window_bits=16, permessage-deflate"],
            "; server_max_window_bits=12",
        ),
    ],
)
def test_accepted_offers(offers: list[str], answer: str) -> None:
    with serve(echo) as server:
        assert agreed(server, *offers) == "permessage-deflate" + answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; mux",
    ],
)
def test_declined_offers(offer: str) -> None:
    with serve(echo) as server:
        assert agreed(server, offer) == ""


@pytest.mark.parametrize("offer", ["permessage-deflate;", "a b", "permessage-deflate; a=", "\xe9"])
def test_malformed_offers_are_400(offer: str) -> None:
    with serve(echo) as server:
        for line in (f"Sec-WebSocket-Extensions: {offer}", f"Sec-WebSocket-Protocol: {offer}"):
            assert parse(server.exchange(upgrade("/", line))).status == 400


def test_switched_off() -> None:
    with serve(echo, ws_per_message_deflate=False) as server:
        assert agreed(server, "permessage-deflate") == ""
        with raw(server, OFFER) as peer:
            peer.send(frame(TEXT | RSV1, b"\x00"))
            assert closed_with(peer)[0] == 1002


def test_the_app_cannot_agree_on_extensions() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Sec-WebSocket-Extensions", b"permessage-deflate"), (b"x-mine", b"1")]
        await send({"type": "websocket.accept", "headers": headers})

    with serve(app) as server, server.connect() as peer:
        peer.send(upgrade())
        headers = parse(peer.until(b"\r\n\r\n")).headers
        assert b"sec-websocket-extensions" not in headers
        assert headers[b"x-mine"] == b"1"


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_no_takeover", [False, True])
@pytest.mark.parametrize("client_no_takeover", [False, True])
@pytest.mark.parametrize(("server_bits", "client_bits"), [(None, None), (9, 9), (15, 15), (12, 10)])
def test_echo(
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: int | None,
    client_bits: int | None,
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_takeover, client_no_takeover, server_bits, client_bits
    )
    messages: list[str | bytes] = ["", "short", b"", b"\x00" * 127, b"\x00" * 128]
    messages += [compressible(n) for n in (128, 1000, 1000, 70_000, 300_000)]
    messages += [os.urandom(3000), b"z" * 2_000_000, compressible(500)] * 2
    with (
        serve(echo) as server,
        client(server, extensions=[factory], compression=None) as ws,
    ):
        (extension,) = ws.protocol.extensions
        assert "PerMessageDeflate" in repr(extension)
        for message in messages:
            ws.send(message)
            assert ws.recv() == message
        ws.send(["frag", "", compressible(5000), "ment"])
        assert ws.recv() == "frag" + compressible(5000) + "ment"


@pytest.mark.parametrize("bits", range(8, 16))
def test_windows_are_kept(bits: int) -> None:
    """Read with exactly the window agreed on: a distance beyond it would be an error."""
    offer = f"{OFFER}; server_max_window_bits={bits}"
    with serve(echo) as server, raw(server, offer) as peer:
        reader = Deflater(read_bits=bits)
        for size in (128, 3000, 60_000, 200_000, 1000):
            text = compressible(size).encode()
            peer.send(frame(TEXT, text))
            first, payload = read_frame(peer)
            assert first == TEXT | RSV1
            assert len(payload) < len(text)
            assert reader.unpack(payload) == text


def test_what_is_compressed() -> None:
    with serve(echo) as server, raw(server, OFFER) as peer:
        reader = Deflater()

        def answer(message: bytes) -> bool:
            """Whether it came back compressed."""
            peer.send(frame(BINARY, message))
            first, payload = read_frame(peer)
            assert (reader.unpack(payload) if first & RSV1 else payload) == message
            return bool(first & RSV1)

        noise = random.Random(1).randbytes(5000)
        assert not answer(b"x" * 127)
        assert answer(b"x" * 128)
        assert not answer(noise)
        # After one that did not shrink two go by untried; the stream starts anew, and the peer's
        # need not know.
        reader = Deflater()
        assert [answer(b"y" * 1000) for _ in range(4)] == [False, False, True, True]


def test_context_is_taken_over() -> None:
    update = json.dumps({f"key{n}": n * n for n in range(40)}).encode()
    sizes: dict[str, list[int]] = {}
    for option in ("", "; server_no_context_takeover"):
        with serve(echo) as server, raw(server, OFFER + option) as peer:
            sizes[option] = []
            for _ in range(3):
                peer.send(frame(TEXT, update))
                sizes[option].append(len(read_frame(peer)[1]))
    assert sizes[""][0] == sizes["; server_no_context_takeover"][0]
    assert sizes[""][1] * 4 < sizes[""][0]
    assert len(set(sizes["; server_no_context_takeover"])) == 1


def test_fragments_and_pings_between() -> None:
    with serve(echo) as server, raw(server, OFFER) as peer:
        writer, reader = Deflater(15), Deflater()
        text = ("é" * 60 + "-").encode() * 3
        for step in (1, 2, 7, 1000):
            packed = writer.pack(text)
            peer.send(frame(0x01 | RSV1))  # an empty first fragment says so, too
            for at in range(0, len(packed), step):
                peer.send(frame(PING, b"?") + frame(0x00, packed[at : at + step]))
            peer.send(frame(0x80))
            received = [read_frame(peer) for _ in range(-(-len(packed) // step))]
            assert set(received) == {(PONG, b"?")}
            first, payload = read_frame(peer)
            assert (reader.unpack(payload) if first & RSV1 else payload) == text


def test_plain_and_compressed_messages_mixed() -> None:
    with serve(echo) as server, raw(server, OFFER) as peer:
        writer = Deflater(15)
        for number in range(20):
            text = f"message {number}".encode()
            peer.send(frame(TEXT, text) + frame(TEXT | RSV1, writer.pack(text)))
            assert [read_frame(peer), read_frame(peer)] == [(TEXT, text)] * 2


def test_many_senders_at_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

        async def talk(name: str) -> None:
            for number in range(100):
                await send({"type": "websocket.send", "text": f"{name}{number} " * 300})

        await asyncio.gather(*(talk(name) for name in "abcd"))

    with serve(app) as server, client(server, compression="deflate") as ws:
        heard = [str(ws.recv()).split(" ")[0] for _ in range(400)]
        for name in "abcd":
            assert [t for t in heard if t[0] == name] == [f"{name}{n}" for n in range(100)]


# -- faults and bounds ---------------------------------------------------------------------------


def hello(first: int = TEXT | RSV1) -> bytes:
    return frame(first, b"\xf2\x48\xcd\xc9\xc9\x07\x00")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(0x80 | RSV1, b"x"), 1002),
        (hello(0x01 | RSV1) + frame(0x80 | RSV1, b"\x00"), 1002),
        (frame(PING | RSV1), 1002),
        (frame(0x88 | RSV1), 1002),
        (frame(TEXT | 0x20, b"x"), 1002),
        (frame(TEXT | RSV1 | 0x10, b"x"), 1002),
        (frame(TEXT | RSV1), 1002),  # no block at all
        (frame(TEXT | RSV1, b"\xff\xff\xff"), 1002),
        (frame(TEXT | RSV1, b"\xf2\x48\xcd"), 1002),  # cut
        (frame(TEXT | RSV1, Deflater().pack(b"\xff")), 1007),
        (frame(TEXT | RSV1, Deflater().pack(b"ab\xc3")), 1007),
        (frame(0x01 | RSV1, Deflater().pack(b"\xed\xa0\x80") + TAIL), 1007),  # before the end
        (frame(BINARY | RSV1, Deflater().pack(b"x" * 1001)), 1009),
        (frame(BINARY | RSV1, Deflater().pack(b"\x00" * 10_000_000)), 1009),
        (frame(0x02 | RSV1, Deflater().pack(b"\x00" * 2000)[:-2]), 1009),  # while it is inflated
        (frame(BINARY | RSV1, b"\x00\x00\x00\xff\xff" * 300 + b"\x00"), 1009),  # empty blocks
    ],
)
def test_broken_clients(wire: bytes, code: int) -> None:
    app = Recorder()
    with serve(app, ws_max_size=1000) as server, raw(server, OFFER) as peer:
        peer.send(hello() + wire + b"\xff" * 100_000)
        assert closed_with(peer)[0] == code
        until_idle(server)
    assert app.messages[0] == {"type": "websocket.receive", "text": "Hello"}
    assert app.messages[1]["code"] == code
    assert len(app.messages) == 2


def test_largest_message_fits() -> None:
    with serve(echo, ws_max_size=1000) as server, raw(server, OFFER) as peer:
        for data in (b"x" * 1000, random.Random(2).randbytes(1000)):
            stored = zlib.compressobj(0, wbits=-15)
            for packed in (
                Deflater().pack(data),
                (stored.compress(data) + stored.flush(zlib.Z_SYNC_FLUSH))[:-4],
            ):
                # Each by a stream of its own: a new one refers to nothing before it.
                peer.send(frame(BINARY | RSV1, packed))
                assert read_frame(peer)[0] & ~RSV1 == BINARY


def resident() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif("CASGI_ASAN" in os.environ, reason="measures memory")
def test_a_bomb_takes_no_memory() -> None:
    """A gigabyte in a megabyte: no more is inflated than the bound allows."""
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024))
    bomb += packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    app = Recorder()
    with serve(app, ws_max_size=2_000_000) as server:
        before = resident()
        with raw(server, OFFER) as peer:
            with contextlib.suppress(OSError):
                peer.send(frame(BINARY | RSV1, bomb))
            assert closed_with(peer)[0] == 1009
            until_idle(server)
        assert resident() - before < 12_000_000
    assert [m["code"] for m in app.messages] == [1009]


def test_reading_stops_for_a_slow_app() -> None:
    """The bound on what waits for the application counts inflated bytes."""
    go: list[asyncio.Event] = []
    total = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal total
        await receive()
        await send({"type": "websocket.accept"})
        go.append(asyncio.Event())
        await go[0].wait()
        while (message := await receive())["type"] == "websocket.receive":
            total += len(message["bytes"])

    size, count = 1_000_000, 200
    with serve(app, ws_max_size=size) as server, raw(server, OFFER) as peer:
        server.until(lambda: len(go) == 1)
        before = resident()
        wire = frame(BINARY | RSV1, Deflater().pack(b"\x00" * size)) * count
        assert len(wire) < 300_000
        peer.send(wire)
        peer.send(frame(0x88, struct.pack("!H", 1000)))
        server.run(asyncio.sleep(0.1))
        if "CASGI_ASAN" not in os.environ:
            assert resident() - before < 20_000_000
        server.call(go[0].set)
        until_idle(server)
    assert total == size * count


def test_quiet_connections_give_memory_back() -> None:
    """After a ping interval without a message, what was compressed with is gone, and nobody can
    tell but by the size of the next message."""
    text = compressible(2000).encode()

    def exchange(peer: Peer, reader: Deflater) -> int:
        peer.send(frame(TEXT, text))
        while (received := read_frame(peer))[0] == PING:
            peer.send(frame(PONG, received[1]))
        assert reader.unpack(received[1]) == text
        return len(received[1])

    with serve(echo, ws_ping_interval=0.1) as server, raw(server, OFFER) as peer:
        reader = Deflater()
        first = exchange(peer, reader)
        for _ in range(3):
            code, payload = read_frame(peer)
            assert code == PING
            peer.send(frame(PONG, payload))
        assert exchange(peer, reader) == first


def test_command_line() -> None:
    from casgi_process import casgi

    for value, expected in (("true", True), ("false", False)):
        with casgi("process_apps:websocket", "--ws-per-message-deflate", value) as server:
            with Peer(("127.0.0.1", server.port)) as peer:
                peer.send(upgrade("/", OFFER))
                head = peer.until(b"\r\n\r\n")
                assert bool(re.search(rb"(?i)permessage-deflate", head)) is expected
