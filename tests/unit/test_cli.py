# SPDX-License-Identifier: MIT
"""The command line: what each flag becomes, and docs/settings.md against --help."""

from __future__ import annotations

import inspect
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import asgiserver.server
from asgiserver import Config, __version__, cli
from asgiserver.binds import Descriptor, Tcp, Unix
from asgiserver.options import all_options

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


def test_defaults_are_those_of_config():
    signature = inspect.signature(Config).parameters
    for option in all_options():
        default = signature[option.name].default
        if option.multiple:
            assert default in (None, ()), option.name
        elif option.name == "limit_header_bytes":
            assert option.default == Config("m:app", log_config=None).limit_header_bytes
        elif option.name == "app_dir":
            # A program has its own folder on the path, a command does not.
            assert (option.default, default) == ("", None)
        elif option.name == "log_config":
            assert option.default is None
        else:
            assert option.default == default, option.name


def test_what_is_not_given_is_config_s_business(invoke):
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
        (["--bind", ":80", "-b", "unix:/s"], "binds", [Tcp("", 80), Unix("/s")]),
        (["--uds", "/s", "--uds-permissions", "660"], "uds_mode", 0o660),
        (["--reuse-port"], "reuse_port", True),
        (["--proxy-protocol"], "proxy_protocol", True),
        (["--workers", "4"], "workers", 4),
        (["--preload"], "preload", True),
        (["--factory"], "factory", True),
        (["--app-dir", "src"], "app_dir", "src"),
        (["--interface", "wsgi"], "interface", "wsgi"),
        (["--loop", "uvloop"], "loop", "uvloop"),
        (["--http", "httptools"], "http", "httptools"),
        (["--ws", "wsproto"], "ws", "wsproto"),
        (["--reset-contextvars"], "reset_contextvars", True),
        (["--reload"], "reload", True),
        (["--reload", "--reload-delay", "1"], "reload_delay", 1),
        (["--reload", "--reload-dir", "."], "reload_dirs", [Path.cwd()]),
        (["--reload", "--reload-include", "*.html"], "reload_includes", ["*.py", "*.html"]),
        (["--h11-max-incomplete-event-size", "9999"], "limit_header_bytes", 9999),
        (
            ["--h11-max-incomplete-event-size", "9999", "--limit-header-bytes", "5000"],
            "limit_header_bytes",
            5000,
        ),
        (["--root-path", "/api"], "root_path", "/api"),
        (["--lifespan", "off"], "lifespan", "off"),
        (["--no-proxy-headers"], "proxy_headers", False),
        (["--forwarded-allow-ips", "*"], "forwarded_allow_ips", "*"),
        (["--forwarded-header"], "forwarded_header", True),
        (["--js", "a.js", "--js", "b.js"], "js", ["a.js", "b.js"]),
        (["--access-log-format", "%(h)s"], "access_log_format", "%(h)s"),
        (["--log-format", "json"], "log_format", "json"),
        (["--max-worker-lifetime", "60"], "max_worker_lifetime", 60),
        (["--max-worker-rss", "200"], "max_worker_rss", 200),
        (["--timeout-worker-healthcheck", "0"], "timeout_worker_healthcheck", 0),
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
        (["--limit-request-line", "900"], "limit_request_line", 900),
        (["--limit-chunk-extensions", "9"], "limit_chunk_extensions", 9),
        (["--limit-connections-per-client", "9"], "limit_connections_per_client", 9),
        (["--limit-min-rate", "0"], "limit_min_rate", 0),
        (["--limit-streams", "9"], "limit_streams", 9),
        (["--http2"], "http2", True),
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
        ({"CASGI_JS": "a.js:b c.js"}, "js", ["a.js", "b c.js"]),
        ({"UVICORN_HEADERS": "X:1 Y:2"}, "headers", [("X", "1"), ("Y", "2")]),
        ({"CASGI_HEADERS": "X: a b\nY: 2"}, "headers", [("X", " a b"), ("Y", " 2")]),
        ({"UVICORN_RELOAD": "1", "UVICORN_RELOAD_INCLUDES": "*.a *.b"}, "should_reload", True),
        ({"CASGI_BIND": ":80 fd://5"}, "binds", [Tcp("", 80), Descriptor(5)]),
        ({"WEB_CONCURRENCY": "2"}, "workers", 2),
    ],
)
def test_environment(invoke, env, name, value):
    made, result = invoke("m:app", env=env)
    assert result.exit_code == 0, result.output
    assert getattr(made, name) == value


