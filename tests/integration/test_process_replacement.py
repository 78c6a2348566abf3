# SPDX-License-Identifier: MIT
"""Workers that are replaced while they live: for age, size, a blocked loop, and by SIGUSR2 with the
whole process; no request fails."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from casgi_process import RUNNING, Load, casgi

APPS = ("replacement_apps:app", "--no-access-log", "--no-js")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_lifetime(workers):
    options = ("--workers", workers, "--max-worker-lifetime", "1")
    with casgi(*APPS, *options) as server:
        url, first = server.url, server.children()
        assert len(first) == int(workers)
        with Load(url) as load:
            server.wait_for("has lived for 1 s", count=int(workers))
            server.wait_for("Finished server process", count=int(workers))
            load.wait_for(20)
        assert load.failures == []
        server.wait_for_exit(first)


def test_resident_memory():
    with casgi(*APPS, "--max-worker-rss", "200") as server:
        _ = server.port
        (first,) = server.children()
        assert server.get("/grow").text == str(first)
        with Load(server.url) as load:
            found = server.wait_for(r"has grown to (\d+) MB")
            assert int(found[1]) > 200
            server.wait_for("Finished server process")
            load.wait_for(20)
        assert load.failures == []
        assert server.get().text != str(first)


class TestBlockedLoop:
    OPTIONS = ("--workers", "2", "--timeout-worker-healthcheck", "0.5")

    def test_stacks_are_logged_and_the_worker_is_replaced(self):
        with casgi(*APPS, *self.OPTIONS) as server:
            _, first = server.port, server.children()
            # The worker is freed when its successor is there: the answer is not lost.
            answer = server.get("/block?seconds=2")
            victim = int(answer.text)
            server.wait_for(rf"Worker \[{victim}\] is blocked: its event loop has not turned for")
            server.wait_for("Stacks of worker")
            server.wait_for(r"Worker \[\d+\] is ready")
            server.wait_for("Finished server process")
            assert victim in first
            until(lambda: victim not in server.children())
            stacks = server.log[server.log.index("Stacks of worker") :]
            assert "in block_the_loop" in stacks
            assert "Thread 0x" in stacks
            assert "in sit_in_a_thread" in stacks, "every thread's"
            assert server.stop() == 0

    def test_the_javascript_stack_is_logged_too(self, tmp_path):
        (tmp_path / "loop.js").write_text(
            "function around(end) {\n  while (Date.now() < end) {}\n}\n"
            "function start(ms) {\n  return around(Date.now() + ms);\n}\n"
        )
        (tmp_path / "js_loop.py").write_text(
            "async def app(scope, receive, send):\n"
            "    if scope['type'] != 'http': return\n"
            "    scope['state']['js'].call('start', [2000])\n"
            "    await send({'type': 'http.response.start', 'status': 204})\n"
            "    await send({'type': 'http.response.body'})\n"
        )
        arguments = ("js_loop:app", *self.OPTIONS, "--js", "loop.js", "--js-timeout", "60000")
        with casgi(*arguments, cwd=tmp_path) as server:
            assert server.get().status_code == 204
            server.wait_for("Stacks of worker")
            server.wait_for('File "loop.js", line 5 in start')
            stacks = server.log[server.log.index("Stacks of worker") :]
            assert 'File "loop.js", line 2 in around' in stacks
            assert 'js_loop.py", line 3 in app' in stacks

    def test_one_that_never_comes_back_is_killed(self):
        options = (*self.OPTIONS, "--timeout-graceful-shutdown", "0")
        with casgi(*APPS, *options) as server:
            with Load(server.url, "/block?seconds=600", threads=1):
                victim = int(server.wait_for(r"Worker \[(\d+)\] is blocked")[1])
                server.wait_for(r"Worker \[\d+\] is ready")
                os.kill(victim, signal.SIGKILL)  # Not to wait for KILL_AFTER_DRAIN.
                server.wait_for("was killed by SIGKILL while stopping")
                server.signal(signal.SIGQUIT)

    @pytest.mark.parametrize("path", ["/busy?seconds=2", "/hold-gil?seconds=2"])
    def test_a_busy_gil_is_no_blocked_loop(self, path):
        """A thread that computes, in Python or in C with the GIL held, while the loop waits."""
        with casgi(*APPS, *self.OPTIONS) as server:
            _, first = server.port, server.children()
            assert int(server.get(path).text) in first
            assert server.children() == first
            assert "blocked" not in server.log

    def test_an_idle_worker_is_well(self):
        with casgi(*APPS, *self.OPTIONS) as server:
            _, first = server.port, server.children()
            time.sleep(1.5)
            assert server.children() == first
            assert "blocked" not in server.log

    def test_switched_off(self):
        options = ("--workers", "2", "--timeout-worker-healthcheck", "0")
        with casgi(*APPS, *options) as server:
            assert int(server.get("/block?seconds=1").text) in server.children()
            assert "blocked" not in server.log


class TestHandover:
    @pytest.mark.parametrize("kind", ["tcp", "uds"])
    def test_without_a_lost_request(self, kind, tmp_path):
        path = tmp_path / "s"
        where = ("--uds", str(path)) if kind == "uds" else ()
        with casgi(*APPS, "--workers", "2", *where) as server:
            server.wait_for("running on")
            workers = server.children()
            url = server.url if kind == "tcp" else "http://x"
            with Load(url, uds=str(path) if kind == "uds" else None) as load:
                load.wait_for(20)
                server.signal(signal.SIGUSR2)
                successor = int(server.wait_for(r"Process \[(\d+)\] has taken over")[1])
                assert server.process.wait(10) == 0
                load.wait_for(50)
                os.kill(successor, 0)
            assert load.failures == []
            assert not workers & children(successor)
            assert len(children(successor)) == 2
            os.kill(successor, signal.SIGTERM)
            server.wait_for("Stopped parent process", count=2)
            assert not path.exists()

    def test_a_successor_that_cannot_start_changes_nothing(self, tmp_path):
        broken = tmp_path / "broken"
        arguments = ("process_apps:starts_unless_told", "--workers", "2", "--no-access-log")
        with casgi(*arguments, env={"BROKEN": str(broken)}) as server:
            url = server.url
            broken.touch()
            with Load(url) as load:
                server.signal(signal.SIGUSR2)
                server.wait_for("The process to take over has ended")
                load.wait_for(20)
            assert load.failures == []
            broken.unlink()
            server.signal(signal.SIGUSR2)
            server.wait_for("has taken over")
            assert server.process.wait(10) == 0

    def test_socket_files_stay_when_the_successor_cannot_start(self, tmp_path):
        broken, path, stats = (tmp_path / name for name in ("broken", "socket", "stats"))
        arguments = ("process_apps:starts_unless_told", "--workers", "2", "--no-access-log")
        where = ("--uds", str(path), "--stats", f"unix:{stats}")
        with casgi(*arguments, *where, env={"BROKEN": str(broken)}) as server:
            server.wait_for("running on")
            broken.touch()
            server.signal(signal.SIGUSR2)
            server.wait_for("The process to take over has ended")
            for socket_file in (path, stats):
                transport = httpx.HTTPTransport(uds=str(socket_file))
                with httpx.Client(transport=transport, timeout=10) as client:
                    assert client.get("http://localhost/healthz").status_code < 500
            broken.unlink()
            server.signal(signal.SIGUSR2)
            server.wait_for("has taken over")
            assert server.process.wait(10) == 0
            assert path.exists()
            assert stats.exists()

    def test_stopping_meanwhile_stops_both(self):
        arguments = ("process_apps:never_starts", "--workers", "2", "--lifespan", "off")
        with casgi(*arguments, "--preload") as server:
            server.wait_for(RUNNING)
            server.signal(signal.SIGUSR2)
            server.wait_for("starting a process to take over")
            assert server.stop() == 0


def until(condition, timeout: float = 10) -> None:
    """Waits for what only the process table shows."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_successor_of_a_killed_worker_is_there_at_once():
    with casgi(*APPS, "--workers", "2") as server:
        _ = server.port
        times = []
        for count in range(3):
            # A pause that the back-off asks for is not what is measured.
            victim = max(server.children())
            begin = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            delay = server.wait_for(rf"\[{victim}\] was killed by SIGKILL: replacing it (.*)")[1]
            server.wait_for(r"Worker \[\d+\] is ready", count=count + 1)
            wait = float(re.sub(r"[^\d.]", "", delay) or 0)
            times.append(time.monotonic() - begin - wait)
        # 0.05 s on an idle machine.
        assert min(times) < 0.5, times
