# SPDX-License-Identifier: MIT
"""Runs ``casgi`` as a process of its own, reads its log as it comes, and talks to it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
RUNNING = r"casgi running on https?://[^:]+:(\d+) "


class Casgi:
    """A running server process.

    Args:
        arguments: of the command line.
        cwd: its current folder.
        env: added to the environment.
        command: replaces ``python -m asgiserver``.
        pass_fds: descriptors it inherits.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: str | os.PathLike[str] = HERE,
        env: dict[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-u", "-m", "asgiserver"),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if k != "WEB_CONCURRENCY"}
        path = os.pathsep.join(p for p in (os.environ.get("PYTHONPATH"), str(HERE.parents[1])) if p)
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env={**inherited, "PYTHONPATH": path, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while data := os.read(fd, 65536):
            with self._news:
                self._text += data.decode("utf-8", "replace")
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def log(self) -> str:
        """Everything printed so far, stdout and stderr together."""
        with self._news:
            return self._text

    def wait_for(self, pattern: str, count: int = 1, timeout: float = 20) -> re.Match[str]:
        """Waits until the log matches ``pattern`` ``count`` times. Returns the last match.

        Raises:
            AssertionError: it does not within ``timeout`` seconds, or has ended without.
        """
        end = time.monotonic() + timeout
        with self._news:
            while True:
                found = list(re.finditer(pattern, self._text))
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else "timed out"
                    raise AssertionError(f"{why} waiting for {pattern!r} in:\n{self._text}")
                self._news.wait(left)

    @property
    def port(self) -> int:
        """The TCP port, once it says so."""
        return int(self.wait_for(RUNNING)[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str = "/", **options) -> httpx.Response:
        options.setdefault("timeout", 20)
        options.setdefault("verify", False)
        return httpx.get(self.url + path, trust_env=False, **options)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        """The exit code, the log read to its end."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def close_log(self) -> None:
        """For the end of the test: no process of the session is left to write."""
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def children(self) -> set[int]:
        """The process ids of its children."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return set(map(int, text.split()))

    def wait_for_exit(self, children: set[int], timeout: float = 20) -> None:
        """Returns when none of these children is left: a worker's last line in the log is
        written before it exits."""
        end = time.monotonic() + timeout
        while left := children & self.children():
            assert time.monotonic() < end, f"still there: {left}"
            time.sleep(0.01)


@contextlib.contextmanager
def casgi(*arguments: str, **options) -> Iterator[Casgi]:
    """A Casgi on a free port, killed with its whole session at the end."""
    if not {"--uds", "--fd", "--port", "--bind"} & set(arguments) and "command" not in options:
        arguments = (*arguments, "--port", "0")
    server = Casgi(*arguments, **options)
    try:
        yield server
    finally:
        # Its session is its own, so the group is: no other process can be hit.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.process.wait(10)
        server.close_log()


ACTIVATE = shutil.which("systemd-socket-activate")
_PASSED_ON = (
    "PATH",
    "PYTHONMALLOC",
    "PYTHONSAFEPATH",
    "LD_PRELOAD",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
)


def activate(listen: list[str], *options: str) -> tuple[str, ...]:
    """The beginning of a command: what listens on these addresses, says so, and runs the rest with
    the sockets at the first connection, in an environment that is empty but for what we put in."""
    assert ACTIVATE is not None
    path = os.pathsep.join(p for p in (os.environ.get("PYTHONPATH"), str(HERE.parents[1])) if p)
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    variables["PYTHONPATH"] = path
    flags = [f"--listen={each}" for each in listen]
    flags += [f"--setenv={name}={value}" for name, value in variables.items()]
    return (ACTIVATE, *flags, *options)


class Load:
    """Threads that send requests, one connection each time, until stopped."""

    def __init__(self, url: str, path: str = "/", threads: int = 4, uds: str | None = None) -> None:
        self.url = url + path
        self.uds = uds
        self.answers = 0
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Waits for the requests under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, more: int, timeout: float = 30) -> None:
        """Waits for that many further answers.

        Raises:
            AssertionError: they do not come.
        """
        with self._progress:
            goal = self.answers + more
            reached = self._progress.wait_for(lambda: self.answers >= goal, timeout)
        assert reached, f"{self.answers} answers, {self.failures[:3]}"

    def _run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.HTTPTransport(limits=limits, uds=self.uds, verify=False)
        with httpx.Client(transport=transport, timeout=20, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    response = client.get(self.url)
                    error = "" if response.status_code == 200 else str(response.status_code)
                except httpx.HTTPError as failure:
                    error = repr(failure)
                with self._progress:
                    if error:
                        self.failures.append(error)
                    else:
                        self.answers += 1
                    self._progress.notify_all()
