# SPDX-License-Identifier: MIT
"""V8 for Python, called on the thread that asks, with Node's web APIs on the same event loop.

    >>> import jsrt
    >>> ctx = jsrt.Context()
    >>> ctx.compile("const add = (a, b) => a + b")
    >>> ctx.call("add", [1, 2])
    3

Importing starts nothing: libnode is loaded, and V8 boots, with the first use of a `Context`, so a
process may import jsrt and fork.
"""

from typing import TYPE_CHECKING, Any

from ._jsrt import (
    Context,
    JSFunction,
    JSObject,
    JSPromise,
    dump_stacks_on,
    proxy,
    statistics,
)
from .errors import (
    ContextClosed,
    ConversionError,
    Error,
    HeapLimit,
    JSError,
    JSSyntaxError,
    PendingPromiseError,
    Timeout,
)

if TYPE_CHECKING:
    from ._jsrt import node_version, v8_version
    from .engine import JSEngine
    from .snapshots import Snapshot, snapshot
    from .tenants import Tenants

Function = JSFunction
"""The name it had before there were other handles."""

__all__ = [
    "Context",
    "ContextClosed",
    "ConversionError",
    "Error",
    "Function",
    "HeapLimit",
    "JSEngine",
    "JSError",
    "JSFunction",
    "JSObject",
    "JSPromise",
    "JSSyntaxError",
    "PendingPromiseError",
    "Snapshot",
    "Tenants",
    "Timeout",
    "dump_stacks_on",
    "node_version",
    "proxy",
    "snapshot",
    "statistics",
    "v8_version",
]

_HOME = {
    "JSEngine": "engine",
    "Snapshot": "snapshots",
    "Tenants": "tenants",
    "node_version": "_jsrt",
    "snapshot": "snapshots",
    "v8_version": "_jsrt",
}
"""What is imported when it is first used: a server that starts needs none of it."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
