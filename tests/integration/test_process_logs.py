# SPDX-License-Identifier: MIT
"""What a server writes: formats of the access log, JSON, and logging configuration files."""

from __future__ import annotations

import json
import re

import pytest
from casgi_process import casgi

INI = """
[loggers]
keys=root,error
[handlers]
keys=out
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=out
[logger_error]
level=INFO
handlers=out
propagate=0
qualname=asgiserver.error
[handler_out]
class=StreamHandler
formatter=plain
args=(sys.stderr,)
[formatter_plain]
format=INI %(message)s
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_format_with_a_duration(workers):
    text = '%(h)s "%(r)s" %(s)s %(B)s %(M)s %({x-request-id}i)s'
    options = ("--access-log-format", text, "--workers", workers)
    with casgi("process_apps:app", *options) as server:
        answer = server.get("/nap?a=%22", headers={"x-request-id": 'r"1'})
        found = server.wait_for(r'127\.0\.0\.1 "GET /nap\?a=%22 HTTP/1\.1" 200 (\d+) (\d+) (\S+)')
    assert int(found[1]) == len(answer.content)
    assert 50 <= int(found[2]) < 5000
    assert found[3] == r"r\x221"


def test_uvicorn_s_format_is_the_default_line():
    text = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
    with casgi("process_apps:app", "--access-log-format", text) as server:
        server.get("/x")
        server.wait_for(r'INFO:     127\.0\.0\.1:\d+ - "GET /x HTTP/1\.1" 200 OK')


@pytest.mark.parametrize("workers", ["1", "2"])
def test_json(workers):
    options = ("--log-format", "json", "--workers", workers)
    with casgi("process_apps:app", *options, command=default_command()) as server:
        port = int(server.wait_for(r"casgi running on http://[^:]+:(\d+) ")[1])
        import httpx

        httpx.get(f"http://127.0.0.1:{port}/nap?q=1", trust_env=False)
        server.wait_for('"duration_ms"')
        assert server.stop() in (0, -15)
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert not re.search(r"^INFO:", server.log, re.M)
    (access,) = [line for line in lines if line["logger"] == "asgiserver.access"]
    assert (access["method"], access["path"], access["query"]) == ("GET", "/nap", "q=1")
    assert access["status"] == 200
    assert access["duration_ms"] >= 50
    assert any("running on" in line.get("message", "") for line in lines)


def default_command():
    import sys

    return (sys.executable, "-u", "-m", "asgiserver", "--port", "0")


@pytest.mark.parametrize("kind", ["json", "yaml", "ini", "toml"])
def test_configuration_files(kind, tmp_path):
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": f"{kind.upper()} %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {"asgiserver": {"handlers": ["out"], "level": "INFO", "propagate": False}},
    }
    path = tmp_path / f"log.{kind}"
    option = "--log-config"
    if kind == "ini":
        path.write_text(INI)
    elif kind == "yaml":
        pytest.importorskip("yaml")
        path.write_text(json.dumps(config))  # YAML contains JSON.
    elif kind == "toml":
        option = "--config"
        path.write_text(
            "[log-config]\nversion = 1\ndisable_existing_loggers = false\n"
            "formatters = {plain = {format = 'TOML %(message)s'}}\n"
            "handlers = {out = {class = 'logging.StreamHandler', formatter = 'plain'}}\n"
            "loggers = {asgiserver = {handlers = ['out'], level = 'INFO'}}\n"
        )
    else:
        path.write_text(json.dumps(config))
    with casgi("process_apps:app", option, str(path)) as server:
        server.wait_for(rf"(?m)^{kind.upper()} casgi running on http://")
