# SPDX-License-Identifier: MIT
"""The command ``casgi``: uvicorn's flags, and ours. docs/settings.md is its reference."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, TypeVar

import click

from . import __version__

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = ("critical", "error", "warning", "info", "debug", "trace")


def option(*names: str, ours: bool = False, **attributes: Any) -> Callable[[F], F]:
    """A click option that also reads CASGI_<NAME> and, where uvicorn has it, UVICORN_<NAME>.

    Args:
        names: the flags, the long one first.
        ours: uvicorn does not have it.
        attributes: click's.
    """
    setting = names[0].split("/")[0].lstrip("-").upper().replace("-", "_")
    prefixes = ("CASGI",) if ours else ("CASGI", "UVICORN")
    attributes.setdefault("envvar", [f"{prefix}_{setting}" for prefix in prefixes])
    attributes.setdefault("show_default", attributes.get("default") not in (None, "", False))
    return click.option(*names, **attributes)


def print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    click.echo(
        f"Running casgi {__version__} with {platform.python_implementation()} "
        f"{platform.python_version()} on {platform.system()}"
    )
    context.exit()


def split_headers(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    """``("Name: value", …)`` as pairs."""
    pairs = []
    for text in values:
        name, colon, value = text.partition(":")
        if not colon:
            raise click.BadParameter(f"{text!r} is not in the form 'Name:Value'.")
        pairs.append((name, value))
    return pairs


@click.command(context_settings={"max_content_width": 100})
@click.argument("app", envvar=["CASGI_APP", "UVICORN_APP"])
@option(
    "--host",
    default="127.0.0.1",
    help="Bind socket to this host; a name may stand for several addresses, '' for all.",
)
@option(
    "--port",
    type=int,
    default=8000,
    help="Bind socket to this port. If 0, an available port is picked and logged.",
)
@option("--uds", metavar="PATH", help="Bind to a UNIX domain socket.")
@option("--fd", type=int, help="Serve on the socket with this file descriptor.")
@option(
    "--workers",
    type=int,
    help="Number of worker processes. Defaults to the "
    "$WEB_CONCURRENCY environment variable if available, or 1: no worker processes, the "
    "server runs in the process itself.",
)
@option(
    "--preload",
    is_flag=True,
    ours=True,
    help="Import the application before forking the "
    "workers, which then share its memory; SIGHUP no longer reloads its code.",
)
@option(
    "--factory",
    is_flag=True,
    help="Treat APP as an application factory, i.e. a () -> <ASGI app> callable.",
)
@option(
    "--app-dir",
    default="",
    metavar="PATH",
    help="Look for APP in this directory, by adding "
    "it to the PYTHONPATH. Defaults to the current working directory.",
)
@option(
    "--env-file",
    type=click.Path(exists=True),
    help="Environment configuration file (needs python-dotenv).",
)
@option(
    "--root-path",
    default="",
    help="Set the ASGI 'root_path' for applications submounted below a given URL path.",
)
@option(
    "--lifespan",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    help="Lifespan implementation.",
)
@option(
    "--js",
    multiple=True,
    metavar="FILE",
    ours=True,
    help="Evaluate this JavaScript file "
    "once in every context, before the application starts. May be given several times.",
)
@option(
    "--js-profile",
    type=click.Choice(["bare", "web", "node"]),
    default="web",
    ours=True,
    help="What JavaScript finds: ECMAScript only; and Web APIs (URL, fetch, crypto, streams, "
    "timers); and require, process, Buffer.",
)
@option(
    "--js-heap-limit",
    type=click.IntRange(min=1),
    metavar="MB",
    ours=True,
    help="JavaScript heap of each isolate.",
)
@option(
    "--js-timeout",
    type=click.IntRange(min=1),
    metavar="MS",
    ours=True,
    help="Longest time of one call into JavaScript.",
)
@option(
    "--no-js",
    is_flag=True,
    ours=True,
    help="No JavaScript: scope['state'] has no 'js', libnode is not loaded.",
)
@option(
    "--log-config",
    type=click.Path(exists=True),
    help="Logging configuration file. Supported formats: .ini, .json, .yaml.",
)
@option("--log-level", type=click.Choice(LEVELS), help="Log level.  [default: info]")
@option("--access-log/--no-access-log", default=True, help="Enable/Disable access log.")
@option(
    "--use-colors/--no-use-colors",
    default=None,
    help="Enable/Disable colorized logging. By default where the output is a terminal.",
)
@option(
    "--server-header/--no-server-header", default=True, help="Enable/Disable default Server header."
)
@option("--date-header/--no-date-header", default=True, help="Enable/Disable default Date header.")
@option(
    "--header",
    "headers",
    multiple=True,
    callback=split_headers,
    metavar="NAME:VALUE",
    help="Specify custom default HTTP response headers. May be given several times.",
)
@option(
    "--limit-concurrency",
    type=click.IntRange(min=1),
    help="Maximum number of concurrent "
    "connections or tasks to allow, before issuing HTTP 503 responses.",
)
@option(
    "--limit-max-requests",
    type=click.IntRange(min=1),
    help="Maximum number of requests to "
    "service before terminating the process (a worker: before it is replaced).",
)
@option(
    "--limit-max-requests-jitter",
    type=click.IntRange(min=0),
    default=0,
    help="Maximum "
    "jitter to add to limit-max-requests. Staggers worker restarts to avoid all workers "
    "restarting simultaneously.",
)
@option(
    "--limit-header-bytes",
    type=click.IntRange(min=256),
    default=65536,
    ours=True,
    help="Longest request line and headers together; beyond it 431 (or 414).",
)
@option(
    "--limit-header-count",
    type=click.IntRange(min=1),
    default=256,
    ours=True,
    help="Most header fields in a request; beyond it 431.",
)
@option(
    "--limit-body-bytes",
    type=click.IntRange(min=0),
    default=0,
    ours=True,
    help="Longest request body; beyond it 413. 0: no limit.",
)
@option(
    "--backlog",
    type=click.IntRange(min=1),
    default=2048,
    help="Maximum number of connections to hold in backlog.",
)
@option(
    "--timeout-keep-alive",
    type=click.FloatRange(min=0),
    default=75,
    help="Close Keep-Alive connections if no new data is received within this many seconds.",
)
@option(
    "--timeout-header",
    type=click.FloatRange(min=0),
    default=10,
    ours=True,
    help="Seconds for a whole request head, from the connection or its first byte. 0: no limit.",
)
@option(
    "--timeout-body",
    type=click.FloatRange(min=0),
    default=30,
    ours=True,
    help="Seconds without a byte of a request body that is being read. 0: no limit.",
)
@option(
    "--timeout-write",
    type=click.FloatRange(min=0),
    default=30,
    ours=True,
    help="Seconds in which a client takes no byte of its response's end. 0: no limit.",
)
@option(
    "--ws-max-size",
    type=click.IntRange(min=1),
    default=16777216,
    help="Longest WebSocket message in bytes; beyond it the connection is closed with 1009.",
)
@option(
    "--ws-max-queue",
    type=click.IntRange(min=1),
    default=32,
    help="Most WebSocket messages held for the application; beyond it no more are read.",
)
@option(
    "--ws-ping-interval",
    type=click.FloatRange(min=0),
    default=20,
    help="Seconds between the server's WebSocket pings. 0: none.",
)
@option(
    "--ws-ping-timeout",
    type=click.FloatRange(min=0),
    default=20,
    help="Seconds for the answer to a WebSocket ping; then 1011. 0: no limit.",
)
@option(
    "--ws-per-message-deflate",
    type=bool,
    default=True,
    help="Compress WebSocket messages where the client offers it.",
)
@option(
    "--timeout-graceful-shutdown",
    type=click.FloatRange(min=0),
    default=30,
    help="Maximum number of seconds to wait for graceful shutdown.",
)
@click.option(
    "--version",
    is_flag=True,
    callback=print_version,
    expose_value=False,
    is_eager=True,
    help="Display the casgi version and exit.",
)
def main(app: str, app_dir: str, headers: list[tuple[str, str]], **settings: Any) -> None:
    """Serves the ASGI application APP, given as "module:attribute".

    Every option is also read from the environment: --log-level from CASGI_LOG_LEVEL, and from
    UVICORN_LOG_LEVEL where uvicorn has the same option.
    """
    from .config import Config
    from .server import run_config

    try:
        config = Config(app, app_dir=app_dir, headers=headers, **_without_unset(settings))
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    run_config(config)


def _without_unset(settings: dict[str, Any]) -> dict[str, Any]:
    # An unset option and an unset keyword are the same thing, with one default, Config's.
    return {name: value for name, value in settings.items() if value not in (None, ())}


if __name__ == "__main__":
    main()
