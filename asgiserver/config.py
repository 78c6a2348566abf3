# SPDX-License-Identifier: MIT
"""Config: every setting of the server, with uvicorn's names, and what follows from them.

A Config is plain data until load(): making one imports no application and opens no socket, so the
supervisor can hold it and hand it to each worker through fork.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import socket
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import importer, logs
from .logs import LOGGING_CONFIG, TRACE_LEVEL

if TYPE_CHECKING:
    import asyncio

__all__ = ["LOGGING_CONFIG", "STARTUP_FAILURE", "Config", "StartupError"]

LifespanMode = Literal["auto", "on", "off"]
JSProfile = Literal["bare", "web", "node"]

STARTUP_FAILURE = 3
"""The exit code of everything that keeps the server from starting."""

LIFESPAN_MODES = ("auto", "on", "off")
JS_PROFILES = ("bare", "web", "node")

# uvicorn's keywords that mean nothing here at these values, and something we do not do at others:
# code written for uvicorn may spell out a default, but must not believe in what is not there.
_UVICORN_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "loop": ("auto", "asyncio", "uvloop", "none"),
    "http": ("auto", "h11", "httptools"),
    "ws": ("auto", "websockets", "websockets-sansio", "wsproto"),
    "interface": ("auto", "asgi3", "asgi2"),
    "reload": (False, None),
    "reload_dirs": (None, [], ()),
    "reload_includes": (None, [], ()),
    "reload_excludes": (None, [], ()),
    "reload_delay": (0.25, None),
    "proxy_headers": (False,),
    "forwarded_allow_ips": (None,),
    "h11_max_incomplete_event_size": (None,),
    "timeout_notify": (30,),
    "callback_notify": (None,),
    "timeout_worker_healthcheck": (5,),
    "http2": (False,),
    "reset_contextvars": (False,),
    "ssl_keyfile": (None,),
    "ssl_certfile": (None,),
    "ssl_keyfile_password": (None,),
    "ssl_version": (17,),
    "ssl_cert_reqs": (0,),
    "ssl_ca_certs": (None,),
    "ssl_ciphers": ("TLSv1", None),
    "ssl_context_factory": (None,),
}


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


class Config:
    """The server's settings.

    Keywords are uvicorn's, and ours: ``js``, ``js_profile``, ``js_heap_limit``, ``js_timeout``,
    ``no_js``, ``preload``, ``limit_header_bytes``, ``limit_header_count``, ``limit_body_bytes``,
    ``timeout_header``, ``timeout_body``, ``timeout_write``. docs/settings.md tells what each means.

    Raises:
        ValueError: a value out of its range, or a setting of uvicorn's that casgi does not have
            at a value that would change something.
        TypeError: an unknown keyword.
    """

    def __init__(
        self,
        app: Any,
        host: str = "127.0.0.1",
        port: int = 8000,
        uds: str | None = None,
        fd: int | None = None,
        lifespan: LifespanMode = "auto",
        env_file: str | os.PathLike[str] | None = None,
        log_config: dict[str, Any] | str | Path | None = LOGGING_CONFIG,
        log_level: str | int | None = None,
        access_log: bool = True,
        use_colors: bool | None = None,
        workers: int | None = None,
        server_header: bool = True,
        date_header: bool = True,
        root_path: str = "",
        limit_concurrency: int | None = None,
        limit_max_requests: int | None = None,
        limit_max_requests_jitter: int = 0,
        limit_header_bytes: int = 65536,
        limit_header_count: int = 256,
        limit_body_bytes: int = 0,
        backlog: int = 2048,
        timeout_keep_alive: float = 75,
        timeout_header: float = 10,
        timeout_body: float = 30,
        timeout_write: float = 30,
        timeout_graceful_shutdown: float | None = 30,
        ws_max_size: int = 16 * 1024 * 1024,
        ws_max_queue: int = 32,
        ws_ping_interval: float | None = 20,
        ws_ping_timeout: float | None = 20,
        ws_per_message_deflate: bool = True,
        headers: Iterable[tuple[str, str]] | None = None,
        factory: bool = False,
        app_dir: str | None = None,
        preload: bool = False,
        js: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
        js_profile: JSProfile = "web",
        js_heap_limit: int | None = None,
        js_timeout: int | None = None,
        no_js: bool = False,
        **others: Any,
    ) -> None:
        _refuse_others(others)
        self.app = app
        self.host = host
        self.port = port
        self.uds = uds
        self.fd = fd
        self.lifespan: LifespanMode = lifespan
        self.log_config = log_config
        self.log_level = log_level
        self.access_log = access_log
        self.use_colors = use_colors
        self.server_header = server_header
        self.date_header = date_header
        self.root_path = root_path
        self.limit_concurrency = limit_concurrency
        self.limit_max_requests = limit_max_requests
        self.limit_max_requests_jitter = limit_max_requests_jitter
        self.limit_header_bytes = limit_header_bytes
        self.limit_header_count = limit_header_count
        self.limit_body_bytes = limit_body_bytes
        self.backlog = backlog
        self.timeout_keep_alive = timeout_keep_alive
        self.timeout_header = timeout_header
        self.timeout_body = timeout_body
        self.timeout_write = timeout_write
        self.timeout_graceful_shutdown = timeout_graceful_shutdown
        self.ws_max_size = ws_max_size
        self.ws_max_queue = ws_max_queue
        self.ws_ping_interval = ws_ping_interval
        self.ws_ping_timeout = ws_ping_timeout
        self.ws_per_message_deflate = ws_per_message_deflate
        self.headers: list[tuple[str, str]] = list(headers or ())
        self.factory = factory
        self.app_dir = app_dir
        self.preload = preload
        files = [js] if isinstance(js, str | os.PathLike) else js
        self.js: list[str] = [os.fspath(file) for file in files]
        self.js_profile: JSProfile = js_profile
        self.js_heap_limit = js_heap_limit
        self.js_timeout = js_timeout
        self.no_js = no_js

        self.loaded = False
        self.loaded_app: Any = None
        self.interface: importer.Interface = "asgi3"
        self.encoded_headers: list[tuple[bytes, bytes]] = []

        if env_file is not None:
            _load_env_file(env_file)
        self.workers = _worker_count(workers)
        self._validate()
        self.configure_logging()

    # -- checks ---------------------------------------------------------------------------------

    def _validate(self) -> None:
        if self.lifespan not in LIFESPAN_MODES:
            raise ValueError(f"lifespan must be one of {', '.join(LIFESPAN_MODES)}")
        if self.js_profile not in JS_PROFILES:
            raise ValueError(f"js_profile must be one of {', '.join(JS_PROFILES)}")
        if self.no_js and self.js:
            raise ValueError("js and no_js exclude each other")
        for name, least in (
            ("workers", 1),
            ("backlog", 1),
            ("timeout_keep_alive", 0),
            ("timeout_header", 0),
            ("timeout_body", 0),
            ("timeout_write", 0),
            ("timeout_graceful_shutdown", 0),
            ("limit_concurrency", 1),
            ("limit_max_requests", 1),
            ("limit_max_requests_jitter", 0),
            ("limit_header_bytes", 256),
            ("limit_header_count", 1),
            ("limit_body_bytes", 0),
            ("ws_max_size", 1),
            ("ws_max_queue", 1),
            ("ws_ping_interval", 0),
            ("ws_ping_timeout", 0),
            ("js_heap_limit", 1),
            ("js_timeout", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if self.port is not None and not 0 <= self.port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, not {self.port}")
        self.encoded_headers = [encode_header(name, value) for name, value in self.headers]

    def configure_logging(self) -> None:
        """Sets up logging in this process (see :func:`asgiserver.logs.configure`)."""
        logs.configure(self.log_config, self.log_level, self.access_log, self.use_colors)

    @property
    def asgi_version(self) -> Literal["2.0", "3.0"]:
        """The ASGI version that the application speaks."""
        return "2.0" if self.interface == "asgi2" else "3.0"

    @property
    def use_subprocess(self) -> bool:
        """Whether run() starts a supervisor with worker processes."""
        return self.workers > 1

    @property
    def should_reload(self) -> bool:
        """Always False: for code that asks uvicorn's Config."""
        return False

    @property
    def max_requests(self) -> int | None:
        """limit_max_requests with this process's share of the jitter; differs from call to call."""
        if self.limit_max_requests is None:
            return None
        return self.limit_max_requests + random.randint(0, self.limit_max_requests_jitter)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop of the kind the server runs on."""
        from .loop import new_event_loop

        return new_event_loop()

    def get_loop_factory(self) -> Any:
        """As uvicorn's: the function that makes an event loop."""
        return self.new_event_loop

    # -- the application ------------------------------------------------------------------------

    def load(self) -> None:
        """Imports the application and adapts it to ASGI 3; a second call does nothing.

        Raises:
            StartupError: it cannot be imported, made by its factory, or is no ASGI application.
        """
        if self.loaded:
            return
        if self.app_dir is not None:
            folder = os.path.abspath(self.app_dir)
            if folder not in sys.path:
                sys.path.insert(0, folder)
        name = self.app if isinstance(self.app, str) else repr(self.app)
        try:
            app = importer.import_from_string(self.app)
        except importer.ImportFromStringError as error:
            raise StartupError(f"Error loading ASGI app. {error}") from None
        except Exception as error:
            raise StartupError(
                f'Error loading ASGI app "{name}": {describe(error)}', application_traceback(error)
            ) from error
        app = self._made_by_factory(app, name)
        try:
            self.interface = importer.interface_of(app)
        except importer.ImportFromStringError as error:
            raise StartupError(f'Error loading ASGI app "{name}". {error}') from None
        if self.interface == "asgi2":
            app = importer.ASGI2Adapter(app)
        if logging.getLogger("asgiserver.asgi").isEnabledFor(TRACE_LEVEL):
            app = logs.TraceMessages(app)
        self.loaded_app = app
        self.loaded = True

    def load_app(self) -> Any:
        """As uvicorn's: the application that the import string names, as it is."""
        return importer.import_from_string(self.app)

    def _made_by_factory(self, app: Any, name: str) -> Any:
        if not self.factory:
            if not importer.is_factory(app):
                return app
            logging.getLogger("asgiserver.error").warning(
                "ASGI app factory detected. Using it, but please consider setting the --factory "
                "flag explicitly."
            )
        elif not importer.accepts(app, 0):
            raise StartupError(
                f'Error loading ASGI app factory "{name}": it cannot be called without arguments.'
            )
        try:
            return app()
        except Exception as error:
            raise StartupError(
                f'Error loading ASGI app factory "{name}": {describe(error)}',
                application_traceback(error),
            ) from error

    # -- sockets --------------------------------------------------------------------------------

    def bind_sockets(self) -> list[socket.socket]:
        """The sockets to serve on, bound but not yet listening: a host name may stand for several
        addresses; port 0 is chosen once and used for all of them.

        Raises:
            StartupError: none could be bound.
        """
        if self.uds is not None:
            return [_bind_unix(self.uds)]
        if self.fd is not None:
            return [_adopt(self.fd)]
        return _bind_tcp(self.host, self.port)

    def bind_socket(self) -> socket.socket:
        """As uvicorn's: the first of bind_sockets()."""
        first, *rest = self.bind_sockets()
        for other in rest:
            other.close()
        return first


