# SPDX-License-Identifier: MIT
"""From "module:attribute" to a callable that speaks ASGI 3."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Interface = Literal["asgi3", "asgi2", "wsgi"]


class ImportFromStringError(Exception):
    """The import string is malformed, or names what does not exist."""


def import_from_string(name: Any) -> Any:
    """The object that ``"package.module:attribute.attribute"`` names.

    Args:
        name: the import string; anything else is given back unchanged.

    Raises:
        ImportFromStringError: malformed, no such module, or no such attribute.
        Exception: whatever the module itself raises while it is imported.
    """
    if not isinstance(name, str):
        return name
    module_name, _, attributes = name.partition(":")
    if not module_name or not attributes:
        raise ImportFromStringError(
            f'Import string "{name}" must be in format "<module>:<attribute>".'
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only when it is the named module (or a parent of it) that is missing; an import that
        # fails inside of it is the application's own error and keeps its traceback.
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(missing + "."):
            raise
        raise ImportFromStringError(f'Could not import module "{module_name}".') from None
    target: Any = module
    for attribute in attributes.split("."):
        try:
            target = getattr(target, attribute)
        except AttributeError:
            raise ImportFromStringError(
                f'Attribute "{attributes}" not found in module "{module_name}".'
            ) from None
    return target


def accepts(function: Callable[..., Any], count: int) -> bool:
    """Whether ``function`` can be called with ``count`` positional arguments.

    A callable whose signature Python cannot tell (some C functions) is taken for one that can.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*([None] * count))
    except TypeError:
        return False
    return True


def is_factory(app: Any) -> bool:
    """Whether ``app`` is something that makes an application: it can be called without arguments,
    and not as an ASGI 3 application."""
    return callable(app) and accepts(app, 0) and not accepts(app, 3)


def interface_of(app: Any) -> Interface:
    """Which interface ``app`` has, by its arguments: ASGI 3, ASGI 2 or WSGI.

    Raises:
        ImportFromStringError: it is not callable, or its arguments fit none of them.
    """
    if not callable(app):
        raise ImportFromStringError(f"The application is not callable: {app!r}.")
    if inspect.iscoroutinefunction(app):
        return "asgi3"
    if not inspect.isclass(app) and inspect.iscoroutinefunction(type(app).__call__):
        return "asgi3"
    if accepts(app, 3):
        return "asgi3"
    if accepts(app, 1):
        return "asgi2"
    if accepts(app, 2):
        return "wsgi"
    raise ImportFromStringError(
        "The application is not an ASGI application: it does not take (scope, receive, send)."
    )


def adapt(app: Any, interface: Interface | Literal["auto"]) -> tuple[Any, Literal["2.0", "3.0"]]:
    """The application as ASGI 3, and the version of ASGI that it speaks itself.

    Args:
        app: the application.
        interface: what it is; "auto" finds out.

    Raises:
        ImportFromStringError: it is none that can be served, or WSGI without a2wsgi installed.
    """
    kind = interface_of(app) if interface == "auto" else interface
    if not callable(app):
        raise ImportFromStringError(f"The application is not callable: {app!r}.")
    if kind == "asgi2":
        return ASGI2Adapter(app), "2.0"
    if kind == "wsgi":
        try:
            from a2wsgi import WSGIMiddleware
        except ImportError:
            raise ImportFromStringError(
                "A WSGI application needs a2wsgi (pip install a2wsgi)."
            ) from None
        return WSGIMiddleware(app), "3.0"
    return app, "3.0"


class ASGI2Adapter:
    """An ASGI 2 application (``app(scope)`` gives ``instance(receive, send)``) as ASGI 3."""

    def __init__(self, app: Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["asgi"] = {**scope.get("asgi", {}), "version": "2.0"}
        instance = self.app(scope)
        await instance(receive, send)