SETTINGS = """
app = "m:app"
port = 81
timeout-keep-alive = 5
js = "a.js"
headers = {X-A = "1"}

[log-config]
version = 1
disable_existing_loggers = false
"""


class TestSettingsFile:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "casgi.toml").write_text(SETTINGS)
        return str(tmp_path / "casgi.toml")

    def test_its_settings(self, invoke, path):
        made, result = invoke("--config", path)
        assert result.exit_code == 0, result.output
        assert (made.app, made.port, made.timeout_keep_alive) == ("m:app", 81, 5)
        assert made.js == ["a.js"]
        assert made.headers == [("X-A", "1")]
        assert made.log_config == {"version": 1, "disable_existing_loggers": False}

    def test_named_by_the_environment(self, invoke, path):
        made, _ = invoke(env={"CASGI_CONFIG": path})
        assert made.port == 81

    def test_precedence(self, invoke, path):
        """A flag, CASGI_, UVICORN_, the file, Config's default: each beats those behind it."""
        env = {"UVICORN_PORT": "82"}
        assert invoke("--config", path, env=env)[0].port == 82
        env["CASGI_PORT"] = "83"
        assert invoke("--config", path, env=env)[0].port == 83
        assert invoke("--config", path, "--port", "84", env=env)[0].port == 84
        assert invoke("other:app", "--config", path)[0].app == "other:app"

    def test_workers_beat_web_concurrency(self, invoke, tmp_path):
        path = tmp_path / "casgi.toml"
        path.write_text("workers = 3\n")
        made, _ = invoke("m:app", "--config", str(path), env={"WEB_CONCURRENCY": "2"})
        assert made.workers == 3

    @pytest.mark.parametrize("table", ["casgi", "tool.casgi"])
    def test_a_table_of_it(self, invoke, tmp_path, table):
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[project]\nname = 'x'\n[{table}]\nport = 81\n")
        assert invoke("m:app", "--config", str(path))[0].port == 81

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("prot = 1", "there is no setting 'prot'"),
            ("port = 'many'", "port: 'many' is not a valid integer"),
            ("port =", "Invalid value"),
            ("lifespan = 'maybe'", "'maybe' is not one of"),
        ],
    )
    def test_mistakes(self, invoke, tmp_path, text, complaint):
        path = tmp_path / "casgi.toml"
        path.write_text(text)
        made, result = invoke("m:app", "--config", str(path))
        assert made is None
        assert result.exit_code == 2
        said = " ".join(result.output.replace("\u2502", " ").split())
        assert complaint in said
        assert "casgi.toml" in said


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
        (["m:app", "--access-log-format", "%(x)s"], "unknown atom 'x'"),
        (["m:app", "--loop", "trio"], "'trio' is not one of"),
        (["m:app", "--config", "no-such.toml"], "does not exist"),
    ],
)
def test_wrong_usage(invoke, arguments, text):
    made, result = invoke(*arguments)
    assert made is None
    assert result.exit_code == 2
    assert text in result.output


def test_start_of_one_worker_loads_what_it_needs():
    code = (
        "import sys, asgiserver.cli, asgiserver.server, jsrt\n"
        "asgiserver.Config('app:app').configure_logging()\n"
        "bad = {'asgiserver.reload', 'asgiserver.supervisor', 'asgiserver.stats.service',\n"
        "       'configparser', 'random', 'jsrt.engine', 'jsrt.tenants', 'encodings.idna'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
        "print(jsrt.Tenants.__name__, jsrt.JSEngine.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines() == ["[]", "Tenants JSEngine"]


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
        flags = re.findall(r"--[a-z][a-z0-9-]*", cells[0])
        if line.startswith("| `") and flags:
            rows[flags[0]] = (cells, set(flags))
    options = {p.opts[0]: p for p in cli.main.params if p.param_type_name == "option"}
    assert set(rows) == set(options)
    for flag, parameter in options.items():
        cells, flags = rows[flag]
        names = {*parameter.opts, *parameter.secondary_opts}
        assert flags == {name for name in names if name.startswith("--")}, flag
        default = parameter.default
        if isinstance(default, int | float | str) and not isinstance(default, bool) and default:
            assert f"`{default}`" in cells[2], flag


def test_public_names():
    import asgiserver as uvicorn

    assert uvicorn.config.LOGGING_CONFIG is uvicorn.logs.LOGGING_CONFIG
    assert "run" in dir(uvicorn)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        uvicorn.nothing  # noqa: B018
