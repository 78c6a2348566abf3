# SPDX-License-Identifier: MIT
"""Ids of requests, and traces that go through the server."""

from __future__ import annotations

import json
import re

import pytest
from casgi_process import Casgi, casgi
from websockets.sync.client import connect

ARGUMENTS = ("request_apps:app", "--request-id-header", "X-Request-ID")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def headers_of(answer) -> dict[str, str]:
    """What the application got."""
    return dict(answer.json()["headers"])


@pytest.fixture(scope="module")
def server():
    with casgi(*ARGUMENTS, "--workers", "2", "--log-format", "json") as running:
        yield running


def test_everybody_gets_one(server):
    ids = set()
    for _ in range(5):
        answer = server.get("/")
        found = answer.headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", found)
        assert headers_of(answer)["x-request-id"] == found
        assert answer.json()["current"] == found
        ids.add(found)
    assert len(ids) == 5


@pytest.mark.parametrize("given", ["a", "req-1.2_3~4:5@6/7+8=", "x" * 128])
def test_a_plain_one_is_kept(server, given):
    answer = server.get("/", headers={"X-REQUEST-ID": given})
    assert answer.headers["x-request-id"] == given
    assert headers_of(answer)["x-request-id"] == given
    assert answer.json()["current"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "a b", 'a"b', "a\tb", "ä".encode(), "a,b", "${jndi:x}"]
)
def test_any_other_is_replaced(server, given):
    answer = server.get("/", headers=[("x-request-id", given)])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert [v for k, v in answer.json()["headers"] if k == "x-request-id"] == [
        answer.headers["x-request-id"]
    ]


def test_two_are_none(server):
    answer = server.get("/", headers=[("x-request-id", "a"), ("x-request-id", "b")])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_application_s_own_goes_out(server):
    answer = server.get("/own", headers={"x-request-id": "theirs"})
    assert answer.headers.get_list("x-request-id") == ["mine"]


def test_websockets(server):
    headers = {"x-request-id": "socket-1"}
    url = server.url.replace("http", "ws")
    with connect(url, additional_headers=headers, proxy=None) as client:
        assert client.response.headers["x-request-id"] == "socket-1"
        assert client.recv() == "socket-1"


def lines(server: Casgi, request_id: str) -> list[dict]:
    """The log's lines about a request."""
    found = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("request_id") == request_id]


def test_json_logs(server):
    server.get("/log", headers={"x-request-id": "log-1"})
    server.wait_for(r'"path": ?"/log"')
    kinds = [line["logger"] for line in lines(server, "log-1")]
    assert sorted(kinds) == ["asgiserver.access", "asgiserver.error"]
    answer = server.get("/fails", headers={"x-request-id": "fail-1"})
    assert answer.status_code == 500
    server.wait_for("Exception in ASGI application")
    failed = [line for line in lines(server, "fail-1") if line["level"] == "error"]
    assert len(failed) == 1
    assert "as asked" in failed[0]["exception"]


def test_access_log_of_a_format():
    arguments = (*ARGUMENTS, "--access-log-format", "id=%({x-request-id}i)s %(s)s")
    with casgi(*arguments) as server:
        found = server.get("/").headers["x-request-id"]
        server.wait_for(f"id={found} 200")


def test_another_name():
    with casgi("request_apps:app", "--request-id-header", "Trace-Me") as server:
        answer = server.get("/")
        assert answer.headers["trace-me"] == headers_of(answer)["trace-me"]
        assert "x-request-id" not in answer.headers


def test_without_the_option_nothing_is_added():
    with casgi("request_apps:app") as server:
        answer = server.get("/", headers={"x-request-id": "a b", "traceparent": TRACE})
        assert headers_of(answer)["x-request-id"] == "a b"
        assert "x-request-id" not in answer.headers
        assert answer.json()["current"] == ""


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä"])
def test_not_the_name_of_a_header(name):
    with casgi("request_apps:app", "--request-id-header", name) as server:
        assert server.wait() == 2
        assert "header" in server.log


def test_traces_pass_untouched(server):
    given = {"traceparent": TRACE, "tracestate": "a=1,b=2", "baggage": "user=x"}
    found = headers_of(server.get("/", headers=given))
    assert {name: found[name] for name in given} == given
    assert "traceparent" not in headers_of(server.get("/"))


def test_opentelemetry():
    pytest.importorskip("opentelemetry.instrumentation.asgi")
    pytest.importorskip("opentelemetry.sdk")
    with casgi("request_apps:traced", "--factory", "--workers", "2") as server:
        answer = server.get("/a?b=c", headers={"traceparent": TRACE})
        assert answer.status_code == 200
        server.wait_for(r'"name": "GET /a"')
        spans = [json.loads(line) for line in server.log.splitlines() if line.startswith('{"name"')]
        (span,) = [s for s in spans if s["kind"] == "SpanKind.SERVER"]
        assert span["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"
        assert span["parent_id"] == "0xb7ad6b7169203331"
        attributes = span["attributes"]
        assert (
            attributes.get("http.status_code", attributes.get("http.response.status_code")) == 200
        )
        assert "/a" in (attributes.get("http.target") or attributes.get("url.path"))
        assert server.get("/fails").status_code == 500
        server.wait_for("RuntimeError: as asked")
        url = server.url.replace("http", "ws")
        with connect(url, proxy=None) as client:
            assert client.recv() == ""
        server.wait_for("websocket")
        assert server.stop() == 0
