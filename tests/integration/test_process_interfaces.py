# SPDX-License-Identifier: MIT
"""ASGI 2 and WSGI applications, contexts of requests, and uvicorn's callback_notify."""

from __future__ import annotations

import sys

import pytest
from casgi_process import casgi

MODULE = """
import asyncio, contextvars, sys
sys.path.append({here!r})
from process_apps import answer, say

name = contextvars.ContextVar("name", default="nothing")

def wsgi(environ, start_response):
    size = len(environ["wsgi.input"].read())
    start_response("201 Created", [("content-type", "text/plain")])
    return [environ["PATH_INFO"].encode(), b" ", str(size).encode()]

class Double:
    def __init__(self, scope):
        self.scope = scope
    async def __call__(self, receive, send):
        if self.scope["type"] == "http":
            await answer(send, self.scope["asgi"]["version"])

def single_or_double(scope, *rest):
    return Double(scope)

async def context(scope, receive, send):
    await answer(send, name.get())

async def notify():
    say("notified")
"""


@pytest.fixture
def folder(tmp_path):
    from casgi_process import HERE

    (tmp_path / "served.py").write_text(MODULE.format(here=str(HERE)))
    return tmp_path


@pytest.mark.parametrize("interface", ["auto", "wsgi"])
def test_wsgi(folder, interface):
    pytest.importorskip("a2wsgi")
    with casgi("served:wsgi", "--interface", interface, cwd=folder) as server:
        import httpx

        answer = httpx.post(server.url + "/a%20b", content=b"12345", trust_env=False)
        assert (answer.status_code, answer.text) == (201, "/a b 5")
        server.stop()
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "arguments", [("served:Double",), ("served:single_or_double", "--interface", "asgi2")]
)
def test_asgi2(folder, arguments):
    with casgi(*arguments, cwd=folder) as server:
        assert server.get().json() == "2.0"


@pytest.mark.parametrize("reset", [False, True])
def test_contexts(folder, reset):
    (folder / "main.py").write_text(
        "import asgiserver, served\n"
        "served.name.set('the program')\n"
        f"asgiserver.run(served.context, port=0, lifespan='off', reset_contextvars={reset})\n"
    )
    with casgi(command=(sys.executable, "main.py"), cwd=folder) as server:
        assert server.get().json() == ("nothing" if reset else "the program")


def test_callback_notify(folder):
    (folder / "main.py").write_text(
        "import asgiserver, served\n"
        "config = asgiserver.Config(served.context, port=0, lifespan='off',\n"
        "                           timeout_notify=0.05, callback_notify=served.notify)\n"
        "asgiserver.Server(config).run()\n"
    )
    with casgi(command=(sys.executable, "main.py"), cwd=folder) as server:
        server.wait_for("notified", count=3)
        assert server.get().status_code == 200
        assert server.stop() == -15
