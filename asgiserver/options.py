# SPDX-License-Identifier: MIT
"""The table of the command line's options, and what they become: click's options, environment
variables, keys of a settings file.

One row an option, in the order of ``--help``. The keyword of Config that a row sets is its flag
with ``_`` for ``-``, unless it says otherwise; its default is written in Config's signature too,
and a test compares the two. docs/settings.md describes each at length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click

LEVELS = ("critical", "error", "warning", "info", "debug", "trace")


class HeaderType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``Name: value`` as a pair. Several in an environment variable: one a line, or, as uvicorn
    has it, separated by blanks."""

    name = "name:value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if not isinstance(value, str):
            return value[0], value[1]
        name, colon, rest = value.partition(":")
        if not colon:
            self.fail(f"{value!r} is not in the form 'Name:Value'.", param, ctx)
        return name, rest

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return rv.splitlines() if "\n" in rv else rv.split()


class LogConfigType(click.Path):
    """A file, or the dict that a table of a settings file becomes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, dict) else super().convert(value, param, ctx)


FILE = click.Path(exists=True, dir_okay=False)
PATH = click.Path()
COUNT = click.IntRange(min=1)
AMOUNT = click.IntRange(min=0)
SECONDS = click.FloatRange(min=0)


@dataclass(frozen=True)
class Option:
    """One option of the command line.

    Attributes:
        flags: ``--name``, or ``--name/--no-name``.
        help: its line in ``--help``.
        type: click's; None: the flag takes no value.
        default: Config's.
        keyword: Config's, where it is not the flag's name.
        multiple: may be given several times; the keyword gets a list.
        ours: uvicorn does not have it, so ``UVICORN_…`` is not looked at.
        metavar: what stands for the value in ``--help``.
        short: a letter for it, with its dash.
    """

    flags: str
    help: str
    type: click.ParamType[Any] | None = None
    default: Any = None
    keyword: str = ""
    multiple: bool = False
    ours: bool = False
    metavar: str | None = field(default=None, compare=False)
    short: str = ""

    @property
    def name(self) -> str:
        """The keyword of Config."""
        return self.keyword or self.flags.split("/")[0].lstrip("-").replace("-", "_")

    @property
    def variables(self) -> list[str]:
        """The environment variables that set it, the strongest first."""
        prefixes = ("CASGI",) if self.ours else ("CASGI", "UVICORN")
        return [f"{prefix}_{self.name.upper()}" for prefix in prefixes]

    def parameter(self) -> click.Option:
        """The option as click has it."""
        attributes: dict[str, Any] = {
            "help": self.help,
            "envvar": self.variables,
            "multiple": self.multiple,
            "metavar": self.metavar,
            "show_default": self.default not in (None, "", False),
        }
        if not self.multiple:
            attributes["default"] = self.default
        if self.type is not None:
            attributes["type"] = self.type
        elif "/" not in self.flags:
            attributes["is_flag"] = True
        names = [self.flags, self.short] if self.short else [self.flags]
        return click.Option([*names, self.name], **attributes)


def choice(*values: str) -> click.Choice[str]:
    """One of these words."""
    return click.Choice(list(values))


OPTIONS: dict[str, tuple[Option, ...]] = {
    "Where to listen": (
        Option(
            "--host",
            "Bind socket to this host; a name may stand for several addresses, '' for all.",
            click.STRING,
            "127.0.0.1",
        ),
        Option(
            "--port",
            "Bind socket to this port. If 0, an available port is picked and logged.",
            click.INT,
            8000,
        ),
        Option("--uds", "Bind to a UNIX domain socket.", PATH),
        Option("--fd", "Serve on the socket with this file descriptor.", click.INT),
        Option(
            "--bind",
            "Where to listen, in place of the four above: HOST:PORT, [IPV6]:PORT, unix:PATH, "
            "fd://N, systemd (the sockets that it passes; used without an address, too) or "
            "systemd:NAME. May be given several times.",
            click.STRING,
            multiple=True,
            ours=True,
            metavar="ADDRESS",
            short="-b",
        ),
        Option(
            "--uds-permissions",
            "Permissions of the socket files, in octal.  [default: 666, or the replaced file's]",
            click.STRING,
            ours=True,
            metavar="MODE",
        ),
        Option(
            "--reuse-port",
            "Every worker has a socket of its own, with SO_REUSEPORT; the kernel spreads the "
            "connections.",
            default=False,
            ours=True,
        ),
        Option(
            "--proxy-protocol",
            "Connections of trusted peers (--forwarded-allow-ips) begin with a PROXY protocol "
            "header, version 1 or 2.",
            default=False,
            ours=True,
        ),
        Option(
            "--http2",
            "Speak HTTP/2 with clients that choose it: by ALPN over TLS, without TLS by beginning "
            "with it.",
            default=False,
        ),
        Option(
            "--backlog",
            "Maximum number of connections to hold in backlog.",
            COUNT,
            2048,
        ),
    ),
    "The application": (
        Option(
            "--factory",
            "Treat APP as an application factory, i.e. a () -> <ASGI app> callable.",
            default=False,
        ),
        Option(
            "--app-dir",
            "Look for APP in this directory, by adding it to the PYTHONPATH. Defaults to the "
            "current working directory.",
            PATH,
            "",
        ),
        Option(
            "--interface",
            "Select ASGI3, ASGI2, or WSGI as the application interface; auto tells them apart by "
            "their arguments.",
            choice("auto", "asgi3", "asgi2", "wsgi"),
            "auto",
        ),
        Option("--lifespan", "Lifespan implementation.", choice("auto", "on", "off"), "auto"),
        Option("--env-file", "Environment configuration file (needs python-dotenv).", FILE),
        Option(
            "--root-path",
            "Set the ASGI 'root_path' for applications submounted below a given URL path.",
            click.STRING,
            "",
        ),
        Option(
            "--proxy-headers/--no-proxy-headers",
            "Enable/Disable X-Forwarded-Proto, X-Forwarded-For to populate the client's address "
            "and the scheme.",
            default=True,
        ),
        Option(
            "--forwarded-allow-ips",
            "Comma separated list of IP addresses, IP networks, or literals to trust with proxy "
            "headers; '*' trusts everybody, 'unix:' who connects by a UNIX socket. Defaults to the "
            "$FORWARDED_ALLOW_IPS environment variable if available, or '127.0.0.1,::1'.",
            click.STRING,
            metavar="LIST",
        ),
        Option(
            "--forwarded-header",
            "Read the Forwarded header (RFC 7239) of trusted proxies instead of X-Forwarded-*.",
            default=False,
            ours=True,
        ),
        Option(
            "--reset-contextvars",
            "Run each ASGI request in a fresh contextvars.Context.",
            default=False,
        ),
        Option(
            "--header",
            "Specify custom default HTTP response headers. May be given several times.",
            HeaderType(),
            keyword="headers",
            multiple=True,
            metavar="NAME:VALUE",
        ),
        Option(
            "--server-header/--no-server-header",
            "Enable/Disable default Server header.",
            default=True,
        ),
        Option(
            "--date-header/--no-date-header",
            "Enable/Disable default Date header.",
            default=True,
        ),
    ),
    "Processes": (
        Option(
            "--workers",
            "Number of worker processes. Defaults to the $WEB_CONCURRENCY environment variable if "
            "available, or 1: no worker processes, the server runs in the process itself. Not "
            "valid with --reload.",
            click.INT,
        ),
        Option(
            "--preload",
            "Import the application before forking the workers, which then share its memory; "
            "SIGHUP no longer reloads its code.",
            default=False,
            ours=True,
        ),
        Option(
            "--limit-max-requests",
            "Maximum number of requests to service before a worker is replaced.",
            COUNT,
        ),
        Option(
            "--limit-max-requests-jitter",
            "Maximum jitter to add to limit-max-requests. Staggers worker restarts to avoid all "
            "workers restarting simultaneously.",
            AMOUNT,
            0,
        ),
        Option(
            "--max-worker-lifetime",
            "Replace a worker that has served for so many seconds.",
            SECONDS,
            ours=True,
            metavar="SECONDS",
        ),
        Option(
            "--max-worker-rss",
            "Replace a worker whose resident memory has grown beyond this.",
            COUNT,
            ours=True,
            metavar="MB",
        ),
        Option(
            "--timeout-worker-healthcheck",
            "Replace a worker whose event loop has not turned for so many seconds, after logging "
            "its threads' stacks. 0: never.",
            SECONDS,
            5,
        ),
        Option(
            "--timeout-graceful-shutdown",
            "Maximum number of seconds to wait for graceful shutdown.",
            SECONDS,
            30,
        ),
    ),
    "Reloading": (
        Option("--reload", "Enable auto-reload.", default=False),
        Option(
            "--reload-dir",
            "Watch this directory instead of the current working directory. May be given several "
            "times. The --js files are always watched.",
            click.Path(exists=True),
            keyword="reload_dirs",
            multiple=True,
        ),
        Option(
            "--reload-include",
            "Also watch files that match this glob pattern, beside '*.py'. May be given several "
            "times.",
            click.STRING,
            keyword="reload_includes",
            multiple=True,
            metavar="GLOB",
        ),
        Option(
            "--reload-exclude",
            "Do not watch files that match this glob pattern, beside '.*, .py[cod], .sw.*, ~*', or "
            "that are in this directory. May be given several times.",
            click.STRING,
            keyword="reload_excludes",
            multiple=True,
            metavar="GLOB",
        ),
        Option(
            "--reload-delay",
            "Least number of seconds between two restarts; changes within are taken together.",
            SECONDS,
            0.25,
        ),
    ),
    "Logging": (
        Option(
            "--log-config",
            "Logging configuration file. Supported formats: .ini, .json, .yaml.",
            LogConfigType(exists=True, dir_okay=False),
        ),
        Option("--log-level", "Log level.  [default: info]", choice(*LEVELS)),
        Option("--access-log/--no-access-log", "Enable/Disable access log.", default=True),
        Option(
            "--access-log-format",
            "The access log's lines, written when the response is complete: %(h)s and gunicorn's "
            "other atoms, uvicorn's %(client_addr)s and the like, %(dt_ms)s for the duration.",
            click.STRING,
            ours=True,
            metavar="FORMAT",
        ),
        Option(
            "--log-format",
            "Log lines for people, or one JSON object each.",
            choice("text", "json"),
            "text",
            ours=True,
        ),
        Option(
            "--use-colors/--no-use-colors",
            "Enable/Disable colorized logging. By default where the output is a terminal.",
        ),
    ),
    "Limits": (
        Option(
            "--limit-concurrency",
            "Maximum number of concurrent connections or tasks to allow, before issuing HTTP 503 "
            "responses.",
            COUNT,
        ),
        Option(
            "--limit-connections-per-client",
            "Connections that one client address may have at a time. 0: no limit.",
            AMOUNT,
            0,
            ours=True,
        ),
        Option(
            "--limit-request-line",
            "Longest request line, method and target; beyond it 414.",
            click.IntRange(min=64),
            65536,
            ours=True,
        ),
        Option(
            "--limit-header-bytes",
            "Longest request line and headers together; beyond it 431 (or 414).",
            click.IntRange(min=256),
            65536,
            ours=True,
        ),
        Option(
            "--limit-header-count",
            "Most header fields in a request; beyond it 431.",
            COUNT,
            256,
            ours=True,
        ),
        Option(
            "--limit-body-bytes",
            "Longest request body; beyond it 413. 0: no limit.",
            AMOUNT,
            0,
            ours=True,
        ),
        Option(
            "--limit-chunk-extensions",
            "Bytes of chunk extensions that a request body may have beyond its data; then 431.",
            AMOUNT,
            8192,
            ours=True,
        ),
        Option(
            "--limit-min-rate",
            "Bytes a second that a request body, or a client that takes its response, has to make; "
            "over --timeout-body and --timeout-write. 0: any byte will do.",
            AMOUNT,
            100,
            ours=True,
        ),
        Option(
            "--limit-streams",
            "Requests at once on one HTTP/2 connection.",
            AMOUNT,
            100,
            ours=True,
        ),
        Option(
            "--timeout-keep-alive",
            "Close Keep-Alive connections if no new data is received within this many seconds.",
            SECONDS,
            75,
        ),
        Option(
            "--timeout-header",
            "Seconds for a whole request head, from the connection or its first byte. 0: no limit.",
            SECONDS,
            10,
            ours=True,
        ),
        Option(
            "--timeout-body",
            "Seconds in which too little of a request body comes that is being read. 0: no limit.",
            SECONDS,
            30,
            ours=True,
        ),
        Option(
            "--timeout-write",
            "Seconds in which a client takes too little of its response. 0: no limit.",
            SECONDS,
            30,
            ours=True,
        ),
    ),
    "TLS": (
        Option(
            "--ssl-certfile",
            "PEM file of a certificate and its chain: the server speaks HTTPS. Several, with a "
            "--ssl-keyfile each, are chosen from by the name a client asks for; the first is the "
            "default.",
            PATH,
            multiple=True,
            metavar="FILE",
        ),
        Option(
            "--ssl-keyfile",
            "PEM file of the certificate's private key, if not in the same file. In the order of "
            "--ssl-certfile.",
            PATH,
            multiple=True,
            metavar="FILE",
        ),
        Option("--ssl-keyfile-password", "Password of encrypted private keys.", click.STRING),
        Option(
            "--ssl-version",
            "TLS versions, as a number of Python's ssl: 17 (or 2) for TLS 1.2 and 1.3, 5 for TLS "
            "1.2 only.",
            click.INT,
            17,
        ),
        Option(
            "--ssl-cert-reqs",
            "Client certificates: 0 none, 1 optional, 2 required.",
            click.INT,
            0,
        ),
        Option(
            "--ssl-ca-certs",
            "PEM file (or hashed folder) of the CAs whose client certificates are good.",
            PATH,
            metavar="FILE",
        ),
        Option("--ssl-ciphers", "Cipher suites of TLS 1.2, as an OpenSSL list.", click.STRING),
        Option(
            "--ssl-reload-interval",
            "Seconds between looks for changed certificate files. 0: only at SIGHUP.",
            SECONDS,
            5,
            ours=True,
        ),
        Option(
            "--timeout-tls-handshake",
            "Seconds for a TLS handshake, from the connection. 0: no limit.",
            SECONDS,
            10,
            ours=True,
        ),
    ),
    "WebSocket": (
        Option(
            "--ws-max-size",
            "Longest WebSocket message in bytes; beyond it the connection is closed with 1009.",
            COUNT,
            16777216,
        ),
        Option(
            "--ws-max-queue",
            "Most WebSocket messages held for the application; beyond it no more are read.",
            COUNT,
            32,
        ),
        Option(
            "--ws-ping-interval",
            "Seconds between the server's WebSocket pings. 0: none.",
            SECONDS,
            20,
        ),
        Option(
            "--ws-ping-timeout",
            "Seconds for the answer to a WebSocket ping; then 1011. 0: no limit.",
            SECONDS,
            20,
        ),
        Option(
            "--ws-per-message-deflate",
            "Compress WebSocket messages where the client offers it.",
            click.BOOL,
            True,
        ),
    ),
    "Watching": (
        Option(
            "--stats",
            "Serve /metrics (Prometheus), a live page at /, /healthz and /readyz at this address: "
            "PORT, which is on 127.0.0.1, HOST:PORT or unix:PATH (needs prometheus-client).",
            click.STRING,
            ours=True,
            metavar="ADDRESS",
        ),
        Option(
            "--request-id-header",
            "Give every request without a usable header of this name a fresh id in it, and send "
            "the id back in the response.",
            click.STRING,
            ours=True,
            metavar="NAME",
        ),
    ),
    "JavaScript": (
        Option(
            "--js",
            "Evaluate this JavaScript file once in every context, before the application starts. "
            "May be given several times.",
            PATH,
            multiple=True,
            ours=True,
            metavar="FILE",
        ),
        Option(
            "--js-profile",
            "What JavaScript finds: ECMAScript only; and Web APIs (URL, fetch, crypto, streams, "
            "timers); and require, process, Buffer.",
            choice("bare", "web", "node"),
            "web",
            ours=True,
        ),
        Option(
            "--js-heap-limit",
            "JavaScript heap of each isolate.",
            COUNT,
            ours=True,
            metavar="MB",
        ),
        Option(
            "--js-timeout",
            "Longest time of one call into JavaScript.",
            COUNT,
            ours=True,
            metavar="MS",
        ),
        Option(
            "--no-js",
            "No JavaScript: scope['state'] has no 'js'.",
            default=False,
            ours=True,
        ),
    ),
    "For uvicorn's sake": (
        Option(
            "--loop",
            "Accepted and without effect: there is one event loop, casgi's.",
            choice("auto", "asyncio", "uvloop", "zuvloop"),
            "auto",
        ),
        Option(
            "--http",
            "Accepted and without effect: there is one HTTP implementation, casgi's.",
            choice("auto", "h11", "httptools", "zttp"),
            "auto",
        ),
        Option(
            "--ws",
            "Accepted and without effect: there is one WebSocket implementation, casgi's.",
            choice("auto", "websockets", "websockets-sansio", "wsproto"),
            "auto",
        ),
        Option(
            "--h11-max-incomplete-event-size",
            "Another name of --limit-header-bytes, which beats it.",
            COUNT,
        ),
    ),
}
"""The options by section of --help."""


def all_options() -> list[Option]:
    """The rows of every section, in order."""
    return [option for section in OPTIONS.values() for option in section]


class Command(click.Command):
    """click's command, with the options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_name = {parameter.name: parameter for parameter in self.get_params(ctx)}
        for title, section in OPTIONS.items():
            rows = [by_name.pop(option.name).get_help_record(ctx) for option in section]
            with formatter.section(title):
                formatter.write_dl([row for row in rows if row is not None])
        rest = [parameter.get_help_record(ctx) for parameter in by_name.values()]
        with formatter.section("Other"):
            formatter.write_dl([row for row in rest if row is not None])


