#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What JavaScript adds to a request, inside a handler: CPU time of one server that answers with it
and without, by turns.

    python tests/bench/js_in_server.py [--rounds N] [--patience SECONDS] [--check]

`call`: a trivial function, by name, in a raw ASGI handler; goal: at most 0.6 µs more than without.
`call_json`: a JSON body of 10 KB through a function, against json.loads, call and json.dumps; goal:
at most half of that, both less what the same answer costs without JavaScript. The server's own
process_time() is asked before and after each second of wrk; differences are taken round by round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from http_peers import SERVER_CORE, wrk
from processes import Failed, Group, free_port, wait_quiet

HERE = Path(__file__).resolve().parent
SOURCE = "function one() { return 1 } function same(value) { return value }"
RECORD = {"id": 7, "name": "a name", "tags": ["a", "b"], "score": 1.5, "ok": True}
BODY = json.dumps([RECORD] * 135)  # 10 KB
CALL_GOAL, JSON_GOAL = 0.6, 0.5
PATHS = ("/hello", "/call", "/echo", "/python", "/json")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The paths above, and /cpu."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/hello":
        body = b"Hello, World!"
    elif path == "/call":
        scope["state"]["js"].call("one", [])
        body = b"Hello, World!"
    elif path == "/cpu":
        body = repr(time.process_time()).encode()
    else:
        body = (await receive())["body"]
        js = scope["state"]["js"]
        if path == "/json":
            body = js.call_json("same", body)
        elif path == "/python":
            body = json.dumps(js.call("same", [json.loads(body)])).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(Group):
    """casgi with this module's application, on core 0."""

    def __init__(self, folder: Path) -> None:
        (folder / "js.js").write_text(SOURCE)
        self.port = free_port()
        command = ["taskset", "-c", SERVER_CORE, sys.executable, "-P", "-m", "asgiserver"]
        command += ["js_in_server:app", "--app-dir", str(HERE), "--port", str(self.port)]
        command += ["--js", str(folder / "js.js"), "--no-access-log", "--lifespan", "off"]
        super().__init__(command, HERE, {})

    def ask(self, path: str, body: str | None = None) -> bytes:
        """One request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST" if body else "GET", path, body)
            answer = connection.getresponse()
            if answer.status != 200:
                raise Failed(f"{path}: {answer.status}")
            return answer.read()
        finally:
            connection.close()

    def wait(self) -> None:
        """Until it answers, and rightly."""
        for _ in range(1000):
            try:
                self.ask("/hello")
                break
            except OSError:
                time.sleep(0.02)
        assert self.ask("/call") == b"Hello, World!"
        for path in ("/python", "/json"):
            assert json.loads(self.ask(path, BODY)) == json.loads(BODY), path

    def load(self, path: str, script: str) -> float:
        """A second of load: µs of CPU for a request."""
        before = float(self.ask("/cpu"))
        number = wrk(f"http://127.0.0.1:{self.port}{path}", 64, 1, script)
        return (float(self.ask("/cpu")) - before) / number * 1e6


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for quiet")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args()
    post = f'function init() wrk.method = "POST"; wrk.body = [==[{BODY}]==] end'
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            server.wait()
            for number in range(options.rounds + 1):  # The first warms up.
                wait_quiet(options.patience)
                figures = {
                    path: server.load(path, "" if path in ("/hello", "/call") else post)
                    for path in PATHS
                }
                if number:
                    rounds.append(figures)
        finally:
            server.stop()
    for path in PATHS:
        print(f"{path:8} {statistics.median(r[path] for r in rounds):8.2f} µs")
    call = statistics.median(r["/call"] - r["/hello"] for r in rounds)
    share = statistics.median(
        (r["/json"] - r["/echo"]) / (r["/python"] - r["/echo"]) for r in rounds
    )
    good = call <= CALL_GOAL and share <= JSON_GOAL
    print(f"call adds {call:.2f} µs (goal: at most {CALL_GOAL})")
    print(f"call_json takes {share:.2f} of loads, call, dumps (goal: at most {JSON_GOAL})")
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
