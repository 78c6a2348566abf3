# SPDX-License-Identifier: MIT
"""``scope["state"]["js"]``: a JavaScript context for every event-loop thread.

jsrt is an extension of its own, and libnode comes with its first use. The supervisor loads both
before it forks, so that the workers share the library's pages, and starts nothing: V8 boots in a
worker, when the context is first used or, with --js, before the application's start-up.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from .config import StartupError, describe

if TYPE_CHECKING:
    from .config import Config

logger = logging.getLogger("asgiserver.error")


def find_jsrt(config: Config, load: bool = False) -> Any:
    """The module jsrt, or None where JavaScript is switched off or jsrt cannot be imported.

    Args:
        load: load V8's library too, which comes with the first use otherwise, and says then what
            is missing; with it, None also where that cannot be loaded. Starts nothing.

    Raises:
        StartupError: it cannot be imported or loaded, and --js asks for it.
    """
    if config.no_js:
        return None
    try:
        import jsrt

        if load:
            jsrt._jsrt._load()
    except (ImportError, OSError) as error:
        if config.js:
            raise StartupError(
                f"--js needs the jsrt package with libnode, which cannot be loaded: {error}"
            ) from None
        logger.debug("JavaScript is not available: %s", error)
        return None
    return jsrt


def make_context(config: Config) -> Any:
    """The context of this thread's loop, the --js files compiled in it; None without JavaScript.

    Raises:
        StartupError: a file cannot be read or its code does not run; V8 does not start.
    """
    sources = [(path, read_source(path)) for path in config.js]
    jsrt = find_jsrt(config, load=bool(config.js))
    if jsrt is None:
        return None
    options: dict[str, Any] = {
        "profile": config.js_profile,
        "pool": os.cpu_count() or 1,
        "console": "asgiserver.js",
    }
    if config.js_heap_limit is not None:
        options["heap_limit"] = config.js_heap_limit
    if config.js_timeout is not None:
        options["timeout"] = config.js_timeout / 1000
    context = jsrt.Context(**options)
    for path, source in sources:
        try:
            context.compile(source, filename=path)
        except jsrt.JSError as error:
            context.close()
            summary, _, detail = str(error).partition("\n")
            raise StartupError(f"--js {path}: {summary}", detail) from error
        except Exception as error:
            context.close()
            raise StartupError(f"--js {path}: {describe(error)}") from error
    return context


def read_source(path: str) -> str:
    """The text of a --js file.

    Raises:
        StartupError: it cannot be read, or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise StartupError(f"--js {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise StartupError(f"--js {path}: not UTF-8 text (byte {error.start})") from None
