# SPDX-License-Identifier: MIT
"""Workers under a supervisor: replaced when they die, rolled, added and removed."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import httpx
import pytest
from casgi_process import HERE, Load, casgi

STARTED = r"Started server process \[(\d+)\]"


def until(condition, timeout: float = 20) -> None:
    """Waits for what only the process table shows."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_dead_worker_is_replaced(how):
    with casgi("process_apps:app", "--workers", "3", "--no-access-log") as server:
        url = server.url
        victim = min(server.children())
        others = server.children() - {victim}
        with Load(url) as load:
            load.wait_for(50)
            begin = time.monotonic()
            os.kill(victim, how)
            server.wait_for(r"Worker \[\d+\] is ready")
            assert time.monotonic() - begin < 2
            load.wait_for(100)
        # At most what it was answering is lost; after SIGTERM nothing is.
        assert len(load.failures) <= (0 if how == signal.SIGTERM else 4), load.failures
        assert others < server.children()
        assert len(server.children()) == 3
        assert server.stop() == 0


def test_workers_that_keep_dying_are_held_back():
    with casgi("process_apps:app", "--workers", "2", "--no-access-log") as server:
        _ = server.port
        for count, when in enumerate(["now", r"in 0\.5 s", "in 1 s"], start=1):
            victim = max(server.children())
            os.kill(victim, signal.SIGKILL)
            server.wait_for(rf"Worker \[{victim}\] was killed by SIGKILL: replacing it {when}")
            server.wait_for(r"Worker \[\d+\] is ready", count=count)
            assert server.get().status_code == 200


def test_rolling_restart_under_load():
    with casgi("process_apps:app", "--workers", "2", "--no-access-log") as server:
        url = server.url
        first = server.children()
        with Load(url, "/nap", threads=8) as load:
            load.wait_for(50)
            for count in (2, 4):
                server.signal(signal.SIGHUP)
                server.wait_for("Finished server process", count=count)
            load.wait_for(50)
        assert load.failures == []
        server.wait_for_exit(first)
        assert len(server.children()) == 2
        assert server.stop() == 0


def test_hang_up_of_a_terminal_restarts_gracefully():
    """SIGHUP to the whole group: the workers leave it to the supervisor."""
    with casgi("process_apps:app", "--workers", "2", "--no-access-log") as server:
        with Load(server.url) as load:
            load.wait_for(20)
            os.killpg(server.pid, signal.SIGHUP)
            server.wait_for("Finished server process", count=2)
            load.wait_for(20)
        assert load.failures == []
        assert "killed" not in server.log


def test_rolling_restart_loads_new_code(tmp_path):
    module = tmp_path / "rolled.py"
    # The applications' folder is not on the path where PYTHONSAFEPATH is set.
    text = f"import sys\nsys.path.append({str(HERE)!r})\n"
    text += "from process_apps import answer, lifespan\nasync def app(scope, receive, send):\n"
    text += "    if scope['type'] == 'lifespan': return await lifespan(receive, send)\n"
    module.write_text(text + "    await answer(send, 'old')\n")
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    with casgi("rolled:app", "--workers", "2", "--app-dir", str(tmp_path), env=env) as server:
        assert server.get().json() == "old"
        module.write_text(text + "    await answer(send, 'new')\n")
        server.signal(signal.SIGHUP)
        server.wait_for("Finished server process", count=2)
        assert {server.get().json() for _ in range(8)} == {"new"}


def test_failed_rolling_restart_keeps_the_old(tmp_path):
    broken = tmp_path / "broken"
    env = {"BROKEN": str(broken)}
    arguments = ("process_apps:starts_unless_told", "--workers", "2", "--no-access-log")
    with casgi(*arguments, env=env) as server:
        url = server.url
        first = server.children()
        with Load(url) as load:
            broken.touch()
            server.signal(signal.SIGHUP)
            server.wait_for("A worker could not start: trying again in", count=3)
            assert first <= server.children()
            load.wait_for(20)
            broken.unlink()
            server.wait_for("Finished server process", count=2)
        assert load.failures == []
        assert "broken for now" in server.log
        assert server.stop() == 0


@pytest.mark.parametrize("name", ["starts_unless_told", "dies_when_told"])
def test_replacement_that_cannot_start_is_tried_again(tmp_path, name):
    broken = tmp_path / "broken"
    arguments = (f"process_apps:{name}", "--workers", "2", "--no-access-log")
    with casgi(*arguments, env={"BROKEN": str(broken)}) as server:
        _ = server.port
        broken.touch()
        victim, survivor = sorted(server.children())
        os.kill(victim, signal.SIGKILL)
        server.wait_for("A worker could not start: trying again in 0.5 s")
        assert server.get().json() == survivor
        broken.unlink()
        server.wait_for(r"Worker \[\d+\] is ready")
        assert server.stop() == 0


