# SPDX-License-Identifier: MIT
"""casgi: an ASGI server in C that takes uvicorn's place.

``asgiserver.run(app)``, ``Config`` and ``Server`` have uvicorn's shapes; ``install()``,
``new_event_loop()`` and ``run_loop(main())`` give the event loop alone. Names are imported when
they are first used, so that ``casgi --version`` loads no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Config, StartupError
    from .loop import EventLoopPolicy, Loop, install, new_event_loop, run_loop
    from .server import Server, run

__version__ = "0.1.0"

__all__ = [
    "Config",
    "EventLoopPolicy",
    "Loop",
    "Server",
    "StartupError",
    "install",
    "main",
    "new_event_loop",
    "run",
    "run_loop",
]

_HOME = {
    "Config": "config",
    "EventLoopPolicy": "loop",
    "Loop": "loop",
    "Server": "server",
    "StartupError": "config",
    "install": "loop",
    "main": "cli",
    "new_event_loop": "loop",
    "run": "server",
    "run_loop": "loop",
}
_MODULES = frozenset(
    {
        "config",
        "importer",
        "lifespan",
        "logs",
        "loop",
        "request_id",
        "server",
        "supervisor",
        "tls",
    }
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