def _refuse_others(others: dict[str, Any]) -> None:
    for name, value in others.items():
        if name not in _UVICORN_NEUTRAL:
            raise TypeError(f"Config() got an unexpected keyword argument {name!r}")
        if value not in _UVICORN_NEUTRAL[name]:
            raise ValueError(f"{name}={value!r} is a setting of uvicorn's that casgi does not have")


def _worker_count(workers: int | None) -> int:
    if workers is not None:
        return workers
    value = os.environ.get("WEB_CONCURRENCY", "").strip()
    try:
        return int(value) if value else 1
    except ValueError:
        raise ValueError(f"WEB_CONCURRENCY must be a number, not {value!r}") from None


def _load_env_file(path: str | os.PathLike[str]) -> None:
    try:
        from dotenv import load_dotenv  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ValueError("env_file needs python-dotenv (pip install python-dotenv)") from None
    if not os.path.isfile(path):
        raise ValueError(f"env_file: no such file: {os.fspath(path)}")
    load_dotenv(dotenv_path=path)


_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    """A default response header as it goes out: lower-case name, latin-1.

    Raises:
        ValueError: not a header name or value; a line break in one would split the response.
    """
    try:
        raw_name, raw_value = name.strip().lower().encode("ascii"), value.strip().encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r}: not ASCII (name) or latin-1 (value)") from None
    if not raw_name or not _TOKEN.issuperset(raw_name):
        raise ValueError(f"header name {name!r} is not a token")
    if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in raw_value):
        raise ValueError(f"header {name!r}: control character in the value")
    return raw_name, raw_value


