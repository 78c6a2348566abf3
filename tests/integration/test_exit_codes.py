# SPDX-License-Identifier: MIT
"""What keeps a server from starting: one line says so, code 3, soon, with any number of workers.

``pytest -s tests/integration/test_exit_codes.py`` prints the table.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest
from casgi_process import HERE, casgi

SOON = 2.0
"""Seconds that a failing start may take."""
ATTEMPTS = 4
"""A busy machine may make a start slow, not every one of them."""

# name, arguments, what the one line says, exit code
CASES = [
    ("no such module", ["nowhere:app"], 'Could not import module "nowhere"', 3),
    ("error at import", ["broken:app"], "ZeroDivisionError: division by zero", 3),
    ("syntax error", ["no_python:app"], "SyntaxError", 3),
    ("missing attribute", ["process_apps:none"], 'Attribute "none" not found', 3),
    ("no application", ["process_apps:__name__"], "Error loading ASGI app", 3),
    ("no attribute given", ["process_apps"], 'in format "<module>:<attribute>"', 3),
    ("factory fails", ["process_apps:make_app_that_fails", "--factory"], "no database", 3),
    ("lifespan fails", ["process_apps:fails_to_start"], "the database is down", 3),
    ("lifespan raises", ["process_apps:raises_in_lifespan", "--lifespan", "on"], "unheard of", 3),
    ("port taken", ["process_apps:app", "--port", "{port}"], "Address already in use", 3),
    ("no such host", ["process_apps:app", "--host", "no.such.invalid"], "Cannot resolve host", 3),
    ("socket in use", ["process_apps:app", "--uds", "{uds}"], "Address already in use", 3),
    ("descriptor is no socket", ["process_apps:app", "--fd", "0"], "Cannot use file", 3),
    ("stats port taken", ["process_apps:app", "--stats", "{port}"], "Address already in use", 3),
    ("no certificate", ["process_apps:app", "--ssl-certfile", "none.pem"], "No such file", 3),
    ("bad certificate", ["process_apps:app", "--ssl-certfile", "broken.py"], "broken.py", 3),
    ("no --js file", ["process_apps:app", "--js", "none.js"], "No such file", 3),
    ("bad --js file", ["process_apps:app", "--js", "bad.js"], "SyntaxError", 3),
    ("--js file throws", ["process_apps:app", "--js", "throws.js"], "no luck", 3),
    ("unknown option", ["process_apps:app", "--nonsense"], "No such option", 2),
    ("bad value", ["process_apps:app", "--port", "x"], "'x' is not a valid integer", 2),
    ("bad setting", ["process_apps:app", "--stats", "x"], "stats must be PORT", 2),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "no_python.py").write_text("def f(:\n")
    (tmp_path / "bad.js").write_text("function f( {\n")
    (tmp_path / "throws.js").write_text("throw new Error('no luck')\n")
    return tmp_path


@pytest.mark.alone
@pytest.mark.parametrize("workers", ["1", "4"])
def test_exit_codes(folder, workers, capsys):
    path = os.pathsep.join([str(folder), str(HERE), str(HERE.parents[1])])
    uds = str(folder / "used.sock")
    rows, wrong = [], []
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(uds)
        unix.listen()
        names = {"port": port.getsockname()[1], "uds": uds}
        for name, given, message, code in CASES:
            arguments = [part.format(**names) for part in given]
            took, found, log = fail(arguments, workers, folder, path)
            errors = re.findall(r"^(?:ERROR|Error):.*", log, re.M)
            right = found == code and len(errors) == 1 and message in log and took < SOON
            rows.append(f"{name:24} {found} {took:5.2f} s  {errors[0] if errors else log!r}")
            if not right:
                wrong.append((name, found, took, log))
    with capsys.disabled():
        print(f"\n--workers {workers}\n" + "\n".join(rows))
    assert wrong == []


def fail(arguments: list[str], workers: str, folder: Path, path: str) -> tuple[float, int, str]:
    """Runs a server that must not start. Returns the seconds that took, its code and its log."""
    for _ in range(ATTEMPTS):
        begin = time.monotonic()
        with casgi(
            *arguments, "--workers", workers, cwd=folder, env={"PYTHONPATH": path}
        ) as server:
            code = server.wait()
            took = time.monotonic() - begin
            log = server.log
        if took < SOON:
            break
    return took, code, log
