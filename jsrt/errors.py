# SPDX-License-Identifier: MIT
"""The exceptions of jsrt. Each is also the built-in exception that a Python user would catch."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ContextClosed",
    "ConversionError",
    "Error",
    "HeapLimit",
    "JSError",
    "JSSyntaxError",
    "PendingPromiseError",
    "Timeout",
]


class Error(Exception):
    """Base class of everything jsrt raises on purpose."""


class JSError(Error):
    """JavaScript threw.

    Attributes:
        name: ``"TypeError"`` and the like; ``""`` where a primitive was thrown.
        message: the error's message, or ``String(value)`` of a thrown primitive.
        stack: the JavaScript stack, ``""`` where there is none.
        value: the thrown value as plain data, None where it has no such form.
        filename, line, column: where it was thrown; 1-based line, 0-based column, 0 if unknown.
        source_line: the text of that line.
        end_column: where the marked part of that line ends.
    """

    name: str
    message: str
    stack: str
    value: Any
    filename: str
    line: int
    column: int
    end_column: int
    source_line: str
    _thrown: Any = None
    """A handle of what was thrown, while it is on its way through Python back to JavaScript."""

    def __init__(
        self,
        message: str = "",
        *,
        name: str = "",
        stack: str = "",
        value: Any = None,
        filename: str = "",
        line: int = 0,
        column: int = 0,
        end_column: int = 0,
        source_line: str = "",
    ) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.stack = stack
        self.value = value
        self.filename = filename
        self.line = line
        self.column = column
        self.end_column = end_column
        self.source_line = source_line

    @property
    def summary(self) -> str:
        """``"TypeError: message"``: the first line of ``str(error)``."""
        return f"{self.name}: {self.message}" if self.name else self.message

    def __str__(self) -> str:
        """The summary and the JavaScript stack below it."""
        summary = self.summary
        frames = [line for line in self.stack.splitlines() if line.lstrip().startswith("at ")]
        if frames:
            return "\n".join([summary, *frames])
        if self.filename and self.line:
            return f"{summary}\n    at {self.filename}:{self.line}:{self.column + 1}"
        return summary


class JSSyntaxError(JSError, SyntaxError):  # type: ignore[misc]  # its filename may be None
    """JavaScript source that does not parse. A traceback shows file, line and caret."""

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message, **details)
        self.msg = self.summary
        self.lineno = self.line or None
        self.text = self.source_line or None
        if self.source_line:
            self.offset = self.column + 1
            self.end_lineno = self.lineno
            self.end_offset = max(self.end_column, self.column + 1) + 1

    def __str__(self) -> str:
        """The summary, where it is, and the line with a caret below it."""
        if not self.line:
            return self.summary
        lines = [f"{self.summary} ({self.filename}, line {self.line})"]
        if self.source_line:
            text = self.source_line.expandtabs(1)
            skipped = len(text) - len(text.lstrip())
            column = max(self.column - skipped, 0)
            width = max(self.end_column - self.column, 1)
            lines.append("    " + text.strip())
            lines.append("    " + " " * column + "^" * width)
        return "\n".join(lines)


class Timeout(JSError, TimeoutError):
    """A call ran longer than the context's timeout. The context goes on."""


class HeapLimit(JSError, MemoryError):
    """JavaScript hit the heap limit. The context goes on with a new heap: its compiled code is
    run again before the next call, what calls left behind is gone."""


class ConversionError(Error, TypeError, ValueError):
    """A value has no form on the other side; the message names where it is (``$.a[3].b``)."""


class ContextClosed(Error, RuntimeError):
    """The context was closed."""


class PendingPromiseError(Error, RuntimeError):
    """A synchronous call got a promise that cannot settle during the call."""
