# SPDX-License-Identifier: MIT
"""Formats of the access log, JSON lines, and what is noted of an exchange."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import time

import pytest

from asgiserver.accesslog import ATOMS, Exchange, Recorder, compile_format, note
from asgiserver.logs import AccessFormatter, JSONFormatter

COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'


def exchange(text: str = "%(r)s", **changes) -> Exchange:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1",
        "http_version": "1.1",
        "scheme": "https",
        "client": ("10.0.0.1", 5000),
        "headers": [
            (b"authorization", b"Basic " + base64.b64encode(b"ann:secret")),
            (b"user-agent", b'curl" \x1b[2J'),
            (b"accept", b"a"),
            (b"accept", b"b"),
        ],
        **changes,
    }
    made = Exchange(scope, compile_format(text))
    made.status, made.sent, made.duration, made.at = 200, 12, 1.2345678, 0
    made.response_headers = [(b"x-cache", b"hit")]
    return made


def test_combined_format():
    line = str(exchange(COMBINED))
    pattern = (
        r'10\.0\.0\.1 - ann \[0?1/Jan/1970:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a%20b\?x=1 HTTP/1.1" '
    )
    assert re.match(pattern, line) or "31/Dec/1969" in line
    assert line.endswith('200 12 "-" "curl\\x22 \\x1b[2J"')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%(T)s %(M)s %(D)s %(L)s %(dt_ms)s", "1 1234 1234567 1.234568 1234.568"),
        ("%(m)s %(U)s %(q)s %(H)s %(scheme)s", "GET /a%20b x=1 HTTP/1.1 https"),
        ("%({Accept}i)s %({x-cache}o)s %({none}i)s", "a,b hit -"),
        ("%(status_code)s %(client_addr)s %(B)d", "200 OK 10.0.0.1:5000 12"),
        ("%(levelprefix)s 100%% %(addr)s", "100% 10.0.0.1"),
        ("%({CASGI_TEST_ATOM}e)s", "here"),
    ],
)
def test_atoms(text, line, monkeypatch):
    monkeypatch.setenv("CASGI_TEST_ATOM", "here")
    assert str(exchange(text)) == line


def test_every_atom_works_with_nothing_known():
    bare = {"client": None, "headers": [], "query_string": b"", "raw_path": None, "method": "GET"}
    for name in ATOMS:
        assert isinstance(str(exchange(f"%({name})s", **bare)), str)
    assert str(exchange("%(h)s %(u)s", **bare)) == "- -"


@pytest.mark.parametrize("value", [b"Basic !!", b"Bearer x", b"Basic"])
def test_no_user(value):
    assert exchange(headers=[(b"authorization", value)]).user == ""


@pytest.mark.parametrize("text", ["%(nothing)s", "50 % off", "%h", "%({x}z)s", "%(h)"])
def test_wrong_formats(text):
    with pytest.raises(ValueError, match="access_log_format"):
        compile_format(text)


def record(message, **extra) -> logging.LogRecord:
    logger = logging.getLogger("asgiserver.access")
    return logger.makeRecord(logger.name, logging.INFO, "f", 1, message, (), None, extra=extra)


def test_json_of_an_exchange():
    line = json.loads(JSONFormatter().format(record(exchange(), tenant="t1")))
    assert line["time"].endswith("Z")
    assert (line["level"], line["logger"], line["tenant"]) == ("info", "asgiserver.access", "t1")
    assert (line["method"], line["path"], line["query"]) == ("GET", "/a%20b", "x=1")
    assert (line["status"], line["bytes"], line["duration_ms"]) == (200, 12, 1234.568)
    assert "request_id" not in line
    assert "message" not in line


def test_json_of_a_message_with_a_traceback():
    try:
        raise KeyError("x")
    except KeyError as error:
        info = (KeyError, error, error.__traceback__)
    made = logging.LogRecord("n", logging.ERROR, "f", 1, "went %s\n", ("wrong",), info)
    text = JSONFormatter().format(made)
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "went wrong"
    assert "KeyError: 'x'" in line["exception"]


def test_uvicorn_s_formatter_shows_an_exchange():
    formatter = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s')
    assert formatter.format(record(exchange())) == '10.0.0.1:5000 "GET /a%20b HTTP/1.1" 200 OK'


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.seen = []

    def emit(self, made):
        self.seen.append(made.msg)


@pytest.fixture
def recorded():
    """Runs an application in a Recorder; gives the exchanges logged by then, and what was sent."""
    logger = logging.Logger("recorded")
    lines = Lines()
    logger.addHandler(lines)

    def run(app, kind="http"):
        sent = []

        async def send(message):
            sent.append(message["type"])

        scope = {"type": kind, "path": "/", "headers": [], "client": None, "method": "GET"}
        asyncio.run(Recorder(app, compile_format("%(s)s"), logger.info)(scope, None, send))
        return lines.seen, sent

    run.lines = lines.seen
    return run


def test_logged_when_the_response_is_complete(recorded):
    seen_inside = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        seen_inside.append(len(recorded.lines))
        await send({"type": "http.response.body", "body": b"45"})
        seen_inside.append(len(recorded.lines))
        time.sleep(0.05)  # A background task is not part of the response.

    (line,), sent = recorded(app)
    assert seen_inside == [0, 1]
    assert len(sent) == 3
    assert (line.status, line.sent) == (201, 5)
    assert 0 < line.duration < 0.05
    assert list(line.response_headers) == [(b"a", b"b")]


def test_an_exception_is_logged_as_500_and_goes_on(recorded):
    async def app(scope, receive, send):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        recorded(app)
    assert [line.status for line in recorded.lines] == [500]


def test_websocket(recorded):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "\xe9"})
        await send({"type": "websocket.send", "bytes": b"123", "text": None})
        await send({"type": "websocket.close"})

    (line,), _ = recorded(app, "websocket")
    assert (line.status, line.sent) == (101, 5)


def test_refused_websocket(recorded):
    async def app(scope, receive, send):
        await send({"type": "websocket.close"})

    (line,), _ = recorded(app, "websocket")
    assert line.status == 403


def test_lifespan_is_left_alone(recorded):
    async def app(scope, receive, send):
        await send({"type": "lifespan.startup.complete"})

    assert recorded(app, "lifespan") == ([], ["lifespan.startup.complete"])


def test_pathsend(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"1234")
    made = exchange()
    made.sent = 0
    assert note(made, {"type": "http.response.pathsend", "path": str(path)})
    assert made.sent == 4
