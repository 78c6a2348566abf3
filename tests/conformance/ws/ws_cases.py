# SPDX-License-Identifier: MIT
"""Frames that a client may send after the handshake, and what an echoing server has to answer.

:func:`all_cases` generates them family by family, so that what is covered can be read from the
loops. What is expected is written out here from RFC 6455 and RFC 7692, not computed by a second
parser.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SIZE = 70_000
"""The bound on a message that the cases are written for."""

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
CONTROL = (CLOSE, PING, PONG)
MASK = b"\x37\xfa\x21\x3d"
PROTOCOL_ERROR, BAD_DATA, TOO_BIG = 1002, 1007, 1009


@dataclass(frozen=True)
class Case:
    """A byte sequence and its answer.

    Attributes:
        name: family and details.
        wire: what the client sends.
        answer: the frames that come back, as (opcode, payload).
        code: of the close frame behind them (1005: one without a code); None: the connection is
            still open.
        deflate: permessage-deflate was agreed on.
    """

    name: str
    wire: bytes
    answer: tuple[tuple[int, bytes], ...] = ()
    code: int | None = None
    deflate: bool = False

    @property
    def closes(self) -> bool:
        """Whether it is the client who closes."""
        return self.code not in (None, PROTOCOL_ERROR, BAD_DATA, TOO_BIG) or (
            self.name.startswith(f"close {self.code}")
        )


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = MASK
) -> bytes:
    """A client's frame; without a mask where mask is empty."""
    head = bytes([(FIN if fin else 0) | rsv | opcode])
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += bytes([flag | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", len(payload))
    if mask:
        times = mask * (len(payload) // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(payload, times, strict=False))
    return head + mask + payload


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def pieces(opcode: int, payload: bytes, cuts: list[int], *, rsv: int = 0) -> bytes:
    """A message in fragments, cut at these offsets."""
    ends = [*cuts, len(payload)]
    starts = [0, *cuts]
    return b"".join(
        frame(
            opcode if n == 0 else CONTINUATION,
            payload[start:end],
            fin=n == len(cuts),
            rsv=rsv if n == 0 else 0,
        )
        for n, (start, end) in enumerate(zip(starts, ends, strict=True))
    )


# -- families ------------------------------------------------------------------------------------


def opcodes() -> Iterator[Case]:
    known = {TEXT: (TEXT, b"x"), BINARY: (BINARY, b"x"), PING: (PONG, b"x")}
    for opcode in range(16):
        wire = frame(opcode, b"x")
        if opcode in known:
            yield Case(f"opcode {opcode:x}", wire, (known[opcode],))
        elif opcode == PONG:
            yield Case(f"opcode {opcode:x}", wire)
        else:  # continues nothing, unknown, or half a close code
            yield Case(f"opcode {opcode:x}", wire, code=PROTOCOL_ERROR)
    for opcode in range(16):
        wire = frame(opcode, b"x", fin=False) + frame(CONTINUATION, b"y")
        name = f"opcode {opcode:x} not final"
        if opcode in (TEXT, BINARY):
            yield Case(name, wire, ((opcode, b"xy"),))
        else:
            yield Case(name, wire, code=PROTOCOL_ERROR)


def reserved_bits() -> Iterator[Case]:
    for deflate in (False, True):
        for bits in range(1, 8):
            rsv = bits << 4
            for opcode in (TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION):
                if deflate and rsv == RSV1 and opcode in (TEXT, BINARY):
                    continue  # that means compressed
                first = frame(TEXT, b"a", fin=False) if opcode == CONTINUATION else b""
                payload = b"\x03\xe8" if opcode == CLOSE else b""
                yield Case(
                    f"reserved bits {bits:03b}, opcode {opcode:x}" + ", deflate" * deflate,
                    first + frame(opcode, payload, rsv=rsv),
                    code=PROTOCOL_ERROR,
                    deflate=deflate,
                )


def lengths() -> Iterator[Case]:
    for size in (0, 1, 124, 125, 126, 127, 128, 65535, 65536, MAX_SIZE):
        for opcode in (TEXT, BINARY):
            data = b"*" * size
            yield Case(f"{size} bytes, opcode {opcode}", frame(opcode, data), ((opcode, data),))
    for size in (MAX_SIZE + 1, 2 * MAX_SIZE):
        yield Case(f"{size} bytes", frame(BINARY, b"*" * size), code=TOO_BIG)
        yield Case(f"head of {size} bytes", frame(BINARY, b"*" * size)[:14], code=TOO_BIG)
    half = b"*" * (MAX_SIZE // 2)
    yield Case(
        "fragments of the bound together",
        pieces(BINARY, half * 2, [len(half)]),
        ((BINARY, half * 2),),
    )
    yield Case(
        "fragments beyond the bound together",
        pieces(BINARY, half * 2 + b"*", [len(half)]),
        code=TOO_BIG,
    )
    for power in (17, 31, 32, 62):
        head = b"\x82\xff" + struct.pack("!Q", 1 << power) + MASK
        yield Case(f"head of 2^{power} bytes", head, code=TOO_BIG)
    head = b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1) + MASK
    yield Case("head of 2^63 - 1 bytes", head, code=TOO_BIG)
    for length in (1 << 63, (1 << 64) - 1):
        head = b"\x82\xff" + struct.pack("!Q", length) + MASK
        yield Case(f"head with the top bit, {length:x}", head, code=PROTOCOL_ERROR)
    # Longer than need be: a sender must not, a recipient has nothing to lose.
    body = frame(TEXT, b"hello")[6:]
    for name, head in (
        ("16 bits for 5", b"\x81\xfe\x00\x05"),
        ("64 bits for 5", b"\x81\xff" + struct.pack("!Q", 5)),
    ):
        yield Case(f"length in {name}", head + MASK + body, ((TEXT, b"hello"),))


def control_frames() -> Iterator[Case]:
    for size in (0, 1, 124, 125):
        data = bytes(range(size))
        yield Case(f"ping of {size}", frame(PING, data), ((PONG, data),))
        yield Case(f"pong of {size}", frame(PONG, data))
    for opcode in CONTROL:
        for size in (126, 127, 65535, 65536):
            wire = frame(opcode, b"\x03\xe8" + b"*" * (size - 2))
            yield Case(f"opcode {opcode:x} of {size}", wire[:20], code=PROTOCOL_ERROR)
    pings = [b"%d" % n for n in range(10)]
    yield Case(
        "ten pings",
        b"".join(frame(PING, data) for data in pings),
        tuple((PONG, data) for data in pings),
    )
    yield Case("ping of no text", frame(PING, b"\xff\xfe\x00"), ((PONG, b"\xff\xfe\x00"),))


def masks() -> Iterator[Case]:
    for opcode in (CONTINUATION, TEXT, BINARY, *CONTROL):
        for payload in (b"", b"\x03\xe8"):
            yield Case(
                f"opcode {opcode:x} not masked, {len(payload)} bytes",
                frame(opcode, payload, mask=b""),
                code=PROTOCOL_ERROR,
            )
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04", b"\x80\0\0\0"):
        wire = frame(TEXT, b"masked so", mask=mask)
        yield Case(f"mask {mask.hex()}", wire, ((TEXT, b"masked so"),))
    for size in (*range(2, 9), 15, 16, 17, 31, 33, 63, 64, 65):
        data = bytes(range(size))
        yield Case(f"masked {size} bytes", frame(BINARY, data), ((BINARY, data),))
    data = bytes(range(100))
    yield Case(
        "masks of its own for each fragment",
        b"".join(
            frame(
                BINARY if at == 0 else CONTINUATION,
                data[at : at + 7],
                fin=at + 7 >= 100,
                mask=bytes([at, 1, at ^ 255, 3]),
            )
            for at in range(0, 100, 7)
        ),
        ((BINARY, data),),
    )


def fragments() -> Iterator[Case]:
    text = "Hé😀!".encode()
    for opcode in (TEXT, BINARY):
        for at in range(len(text) + 1):
            wire = pieces(opcode, text, [at])
            yield Case(f"opcode {opcode} cut at {at}", wire, ((opcode, text),))
    every = list(range(1, len(text)))
    yield Case("a fragment for each byte", pieces(TEXT, text, every), ((TEXT, text),))
    yield Case("empty fragments", pieces(TEXT, b"", [0] * 10), ((TEXT, b""),))
    yield Case("empty ones between", pieces(TEXT, text, [0, 0, 2, 2, 2, 9, 9]), ((TEXT, text),))
    start, end = frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b")
    middle = frame(CONTINUATION, b"m", fin=False)
    for name, between, answer in (
        ("ping", frame(PING, b"?"), ((PONG, b"?"),)),
        ("pong", frame(PONG, b"!"), ()),
        ("two pings", frame(PING, b"1") + frame(PING, b"2"), ((PONG, b"1"), (PONG, b"2"))),
    ):
        yield Case(f"{name} between", start + between + end, (*answer, (TEXT, b"ab")))
        yield Case(
            f"{name} everywhere",
            between + start + between + middle + between + end + between,
            (*answer, *answer, *answer, (TEXT, b"amb"), *answer),
        )
    yield Case("close between", start + close(1000) + end, code=1000)
    for opcode in (TEXT, BINARY):
        for fin in (True, False):
            yield Case(
                f"opcode {opcode} between, final {fin}",
                start + frame(opcode, b"x", fin=fin) + end,
                code=PROTOCOL_ERROR,
            )
    for fin in (True, False):
        wire = frame(CONTINUATION, b"x", fin=fin)
        yield Case(f"continuation first, final {fin}", wire, code=PROTOCOL_ERROR)
        yield Case(
            f"continuation of an ended message, final {fin}",
            start + end + wire,
            ((TEXT, b"ab"),),
            PROTOCOL_ERROR,
        )
    yield Case(
        "messages one behind the other",
        start + end + frame(BINARY, b"\x00") + start + middle + end + frame(TEXT),
        ((TEXT, b"ab"), (BINARY, b"\x00"), (TEXT, b"amb"), (TEXT, b"")),
    )


VALID_TEXT = (
    "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufeff", "\ufffd", "\uffff",
    "\U00010000", "\U0003ffff", "\U0010ffff", "κόσμε", "日本語", "a\u0300",
    "x" * 40 + "é" + "y" * 40,
)  # fmt: skip

INVALID_TEXT = (
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
    b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xc3\x28",
    b"\xe2\x28\xa1", b"\xe2\x82\x28", b"\xf0\x28\x8c\xbc", b"\xf0\x90\x28\xbc", b"\xf0\x90\x8c\x28",
    b"\xc3\xc3", b"\xa9\xc3",
)  # fmt: skip

CUT_TEXT = (b"\xc3", b"\xe2\x82", b"\xe2", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98")


def utf8() -> Iterator[Case]:
    for text in VALID_TEXT:
        data = text.encode()
        name = data[-4:].hex()
        yield Case(f"text {name}", frame(TEXT, data), ((TEXT, data),))
        cuts = list(range(1, len(data)))
        yield Case(f"text {name} in bytes", pieces(TEXT, data, cuts), ((TEXT, data),))
    for data in INVALID_TEXT:
        name = data.hex()
        yield Case(f"no text {name}", frame(TEXT, data), code=BAD_DATA)
        yield Case(f"no text {name} later", frame(TEXT, b"abcdefgh" * 3 + data), code=BAD_DATA)
        # Seen before the message ends, and before the frame does.
        yield Case(f"no text {name} at once", frame(TEXT, data, fin=False), code=BAD_DATA)
        wire = frame(TEXT, data + b"*" * 90)[: 6 + len(data)]
        yield Case(f"no text {name} within a frame", wire, code=BAD_DATA)
        yield Case(f"bytes {name}", frame(BINARY, data), ((BINARY, data),))
    for data in CUT_TEXT:
        name = data.hex()
        yield Case(f"cut text {name}", frame(TEXT, b"a" + data), code=BAD_DATA)
        yield Case(f"cut text {name} in fragments", pieces(TEXT, b"a" + data, [1]), code=BAD_DATA)
        wire = frame(TEXT, data, fin=False) + frame(CONTINUATION, b"a")
        yield Case(f"cut text {name} goes on wrongly", wire, code=BAD_DATA)
        wire = frame(TEXT, data) + frame(TEXT, b"\xa9")
        yield Case(f"cut text {name}, the rest in another message", wire, code=BAD_DATA)
    wire = frame(TEXT, b"a\xc3", fin=False) + frame(PING, b"\xff") + frame(CONTINUATION, b"\xa9")
    yield Case("a ping within a character", wire, ((PONG, b"\xff"), (TEXT, b"a\xc3\xa9")))


def closing() -> Iterator[Case]:
    for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3001, 3999, 4000, 4321, 4999):
        yield Case(f"close {code}", close(code), code=code)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535):
        yield Case(f"close {code}", close(code), code=PROTOCOL_ERROR)
    yield Case("close without a code", frame(CLOSE), code=1005)
    yield Case("close with half a code", frame(CLOSE, b"\x03"), code=PROTOCOL_ERROR)
    for reason in (b"bye", "tschüß 😀".encode(), b"*" * 122, b"*" * 123, b"\0"):
        yield Case(f"reason of {len(reason)} bytes", close(1000, reason), code=1000)
    for reason in (b"\xff", b"abc\xc3", b"\xed\xa0\x80", b"*" * 122 + b"\xe2"):
        yield Case(f"reason {reason[-3:].hex()}", close(1000, reason), code=BAD_DATA)
    yield Case("reason of 124 bytes", close(1000, b"*" * 124), code=PROTOCOL_ERROR)
    for name, more in (
        ("a message", frame(TEXT, b"late")),
        ("a ping", frame(PING)),
        ("a second close", close(4000)),
        ("nonsense", b"\xff" * 40),
    ):
        yield Case(f"{name} behind the close", close(1001) + more, code=1001)
        yield Case(f"{name} behind a fault", frame(3) + more, code=PROTOCOL_ERROR)
    yield Case(
        "close behind messages",
        frame(TEXT, b"1") + frame(PING) + close(1000),
        ((TEXT, b"1"), (PONG, b"")),
        1000,
    )


class Packer:
    """Compressed payloads of one connection; its context goes from message to message."""

    def __init__(self, level: int = 6, bits: int = 12) -> None:
        self.out = zlib.compressobj(level, wbits=-bits)

    def __call__(self, data: bytes) -> bytes:
        return (self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH))[:-4]


HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def compressed() -> Iterator[Case]:
    def case(name: str, wire: bytes, *answer: tuple[int, bytes], code: int | None = None) -> Case:
        return Case(f"compressed: {name}", wire, answer, code, deflate=True)

    hello = (TEXT, b"Hello")
    one = frame(TEXT, HELLO, rsv=RSV1)
    yield case("Hello", one, hello)
    yield case("bytes", frame(BINARY, HELLO, rsv=RSV1), (BINARY, b"Hello"))
    yield case("not compressed after all", frame(TEXT, b"Hello"), hello)
    yield case(
        "the context goes on", one + frame(TEXT, b"\xf2\x00\x11\x00\x00", rsv=RSV1), hello, hello
    )
    yield case("a stored block", frame(TEXT, b"\x00\x05\x00\xfa\xffHello\x00", rsv=RSV1), hello)
    yield case("a last block", frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", rsv=RSV1), hello)
    yield case(
        "a last block, and on",
        frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", rsv=RSV1)
        + frame(TEXT, b"\xf2\x00\x11\x00\x00", rsv=RSV1),
        hello,
        hello,
    )
    two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
    yield case("two blocks", frame(TEXT, two, rsv=RSV1), hello)
    yield case("nothing", frame(TEXT, b"\x00", rsv=RSV1), (TEXT, b""))
    for at in range(len(HELLO) + 1):
        yield case(f"cut at {at}", pieces(TEXT, HELLO, [at], rsv=RSV1), hello)
    every = list(range(1, len(HELLO)))
    yield case("in bytes", pieces(TEXT, HELLO, every, rsv=RSV1), hello)
    yield case(
        "a ping between",
        frame(TEXT, HELLO[:3], fin=False, rsv=RSV1) + frame(PING, b"?")
        + frame(CONTINUATION, HELLO[3:]),
        (PONG, b"?"), hello,
    )  # fmt: skip
    yield case("plain between", one + frame(TEXT, b"plain") + one, hello, (TEXT, b"plain"), hello)
    for level in (0, 1, 6, 9):
        for size in (0, 1, 100, 127):
            data = (b"abc" * 50)[:size]
            wire = frame(BINARY, Packer(level)(data), rsv=RSV1)
            yield case(f"{size} bytes, level {level}", wire, (BINARY, data))
    packer = Packer()
    texts = [f"é{n % 3}" * n for n in range(1, 12)]
    yield case(
        "a conversation",
        b"".join(frame(TEXT, packer(text.encode()), rsv=RSV1) for text in texts),
        *((TEXT, text.encode()) for text in texts),
    )
    for name, payload in (
        ("no block", b""),
        ("a block of no kind", b"\x06"),
        ("noise", b"\xff\xff\xff\xff"),
        ("cut", HELLO[:4]),
        ("a stored block of the wrong length", b"\x00\x05\x00\xfa\xfeHello\x00"),
        ("refers to nothing", b"\xf2\x00\x11\x00\x00"),
        ("a last block and no more", b"\xf3\x48\xcd\xc9\xc9\x07\x00"),
    ):
        yield case(name, frame(BINARY, payload, rsv=RSV1), code=PROTOCOL_ERROR)
        if name != "refers to nothing":
            later = one + frame(BINARY, b"x") + frame(TEXT, payload, rsv=RSV1)
            yield case(f"{name}, later", later, hello, (BINARY, b"x"), code=PROTOCOL_ERROR)
    for data in INVALID_TEXT[:12]:
        wire = frame(TEXT, Packer()(data), rsv=RSV1)
        yield case(f"no text {data.hex()}", wire, code=BAD_DATA)
        wire = frame(TEXT, Packer()(data) + b"\x00\x00\xff\xff", fin=False, rsv=RSV1)
        yield case(f"no text {data.hex()} at once", wire, code=BAD_DATA)
    for data in CUT_TEXT:
        wire = frame(TEXT, Packer()(b"a" + data), rsv=RSV1)
        yield case(f"cut text {data.hex()}", wire, code=BAD_DATA)
    for size, code in ((MAX_SIZE + 1, TOO_BIG), (10 * MAX_SIZE, TOO_BIG)):
        wire = frame(BINARY, Packer()(b"*" * size), rsv=RSV1)
        yield case(f"{size} bytes", wire, code=code)
    yield case("continuation says so, too",
               frame(TEXT, HELLO[:3], fin=False, rsv=RSV1)
               + frame(CONTINUATION, HELLO[3:], rsv=RSV1), code=PROTOCOL_ERROR)  # fmt: skip
    yield case("only the continuation says so",
               frame(TEXT, HELLO[:3], fin=False) + frame(CONTINUATION, HELLO[3:], rsv=RSV1),
               code=BAD_DATA)  # fmt: skip


def all_cases() -> list[Case]:
    """Every case, names unique."""
    cases = [
        case
        for family in (
            opcodes,
            reserved_bits,
            lengths,
            control_frames,
            masks,
            fragments,
            utf8,
            closing,
            compressed,
        )
        for case in family()
    ]
    assert len({case.name for case in cases}) == len(cases)
    return cases
