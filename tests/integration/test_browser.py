# SPDX-License-Identifier: MIT
"""A browser looks at what the server does: the stats page, and a page with events and a WebSocket.

Screenshots stay under build/screenshots, for people to look at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from casgi_process import casgi
from chromium import Browser

pytest.importorskip("prometheus_client")

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed"
)

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "screenshots"
PNG = b"\x89PNG\r\n\x1a\n"
# A number as the page writes it.
READ = "const read = (id) => parseFloat(document.getElementById(id).textContent.replace(/,/g, ''));"


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[str, str]]:
    """The example's address, and that of its stats."""
    arguments = ("examples.live.app:app", "--workers", "2", "--stats", "0", "--no-access-log")
    with casgi(*arguments, cwd=ROOT) as server:
        yield server.url, server.wait_for(r"Stats on (http://\S+)")[1]
        # Streams and WebSockets of a browser that has just gone do not hold the end up.
        assert server.stop() == 0


def shoot(browser: Browser, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    path.unlink(missing_ok=True)
    browser.screenshot(path)
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size > 10_000


def test_events_and_a_websocket(live: tuple[str, str], tmp_path: Path) -> None:
    url, _ = live
    with Browser(tmp_path) as browser:
        browser.look_like(900, 700, "light")
        browser.open(url)
        said = browser.evaluate(
            """async () => {
                const tick = () => +document.getElementById("tick").textContent;
                await until(() => tick() >= 2);
                const seen = tick();
                await until(() => tick() > seen + 1);
                await until(() => document.getElementById("said").textContent.includes("here"));
                document.getElementById("text").value = "hello, everybody";
                document.querySelector("button").click();
                const said = () => [...document.querySelectorAll("#said li")].at(-1).textContent;
                await until(() => said() === "hello, everybody");
                return said();
            }"""
        )
        assert said == "hello, everybody"
        shoot(browser, "live-light")
        assert browser.problems == []


def test_the_stats_page(live: tuple[str, str], tmp_path: Path) -> None:
    url, stats = live
    (tmp_path / "stats").mkdir()
    (tmp_path / "live").mkdir()
    with Browser(tmp_path / "live") as visitor, Browser(tmp_path / "stats") as browser:
        visitor.open(url)
        visitor.evaluate("() => until(() => +document.getElementById('tick').textContent > 1)")
        browser.look_like(1280, 900, "light")
        browser.open(stats)
        seen = browser.evaluate(
            f"""async () => {{
                {READ}
                await until(() => document.getElementById("state").textContent === "ready");
                // The stream and the WebSocket of the other browser.
                await until(() => read("flight") === 2);
                await until(() => document.getElementById("sockets").textContent.includes("1 Web"));
                return read("answered");
            }}"""
        )
        with httpx.Client(trust_env=False) as client:
            for number in range(200):
                client.get(url + ("/" if number % 10 else "/missing"))
        rows = browser.evaluate(
            f"""async () => {{
                {READ}
                await until(() => read("answered") >= {seen} + 200);
                await until(() => document.querySelectorAll("#histogram .bar").length > 2);
                await until(() => document.querySelector("#plot .curve"));
                const row = (text) => [...document.querySelectorAll("#kinds span")]
                    .find((node) => node.textContent.startsWith(text)).nextSibling.nextSibling;
                await until(() => row("4xx").textContent === "20");
                const rows = document.querySelectorAll("#workers tr");
                return [...rows].map((row) => [...row.cells].map((cell) => cell.textContent));
            }}"""
        )
        assert isinstance(rows, list)
        assert len(rows) == 2
        assert sum(int(row[2].replace(",", "")) for row in rows) >= 200
        shoot(browser, "stats-light")
        browser.look_like(1280, 900, "dark")
        colour = browser.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(16, 20, 19)"
        shoot(browser, "stats-dark")
        browser.look_like(420, 900, "light")
        widths = browser.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert isinstance(widths, list)
        assert widths[0] <= widths[1], "nothing sticks out of a small window"
        shoot(browser, "stats-small")
        # Neither the policy nor anything else was complained of.
        assert browser.problems == []


def test_the_page_says_when_nobody_answers(tmp_path: Path) -> None:
    arguments = ("examples.live.app:app", "--workers", "2", "--stats", "0")
    with casgi(*arguments, cwd=ROOT) as server, Browser(tmp_path) as browser:
        browser.open(server.wait_for(r"Stats on (http://\S+)")[1])
        state = "document.getElementById('state').textContent"
        browser.evaluate(f"() => until(() => {state} === 'ready')")
        assert server.stop() == 0
        browser.evaluate(f"() => until(() => {state}.startsWith('no answer'))")
