# SPDX-License-Identifier: MIT
"""asgiserver.importer: import strings, factories, ASGI generations."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from asgiserver.importer import (
    ASGI2Adapter,
    ImportFromStringError,
    accepts,
    import_from_string,
    interface_of,
    is_factory,
)


async def asgi3(scope, receive, send):
    pass


def plain_asgi3(scope, receive, send):
    return asgi3(scope, receive, send)


def asgi2(scope):
    async def instance(receive, send):
        await send({"type": "seen", "scope": scope})

    return instance


class Callable3:
    async def __call__(self, scope, receive, send):
        pass


class Awaitable3:
    def __init__(self, scope, receive, send):
        pass

    def __await__(self):
        yield


class Class2:
    def __init__(self, scope):
        pass

    async def __call__(self, receive, send):
        pass


def wsgi(environ, start_response):
    return []


class TestImport:
    def test_object_is_given_back(self):
        marker = object()
        assert import_from_string(marker) is marker

    def test_nested_attribute(self):
        assert import_from_string("os:path.join") is __import__("os").path.join

    @pytest.mark.parametrize("name", ["example", "example:", ":app", ""])
    def test_malformed(self, name):
        with pytest.raises(ImportFromStringError, match='must be in format "<module>:<attr'):
            import_from_string(name)

    @pytest.mark.parametrize("name", ["no_such_module", "no_such.inner", "os.no_such"])
    def test_no_module(self, name):
        with pytest.raises(ImportFromStringError, match=f'Could not import module "{name}"'):
            import_from_string(f"{name}:app")

    def test_no_attribute(self):
        with pytest.raises(ImportFromStringError, match=r'Attribute "a\.b" not found in module "o'):
            import_from_string("os:a.b")

    def test_error_inside_the_module_is_its_own(self, tmp_path: Path, monkeypatch):
        (tmp_path / "importer_probe.py").write_text("import no_such_dependency\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
            import_from_string("importer_probe:app")
        assert "importer_probe" not in sys.modules


class TestInterface:
    @pytest.mark.parametrize(
        "app",
        [
            asgi3,
            plain_asgi3,
            Callable3(),
            Callable3().__call__,
            Awaitable3,
            functools.partial(asgi3),
            functools.partial(plain_asgi3),
            lambda *arguments: None,
        ],
    )
    def test_asgi3(self, app):
        assert interface_of(app) == "asgi3"

    @pytest.mark.parametrize("app", [asgi2, Class2, functools.partial(asgi2)])
    def test_asgi2(self, app):
        assert interface_of(app) == "asgi2"

    def test_wsgi_is_told_apart(self):
        assert interface_of(wsgi) == "wsgi"

    @pytest.mark.parametrize("app", [3, None, "text"])
    def test_not_callable(self, app):
        with pytest.raises(ImportFromStringError, match="not callable"):
            interface_of(app)

    def test_wrong_arity(self):
        with pytest.raises(ImportFromStringError, match="does not take"):
            interface_of(lambda a, b, c, d: None)


class TestFactory:
    @pytest.mark.parametrize("app", [lambda: None, lambda name="x": None, Callable3])
    def test_factories(self, app):
        assert is_factory(app)

    @pytest.mark.parametrize("app", [asgi3, asgi2, Callable3(), Awaitable3, Class2, wsgi, 3])
    def test_applications(self, app):
        assert not is_factory(app)

    def test_accepts_what_has_no_signature(self):
        assert accepts(dict.fromkeys, 1)


async def collect(app):
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": "http"}, None, send)
    return sent


def test_asgi2_adapter():
    import asyncio

    assert asyncio.run(collect(ASGI2Adapter(asgi2))) == [
        {"type": "seen", "scope": {"type": "http", "asgi": {"version": "2.0"}}}
    ]
