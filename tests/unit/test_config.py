# SPDX-License-Identifier: MIT
"""asgiserver.Config: checks, sockets, loading the application."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from asgiserver import Config, StartupError
from asgiserver.binds import address_text
from asgiserver.config import application_traceback, describe, encode_header
from asgiserver.importer import ASGI2Adapter


async def app(scope, receive, send):
    pass


@pytest.fixture(autouse=True)
def no_web_concurrency(monkeypatch):
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)


def config(target=app, **settings) -> Config:
    return Config(target, log_config=None, **settings)


class TestSettings:
    def test_defaults(self):
        made = config()
        assert (made.host, made.port, made.workers) == ("127.0.0.1", 8000, 1)
        assert made.timeout_keep_alive == 75
        assert made.timeout_graceful_shutdown == 30
        assert made.js == []
        assert not made.use_subprocess
        assert not made.should_reload

    def test_web_concurrency(self, monkeypatch):
        monkeypatch.setenv("WEB_CONCURRENCY", "3")
        assert config().workers == 3
        assert config(workers=2).workers == 2

    def test_web_concurrency_is_no_number(self, monkeypatch):
        monkeypatch.setenv("WEB_CONCURRENCY", "many")
        with pytest.raises(ValueError, match="WEB_CONCURRENCY must be a number, not 'many'"):
            config()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("workers", 0),
            ("backlog", 0),
            ("timeout_keep_alive", -1),
            ("timeout_graceful_shutdown", -1),
            ("limit_concurrency", 0),
            ("limit_max_requests", 0),
            ("limit_header_bytes", 1),
            ("js_timeout", 0),
            ("port", 70000),
            ("lifespan", "maybe"),
            ("js_profile", "deno"),
        ],
    )
    def test_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=name):
            config(**{name: value})

    def test_unknown_keyword(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'prot'"):
            config(prot=1)

    def test_uvicorn_keyword_at_a_harmless_value(self):
        config(reload=False, loop="uvloop", http="auto", ws="auto", ssl_context_factory=None)

    @pytest.mark.parametrize("name", ["loop", "http", "ws"])
    def test_another_implementation_is_refused(self, name):
        with pytest.raises(ValueError, match=f"{name}='mine:Own'.* one implementation"):
            config(**{name: "mine:Own"})

    def test_reload_needs_an_import_string(self):
        assert config("m:app", reload=True).should_reload
        assert not config(reload=True).should_reload

    def test_reload_has_one_worker(self, caplog):
        with caplog.at_level("WARNING", logger="asgiserver.error"):
            assert config("m:app", reload=True, workers=3).workers == 1
        assert "ignored when reloading" in caplog.text

    def test_reload_settings_without_reload(self, caplog):
        with caplog.at_level("WARNING", logger="asgiserver.error"):
            config("m:app", reload_dirs=["."])
        assert "will not reload" in caplog.text

    def test_js_files(self):
        assert config(js="a.js").js == ["a.js"]
        assert config(js=[Path("a.js"), "b.js"]).js == ["a.js", "b.js"]
        with pytest.raises(ValueError, match="exclude each other"):
            config(js="a.js", no_js=True)

    def test_jitter(self):
        made = config(limit_max_requests=10, limit_max_requests_jitter=5)
        drawn = {made.max_requests for _ in range(200)}
        assert drawn == set(range(10, 16))
        assert config().max_requests is None

    def test_env_file(self, tmp_path):
        pytest.importorskip("dotenv")
        path = tmp_path / "env"
        path.write_text("WEB_CONCURRENCY=5\n")
        try:
            assert config(env_file=path).workers == 5
        finally:
            os.environ.pop("WEB_CONCURRENCY", None)

    def test_env_file_is_missing(self, tmp_path):
        with pytest.raises(ValueError, match="env_file"):
            config(env_file=tmp_path / "none")


class TestHeaders:
    def test_encoded(self):
        assert encode_header("X-Name", " caf\xe9 ") == (b"x-name", b"caf\xe9")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("na\xefve", "x"),
            ("x", "a\r\nset-cookie: b"),
            ("x", "a\0"),
            ("x", "\u20ac"),
        ],
    )
    def test_refused(self, name, value):
        with pytest.raises(ValueError, match="header"):
            config(headers=[(name, value)])


def factory():
    return app


def failing_factory():
    raise KeyError("no setting")


def wsgi(environ, start_response):
    return []


class TestLoad:
    def test_object(self):
        made = config()
        made.load()
        assert made.loaded_app is app
        assert made.asgi_version == "3.0"

    def test_asgi2(self):
        made = config(lambda scope: None)
        made.load()
        assert made.asgi_version == "2.0"

    def test_factory(self):
        made = config(factory, factory=True)
        made.load()
        assert made.loaded_app is app

    def test_factory_is_detected(self, caplog):
        made = config(factory)
        with caplog.at_level("WARNING", logger="asgiserver.error"):
            made.load()
        assert made.loaded_app is app

    def test_factory_that_needs_arguments(self):
        with pytest.raises(StartupError, match="cannot be called without arguments"):
            config(app, factory=True).load()

    def test_factory_that_fails(self):
        with pytest.raises(StartupError, match="KeyError: 'no setting'") as caught:
            config(failing_factory, factory=True).load()
        assert "in failing_factory" in caught.value.detail
        assert "asgiserver/config.py" not in caught.value.detail

    @pytest.mark.parametrize("interface", ["auto", "wsgi"])
    def test_wsgi(self, interface):
        a2wsgi = pytest.importorskip("a2wsgi")
        made = config(wsgi, interface=interface)
        made.load()
        assert isinstance(made.loaded_app, a2wsgi.WSGIMiddleware)

    def test_wsgi_without_a2wsgi(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "a2wsgi", None)
        with pytest.raises(StartupError, match="needs a2wsgi"):
            config(wsgi).load()

    def test_interface_overrides_what_the_arguments_say(self):
        made = config(lambda scope, *rest: None, interface="asgi2")
        made.load()
        assert made.asgi_version == "2.0"
        assert isinstance(made.loaded_app, ASGI2Adapter)

    def test_missing_module(self):
        with pytest.raises(StartupError) as caught:
            config("no_such_module:app").load()
        assert str(caught.value) == (
            'Error loading ASGI app. Could not import module "no_such_module".'
        )

    def test_app_dir_and_an_error_in_the_module(self, tmp_path, monkeypatch):
        (tmp_path / "config_probe.py").write_text("def f():\n    raise OSError('boom')\nf()\n")
        monkeypatch.syspath_prepend("")
        with pytest.raises(StartupError) as caught:
            config("config_probe:app", app_dir=str(tmp_path)).load()
        assert caught.value.message == ('Error loading ASGI app "config_probe:app": OSError: boom')
        assert "config_probe.py" in caught.value.detail
        assert "importlib" not in caught.value.detail


def test_traceback_of_an_error_without_frames():
    assert application_traceback(ValueError("x")).strip() == "ValueError: x"
    assert describe(ValueError("a\n  b")) == "ValueError: a b"
    assert describe(ValueError()) == "ValueError"


class TestSockets:
    def test_port_zero_is_one_port_for_every_address(self):
        sockets = config(host="", port=0).bind_sockets()
        try:
            assert len({sock.getsockname()[1] for sock in sockets}) == 1
        finally:
            for sock in sockets:
                sock.close()

    def test_bound_but_not_listening(self):
        sock = config(port=0).bind_socket()
        with sock, pytest.raises(ConnectionRefusedError):
            socket.create_connection(sock.getsockname())

    def test_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(StartupError, match=rf"Cannot bind to 127.0.0.1:{port}: Address a"):
                config(port=port).bind_sockets()

    def test_unknown_host(self):
        with pytest.raises(StartupError, match="Cannot resolve host 'no such host'"):
            config(host="no such host").bind_sockets()

    def test_fd(self):
        with socket.create_server(("127.0.0.1", 0)) as given:
            made = config(fd=given.fileno()).bind_socket()
            with made:
                assert made.getsockname() == given.getsockname()
                assert made.fileno() != given.fileno()

    def test_fd_that_is_no_socket(self, tmp_path):
        with (tmp_path / "f").open("w") as file:
            with pytest.raises(StartupError, match="Cannot use file descriptor"):
                config(fd=file.fileno()).bind_sockets()

    def test_uds_replaces_a_dead_socket_and_keeps_its_mode(self, tmp_path):
        path = tmp_path / "s"
        with config(uds=str(path)).bind_socket():
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
        path.chmod(0o600)
        with config(uds=str(path)).bind_socket():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_uds_in_use(self, tmp_path):
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            with pytest.raises(StartupError, match="already in use"):
                config(uds=str(path)).bind_sockets()

    def test_uds_spares_a_file(self, tmp_path):
        path = tmp_path / "precious"
        path.write_text("data")
        with pytest.raises(StartupError, match="not a socket"):
            config(uds=str(path)).bind_sockets()
        assert path.read_text() == "data"


def test_address_text():
    assert address_text(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert address_text(("::1", 80, 0, 0)) == "[::1]:80"
    assert address_text("/run/x") == "/run/x"
