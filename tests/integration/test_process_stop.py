# SPDX-License-Identifier: MIT
"""Stopping: in-flight requests end, a second signal or a deadline cuts it short."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import sys
import time

import httpx
import pytest
from casgi_process import HERE, Load, casgi

MODES = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def release(tmp_path):
    return tmp_path / "release"


@contextlib.contextmanager
def in_flight(*arguments: str, release, path: str = "/hold"):
    """A server with one request under way; gives it and the answer's future."""
    with casgi("process_apps:app", *arguments, env={"RELEASE": str(release)}) as server:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(server.get, path)
            server.wait_for("holding" if path == "/hold" else path[1:])
            yield server, answer


def ends_later(server, seconds: float) -> None:
    """Waits past the time in which signals count as one."""
    time.sleep(seconds)
    assert server.process.poll() is None, server.log


class TestGraceful:
    @MODES
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_request_in_flight_is_answered(self, workers, number, release):
        with in_flight("--workers", workers, release=release) as (server, answer):
            server.signal(number)
            server.wait_for("Shutting down", count=int(workers))
            release.touch()
            assert answer.result(20).status_code == 200
            code = server.wait()
        single_term = workers == "1" and number == signal.SIGTERM
        assert code == (-signal.SIGTERM if single_term else 0)
        assert server.log.count("lifespan ended") == int(workers)

    @MODES
    def test_nobody_new_is_let_in(self, workers, release):
        with in_flight("--workers", workers, release=release) as (server, answer):
            port = server.port
            server.signal(signal.SIGTERM)
            server.wait_for("Shutting down", count=int(workers))
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except ConnectionRefusedError:
                    break
            else:
                pytest.fail("still accepting")
            release.touch()
            assert answer.result(20).status_code == 200

    @MODES
    def test_idle_connection_does_not_hold_it_up(self, workers):
        with casgi("process_apps:app", "--workers", workers) as server:
            with httpx.Client(trust_env=False) as client:
                client.get(server.url)
                begin = time.monotonic()
                server.stop()
                assert time.monotonic() - begin < 5

    @MODES
    def test_under_load_no_request_is_lost(self, workers):
        with casgi("process_apps:app", "--workers", workers, "--no-access-log") as server:
            with Load(server.url, "/nap", threads=8) as load:
                load.wait_for(100)
                server.signal(signal.SIGTERM)
                server.wait()
        # Connections refused are none of its requests; broken ones would be.
        lost = [text for text in load.failures if "ConnectError" not in text]
        assert lost == []

    def test_group_signal_is_one_signal(self, release):
        """A service manager signals the supervisor and each worker: still a graceful stop."""
        with in_flight("--workers", "2", release=release) as (server, answer):
            os.killpg(server.pid, signal.SIGTERM)
            server.signal(signal.SIGTERM)
            server.wait_for("Shutting down", count=2)
            os.killpg(server.pid, signal.SIGINT)
            release.touch()
            assert answer.result(20).status_code == 200
            assert server.wait() == 0

    def test_a_signal_after_draining_does_not_cut_the_exit_short(self):
        with casgi(
            "process_apps:make_app_with_a_late_signal", "--factory", "--workers", "2"
        ) as server:
            server.wait_for("Application startup complete", count=2)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        assert server.log.count("exit handler ran") == 2
        assert "was killed" not in server.log


class TestForced:
    @MODES
    def test_second_signal(self, workers, release):
        with in_flight("--workers", workers, release=release) as (server, answer):
            server.signal(signal.SIGINT)
            server.wait_for("Shutting down")
            ends_later(server, 0.3)
            begin = time.monotonic()
            server.signal(signal.SIGINT)
            server.wait()
            assert time.monotonic() - begin < 3
            with pytest.raises(httpx.HTTPError):
                answer.result(20)

    # A blocked loop cannot see a signal: that case needs a supervisor.
    @pytest.mark.parametrize(
        ("workers", "path"), [("1", "/unstoppable"), ("2", "/unstoppable"), ("2", "/stuck")]
    )
    def test_second_signal_ends_what_cannot_be_cancelled(self, workers, path, release):
        with in_flight("--workers", workers, release=release, path=path) as (server, _):
            server.signal(signal.SIGTERM)
            ends_later(server, 0.3)
            begin = time.monotonic()
            server.signal(signal.SIGTERM)
            server.wait()
            assert time.monotonic() - begin < 6

    @MODES
    def test_deadline(self, workers, release):
        arguments = ("--workers", workers, "--timeout-graceful-shutdown", "0.5")
        with in_flight(*arguments, release=release) as (server, answer):
            server.signal(signal.SIGTERM)
            code = server.wait()
            with contextlib.suppress(httpx.HTTPError):
                answer.result(20)
        assert code == (-signal.SIGTERM if workers == "1" else 0)
        assert "Cancel 1 running task(s), timeout graceful shutdown exceeded" in server.log
        assert "cancelled" in server.log
        assert server.log.count("lifespan ended") == int(workers)

    @MODES
    def test_while_starting(self, workers):
        arguments = ("process_apps:never_starts", "--lifespan", "on", "--workers", workers)
        with casgi(*arguments) as server:
            server.wait_for("starting for ever", count=int(workers))
            server.signal(signal.SIGTERM)
            code = server.wait(5)
        assert code == (-signal.SIGTERM if workers == "1" else 0)


class TestLimits:
    def test_max_requests_replaces_a_single_process(self):
        """uvicorn's ends, which is an outage."""
        with casgi("process_apps:app", "--limit-max-requests", "30") as server:
            _, first = server.port, server.children()
            assert len(first) == 1
            with Load(server.url) as load:
                server.wait_for("Finished server process")
                load.wait_for(20)
            assert load.failures == []
            server.wait_for_exit(first)
            assert server.stop() == 0

    def test_max_requests_ends_an_embedded_server(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "import asgiserver, process_apps\n"
            "config = asgiserver.Config(process_apps.app, port=0, limit_max_requests=3)\n"
            "asgiserver.Server(config).run()\n"
        )
        command = (sys.executable, str(script))
        with casgi(command=command, env={"PYTHONPATH": python_path()}) as server:
            assert [server.get().status_code for _ in range(3)] == [200] * 3
            assert server.wait() == 0
        assert "Maximum request limit of 3 exceeded. Terminating process." in server.log

    def test_max_requests_replaces_a_worker_without_an_outage(self):
        arguments = ("--workers", "2", "--limit-max-requests", "40", "--no-access-log")
        with casgi("process_apps:app", *arguments) as server:
            first = server.children()
            with Load(server.url) as load:
                server.wait_for("has reached its request limit", count=2)
                server.wait_for("Finished server process", count=2)
                load.wait_for(50)
            assert load.failures == []
            server.wait_for_exit(first)


def test_orphaned_workers_finish_and_leave(release):
    with in_flight("--workers", "2", release=release) as (server, answer):
        workers = server.children()
        server.signal(signal.SIGKILL)
        server.wait_for("The supervisor is gone", count=2)
        release.touch()
        assert answer.result(20).status_code == 200
        end = time.monotonic() + 10
        while any(os.path.exists(f"/proc/{pid}") and not zombie(pid) for pid in workers):
            assert time.monotonic() < end, server.log


def zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def python_path() -> str:
    parts = [str(HERE), os.environ.get("PYTHONPATH", ""), str(HERE.parents[1])]
    return os.pathsep.join(part for part in parts if part)
