# SPDX-License-Identifier: MIT
"""Our --help and keywords against those of the uvicorn that is installed, one by one.

``pytest -s tests/unit/test_uvicorn_parity.py`` prints the table.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

import asgiserver
from asgiserver import cli

uvicorn = pytest.importorskip("uvicorn")

# What differs on purpose, and why. A row for what no longer differs fails the test.
DIFFERENCES = {
    "--timeout-keep-alive": "75 s: longer than the idle time of common load balancers (60 s), "
    "which answer 502 where both ends act at once; fractions allowed",
    "--timeout-graceful-shutdown": "30 s: without a bound one open stream keeps a process from "
    "ending; fractions allowed",
    "--timeout-worker-healthcheck": "sees a loop that does not turn, and replaces the worker "
    "successor first; uvicorn asks a thread, which a busy GIL keeps from answering, and kills",
    "--limit-max-requests": "a single process is replaced as workers are; uvicorn's exits",
    "--loop": "accepted without effect: there is one implementation",
    "--http": "accepted without effect: there is one implementation",
    "--ws": "accepted without effect: there is one implementation",
    "--h11-max-incomplete-event-size": "bounds every request head: --limit-header-bytes",
    "--version": "says casgi",
}

# A keyword that makes a context of Python's ssl, which is not what speaks TLS here.
PENDING = re.compile(r"--ssl-context-factory$")

# Differences of keywords that no flag has.
KEYWORD_DIFFERENCES = {
    "log_config": "the loggers and formatters are ours",
    "timeout_keep_alive": "see the flag",
    "timeout_graceful_shutdown": "see the flag",
}


def documented() -> dict[str, str]:
    """What docs/settings.md says of each flag against uvicorn's, without "as uvicorn"."""
    page = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
    found = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\| `(--[a-z0-9-]+)`", line):
            cell = line.strip().strip("|").split(" | ")[-1].strip()
            found[match[1]] = re.sub(r"^as uvicorn[,;]? ?", "", cell)
    return found


def options(command: click.Command) -> dict[str, click.Option]:
    parameters = command.get_params(click.Context(command))
    return {p.opts[0]: p for p in parameters if isinstance(p, click.Option)}


def accepts(ours: click.Option, theirs: click.Option) -> bool:
    """Whether every value that uvicorn takes is one that we take."""
    if theirs.is_flag:
        return ours.is_flag
    if isinstance(theirs.type, click.Choice):
        words = [getattr(word, "value", word) for word in theirs.type.choices]
        return isinstance(ours.type, click.Choice) and set(words) <= set(ours.type.choices)
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    if isinstance(theirs.type, numbers):
        return isinstance(ours.type, numbers)
    return not isinstance(ours.type, (*numbers, click.Choice))


def default(option: click.Option):
    value = option.default
    return None if value in (None, False, (), "") or "UNSET" in repr(value) else value


def metavar_words(option: click.Option) -> set[str]:
    return set(re.findall(r"[a-z0-9-]+", option.metavar or ""))


def compare(flag: str, ours: click.Option, theirs: click.Option) -> str:
    """What differs, in words; empty: nothing."""
    found = []
    if {*ours.opts, *ours.secondary_opts} < {*theirs.opts, *theirs.secondary_opts}:
        found.append("names")
    if not accepts(ours, theirs):
        found.append("values")
    if isinstance(ours.type, click.Choice) and not metavar_words(theirs) <= set(ours.type.choices):
        found.append("words")
    if default(ours) != default(theirs):
        found.append(f"default {default(ours)}, there {default(theirs)}")
    if ours.multiple < theirs.multiple:
        found.append("repetition")
    if ours.name != theirs.name and theirs.expose_value:
        found.append(f"keyword {ours.name}, there {theirs.name}")
    return "; ".join(found)


def test_every_flag_of_uvicorn(capsys):
    ours, theirs = options(cli.main), options(uvicorn.main)
    assert len(theirs) >= 50
    wrong, rows, said = [], [], documented()
    for flag, option in theirs.items():
        reason = DIFFERENCES.get(flag, "")
        if flag not in ours:
            verdict = "pending" if PENDING.match(flag) else "MISSING"
        else:
            difference = compare(flag, ours[flag], option)
            verdict = "differs" if difference or reason else "same"
            if difference and not reason:
                verdict, reason = "UNEXPLAINED", difference
            elif verdict == "differs" and flag != "--version" and not said.get(flag):
                verdict = "UNDOCUMENTED"
            elif verdict == "same" and said.get(flag):
                verdict, reason = "same, but", said[flag]
        if verdict.isupper():
            wrong.append(f"{flag}: {verdict} {reason}")
        rows.append(f"{flag:34} {verdict:12} {reason}")
    with capsys.disabled():
        print(f"\n{len(theirs)} options of uvicorn {uvicorn.__version__}")
        print("\n".join(rows))
    assert wrong == []


def test_no_difference_is_claimed_that_is_none():
    ours, theirs = options(cli.main), options(uvicorn.main)
    in_behaviour = {"--limit-max-requests", "--loop", "--http", "--ws", "--version"}
    in_behaviour.add("--timeout-worker-healthcheck")
    in_behaviour.add("--h11-max-incomplete-event-size")
    for flag in DIFFERENCES.keys() - in_behaviour:
        assert compare(flag, ours[flag], theirs[flag]), flag


@pytest.mark.parametrize("name", ["Config", "run"])
def test_keywords(name):
    """uvicorn's keywords are ours, with their defaults, and for Config in their order."""
    theirs = inspect.signature(getattr(uvicorn, name)).parameters
    ours = inspect.signature(asgiserver.Config).parameters
    settings = {"log_config": None, "app": "m:app"}
    in_order = []
    for keyword, parameter in theirs.items():
        if keyword in ("app", "log_config"):
            continue
        if keyword not in ours:
            assert PENDING.match("--" + keyword.replace("_", "-")), keyword
            continue
        in_order.append(keyword)
        if keyword not in KEYWORD_DIFFERENCES:
            assert ours[keyword].default == parameter.default, keyword
            settings[keyword] = parameter.default
    if name == "Config":
        assert in_order == [keyword for keyword in ours if keyword in in_order]
    asgiserver.Config(**settings)


def test_server_has_uvicorn_s_attributes():
    theirs = uvicorn.Server(uvicorn.Config("m:app", log_config=None))
    ours = asgiserver.Server(asgiserver.Config("m:app", log_config=None))
    for name in ("run", "serve", "startup", "main_loop", "shutdown", "handle_exit", "should_exit"):
        assert hasattr(theirs, name)
        assert hasattr(ours, name)
    assert (ours.started, ours.should_exit, ours.force_exit) == (False, False, False)


def test_environment_names():
    """What sets an option of uvicorn's there sets ours too: the names follow from the keyword."""
    ours, theirs = options(cli.main), options(uvicorn.main)
    for flag, option in theirs.items():
        if flag in ours and option.expose_value:
            assert f"UVICORN_{option.name.upper()}" in ours[flag].envvar, flag
