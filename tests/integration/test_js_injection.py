# SPDX-License-Identifier: MIT
"""``request.state.js``: where it is, when V8 starts, what a broken script does."""

from __future__ import annotations

import concurrent.futures
import os
import re
from pathlib import Path

import pytest
from casgi_process import Load, casgi

LIBRARY = """
function process(data) { return { sum: data.a + data.b } }
function spin() { for (;;) {} }
function bomb() { const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length)) }
function deep() { return deep() + 1 }
function thrown() { throw new TypeError("no") }
function later(ms) { return new Promise(done => setTimeout(() => done("waited"), ms)) }
function order() { return JSON.stringify(globalThis.seen || []) }
"""


@pytest.fixture
def library(tmp_path: Path) -> str:
    path = tmp_path / "library.js"
    path.write_text(LIBRARY)
    return str(path)


def maps_libnode(pid: int) -> bool:
    return "libnode" in Path(f"/proc/{pid}/maps").read_text()


class TestPresence:
    def test_async_and_def(self, library):
        with casgi("js_apps:api", "--js", library) as server:
            for kind in ("async", "def"):
                assert server.get(f"/{kind}/process").json() == {"sum": 5}
            assert server.get("/await").json() == "waited"
            assert server.stop() == -15

    def test_workers(self, library):
        with casgi("js_apps:api", "--js", library, "--workers", "2") as server:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                paths = ["/async/process", "/def/process", "/await"] * 10
                answers = list(pool.map(lambda path: server.get(path).status_code, paths))
            assert answers == [200] * 30
            assert server.stop() == 0
        assert "killed" not in server.log

    def test_v8_starts_on_first_use(self):
        with casgi("js_apps:api") as server:
            before = server.get("/state").json()
            assert before["keys"] == ["js", "own"]
            assert server.get("/eval?code=1%2B1").json() == 2
            after = server.get("/state").json()
        assert before["threads"] == 1
        assert after["threads"] > 1

    def test_without_lifespan(self):
        with casgi("js_apps:api", "--lifespan", "off") as server:
            assert server.get("/state").json()["keys"] == ["js"]

    def test_in_lifespan(self):
        with casgi("js_apps:in_lifespan", "--lifespan", "on") as server:
            assert server.get().text == "from lifespan"
            server.signal(2)
            assert server.wait() == 0
        assert "ERROR" not in server.log

    def test_no_js(self):
        with casgi("process_apps:app", "--no-js") as server:
            assert server.get().json()["state"] == []
            assert not maps_libnode(server.pid)

    def test_supervisor_holds_the_library_and_no_thread(self, library):
        with casgi("process_apps:app", "--js", library, "--workers", "2") as server:
            _ = server.port
            assert maps_libnode(server.pid)
            assert len(os.listdir(f"/proc/{server.pid}/task")) == 1
            assert all(maps_libnode(pid) for pid in server.children())

    def test_profile(self, library):
        code = "/eval?code=typeof%20URL%20%2B%20typeof%20require"
        for profile, seen in [
            ("bare", "undefinedundefined"),
            ("web", "functionundefined"),
            ("node", "functionfunction"),
        ]:
            with casgi("js_apps:api", "--js-profile", profile) as server:
                response = server.get(code)
                assert response.json() == seen, (profile, response.text)


class TestFiles:
    def test_evaluated_in_order(self, tmp_path):
        paths = []
        for name in ("one", "two"):
            path = tmp_path / f"{name}.js"
            path.write_text(f"(globalThis.seen ??= []).push('{name}')")
            paths += ["--js", str(path)]
        with casgi("js_apps:api", *paths) as server:
            assert server.get("/eval?code=seen.join()").json() == "one,two"

    @pytest.mark.parametrize("workers", ["1", "3"])
    def test_syntax_error(self, tmp_path, workers):
        path = tmp_path / "wrong.js"
        path.write_text("// fine\nfunction f() {\n  let x = = 1;\n}\n")
        with casgi("js_apps:api", "--js", str(path), "--workers", workers) as server:
            assert server.wait() == 3
        pattern = (
            rf"ERROR: +--js {path}: SyntaxError: .*\({path}, line 3\)\n"
            r" +let x = = 1;\n"
            r" +\^\n"
        )
        assert re.search(pattern, server.log), server.log
        assert len(re.findall("^ERROR:", server.log, re.M)) == 1, server.log
        assert "Traceback" not in server.log

    @pytest.mark.parametrize("workers", ["1", "3"])
    def test_error_while_it_runs(self, tmp_path, workers):
        path = tmp_path / "wrong.js"
        path.write_text("function f() {\n  return missing\n}\nf()\n")
        with casgi("js_apps:api", "--js", str(path), "--workers", workers) as server:
            assert server.wait() == 3
        assert f"--js {path}: ReferenceError: missing is not defined\n" in server.log
        assert re.search(rf"at f \({path}:2:\d+\)", server.log), server.log

    def test_not_text(self, tmp_path):
        path = tmp_path / "binary.js"
        path.write_bytes(b"var a = '\xff\xfe'")
        with casgi("js_apps:api", "--js", str(path)) as server:
            assert server.wait() == 3
        assert f"--js {path}: not UTF-8 text (byte 9)" in server.log


@pytest.mark.parametrize("kind", ["async", "def"])
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("spin", {"kind": "Timeout"}),
        ("bomb", {"kind": "HeapLimit"}),
        ("deep", {"kind": "JSError", "name": "RangeError"}),
        ("thrown", {"kind": "JSError", "name": "TypeError"}),
    ],
)
def test_a_broken_script_is_an_error_of_its_request(library, kind, name, answer):
    limit = "300" if name == "spin" else "20000"
    arguments = ("--js", library, "--js-timeout", limit, "--js-heap-limit", "64")
    with casgi("js_apps:api", *arguments, "--workers", "1") as server:
        pid = server.get("/state").json()["pid"]
        for _ in range(2):
            response = server.get(f"/{kind}/{name}")
            assert response.status_code == 422
            assert answer.items() <= response.json().items()
            assert server.get("/async/process").json() == {"sum": 5}
            assert server.get("/def/process").json() == {"sum": 5}
        assert server.get("/state").json()["pid"] == pid


def test_an_endless_loop_in_the_pool_leaves_the_loop_free(library):
    """V8 runs without the GIL there: other requests are answered meanwhile."""
    arguments = ("--js", library, "--js-timeout", "2000", "--no-access-log")
    with casgi("js_apps:api", *arguments) as server:
        url = server.url
        with concurrent.futures.ThreadPoolExecutor() as pool:
            spinning = pool.submit(server.get, "/def/spin")
            with Load(url, "/state", threads=2) as load:
                load.wait_for(20)
                assert not spinning.done()
            assert spinning.result(20).status_code == 422
        assert load.failures == []
