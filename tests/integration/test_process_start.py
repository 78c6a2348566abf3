# SPDX-License-Identifier: MIT
"""Starting: what keeps the server from it, and where and how it then answers."""

from __future__ import annotations

import os
import re
import socket
import time

import httpx
import pytest
from casgi_process import casgi

MODES = pytest.mark.parametrize("workers", ["1", "3"])


def failing(*arguments: str, workers: str = "1", **options) -> str:
    """Runs a server that must not start. Returns its log, which ends with code 3 in time."""
    begin = time.monotonic()
    with casgi(*arguments, "--workers", workers, **options) as server:
        assert server.wait() == 3, server.log
    assert time.monotonic() - begin < 10
    return server.log


class TestFailures:
    @MODES
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere:app"], 'Error loading ASGI app. Could not import module "nowhere".'),
            (["process_apps:none"], 'Attribute "none" not found in module "process_apps".'),
            (["process_apps"], 'must be in format "<module>:<attribute>"'),
            (["broken_app:app"], 'Error loading ASGI app "broken_app:app": ZeroDivisionError'),
            (["process_apps:make_app_that_fails", "--factory"], "RuntimeError: no database"),
            (["process_apps:fails_to_start"], "the database is down"),
            (["process_apps:raises_in_lifespan", "--lifespan", "on"], "KeyError: 'unheard of'"),
            (["process_apps:app", "--js", "none.js"], "--js none.js: No such file or directory"),
        ],
    )
    def test_code_3_and_one_message(self, workers, arguments, message, tmp_path):
        (tmp_path / "broken_app.py").write_text("1 / 0\n")
        log = failing(*arguments, workers=workers, env={"PYTHONPATH": path_with(tmp_path)})
        assert message in log
        assert len(re.findall("^ERROR:", log, re.M)) == 1, log

    @MODES
    def test_traceback_shows_the_application_alone(self, workers, tmp_path):
        (tmp_path / "broken_app.py").write_text("def f():\n    1 / 0\n\nf()\n")
        log = failing("broken_app:app", workers=workers, env={"PYTHONPATH": path_with(tmp_path)})
        assert "broken_app.py" in log
        assert "asgiserver/config.py" not in log

    @MODES
    def test_port_taken(self, workers):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            log = failing("process_apps:app", "--port", port, workers=workers)
        assert f"Cannot bind to 127.0.0.1:{port}: Address already in use." in log

    def test_worker_dies_in_its_start(self, tmp_path):
        (tmp_path / "broken").touch()
        env = {"BROKEN": str(tmp_path / "broken")}
        log = failing("process_apps:dies_when_told", workers="2", env=env)
        assert re.search(r"Worker \[\d+\] exited with code 9 during its start", log)

    @pytest.mark.parametrize(("workers", "code"), [("1", 1), ("2", 3)])
    def test_application_exits_at_import(self, workers, code):
        with casgi(
            "process_apps:app", "--workers", workers, env={"PROCESS_APPS_EXIT": "1"}
        ) as server:
            assert server.wait() == code
        assert "the application wants out" in server.log


def path_with(folder) -> str:
    from casgi_process import HERE

    parts = [str(folder), os.environ.get("PYTHONPATH", ""), str(HERE.parents[1])]
    return os.pathsep.join(part for part in parts if part)


class TestListening:
    @MODES
    def test_port_zero(self, workers):
        with casgi("process_apps:app", "--workers", workers) as server:
            assert server.get().json()["path"] == "/"

    @MODES
    def test_uds(self, workers, tmp_path):
        path = str(tmp_path / "casgi.sock")
        with casgi("process_apps:app", "--uds", path, "--workers", workers) as server:
            server.wait_for(f"casgi running on unix socket {path} ")
            transport = httpx.HTTPTransport(uds=path)
            with httpx.Client(transport=transport) as client:
                assert client.get("http://casgi/a").json()["path"] == "/a"
            server.stop()
            assert not os.path.exists(path)

    @MODES
    def test_fd(self, workers):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            fd = sock.fileno()
            arguments = ("process_apps:app", "--fd", str(fd), "--workers", workers)
            with casgi(*arguments, pass_fds=(fd,)) as server:
                assert server.port == sock.getsockname()[1]
                assert server.get().status_code == 200

    def test_every_address_of_a_name(self):
        with casgi("process_apps:app", "--host", "") as server:
            port = server.port
            lines = re.findall(r"casgi running on http://(\S+):\d+ ", server.log)
            for host in lines:
                url = f"http://{host.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]')}"
                assert httpx.get(f"{url}:{port}/", trust_env=False).status_code == 200

    def test_refused_until_started(self):
        with casgi("process_apps:never_starts", "--lifespan", "on") as server:
            server.wait_for("starting for ever")
            server.signal(2)
            assert server.wait() == 0
        assert "casgi running" not in server.log


class TestOptions:
    def test_factory(self):
        with casgi("process_apps:make_app", "--factory") as server:
            assert server.get().status_code == 200
        assert "WARNING" not in server.log

    def test_factory_without_the_flag(self):
        with casgi("process_apps:make_app") as server:
            assert server.get().status_code == 200
        assert "ASGI app factory detected" in server.log

    def test_app_dir(self, tmp_path):
        from casgi_process import HERE

        with casgi("process_apps:app", "--app-dir", str(HERE), cwd=tmp_path) as server:
            assert server.get().status_code == 200

    def test_root_path(self):
        with casgi("process_apps:app", "--root-path", "/api") as server:
            seen = server.get("/x").json()
        assert (seen["root_path"], seen["path"]) == ("/api", "/api/x")

    def test_headers(self):
        with casgi("process_apps:app", "--header", "X-One: 1", "--header", "Server:mine") as server:
            headers = server.get().headers
        assert headers["x-one"] == "1"
        assert headers.get_list("server") == ["mine"]
        assert "date" in headers

    def test_no_default_headers(self):
        with casgi("process_apps:app", "--no-server-header", "--no-date-header") as server:
            headers = server.get().headers
        assert "server" not in headers
        assert "date" not in headers

    def test_access_log(self):
        with casgi("process_apps:app", "--no-use-colors") as server:
            server.get("/a%20b?c=d")
            server.wait_for(r'INFO:     127\.0\.0\.1:\d+ - "GET /a%20b\?c=d HTTP/1\.1" 200 OK\n')

    def test_no_access_log(self):
        with casgi("process_apps:app", "--no-access-log") as server:
            server.get("/quiet")
            server.stop()
        assert "quiet" not in server.log

    def test_log_level(self):
        with casgi("process_apps:fails_to_start", "--log-level", "error") as server:
            server.wait()
        assert "INFO" not in server.log
        assert "the database is down" in server.log

    def test_colours(self):
        with casgi("process_apps:app", "--use-colors") as server:
            server.wait_for(re.escape("\x1b[32mINFO\x1b[0m:     Started server process [\x1b[36m"))
