# SPDX-License-Identifier: MIT
"""V8 for Python, called on the thread that asks, with Node's web APIs on the same event loop.

    >>> import jsrt
    >>> ctx = jsrt.Context()
    >>> ctx.compile("const add = (a, b) => a + b")
    >>> ctx.call("add", [1, 2])
    3

Importing loads libnode and starts nothing: V8 boots with the first use of a `Context`, so a
process may import jsrt and fork.
"""

from ._jsrt import (
    Context,
    JSFunction,
    JSObject,
    JSPromise,
    dump_stacks_on,
    node_version,
    proxy,
    statistics,
    v8_version,
)
from .engine import JSEngine
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
    "Tenants",
    "Timeout",
    "dump_stacks_on",
    "node_version",
    "proxy",
    "statistics",
    "v8_version",
]
