# SPDX-License-Identifier: MIT
"""Config: every setting of the server, with uvicorn's names, and what follows from them.

A Config is plain data until load(): making one imports no application and opens no socket, so the
supervisor can hold it and hand it to each worker through fork.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import accesslog, binds, handover, importer, logs, tls
from .errors import StartupError
from .logs import LOGGING_CONFIG, TRACE_LEVEL
from .request_id import RequestId
from .stats.address import parse_address

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from .reload import Watched

__all__ = ["LOGGING_CONFIG", "STARTUP_FAILURE", "Config", "StartupError"]

LifespanMode = Literal["auto", "on", "off"]
InterfaceSetting = Literal["auto", "asgi3", "asgi2", "wsgi"]
JSProfile = Literal["bare", "web", "node"]
PathOrPaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

logger = logging.getLogger("asgiserver.error")

STARTUP_FAILURE = 3
"""The exit code of everything that keeps the server from starting."""

HEADER_BYTES = 65536
"""Default of limit_header_bytes."""

LIFESPAN_MODES = ("auto", "on", "off")
LOG_FORMATS = ("text", "json")
JS_PROFILES = ("bare", "web", "node")

INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")

# Settings of uvicorn's that choose between implementations of which there is one here: every name
# that uvicorn knows is accepted.
IMPLEMENTATIONS = {
    "loop": ("auto", "asyncio", "uvloop", "zuvloop", "none"),
    "http": ("auto", "h11", "httptools", "zttp"),
    "ws": ("auto", "websockets", "websockets-sansio", "wsproto"),
}

# uvicorn's keywords that mean nothing here at these values, and something we do not do at others:
# code written for uvicorn may spell out a default, but must not believe in what is not there.
_UVICORN_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "ssl_context_factory": (None,),
}


class Config:
    """The server's settings.

    Keywords, their order and their defaults are uvicorn's, but for the defaults that
    docs/settings.md gives reasons for; behind the ``*`` are ours.

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
        loop: str = "auto",
        http: str = "auto",
        http2: bool = False,
        ws: str = "auto",
        ws_max_size: int = 16 * 1024 * 1024,
        ws_max_queue: int = 32,
        ws_ping_interval: float | None = 20,
        ws_ping_timeout: float | None = 20,
        ws_per_message_deflate: bool = True,
        lifespan: LifespanMode = "auto",
        env_file: str | os.PathLike[str] | None = None,
        log_config: logs.LogConfig = LOGGING_CONFIG,
        log_level: str | int | None = None,
        access_log: bool = True,
        use_colors: bool | None = None,
        interface: InterfaceSetting = "auto",
        reload: bool = False,
        reload_dirs: Sequence[str] | str | None = None,
        reload_delay: float = 0.25,
        reload_includes: Sequence[str] | str | None = None,
        reload_excludes: Sequence[str] | str | None = None,
        workers: int | None = None,
        proxy_headers: bool = True,
        server_header: bool = True,
        date_header: bool = True,
        forwarded_allow_ips: list[str] | str | None = None,
        root_path: str = "",
        limit_concurrency: int | None = None,
        limit_max_requests: int | None = None,
        limit_max_requests_jitter: int = 0,
        backlog: int = 2048,
        timeout_keep_alive: float = 75,
        timeout_notify: float = 30,
        timeout_graceful_shutdown: float | None = 30,
        timeout_worker_healthcheck: float = 5,
        callback_notify: Callable[..., Awaitable[None]] | None = None,
        ssl_keyfile: PathOrPaths | None = None,
        ssl_certfile: PathOrPaths | None = None,
        ssl_keyfile_password: str | None = None,
        ssl_version: int = 17,
        ssl_cert_reqs: int = 0,
        ssl_ca_certs: str | os.PathLike[str] | None = None,
        ssl_ciphers: str | None = None,
        headers: Iterable[tuple[str, str]] | None = None,
        factory: bool = False,
        h11_max_incomplete_event_size: int | None = None,
        reset_contextvars: bool = False,
        *,
        bind: Sequence[str] | str = (),
        uds_permissions: int | str | None = None,
        reuse_port: bool = False,
        proxy_protocol: bool = False,
        app_dir: str | None = None,
        preload: bool = False,
        access_log_format: str | None = None,
        log_format: Literal["text", "json"] = "text",
        max_worker_lifetime: float | None = None,
        max_worker_rss: int | None = None,
        limit_header_bytes: int | None = None,
        limit_header_count: int = 256,
        limit_body_bytes: int = 0,
        limit_request_line: int = 65536,
        limit_chunk_extensions: int = 8192,
        limit_connections_per_client: int = 0,
        limit_min_rate: int = 100,
        limit_streams: int = 100,
        forwarded_header: bool = False,
        timeout_header: float = 10,
        timeout_body: float = 30,
        timeout_write: float = 30,
        timeout_tls_handshake: float = 10,
        ssl_reload_interval: float = 5,
        js: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
        js_profile: JSProfile = "web",
        js_heap_limit: int | None = None,
        js_timeout: int | None = None,
        no_js: bool = False,
        stats: str | int | None = None,
        request_id_header: str | None = None,
        **others: Any,
    ) -> None:
        _refuse_others(others)
        self.app = app
        self.host = host
        self.port = port
        self.uds = uds
        self.fd = fd
        self.binds = [binds.parse(each) for each in ([bind] if isinstance(bind, str) else bind)]
        self.uds_mode = binds.parse_mode(uds_permissions)
        self.reuse_port = reuse_port
        self.proxy_protocol = proxy_protocol
        self.loop = loop
        self.http = http
        self.http2 = http2
        self.ws = ws
        self.ws_max_size = ws_max_size
        self.ws_max_queue = ws_max_queue
        self.ws_ping_interval = ws_ping_interval
        self.ws_ping_timeout = ws_ping_timeout
        self.ws_per_message_deflate = ws_per_message_deflate
        self.lifespan: LifespanMode = lifespan
        self.log_config = log_config
        self.log_level = log_level
        self.access_log = access_log
        self.use_colors = use_colors
        self.interface: InterfaceSetting = interface
        self.reload = reload
        self.reload_delay = reload_delay
        self.server_header = server_header
        self.date_header = date_header
        self.root_path = root_path
        self.proxy_headers = proxy_headers
        if forwarded_allow_ips is None:
            forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        self.forwarded_allow_ips: list[str] | str = forwarded_allow_ips
        self.forwarded_header = forwarded_header
        self.limit_concurrency = limit_concurrency
        self.limit_max_requests = limit_max_requests
        self.limit_max_requests_jitter = limit_max_requests_jitter
        self.backlog = backlog
        self.timeout_keep_alive = timeout_keep_alive
        self.timeout_notify = timeout_notify
        self.timeout_graceful_shutdown = timeout_graceful_shutdown
        self.timeout_worker_healthcheck = timeout_worker_healthcheck
        self.callback_notify = callback_notify
        self.timeout_tls_handshake = timeout_tls_handshake
        self.ssl_keyfile = ssl_keyfile
        self.ssl_certfile = ssl_certfile
        self.ssl_keyfile_password = ssl_keyfile_password
        self.ssl_version = ssl_version
        self.ssl_cert_reqs = ssl_cert_reqs
        self.ssl_ca_certs = ssl_ca_certs
        self.ssl_ciphers = ssl_ciphers
        self.ssl_reload_interval = ssl_reload_interval
        self.tls = tls.settings_of(self)
        self.headers: list[tuple[str, str]] = list(headers or ())
        self.factory = factory
        self.h11_max_incomplete_event_size = h11_max_incomplete_event_size
        self.reset_contextvars = reset_contextvars
        self.app_dir = app_dir
        self.preload = preload
        self.access_log_format = access_log_format
        self.log_format = log_format
        self.max_worker_lifetime = max_worker_lifetime
        self.max_worker_rss = max_worker_rss
        if limit_header_bytes is None:
            event_size = h11_max_incomplete_event_size
            limit_header_bytes = HEADER_BYTES if event_size is None else max(event_size, 256)
        self.limit_header_bytes = limit_header_bytes
        self.limit_header_count = limit_header_count
        self.limit_body_bytes = limit_body_bytes
        self.limit_request_line = limit_request_line
        self.limit_chunk_extensions = limit_chunk_extensions
        self.limit_connections_per_client = limit_connections_per_client
        self.limit_min_rate = limit_min_rate
        self.limit_streams = limit_streams
        self.timeout_header = timeout_header
        self.timeout_body = timeout_body
        self.timeout_write = timeout_write
        files = [js] if isinstance(js, str | os.PathLike) else js
        self.js: list[str] = [os.fspath(file) for file in files]
        self.js_profile: JSProfile = js_profile
        self.js_heap_limit = js_heap_limit
        self.js_timeout = js_timeout
        self.no_js = no_js
        self.stats = None if stats is None else str(stats)
        self.request_id_header = request_id_header

        self.loaded = False
        self.loaded_app: Any = None
        self.asgi_version: Literal["2.0", "3.0"] = "3.0"
        self.watched: Watched | None = None
        self.encoded_headers: list[tuple[bytes, bytes]] = []

        if env_file is not None:
            _load_env_file(env_file)
        self.workers = _worker_count(workers)
        self._validate()
        self.configure_logging()
        self._prepare_reload(reload_dirs, reload_includes, reload_excludes)

    # -- checks ---------------------------------------------------------------------------------

    def _validate(self) -> None:
        if self.lifespan not in LIFESPAN_MODES:
            raise ValueError(f"lifespan must be one of {', '.join(LIFESPAN_MODES)}")
        if self.interface not in INTERFACES:
            raise ValueError(f"interface must be one of {', '.join(INTERFACES)}")
        for name, known in IMPLEMENTATIONS.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: casgi has one implementation of its own; "
                    f"accepted for uvicorn's sake are {', '.join(known)}"
                )
        if self.log_format not in LOG_FORMATS:
            raise ValueError(f"log_format must be one of {', '.join(LOG_FORMATS)}")
        accesslog.compile_format(self.access_log_format or "")
        if self.stats is not None:
            from importlib.util import find_spec

            if find_spec("prometheus_client") is None:
                raise ValueError("stats needs prometheus-client (pip install prometheus-client)")
            parse_address(self.stats)
        if self.request_id_header is not None:
            encode_header(self.request_id_header, "")
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
            ("timeout_notify", 0),
            ("timeout_tls_handshake", 0),
            ("ssl_reload_interval", 0),
            ("timeout_worker_healthcheck", 0),
            ("max_worker_lifetime", 0),
            ("max_worker_rss", 1),
            ("reload_delay", 0),
            ("limit_concurrency", 1),
            ("limit_max_requests", 1),
            ("limit_max_requests_jitter", 0),
            ("limit_header_bytes", 256),
            ("limit_header_count", 1),
            ("limit_request_line", 64),
            ("limit_body_bytes", 0),
            ("limit_chunk_extensions", 0),
            ("limit_connections_per_client", 0),
            ("limit_min_rate", 0),
            ("limit_streams", 1),
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
        binds.check(self)
        self.encoded_headers = [encode_header(name, value) for name, value in self.headers]

    def configure_logging(self) -> None:
        """Sets up logging in this process (see :func:`asgiserver.logs.configure`)."""
        logs.configure(
            self.log_config, self.log_level, self.access_log, self.use_colors, self._log_lines()
        )

    def _log_lines(self) -> Literal["text", "json", "message"]:
        """How the built-in configuration makes its lines; "message": the access log's by its own
        format."""
        if self.log_format == "json":
            return "json"
        return "message" if self.records_exchanges else "text"

    @property
    def records_exchanges(self) -> bool:
        """Whether access lines are made by accesslog.py; otherwise they are the core's."""
        own = self.access_log_format not in (None, accesslog.UVICORN_FORMAT)
        return self.access_log and (own or self.log_format == "json")

    def _prepare_reload(self, dirs: Any, includes: Any, excludes: Any) -> None:
        if self.should_reload:
            from importlib.util import find_spec

            from .reload import Watched

            if find_spec("watchfiles") is None:
                raise ValueError("reload needs watchfiles (pip install watchfiles)")
            if self.workers > 1:
                logger.warning('"workers" flag is ignored when reloading is enabled.')
                self.workers = 1
            self.watched = Watched(dirs, includes, excludes, self.js)
            if self.watched.missing:
                logger.warning("Not a folder, so not watched: %s", ", ".join(self.watched.missing))
        elif dirs or includes or excludes:
            logger.warning(
                "Current configuration will not reload as not all conditions are met, please refer "
                "to documentation."
            )

    @property
    def reload_dirs(self) -> list[Path]:
        """As uvicorn's: the folders that are watched."""
        return self.watched.dirs if self.watched is not None else []

    @property
    def reload_includes(self) -> list[str]:
        """As uvicorn's: glob patterns of files that are watched."""
        return self.watched.includes if self.watched is not None else []

    @property
    def reload_excludes(self) -> list[str]:
        """As uvicorn's: glob patterns of files that are not."""
        return self.watched.excludes if self.watched is not None else []

    @property
    def use_subprocess(self) -> bool:
        """Whether run() starts a supervisor with worker processes: where there are several, and
        where one is to be replaced."""
        limits = (self.limit_max_requests, self.max_worker_lifetime, self.max_worker_rss)
        return self.reload or self.workers > 1 or any(limit is not None for limit in limits)

    @property
    def is_ssl(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls is not None

    @property
    def should_reload(self) -> bool:
        """Whether a changed file restarts the application, which only an import string allows."""
        return self.reload and isinstance(self.app, str)

    @property
    def max_requests(self) -> int | None:
        """limit_max_requests with this process's share of the jitter; differs from call to call."""
        if self.limit_max_requests is None:
            return None
        import random

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
            app, self.asgi_version = importer.adapt(app, self.interface)
        except importer.ImportFromStringError as error:
            raise StartupError(f'Error loading ASGI app "{name}". {error}') from None
        access = logging.getLogger("asgiserver.access")
        if self.records_exchanges and access.hasHandlers():
            line = accesslog.compile_format(self.access_log_format or accesslog.UVICORN_FORMAT)
            app = accesslog.Recorder(app, line, logs.ExchangeLog(access))
        if self.request_id_header is not None:
            app = RequestId(app, self.request_id_header)
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
            logger.warning(
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
        addresses; port 0 is chosen once and used for all of them. Where neither an address nor
        anything else was set, those that systemd has passed.

        A process that was started to take over from another gets that one's sockets.

        Raises:
            StartupError: none could be bound.
        """
        inherited = handover.inherited_sockets()
        if inherited:
            return inherited
        return binds.bind_all(self)

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
