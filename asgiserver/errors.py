# SPDX-License-Identifier: MIT
"""StartupError, which every part of a start may raise."""

from __future__ import annotations


class StartupError(Exception):
    """The server cannot start.

    Attributes:
        message: one line that says why.
        detail: a traceback or the source line at fault, "" where the message says it all.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message}\n{self.detail.rstrip()}" if self.detail else self.message
