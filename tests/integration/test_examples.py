# SPDX-License-Identifier: MIT
"""The examples, as a user runs them: real processes, two workers, HTTP over sockets."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium import Browser

ROOT = Path(__file__).resolve().parents[2]
LIB = "examples/fastapi_js/lib.js"
BUNDLE = ROOT / "examples" / "react_ssr" / "build" / "server.js"


@contextlib.contextmanager
def casgi(*arguments: str, **environment: str) -> Iterator[httpx.Client]:
    """Runs `casgi ARGUMENTS --workers 2` and gives a client with a single keep-alive connection.

    One connection means one worker: what a test does to a worker, the next request meets.
    """
    # -P: the extensions may have been built elsewhere than in this tree.
    command = [sys.executable, "-P", "-m", "asgiserver", *arguments]
    command += ["--workers", "2", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said: list[str] = []
    port: list[int] = []
    known = threading.Event()

    def read() -> None:
        for line in process.stderr:  # type: ignore[union-attr]
            said.append(line)
            if not port and (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line)):
                port.append(int(found[1]))
                known.set()
        known.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert known.wait(30), f"casgi did not say where it runs: {''.join(said)}"
        assert port, f"casgi ended: {''.join(said)}"
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port[0]}",
            timeout=30,
            limits=httpx.Limits(max_connections=1),
            trust_env=False,
        ) as client:
            yield client
        process.terminate()
        assert process.wait(20) in (0, -15), "".join(said)
        assert not any("Traceback" in line for line in said), "".join(said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()


def expected(data: str) -> dict[str, object]:
    """What process(data) of lib.js has to answer."""
    cipher = "".join(
        chr((ord(c) - first + 3) % 26 + first)
        if (first := 97 if "a" <= c <= "z" else 65 if "A" <= c <= "Z" else 0)
        else c
        for c in data
    )
    fnv = 0x811C9DC5
    for byte in cipher.encode():
        fnv = (fnv ^ byte) * 0x01000193 & 0xFFFFFFFF
    return {"cipher": cipher, "hash": fnv, "base64": base64.b64encode(cipher.encode()).decode()}


# ---- hello ---------------------------------------------------------------------------------------


def test_hello() -> None:
    with casgi("examples.hello.app:app") as client:
        answer = client.get("/")
        assert (answer.status_code, answer.text) == (200, "Hello, world!\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.get("/nowhere").status_code == 404
        pid = int(client.get("/worker").text)
        assert Path(f"/proc/{pid}/cmdline").read_bytes()


# ---- fastapi_js ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fastapi_js() -> Iterator[httpx.Client]:
    with casgi(
        "examples.fastapi_js.app:app",
        *("--js", LIB, "--js", "examples/fastapi_js/hostile.js"),
        *("--js-timeout", "2000", "--js-heap-limit", "64"),
    ) as client:
        yield client


@pytest.mark.parametrize("path", ["/api", "/api-sync"])
@pytest.mark.parametrize(
    "data", ["The quick brown fox jumps over the dogs!", "", "a", "xyz", "zZ\0é\u20ac\U0001f600"]
)
def test_fastapi_js_answers(fastapi_js: httpx.Client, path: str, data: str) -> None:
    answer = fastapi_js.post(path, json={"data": data})
    assert answer.status_code == 200
    assert answer.json() == {"result": expected(data)}


@pytest.mark.parametrize("path", ["/api", "/api-sync"])
@pytest.mark.parametrize("data", [None, 7, ["x"], {"a": 1}])
def test_fastapi_js_exception_of_the_script(
    fastapi_js: httpx.Client, path: str, data: object
) -> None:
    answer = fastapi_js.post(path, json={"data": data})
    assert answer.status_code == 422
    assert answer.json() == {"error": {"name": "TypeError", "message": "data must be a string"}}


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/hostile/loop", 504, "Timeout"),
        ("/hostile/heap", 507, "HeapLimit"),
        ("/hostile/recursion", 422, "RangeError"),
    ],
)
def test_fastapi_js_survives(fastapi_js: httpx.Client, path: str, status: int, name: str) -> None:
    pid = fastapi_js.get("/worker").json()["pid"]
    answer = fastapi_js.post(path)
    assert answer.status_code == status
    assert answer.json()["error"]["name"] == name
    again = fastapi_js.post("/api", json={"data": "after"})
    assert again.json() == {"result": expected("after")}
    assert fastapi_js.get("/worker").json()["pid"] == pid


# ---- react_ssr -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def react_ssr() -> Iterator[httpx.Client]:
    if not BUNDLE.exists():
        pytest.skip("the page is not bundled: run tools/build-react")
    with casgi("examples.react_ssr.app:app", "--js", str(BUNDLE), "--js", LIB) as client:
        yield client


def props_of(html: str) -> dict[str, object]:
    """The data for hydration that stands in a page."""
    found = re.search(r'<script id="props" type="application/json">(.*?)</script>', html)
    assert found is not None
    props: dict[str, object] = json.loads(found[1])
    return props


def test_react_page(react_ssr: httpx.Client) -> None:
    answer = react_ssr.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    props = props_of(answer.text)
    made = props["answer"]
    assert isinstance(made, dict)
    assert Path(f"/proc/{made['worker']}").exists()
    assert re.fullmatch(r"[0-9a-f]{6}", made["isolate"])
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", made["v8"])
    assert re.fullmatch(r"[\d,]+", made["micros"])
    assert f"<dd>{made['worker']}</dd>" in answer.text
    assert f'<p class="figure">{made["micros"]}<small> µs</small></p>' in answer.text
    assert answer.text.count('<li class="card">') == 3
    assert props["result"] == expected("The quick brown fox jumps over the dogs!")
    assert re.fullmatch(r"render;dur=\d+\.\d{3}", answer.headers["server-timing"])


def test_react_isolate_stays(react_ssr: httpx.Client) -> None:
    first, second = (props_of(react_ssr.get("/").text)["answer"] for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert second["isolate"] == first["isolate"]
    assert second["renders"] == first["renders"] + 1


def test_react_page_without_browser_script(react_ssr: httpx.Client) -> None:
    answer = react_ssr.get("/", params={"data": "Veni & vidi"})
    assert "<dd>Yhql &amp; ylgl</dd>" in answer.text
    assert react_ssr.get("/", params={"data": "x" * 401}).status_code == 422


def test_react_page_escapes(react_ssr: httpx.Client) -> None:
    evil = "</script><script>alert(1)</script><!--props--> @micros@"
    answer = react_ssr.get("/", params={"data": evil})
    assert "<script>alert" not in answer.text
    assert answer.text.count("</script>") == 2
    assert str(props_of(answer.text)["text"]).startswith("</script><script>alert(1)")


def test_react_api_and_files(react_ssr: httpx.Client) -> None:
    answer = react_ssr.post("/api", json={"data": "abc"}).json()
    assert answer["result"] == expected("abc")
    assert answer["micros"] > 0
    for path, kind in [("/build/client.js", "javascript"), ("/page.css", "text/css")]:
        found = react_ssr.get(path)
        assert found.status_code == 200
        assert kind in found.headers["content-type"]
    assert react_ssr.get("/app.py").status_code == 404


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_react_page_in_a_browser(react_ssr: httpx.Client, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(str(react_ssr.base_url))
        browser.evaluate(
            """async () => {
                const area = document.querySelector("textarea");
                await until(() => Object.keys(area).some((key) => key.startsWith("__reactProps")));
                const prototype = HTMLTextAreaElement.prototype;  // React overrides the element's
                Object.getOwnPropertyDescriptor(prototype, "value").set.call(area, "Live");
                area.dispatchEvent(new Event("input", { bubbles: true }));
                await until(() => document.querySelector(".results").textContent.includes("Olyh"));
                const workers = document.querySelector("#workers");
                workers.querySelector("button").click();
                await until(() => workers.textContent.includes("120 calls in"));
            }"""
        )
        counts = browser.evaluate(
            "() => [...document.querySelectorAll('.count')].map((e) => +e.textContent)"
        )
        assert isinstance(counts, list)
        assert sum(counts) == 121
        assert browser.problems == []


# ---- per_user ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def per_user_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with casgi(
        "examples.per_user.app:app",
        PER_USER_STORE=str(tmp_path_factory.mktemp("per_user") / "scripts"),
        PER_USER_CONTEXTS="2",
    ) as client:
        yield client


@pytest.fixture
def per_user(per_user_server: httpx.Client) -> httpx.Client:
    """The server, in which nobody has a script that earlier tests left."""
    for user in ("ann", "bob", "cid"):
        assert per_user_server.delete(f"/scripts/{user}").status_code in (204, 404)
    return per_user_server


COUNTER = "let n = 0; function main(by) { return n += by }"


def run(client: httpx.Client, user: str, value: object = 1) -> object:
    """The result of a user's script."""
    answer = client.post(f"/run/{user}", json={"input": value})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_per_user_scripts_are_apart(per_user: httpx.Client) -> None:
    assert per_user.post("/run/ann", json={}).status_code == 404
    assert per_user.put("/scripts/ann", content=COUNTER).status_code == 204
    spy = "function main() { return [typeof n, typeof fetch, typeof process, typeof require] }"
    assert per_user.put("/scripts/bob", content=spy).status_code == 204
    assert [run(per_user, "ann", 2), run(per_user, "ann", 3)] == [2, 5]
    assert run(per_user, "bob") == ["undefined"] * 4
    assert per_user.delete("/scripts/ann").status_code == 204
    assert per_user.post("/run/ann", json={}).status_code == 404