def test_no_worker_left_and_none_can_start(tmp_path):
    broken = tmp_path / "broken"
    arguments = ("process_apps:starts_unless_told", "--workers", "2")
    with casgi(*arguments, env={"BROKEN": str(broken)}) as server:
        _ = server.port
        broken.touch()
        for pid in server.children():
            os.kill(pid, signal.SIGKILL)
        assert server.wait() == 3
        assert "broken for now" in server.log


def test_one_worker_more_and_less():
    with casgi("process_apps:app", "--workers", "2") as server:
        _ = server.port
        server.signal(signal.SIGTTIN)
        server.wait_for(r"Worker \[\d+\] is ready")
        assert len(server.children()) == 3
        for count in (2, 1, 1):
            server.signal(signal.SIGTTOU)
            until(lambda count=count: len(server.children()) == count)
        server.wait_for("the last worker stays")
        assert server.get().status_code == 200
        assert server.stop() == 0


@pytest.mark.parametrize("preload", [True, False])
def test_preload(preload):
    arguments = ["process_apps:app", "--workers", "2", *(["--preload"] if preload else [])]
    with casgi(*arguments, env={"PROCESS_APPS_SAY_IMPORT": "1"}) as server:
        _ = server.port
        imported = {int(pid) for pid in find_all(server.log, r"imported in (\d+)")}
        assert imported == ({server.pid} if preload else server.children())


def find_all(text: str, pattern: str) -> list[str]:
    import re

    return re.findall(pattern, text)


@pytest.mark.alone
def test_the_supervisor_sleeps():
    """No polling: an idle supervisor uses no processor time and is not woken."""
    with casgi("process_apps:app", "--workers", "2") as server:
        _ = server.port
        before = context_switches(server.pid)
        time.sleep(1)
        assert context_switches(server.pid) - before <= 1


def context_switches(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)


def test_the_supervisor_has_one_thread():
    with casgi("process_apps:app", "--workers", "2") as server:
        _ = server.port
        assert len(os.listdir(f"/proc/{server.pid}/task")) == 1


def test_exit_handlers_run_where_they_were_made(tmp_path):
    """The script's atexit handler runs once, in the script; the application's in each worker."""
    script = tmp_path / "script.py"
    script.write_text(
        "import atexit, os, asgiserver\n"
        "from process_apps import say\n"
        "def make_app():\n"
        "    import process_apps\n"
        "    atexit.register(lambda: say(f'application exit {os.getpid()}'))\n"
        "    return process_apps.app\n"
        "if __name__ == '__main__':\n"
        "    atexit.register(lambda: say(f'script exit {os.getpid()}'))\n"
        "    asgiserver.run(make_app, factory=True, workers=2, port=0)\n"
        "    say(f'after run {os.getpid()}')\n"
    )
    import sys

    from casgi_process import HERE

    with casgi(
        command=(sys.executable, str(script)), env={"PYTHONPATH": python_path(HERE)}
    ) as server:
        _ = server.port
        workers = server.children()
        assert server.stop() == 0
    exits = {int(pid) for pid in find_all(server.log, r"application exit (\d+)")}
    assert exits == workers, server.log
    assert find_all(server.log, r"script exit (\d+)") == [str(server.pid)]
    assert find_all(server.log, r"after run (\d+)") == [str(server.pid)]


def python_path(*folders) -> str:
    from casgi_process import HERE

    parts = [*map(str, folders), os.environ.get("PYTHONPATH", ""), str(HERE.parents[1])]
    return os.pathsep.join(part for part in parts if part)


def pids_of(server, connections: int) -> dict[int, int]:
    """How many of so many kept connections each worker has."""
    counts: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            client = stack.enter_context(httpx.Client(base_url=server.url))
            pid = client.get("/").json()["pid"]
            counts[pid] = counts.get(pid, 0) + 1
    return counts


@pytest.mark.alone
def test_connections_spread_over_the_workers():
    with casgi("process_apps:app", "--workers", "3", "--no-access-log") as server:
        counts = pids_of(server, 30)
        assert sorted(counts.values()) == pytest.approx([10, 10, 10], abs=4), counts
        os.kill(min(counts), signal.SIGKILL)
        server.wait_for(r"Worker \[\d+\] is ready")
        # The dead worker's connections are not held against its successor.
        counts = pids_of(server, 30)
        assert sorted(counts.values()) == pytest.approx([10, 10, 10], abs=4), counts
        assert set(counts) == server.children()


def test_a_stopped_worker_does_not_keep_others_from_accepting():
    with casgi("process_apps:app", "--workers", "2", "--no-access-log") as server:
        assert len(pids_of(server, 4)) == 2
        victim = min(server.children())
        os.kill(victim, signal.SIGSTOP)
        try:
            counts = pids_of(server, 20)
        finally:
            os.kill(victim, signal.SIGCONT)
        assert counts == {max(server.children()): 20}
