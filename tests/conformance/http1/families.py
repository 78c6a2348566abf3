# SPDX-License-Identifier: MIT
"""Families of raw HTTP/1.1 exchanges: one rule each, tried with every byte or word that matters.

The hand-written cases are in the JSON files beside this one; both have the same shape. A case says
what casgi must answer: one status per response, and after the last the connection stays open for
the next request unless that status is an error or the case says ``"closes": true``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Case = dict[str, Any]

HEAD = "POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"

METHODS = """
DELETE GET POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND
UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE
MKCALENDAR LINK UNLINK
"""

CONTROLS = [n for n in range(0x20) if n not in (0x09, 0x0A, 0x0D)] + [0x7F]


def case(name: str, data: str, *statuses: int, **more: Any) -> Case:
    return {"name": name, "input": data, "statuses": list(statuses), **more}


def request_lines() -> Iterator[Case]:
    tail = "Host: h\r\n\r\n"
    for method in METHODS.split():
        yield case(f"method {method}", f"{method} / HTTP/1.1\r\n{tail}", 200)
    for method in ("GETT", "G", "FOO", "get", "Get", "BREW", "GET-X", "X" * 30):
        yield case(f"method {method} is not known", f"{method} / HTTP/1.1\r\n{tail}", 501)
    for text in ("GE T", "G@T", "GET,", "G\u00e9T", "(GET)", '"GET"', "GET/", "GET:", "[GET]"):
        yield case(f"method {text!r} is no token", f"{text} / HTTP/1.1\r\n{tail}", 400)
    for byte in [*CONTROLS, 0x09, 0x0A, 0x0D, 0x80, 0x85, 0xA0, 0xFF]:
        name = f"byte {byte:02x}"
        yield case(f"{name} in the method", f"G{chr(byte)}T / HTTP/1.1\r\n{tail}", 400)
        yield case(f"{name} for the first space", f"GET{chr(byte)}/ HTTP/1.1\r\n{tail}", 400)
        yield case(f"{name} in the path", f"GET /a{chr(byte)}b HTTP/1.1\r\n{tail}", 400)
        yield case(f"{name} in the query", f"GET /?a{chr(byte)}b HTTP/1.1\r\n{tail}", 400)
        yield case(f"{name} for the second space", f"GET /{chr(byte)}HTTP/1.1\r\n{tail}", 400)
        yield case(f"{name} behind the version", f"GET / HTTP/1.1{chr(byte)}\r\n{tail}", 400)
    for byte in range(0x21, 0x7F):
        if chr(byte) not in "#?%" and not chr(byte).isalnum():
            yield case(f"{chr(byte)!r} in the path", f"GET /a{chr(byte)}b HTTP/1.1\r\n{tail}", 200)
    for version in ("2.0", "3.0", "0.9", "1.2", "1.9", "9.9"):
        yield case(f"version {version}", f"GET / HTTP/{version}\r\n{tail}", 505)
    for version in (
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/11",
        "HTTP/1",
        "HTTP/1.1.1",
        "HTTP/.1",
        "HTTP/+1.1",
        "HTTP/1,1",
        "HTTP/ 1.1",
        "HTTP /1.1",
        "HTTP/x.y",
        "HTTPS/1.1",
        "HTTP1.1",
        "http/1.1",
        "Http/1.1",
        "ICE/1.0",
        "RTSP/1.0",
        "HTTP/1.\u0661",
    ):
        yield case(f"version {version!r}", f"GET / {version}\r\n{tail}", 400)
    for target, status in (
        ("http://h/", 200),
        ("HTTP://h/", 200),
        ("https://h/x?y", 200),
        ("http://h", 200),
        ("http://h:80", 200),
        ("http://h?q", 200),
        ("http://[::1]:8/", 200),
        ("http://", 400),
        ("http:///", 400),
        ("http:/h/", 400),
        ("http:h", 400),
        ("http://h:x/", 400),
        ("http://a@h/", 400),
        ("http://a:b@h/", 400),
        ("http://h\\x/", 400),
        ("http://[::1/", 400),
        ("ftp://h/", 400),
        ("ws://h/", 400),
        ("file:///etc/passwd", 400),
        ("h:80", 400),
        ("h", 400),
        ("?q", 400),
        ("#f", 400),
        ("*", 400),
        ("/*", 200),
        ("//", 200),
        ("//h/x", 200),
        ("/..", 200),
        ("/%", 200),
        ("/%zz", 200),
        ("/%00", 200),
        ("/%2f", 200),
        ("/a#f", 200),
        ("/?", 200),
        ("/??", 200),
        ("/?a=b&c", 200),
        ("/;a=b", 200),
    ):
        yield case(f"target {target}", f"GET {target} HTTP/1.1\r\n{tail}", status)
    yield case("target * with OPTIONS", f"OPTIONS * HTTP/1.1\r\n{tail}", 200)
    yield case("target *x with OPTIONS", f"OPTIONS *x HTTP/1.1\r\n{tail}", 400)
    for target in ("h:80", "/", "http://h/", "h"):
        yield case(f"CONNECT {target}", f"CONNECT {target} HTTP/1.1\r\n{tail}", 501)
    yield case("absolute form beats Host", f"GET http://one/ HTTP/1.1\r\n{tail}", 200)
    yield case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    yield case("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400)
    yield case("only a line end, then a request", f"\r\nGET / HTTP/1.1\r\n{tail}", 200)
    yield case("LF, then a request", f"\nGET / HTTP/1.1\r\n{tail}", 400)
    yield case("CR, then a request", f"\rGET / HTTP/1.1\r\n{tail}", 400)
    yield case("HTTP/0.9", "GET /\r\n", 400)


def hosts() -> Iterator[Case]:
    for host, status in (
        ("h", 200),
        ("", 200),
        ("h:", 200),
        ("h:0", 200),
        ("h:65535", 200),
        ("H.Example.", 200),
        ("a_b", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("[::1]", 200),
        ("[::ffff:1.2.3.4]:80", 200),
        ("xn--nxasmq6b", 200),
        ("a%20b", 200),
        ("h h", 400),
        ("h\th", 400),
        ("a, b", 400),
        ("h/", 400),
        ("/h", 400),
        ("http://h", 400),
        ("a@h", 400),
        ("h?x", 400),
        ("h#x", 400),
        ("h:80:80", 400),
        ("h:8 0", 400),
        ("h:-1", 400),
        ("h:+1", 400),
        ("h:80x", 400),
        ("::1", 400),
        ("[::1", 400),
        ("::1]", 400),
        ("[]", 400),
        ("[::1]x", 400),
        ("[g h]", 400),
        ("h\\", 400),
        ('"h"', 400),
        ("<h>", 400),
        ("h|h", 400),
        ("h^", 400),
        ("{h}", 400),
        ("\u00e9", 400),
        ("a%2", 400),
        ("a%zz", 400),
        ("%", 400),
    ):
        yield case(f"Host {host!r}", f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n", status)
    for version, status in (("1.0", 200), ("1.1", 400)):
        data = f"GET / HTTP/{version}\r\n\r\n"
        yield case(f"no Host on {version}", data, status, closes=version == "1.0")
    for second in ("Host: h", "host: h", "HOST: other", "Host:"):
        yield case(f"Host and {second!r}", f"GET / HTTP/1.1\r\nHost: h\r\n{second}\r\n\r\n", 400)
        yield case(
            f"Host and {second!r} on 1.0", f"GET / HTTP/1.0\r\nHost: h\r\n{second}\r\n\r\n", 400
        )


def fields() -> Iterator[Case]:
    head = "GET / HTTP/1.1\r\nHost: h\r\n"
    for byte in range(256):
        char = chr(byte)
        token = char.isascii() and (char.isalnum() or char in "!#$%&'*+-.^_`|~")
        if byte not in (0x0A, 0x0D, 0x3A) and not (token and char.isalnum()):
            yield case(
                f"byte {byte:02x} in a name", f"{head}X{char}Y: z\r\n\r\n", 200 if token else 400
            )
        value = byte == 0x09 or 0x20 <= byte < 0x7F or byte >= 0x80
        if byte in (0x09, 0x0A, 0x0D) or byte in CONTROLS or byte >= 0xF8:
            yield case(
                f"byte {byte:02x} in a value", f"{head}X: a{char}b\r\n\r\n", 200 if value else 400
            )
        if byte in CONTROLS or byte in (0x09, 0x0A, 0x0D, 0x20, 0x85, 0xA0):
            yield case(f"byte {byte:02x} before a colon", f"{head}X{char}: y\r\n\r\n", 400)
            yield case(f"byte {byte:02x} begins a line", f"{head}{char}X: y\r\n\r\n", 400)
            yield case(
                f"byte {byte:02x} behind Content-Length's value",
                f"{HEAD}Content-Length: 1{char}\r\n\r\na",
                200 if byte == 0x20 else 400,
            )
    for end in ("\n", "\r", "\r\r\n", "\n\r", "\r\n\r", "\n\n", "\0\r\n"):
        yield case(f"{end!r} for a line end", f"{head}X: y{end}Y: z\r\n\r\n", 400)
        yield case(f"{end!r} behind the request line", f"GET / HTTP/1.1{end}Host: h\r\n\r\n", 400)
    for fold in (" ", "\t", "  ", " \t "):
        yield case(f"fold with {fold!r}", f"{head}X: y\r\n{fold}z\r\n\r\n", 400)
        yield case(f"empty fold with {fold!r}", f"{head}X: y\r\n{fold}\r\n\r\n", 400)
        yield case(
            f"folded Transfer-Encoding with {fold!r}",
            f"{HEAD}Transfer-Encoding:\r\n{fold}chunked\r\n\r\n0\r\n\r\n",
            400,
        )
    for count, status in ((255, 200), (256, 431), (2000, 431)):
        yield case(f"{count} fields more", head + "X: y\r\n" * count + "\r\n", status)
    yield case("a long name", f"{head}{'n' * 256}: y\r\n\r\n", 200)
    yield case("a longer name", f"{head}{'n' * 257}: y\r\n\r\n", 431)


def lengths() -> Iterator[Case]:
    for value, status in (
        ("3", 200),
        ("03", 200),
        ("0000000000000000003", 200),
        ("  3  ", 200),
        ("\t3", 200),
        ("+3", 400),
        ("-3", 400),
        ("-0", 400),
        ("3.0", 400),
        ("3e0", 400),
        ("0x3", 400),
        ("3a", 400),
        ("a3", 400),
        ("3 3", 400),
        ("3,3", 400),
        ("3, 3", 400),
        ("3,4", 400),
        (",3", 400),
        ("3,", 400),
        ("3;", 400),
        ('"3"', 400),
        ("", 400),
        (" ", 400),
        ("\u0663", 400),
        ("3_0", 400),
        ("9223372036854775808", 400),
        ("18446744073709551616", 400),
        ("18446744073709551619", 400),
        ("99999999999999999999999", 400),
        ("three", 400),
        ("nan", 400),
    ):
        yield case(f"length {value!r}", f"{HEAD}Content-Length: {value}\r\n\r\nabc", status)
    for first, second in (("3", "3"), ("3", "4"), ("0", "3"), ("3", ""), ("", "3"), ("3", "+3")):
        yield case(
            f"lengths {first!r} and {second!r}",
            f"{HEAD}Content-Length: {first}\r\ncontent-length: {second}\r\n\r\nabc",
            400,
        )
    for name in ("Content-Length", "CONTENT-LENGTH", "content-length", "cOnTeNt-LeNgTh"):
        yield case(f"{name} is known", f"{HEAD}{name}: 3\r\n\r\nabc", 200)
    for name in ("Content_Length", "Content-Length-", "X-Content-Length"):
        yield case(f"{name} is another field", f"{HEAD}{name}: 3\r\n\r\n", 200)
    for method in ("GET", "DELETE", "OPTIONS"):
        data = f"{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        yield case(f"{method} with a body", data, 200)
    yield case(
        "length on HTTP/1.0", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", 200, closes=True
    )
    yield case("no length on HTTP/1.0", "POST / HTTP/1.0\r\n\r\nabc", 200, closes=True)
    yield case("no length, no body", f"{HEAD}\r\n", 200)


def codings() -> Iterator[Case]:
    end = "\r\n\r\n0\r\n\r\n"
    for value, status in (
        ("chunked", 200),
        ("Chunked", 200),
        ("cHuNkEd", 200),
        (" chunked ", 200),
        ("\tchunked", 200),
        ("chunked,", 400),
        (",chunked", 400),
        (", chunked", 400),
        ("chunked,chunked", 400),
        ("chunked, chunked", 400),
        ("chunked, identity", 400),
        ("identity, chunked", 501),
        ("identity", 400),
        ("gzip", 400),
        ("gzip, chunked", 501),
        ("deflate, gzip, chunked", 501),
        ("x, chunked", 501),
        ("chunked, gzip", 400),
        ("chunked;q=1", 400),
        ("chunked;", 400),
        ("chunked ; a", 400),
        ("chunke", 400),
        ("chunkedd", 400),
        ("xchunked", 400),
        ("x chunked", 400),
        ("chunked x", 400),
        ("chunked\x00", 400),
        ("chunked\x0b", 400),
        ("\x0bchunked", 400),
        ("\x0cchunked", 400),
        ('"chunked"', 400),
        ("'chunked'", 400),
        ("(chunked)", 400),
        ("[chunked]", 400),
        ("chunked\u00a0", 400),
        ("\u00a0chunked", 400),
        ("chu nked", 400),
        ("chunKed\u212a", 400),
        ("", 400),
        (" ", 400),
        (",", 400),
        ("trailers", 400),
    ):
        if value.isprintable() and not value.isascii():
            value = value.encode("utf-8").decode("latin-1")
        yield case(f"coding {value!r}", f"{HEAD}Transfer-Encoding: {value}{end}", status)
    for name, status in (
        ("Transfer-Encoding ", 400),
        ("Transfer-Encoding\t", 400),
        (" Transfer-Encoding", 400),
        ("Transfer\x00-Encoding", 400),
        ("Transfer-Encoding\x0b", 400),
        ("Transfer-Encoding\u00a0", 400),
        ("TRANSFER-ENCODING", 200),
        ("transfer-encoding", 200),
    ):
        yield case(f"name {name!r}", f"{HEAD}{name}: chunked{end}", status)
    for name in ("Transfer_Encoding", "Transfer-Encodin", "X-Transfer-Encoding"):
        yield case(f"{name} means nothing", f"{HEAD}{name}: chunked\r\n\r\n", 200)
    for first, second in (
        ("chunked", "chunked"),
        ("chunked", "identity"),
        ("chunked", ""),
        ("", "chunked"),
        ("chunked", "x"),
    ):
        yield case(
            f"codings {first!r} and {second!r}",
            f"{HEAD}Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}{end}",
            400,
        )
    for first in ("x", "identity"):
        yield case(
            f"codings {first!r} and 'chunked'",
            f"{HEAD}Transfer-Encoding: {first}\r\nTransfer-Encoding: chunked{end}",
            501,
        )
    for coding in ("chunked", "identity", "gzip", "x, chunked", "", "chunked, x"):
        for length in ("0", "5", "", "x"):
            for order in (0, 1):
                lines = [f"Transfer-Encoding: {coding}", f"Content-Length: {length}"]
                both = "\r\n".join(lines[::-1] if order else lines)
                yield case(f"{both!r}", f"{HEAD}{both}{end}", 400)
    for version in ("1.0",):
        for more in ("", "Connection: keep-alive\r\n"):
            yield case(
                f"chunked on {version} {more!r}",
                f"POST / HTTP/{version}\r\nHost: h\r\n{more}Transfer-Encoding: chunked{end}",
                400,
            )
    yield case(
        "GET with a chunked body",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
    )
    yield case(
        "TE.CL probe",
        f"{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5c\r\nGPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
        400,
    )
    yield case(
        "CL.TE probe",
        f"{HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
    )
    yield case(
        "CL.0 probe",
        f"{HEAD}Content-Length: 39\r\n\r\nGET /hidden HTTP/1.1\r\nX: 1\r\nHost: h\r\n\r\n",
        200,
    )


def chunks() -> Iterator[Case]:
    for size, status in (
        ("3", 200),
        ("03", 200),
        ("0000000000000003", 200),
        ("3;a", 200),
        ("3;a=b", 200),
        ('3;a="b c"', 200),
        ("3;a;b;c=d", 200),
        ("3;", 400),
        ("3; a", 200),
        ("3;\u00e9", 400),
        ("3 ", 400),
        ("3\t", 400),
        ("3 ;a", 400),
        (" 3", 400),
        ("\t3", 400),
        ("+3", 400),
        ("-3", 400),
        ("0x3", 400),
        ("3h", 400),
        ("3,3", 400),
        ("3=a", 400),
        ("3\x00", 400),
        ("3;\x00", 400),
        ("3;a\x0bb", 400),
        ("3;a\x7f", 400),
        ("3;a\nb", 400),
        ("3;a\rb", 400),
        ("3\r", 400),
        ("", 400),
        (";a", 400),
        ("g", 400),
        ("\uff13".encode().decode("latin-1"), 400),
        ("80000000000000003", 400),
        ("10000000000000003", 400),
        ("fffffffffffffffff", 400),
        ("8000000000000000", 400),
        ("0" * 64 + "3", 400),
        ("3_", 400),
        ("3.0", 400),
        ('"3"', 400),
    ):
        yield case(
            f"chunk size {size!r}", f"{CHUNKED}{size}\r\nabc\r\n0\r\n\r\n", status, begins=True
        )
        if status == 400:
            last = size.replace("3", "0")
            if set(last) - set("0"):
                yield case(
                    f"last chunk {last!r}",
                    f"{CHUNKED}3\r\nabc\r\n{last}\r\n\r\n",
                    400,
                    begins=True,
                )
    for end in ("\n", "\r", "\r\r\n", "\n\r\n", "\r\n\r\n", "", "x\r\n", " \r\n", "\0\r\n"):
        yield case(f"{end!r} behind a chunk", f"{CHUNKED}3\r\nabc{end}0\r\n\r\n", 400, begins=True)
        if end:
            yield case(
                f"{end!r} behind a chunk's size",
                f"{CHUNKED}3{end}abc\r\n0\r\n\r\n",
                400,
                begins=True,
            )
        yield case(
            f"{end!r} behind the last chunk's size",
            f"{CHUNKED}0{end}X: y\r\n\r\n",
            200 if end == "\r\n\r\n" else 400,
            begins=True,
            **({"statuses": [200, 400]} if end == "\r\n\r\n" else {}),
        )
    for trailer, status in (
        ("X: y", 200),
        ("X:y", 200),
        ("X:", 200),
        ("X: \u00e9", 200),
        ("Content-Length: 5", 400),
        ("Transfer-Encoding: chunked", 400),
        ("Host: other", 200),
        ("X : y", 400),
        ("X\t: y", 400),
        (" X: y", 400),
        ("\tX: y", 400),
        ("X", 400),
        (": y", 400),
        ("X\x00: y", 400),
        ("X: \x00", 400),
        ("X: \x0b", 400),
        ("X: \x7f", 400),
        ("X: a\nY: b", 400),
        ("X: a\rY: b", 400),
        ("X: a\r\n b", 400),
        ("X(: y", 400),
        ("X\u00e9: y", 400),
        ("GET / HTTP/1.1", 400),
    ):
        yield case(
            f"trailer {trailer!r}",
            f"{CHUNKED}3\r\nabc\r\n0\r\n{trailer}\r\n\r\n",
            status,
            begins=True,
        )
    for sizes in ((1,), (1, 1, 1), (16, 1), (255, 256), (4096,), (70_000,)):
        body = "".join(f"{n:x}\r\n{'b' * n}\r\n" for n in sizes)
        yield case(f"chunks of {sizes}", f"{CHUNKED}{body}0\r\n\r\n", 200)
    yield case(
        "signed chunks", CHUNKED + ("a;s=" + "f" * 85 + "\r\n0123456789\r\n") * 5 + "0\r\n\r\n", 200
    )
    yield case(
        "a long extension", f"{CHUNKED}3;{'e' * 20_000}\r\nabc\r\n0\r\n\r\n", 431, begins=True
    )
    yield case(
        "many extensions", CHUNKED + f"1;{'e' * 1000}\r\na\r\n" * 20 + "0\r\n\r\n", 431, begins=True
    )
    yield case("long trailers", f"{CHUNKED}0\r\nX: {'t' * 70_000}\r\n\r\n", 431, begins=True)
    yield case("many trailers", f"{CHUNKED}0\r\n" + "X: y\r\n" * 300 + "\r\n", 431, begins=True)


def connections() -> Iterator[Case]:
    for value, closes in (
        ("close", True),
        ("Close", True),
        ("CLOSE", True),
        ("keep-alive, close", True),
        ("close, keep-alive", True),
        ("x, close", True),
        (" close ", True),
        ("keep-alive", False),
        ("x", False),
        ("closed", False),
        ("clos", False),
        ("x-close", False),
        ("", False),
        (",", False),
        ("te", False),
        ("upgrade", False),
    ):
        yield case(
            f"Connection {value!r}",
            f"GET / HTTP/1.1\r\nHost: h\r\nConnection: {value}\r\n\r\n",
            200,
            closes=closes,
        )
    yield case(
        "Connection twice",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n",
        200,
        closes=True,
    )
    yield case("HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", 200, closes=True)
    yield case("HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200)
    yield case(
        "HTTP/1.0 keep-alive and close",
        "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        200,
        closes=True,
    )
    one = "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n"
    for count in (2, 3, 10, 50):
        data = "".join(one.format(n) for n in range(count))
        yield case(f"{count} pipelined", data, *[200] * count)
    yield case("empty lines between", one.format(1) + "\r\n\r\n" + one.format(2), 200, 200)
    yield case("garbage between", one.format(1) + "\0" + one.format(2), 200, 400)
    for upgrade in ("h2c", "foo", "TLS/1.0", "websocket/99, x"):
        head = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"
        yield case(f"GET with Upgrade {upgrade!r}", f"GET / HTTP/1.1\r\nHost: h\r\n{head}\r\n", 200)
        yield case(
            f"POST with Upgrade {upgrade!r}", f"{HEAD}{head}Content-Length: 3\r\n\r\nabc", 200
        )
        yield case(
            f"chunked POST with Upgrade {upgrade!r}",
            f"{HEAD}{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            200,
        )
    yield case(
        "Upgrade without Connection",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        200,
    )
    for value in ("100-continue", "100-Continue", "x", "100-continue, x", ""):
        yield case(
            f"Expect {value!r} with the body there",
            f"{HEAD}Expect: {value}\r\nContent-Length: 3\r\n\r\nabc",
            200,
        )
    yield case(
        "Expect without a body", "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", 200
    )


def responses() -> Iterator[Case]:
    """What becomes of answers: the path names what the application does (see the test)."""
    get = "GET {} HTTP/1.1\r\nHost: h\r\n\r\n"
    for path, status, closes in (
        ("/stream", 200, False),
        ("/length", 200, False),
        ("/empty", 200, False),
        ("/204", 204, False),
        ("/304", 304, False),
        ("/205", 205, False),
        ("/404", 404, False),
        ("/299", 299, False),
        ("/599", 599, False),
        ("/app-close", 200, True),
        ("/app-keep-alive", 200, False),
        ("/app-chunked", 200, False),
        ("/raise", 500, True),
        ("/return", 500, True),
        ("/raise-after", 200, True),
        ("/over", 200, True),
        ("/under", 200, True),
        ("/bad-name", 500, True),
        ("/bad-value", 500, True),
        ("/early", 200, False),
        ("/many", 200, False),
    ):
        yield case(f"app {path}", get.format(path), status, closes=closes)
        if path not in ("/over", "/under", "/raise-after"):
            yield case(
                f"app {path} on HTTP/1.0", f"GET {path} HTTP/1.0\r\n\r\n", status, closes=True
            )
            head = f"HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n"
            yield case(f"app {path} for HEAD", head, status, closes=closes)
    chunked = "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield case(
        "app /early leaves a body",
        "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde",
        200,
    )
    yield case(
        "app /early leaves chunks",
        f"POST /early HTTP/1.1\r\n{chunked}3\r\nabc\r\n0\r\n\r\n",
        200,
    )
    yield case(
        "app /early leaves broken chunks",
        f"POST /early HTTP/1.1\r\n{chunked}3\r\nabc\r\nzz\r\n",
        400,
        begins=True,
    )


def all_families() -> list[Case]:
    """Every generated case, names unique."""
    makers = (
        request_lines,
        hosts,
        fields,
        lengths,
        codings,
        chunks,
        connections,
        responses,
    )
    return [
        case | {"name": f"{maker.__name__}: {case['name']}"} for maker in makers for case in maker()
    ]