def test_per_user_least_recently_used_goes(per_user: httpx.Client) -> None:
    for user in ("ann", "bob", "cid"):
        per_user.put(f"/scripts/{user}", content=COUNTER)
    before = per_user.get("/limits").json()["evicted"]
    assert [run(per_user, user) for user in ("ann", "bob", "ann", "cid")] == [1, 1, 2, 1]
    limits = per_user.get("/limits").json()
    assert (limits["live"], limits["evicted"]) == (["ann", "cid"], before + 1)
    assert [run(per_user, "ann"), run(per_user, "bob")] == [3, 1]


def test_per_user_new_script_is_used_by_every_worker(per_user: httpx.Client) -> None:
    url = str(per_user.base_url)
    for version in range(3):
        code = f"function main() {{ return {version} }}"
        assert per_user.put("/scripts/ann", content=code).status_code == 204
        for _ in range(10):
            answer = httpx.post(f"{url}/run/ann", json={}, timeout=30, trust_env=False)
            assert answer.json()["result"] == version


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("function main() { for (;;); }", 504, "Timeout"),
        (
            "function main() { const a = []; for (;;) a.push(Array(10000).fill(1)); }",
            507,
            "HeapLimit",
        ),
        ("function main() { return main() + 1 }", 422, "RangeError"),
        ("function main() { throw new Error('no') }", 422, "Error"),
    ],
)
def test_per_user_limits(per_user: httpx.Client, code: str, status: int, name: str) -> None:
    assert per_user.put("/scripts/ann", content=code).status_code == 204
    assert per_user.put("/scripts/bob", content=COUNTER).status_code == 204
    assert run(per_user, "bob") == 1
    for _ in range(2):
        answer = per_user.post("/run/ann", json={})
        assert answer.status_code == status
        assert answer.json()["error"]["name"] == name
    assert run(per_user, "bob") == 2


def test_per_user_refused_uploads(per_user: httpx.Client) -> None:
    assert per_user.put("/scripts/ann", content=COUNTER).status_code == 204
    bad = per_user.put("/scripts/ann", content="function main( {")
    assert bad.status_code == 422
    assert bad.json()["error"]["name"] == "SyntaxError"
    assert per_user.put("/scripts/ann", content="for (;;);").status_code == 504
    assert per_user.put("/scripts/ann", content=b"/*" + b"x" * 70000).status_code == 413
    assert per_user.put("/scripts/ann", content=b"\xff").status_code == 415
    assert per_user.put("/scripts/An..n", content=COUNTER).status_code == 422
    assert run(per_user, "ann") == 1
