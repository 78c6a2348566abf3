# SPDX-License-Identifier: MIT
"""--reload: new code within a moment of a save, and no connection refused meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time

import httpx
import pytest
from casgi_process import RUNNING, Load, casgi

pytest.importorskip("watchfiles")

APP = """
import helper
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    body = f"{VALUE}{helper.VALUE}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
BEGUN = "Started reloader process"
CHANGED = "WatchFiles detected changes in"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "web.py").write_text("VALUE = 1" + APP)
    (tmp_path / "helper.py").write_text("VALUE = 'a'\n")
    return tmp_path


def answers(server, text: str, seconds: float = 10) -> float:
    """Waits until the server answers ``text``; the seconds it took. No request may fail."""
    begin = time.monotonic()
    while (got := server.get().text) != text:
        assert time.monotonic() - begin < seconds, f"{got} instead of {text}:\n{server.log}"
    return time.monotonic() - begin


def test_a_save_is_served_in_a_moment(folder):
    with casgi("web:app", "--reload", "--no-access-log", cwd=folder) as server:
        server.wait_for(BEGUN)
        assert server.get().text == "1a"
        times = []
        # The same size within the same second: Python's own check would take the old bytecode.
        for value in (2, 3, 4):
            (folder / "web.py").write_text(f"VALUE = {value}" + APP)
            times.append(answers(server, f"{value}a"))
        (folder / "helper.py").write_text("VALUE = 'b'\n")
        times.append(answers(server, "4b"))
        # 50 ms on an idle machine; the delay between two restarts (0.25 s) comes to it.
        assert sorted(times)[1] < 1.5, times
        assert "'web.py'. Reloading" in server.log
        assert server.stop() == 0


def test_no_connection_is_refused(folder):
    with casgi("web:app", "--reload", "--no-access-log", cwd=folder) as server:
        server.wait_for(BEGUN)
        with Load(server.url, threads=4) as load:
            for count in (1, 2, 3):
                load.wait_for(20)
                (folder / "web.py").write_text(f"VALUE = {count + 10}" + APP)
                server.wait_for(CHANGED, count=count)
                server.wait_for(r"Worker \[\d+\] is ready", count=count)
            load.wait_for(20)
        assert load.failures == []


def test_broken_code_waits_for_the_next_change(folder):
    with casgi("web:app", "--reload", "--no-access-log", cwd=folder) as server:
        server.wait_for(BEGUN)
        url = server.url
        (folder / "web.py").write_text("VALUE = (" + APP)
        server.wait_for("Waiting for a change to try again")
        assert "SyntaxError" in server.log
        (folder / "web.py").write_text("VALUE = 7" + APP)
        assert httpx.get(url, trust_env=False, timeout=10).text == "7a"


def test_broken_at_first(folder):
    (folder / "web.py").write_text("raise RuntimeError('not yet')")
    with casgi("web:app", "--reload", cwd=folder) as server:
        server.wait_for(BEGUN)
        server.wait_for("not yet")
        (folder / "web.py").write_text("VALUE = 7" + APP)
        server.wait_for(RUNNING)
        assert server.get().text == "7a"


def test_an_open_stream_does_not_hold_the_reload_up(folder):
    with casgi("web:app", "--reload", "--no-access-log", cwd=folder) as server:
        server.wait_for(BEGUN)
        with httpx.stream("GET", server.url + "/stream", timeout=20, trust_env=False) as stream:
            assert next(stream.iter_bytes()) == b"first"
            (folder / "web.py").write_text("VALUE = 2" + APP)
            answers(server, "2a")
            server.wait_for("Finished server process|does not end")


def test_javascript_files_are_watched(folder, tmp_path):
    pytest.importorskip("jsrt")
    script = folder / "lib.js"
    script.write_text("function f() { return 1 }")
    text = "async def app(scope, receive, send):\n"
    text += "    body = str(scope['state']['js'].call('f', [])).encode()\n"
    text += "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
    text += "    await send({'type': 'http.response.body', 'body': body})\n"
    (folder / "web.py").write_text(text)
    options = ("--reload", "--js", "lib.js", "--lifespan", "off")
    with casgi("web:app", *options, cwd=folder) as server:
        server.wait_for(BEGUN)
        assert server.get().text == "1"
        script.write_text("function f() { return 2 }")
        answers(server, "2")


def test_from_a_program_with_its_modules_loaded(folder):
    """The supervisor moves to a process of its own, or workers would inherit what the program has
    imported."""
    program = "import asgiserver, web, helper\nif __name__ == '__main__':\n"
    program += "    asgiserver.run('web:app', port=0, reload=True, access_log=False)\n"
    program += "    print('went on')\n"
    (folder / "main.py").write_text(program)
    command = (sys.executable, "-u", str(folder / "main.py"))
    with casgi(command=command, cwd=folder) as server:
        server.wait_for(BEGUN)
        assert server.get().text == "1a"
        (folder / "helper.py").write_text("VALUE = 'c'\n")
        answers(server, "1c")
        assert server.stop() == 0
        assert "went on" in server.log


def test_the_end_of_the_program_ends_the_rest(folder):
    (folder / "main.py").write_text(
        "import asgiserver, web\nasgiserver.run('web:app', port=0, reload=True)\n"
    )
    with casgi(command=(sys.executable, "main.py"), cwd=folder) as server:
        server.wait_for(BEGUN)
        server.signal(signal.SIGKILL)
        server.wait_for("Stopped parent process")


def test_an_application_object_cannot_be_reloaded(folder):
    (folder / "main.py").write_text(
        "import asgiserver, web\nasgiserver.run(web.app, reload=True)\n"
    )
    with casgi(command=(sys.executable, "main.py"), cwd=folder) as server:
        assert server.wait() == 3
        assert "as an import string" in server.log


def test_the_watching_process_ends_with_the_supervisor(folder):
    with casgi("web:app", "--reload", cwd=folder) as server:
        watcher = int(server.wait_for(BEGUN + r" \[(\d+)\]")[1])
        server.signal(signal.SIGKILL)
        end = time.monotonic() + 5
        while os.path.exists(f"/proc/{watcher}") and not zombie(watcher):
            assert time.monotonic() < end
            time.sleep(0.02)


def zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