def describe(error: BaseException) -> str:
    """``"KeyError: 'x'"``: type and text of an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def application_traceback(error: BaseException) -> str:
    """The traceback of an exception without the frames that are the server's and importlib's."""
    import importlib
    import traceback

    ours = (os.path.dirname(__file__), os.path.dirname(importlib.__file__), "<frozen importlib")
    tail = error.__traceback__
    while tail is not None and tail.tb_frame.f_code.co_filename.startswith(ours):
        tail = tail.tb_next
    return "".join(traceback.format_exception(type(error), error, tail))


# -- making sockets --------------------------------------------------------------------------------


def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartupError(f"Cannot resolve host {host!r}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    failure: StartupError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if port == 0 and sockets:
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError:
            continue  # The kernel does not know this family: IPv6 switched off.
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
        except OSError as error:
            sock.close()
            failure = StartupError(f"Cannot bind to {address_text(address)}: {error.strerror}.")
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            break
        sock.setblocking(False)
        sockets.append(sock)
    else:
        if sockets:
            return sockets
    for sock in sockets:
        sock.close()
    raise failure or StartupError(f"Cannot bind to {host!r}: no usable address.")


def _bind_unix(path: str) -> socket.socket:
    mode = 0o666
    try:
        found = os.stat(path)
    except OSError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise StartupError(f"Cannot bind to unix socket {path}: the file is not a socket.")
        if _answers(path):
            raise StartupError(f"Cannot bind to unix socket {path}: Address already in use.")
        mode = stat.S_IMODE(found.st_mode)
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, mode)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise StartupError(f"Cannot bind to unix socket {path}: {reason}.") from None
    sock.setblocking(False)
    return sock


def _answers(path: str) -> bool:
    """Whether somebody listens on a unix socket; a file left behind by a dead server does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def _adopt(fd: int) -> socket.socket:
    # A duplicate: the number given stays the caller's (systemd, a parent process).
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise StartupError(f"Cannot use file descriptor {fd}: {error.strerror}.") from None
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise StartupError(f"Cannot use file descriptor {fd}: not a stream socket.")
    sock.setblocking(False)
    return sock


def address_text(address: Any) -> str:
    """``host:port`` of a socket's address, an IPv6 host in brackets; a unix path as it is."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address.decode() if isinstance(address, bytes) else str(address)
