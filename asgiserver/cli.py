# SPDX-License-Identifier: MIT
"""The command ``casgi``: uvicorn's flags, and ours. docs/settings.md is its reference.

The options are rows of the table in options.py; those that were not given are not passed on, so
that an unset option and an unset keyword are the same thing, with one default, Config's.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from . import __version__
from .options import FILE, Command, all_options, use_settings_file


def print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    import platform

    click.echo(
        f"Running casgi {__version__} with {platform.python_implementation()} "
        f"{platform.python_version()} on {platform.system()}"
    )
    context.exit()


def serve(app: str, **settings: Any) -> None:
    """Serves the ASGI application APP, given as "module:attribute".

    Every option is also read from the environment: --log-level from CASGI_LOG_LEVEL, and from
    UVICORN_LOG_LEVEL where uvicorn has the same option; and from a TOML file, given with --config.
    """
    from .config import Config
    from .server import run_config

    source = click.get_current_context().get_parameter_source
    given = {n: v for n, v in settings.items() if source(n) is not ParameterSource.DEFAULT}
    # A command, unlike a program, does not have the current folder on its module search path.
    given["app_dir"] = settings["app_dir"]
    try:
        config = Config(app, **given)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    run_config(config)


main = Command(
    "casgi",
    callback=serve,
    help=serve.__doc__,
    context_settings={"max_content_width": 100},
    params=[
        click.Argument(["app"], envvar=["CASGI_APP", "UVICORN_APP"]),
        *(option.parameter() for option in all_options()),
        click.Option(
            ["--config"],
            type=FILE,
            envvar="CASGI_CONFIG",
            is_eager=True,
            expose_value=False,
            callback=use_settings_file,
            help="Read settings from this TOML file; the environment and the flags beat it.",
        ),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=print_version,
            help="Display the casgi version and exit.",
        ),
    ],
)
"""The command."""


if __name__ == "__main__":
    main()