# -- a settings file -------------------------------------------------------------------------------


def read_settings(path: str) -> dict[str, Any]:
    """The settings of a TOML file, by keyword of Config.

    Keys are the options' names without the dashes in front; a file with a table ``casgi`` or
    ``tool.casgi`` (pyproject.toml) has them there, any other at its top.

    Raises:
        ValueError: not TOML, or a key that is no option's.
        OSError: it cannot be read.
    """
    import tomllib

    with open(path, "rb") as file:
        try:
            document = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: {error}") from None
    tables = (document.get("casgi"), document.get("tool", {}).get("casgi"), document)
    table: dict[str, Any] = next(table for table in tables if table is not None)
    names = {"app": "app"}
    for option in all_options():
        names[option.name] = names[option.flags.split("/")[0].lstrip("-")] = option.name
    settings = {}
    for key, value in table.items():
        name = names.get(key) or names.get(key.replace("_", "-"))
        if name is None:
            raise ValueError(f"{path}: there is no setting {key!r}")
        settings[name] = value
    if isinstance(settings.get("headers"), dict):
        settings["headers"] = list(settings["headers"].items())
    return settings


def use_settings_file(ctx: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Makes a file's settings the defaults of the options: the command line and the environment
    beat them. Each is checked here, so that a complaint names the file."""
    if path is None:
        return
    try:
        settings = read_settings(path)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), ctx, parameter) from error
    known = {each.name: each for each in ctx.command.get_params(ctx)}
    for name, value in settings.items():
        if known[name].multiple and not isinstance(value, list):
            settings[name] = value = [value]
        try:
            known[name].type_cast_value(ctx, value)
        except click.BadParameter as error:
            raise click.BadParameter(f"{path}: {name}: {error.message}", ctx, parameter) from None
    ctx.default_map = settings
