# SPDX-License-Identifier: MIT
"""The command line: what each flag becomes, and docs/settings.md against --help."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import asgiserver.server
from asgiserver import __version__, cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def invoke(monkeypatch):
    """Calls the command; gives the Config it would have run, and click's result."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)

    def call(*arguments: str, env: dict[str, str] | None = None):
        made = []
        monkeypatch.setattr(asgiserver.server, "run_config", made.append)
        result = CliRunner().invoke(cli.main, [*arguments, "--no-use-colors"], env=env)
        return (made[0] if made else None), result

    return call


def test_defaults_are_those_of_config(invoke):
    from asgiserver import Config

    made, result = invoke("m:app")
    assert result.exit_code == 0, result.output
    plain = vars(Config("m:app", log_config=None))
    given = vars(made)
    differing = {name for name in plain if plain[name] != given[name]}
    assert differing <= {"app_dir", "log_config", "use_colors"}


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--host", "::1"], "host", "::1"),
        (["--port", "0"], "port", 0),
        (["--uds", "/run/s"], "uds", "/run/s"),
        (["--fd", "3"], "fd", 3),
        (["--workers", "4"], "workers", 4),
        (["--preload"], "preload", True),
        (["--factory"], "factory", True),
        (["--app-dir", "src"], "app_dir", "src"),
        (["--root-path", "/api"], "root_path", "/api"),
        (["--lifespan", "off"], "lifespan", "off"),
        (["--js", "a.js", "--js", "b.js"], "js", ["a.js", "b.js"]),
        (["--js-profile", "bare"], "js_profile", "bare"),
        (["--js-heap-limit", "64"], "js_heap_limit", 64),
        (["--js-timeout", "250"], "js_timeout", 250),
        (["--no-js"], "no_js", True),
        (["--log-level", "debug"], "log_level", "debug"),
        (["--no-access-log"], "access_log", False),
        (["--no-server-header"], "server_header", False),
        (["--no-date-header"], "date_header", False),
        (["--header", "X-A: b:c", "--header", "Y:z"], "headers", [("X-A", " b:c"), ("Y", "z")]),
        (["--limit-concurrency", "9"], "limit_concurrency", 9),
        (["--limit-max-requests", "9"], "limit_max_requests", 9),
        (["--limit-max-requests-jitter", "2"], "limit_max_requests_jitter", 2),
        (["--limit-header-bytes", "8192"], "limit_header_bytes", 8192),
        (["--limit-header-count", "50"], "limit_header_count", 50),
        (["--limit-body-bytes", "9"], "limit_body_bytes", 9),
        (["--timeout-header", "1.5"], "timeout_header", 1.5),
        (["--timeout-body", "2"], "timeout_body", 2),
        (["--timeout-write", "3"], "timeout_write", 3),
        (["--ws-max-size", "1000"], "ws_max_size", 1000),
        (["--ws-max-queue", "4"], "ws_max_queue", 4),
        (["--ws-ping-interval", "0.5"], "ws_ping_interval", 0.5),
        (["--ws-ping-timeout", "0"], "ws_ping_timeout", 0),
        (["--ws-per-message-deflate", "false"], "ws_per_message_deflate", False),
        (["--backlog", "10"], "backlog", 10),
        (["--timeout-keep-alive", "0"], "timeout_keep_alive", 0),
        (["--timeout-graceful-shutdown", "0"], "timeout_graceful_shutdown", 0),
    ],
)
def test_flags(invoke, arguments, name, value):
    made, result = invoke("m:app", *arguments)
    assert result.exit_code == 0, result.output
    assert getattr(made, name) == value


@pytest.mark.parametrize(
    ("env", "name", "value"),
    [
        ({"CASGI_PORT": "81"}, "port", 81),
        ({"UVICORN_PORT": "82"}, "port", 82),
        ({"CASGI_PORT": "81", "UVICORN_PORT": "82"}, "port", 81),
        ({"CASGI_ACCESS_LOG": "false"}, "access_log", False),
        ({"CASGI_JS": "a.js"}, "js", ["a.js"]),
        ({"WEB_CONCURRENCY": "2"}, "workers", 2),
    ],
)
def test_environment(invoke, env, name, value):
    made, result = invoke("m:app", env=env)
    assert result.exit_code == 0, result.output
    assert getattr(made, name) == value


def test_app_from_the_environment(invoke):
    made, _ = invoke(env={"UVICORN_APP": "m:app"})
    assert made.app == "m:app"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument 'APP'"),
        (["m:app", "--header", "nocolon"], "not in the form 'Name:Value'"),
        (["m:app", "--header", "a b:c"], "is not a token"),
        (["m:app", "--workers", "0"], "workers must be at least 1"),
        (["m:app", "--js", "a.js", "--no-js"], "exclude each other"),
        (["m:app", "--reload"], "No such option"),
    ],
)
def test_wrong_usage(invoke, arguments, text):
    made, result = invoke(*arguments)
    assert made is None
    assert result.exit_code == 2
    assert text in result.output


def test_version_loads_no_server():
    code = (
        "import sys; from asgiserver.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as e: assert not e.code\n"
        "bad = {'asyncio', 'logging.config', 'asgiserver.server', 'asgiserver._core', 'jsrt'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    implementation = f"{platform.python_implementation()} {platform.python_version()}"
    assert done.stdout.splitlines() == [
        f"Running casgi {__version__} with {implementation} on {platform.system()}",
        "[]",
    ]


def test_settings_page_lists_every_flag():
    """docs/settings.md has one table row for each option, with its default, and no other."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        flags = re.findall(r"--[a-z][a-z-]*", cells[0])
        if line.startswith("| `") and flags:
            rows[flags[0]] = (cells, set(flags))
    options = {p.opts[0]: p for p in cli.main.params if p.param_type_name == "option"}
    assert set(rows) == set(options)
    for flag, parameter in options.items():
        cells, flags = rows[flag]
        assert flags == {*parameter.opts, *parameter.secondary_opts}, flag
        default = parameter.default
        if isinstance(default, int | float | str) and not isinstance(default, bool) and default:
            assert f"`{default}`" in cells[2], flag


def test_public_names():
    import asgiserver as uvicorn

    assert uvicorn.config.LOGGING_CONFIG is uvicorn.logs.LOGGING_CONFIG
    assert "run" in dir(uvicorn)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        uvicorn.nothing  # noqa: B018
