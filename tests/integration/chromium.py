# SPDX-License-Identifier: MIT
"""A headless Chromium for tests, driven over its debugging pipe (fds 3 and 4, JSON, NUL-ended)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
]
# `until` for the scripts of tests: waits for a condition, at most ten seconds.
UNTIL = """const until = async (holds) => {
    for (let i = 0; i < 1000 && !holds(); i++) await new Promise((done) => setTimeout(done, 10));
    if (!holds()) throw new Error(`never came: ${holds}`);
};"""


class Browser:
    """One page of a browser with a profile of its own; `problems` holds what its console said.

    Args:
        folder: an empty folder for the profile.
    """

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._session = ""
        self._id = 0
        self._buffer = b""
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()
        # Out of the way of 3 and 4, which they become in the child.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (command_read, answer_write)]
        os.close(command_read)
        os.close(answer_write)

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [
                "chromium",
                *FLAGS,
                f"--user-data-dir={folder / 'profile'}",
                "--remote-debugging-pipe",
            ],
            stdout=self._log,
            stderr=self._log,
            pass_fds=(3, 4),
            preexec_fn=place,
            # Sanitizers' runtimes (tools/with-asan) are for our own extensions.
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        )
        for fd in ends:
            os.close(fd)

    def __enter__(self) -> Browser:
        try:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Runtime", "Log", "Page"):
                self._call(f"{domain}.enable")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._write)  # the browser ends when its pipe does
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._log.close()

    def open(self, url: str) -> None:
        """Opens a page and waits until it is loaded."""
        self._call("Page.navigate", url=url)
        self.evaluate("() => until(() => document.readyState === 'complete')")

    def evaluate(self, function: str) -> Any:
        """Calls a JavaScript function of no arguments in the page; returns what it resolves to.

        Raises:
            AssertionError: it threw.
        """
        done = self._call(
            "Runtime.evaluate",
            expression=f"{{ {UNTIL} ({function})() }}",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def look_like(self, width: int, height: int, scheme: str) -> None:
        """Sets the window's size, and the colour scheme: "light" or "dark"."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Emulation.setScrollbarsHidden", hidden=True)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Saves what the window shows as a PNG, the whole length of the page."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result; events that come meanwhile are looked at."""
        self._id += 1
        message: dict[str, Any] = {"id": self._id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 30
        while True:
            while b"\0" in self._buffer:
                piece, _, self._buffer = self._buffer.partition(b"\0")
                answer = json.loads(piece)
                if answer.get("id") == self._id:
                    assert "error" not in answer, f"{method}: {answer['error']}"
                    result: dict[str, Any] = answer["result"]
                    return result
                self._note(answer)
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise TimeoutError(f"the browser did not answer {method}")
            if not (piece := os.read(self._read, 65536)):
                raise EOFError(f"the browser ended at {method}")
            self._buffer += piece

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.problems.append(json.dumps(parameters["args"]))
        elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(json.dumps(parameters["entry"]))
