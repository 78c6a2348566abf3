# SPDX-License-Identifier: MIT
"""Logging as uvicorn's users know it: the same lines, colours and dictConfig shape.

Four loggers: ``asgiserver`` (the parent), ``asgiserver.error`` (everything the server itself has
to say, errors or not), ``asgiserver.access`` (one line per answered request) and ``asgiserver.js``
(what scripts tell their ``console``).
"""

from __future__ import annotations

import copy
import http
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

from .accesslog import UVICORN_FORMAT, Exchange
from .request_id import current

if TYPE_CHECKING:
    from configparser import RawConfigParser

    LogConfig = dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any] | None

TRACE_LEVEL = 5

LOG_LEVELS: dict[str, int] = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE_LEVEL,
}


LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "asgiserver.logs.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "asgiserver.logs.AccessFormatter",
            "fmt": UVICORN_FORMAT,
            "use_colors": None,
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "asgiserver": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "asgiserver.error": {"level": "INFO"},
        "asgiserver.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
"""The default configuration: pass a changed copy as ``log_config``."""

_LEVEL_COLORS = {
    TRACE_LEVEL: "34",
    logging.DEBUG: "36",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "91",
}
_STATUS_COLORS = {1: "97", 2: "32", 3: "33", 4: "31", 5: "91"}
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


def paint(text: str, code: str) -> str:
    """``text`` in the terminal colour with SGR code ``code``."""
    return f"\x1b[{code}m{text}\x1b[0m"


def status_text(code: int, colors: bool) -> str:
    """``"404 Not Found"``, coloured by its class if so wished."""
    text = f"{code} {_PHRASES.get(code, '')}"
    return paint(text, _STATUS_COLORS.get(code // 100, "0")) if colors else text


class DefaultFormatter(logging.Formatter):
    """Adds ``%(levelprefix)s`` (the level, padded, coloured) to a record.

    Args:
        fmt, datefmt, style: as for :class:`logging.Formatter`.
        use_colors: True, False, or None to colour where the stream is a terminal.
    """

    stream = "stderr"

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        if use_colors is None:
            output = getattr(sys, self.stream)
            use_colors = output is not None and output.isatty()
        self.use_colors = use_colors
        super().__init__(fmt, datefmt, style)

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A copy: other handlers of the same record must not see our colours.
        record = copy.copy(record)
        name = record.levelname
        padding = " " * max(0, 8 - len(name))
        if self.use_colors:
            name = paint(name, _LEVEL_COLORS.get(record.levelno, "0"))
            color_message = record.__dict__.get("color_message")
            if color_message is not None:
                record.msg = color_message
                record.message = record.getMessage()
        record.__dict__["levelprefix"] = f"{name}:{padding}"
        self.extend(record)
        return super().formatMessage(record)

    def extend(self, record: logging.LogRecord) -> None:
        """For subclasses: adds further attributes to the (copied) record."""


class AccessFormatter(DefaultFormatter):
    """Adds ``client_addr``, ``request_line`` and ``status_code`` (with its phrase), taken from the
    five arguments of an access record: client, method, path with query, HTTP version, status.
    """

    stream = "stdout"

    def extend(self, record: logging.LogRecord) -> None:
        args = record.args
        if isinstance(record.msg, Exchange):
            seen = record.msg
            args = (seen.client_addr, seen.method, seen.path, seen.protocol[5:], seen.status)
        if not isinstance(args, tuple) or len(args) != 5:
            return
        client_addr, method, path, http_version, status = args
        request_line = f"{method} {path} HTTP/{http_version}"
        if self.use_colors:
            request_line = paint(request_line, "1")
        record.__dict__.update(
            client_addr=client_addr,
            request_line=request_line,
            status_code=status_text(int(str(status)), self.use_colors),
        )


class _Statuses(dict[int, bytes]):
    """status_text() as bytes, made when first asked for."""

    def __init__(self, colors: bool) -> None:
        super().__init__()
        self.colors = colors

    def __missing__(self, status: int) -> bytes:
        text = self[status] = status_text(status, self.colors).encode()
        return text


def _style(colors: bool) -> tuple[bytes, bytes, bytes, dict[int, bytes]]:
    """AccessLog.plain()'s answer."""
    bold, normal = paint("|", "1").split("|") if colors else ("", "")
    level = paint("INFO", _LEVEL_COLORS[logging.INFO]) if colors else "INFO"
    return f"{level}:     ".encode(), bold.encode(), normal.encode(), _Statuses(colors)


class LineFormatter(logging.Formatter):
    """The message alone: of an access record, the line in its own format."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def exchange_line(self, exchange: Exchange) -> str:
        """What format() gives for a record of this exchange."""
        return str(exchange)


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; of an access record the parts of
    its exchange in place of the message; and whatever ``extra`` holds.
    """

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        import json

        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def exchange_line(self, exchange: Exchange) -> str:
        """What format() gives for a record of this exchange, made now."""
        line = self._head(time.time(), "INFO", "asgiserver.access", exchange.pid)
        return self._encode(line | exchange.fields())

    @staticmethod
    def _head(at: float, level: str, logger: str, pid: int | None) -> dict[str, Any]:
        written = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        return {
            "time": written.replace("+00:00", "Z"),
            "level": level.lower(),
            "logger": logger,
            "pid": pid,
        }

    def format(self, record: logging.LogRecord) -> str:
        line = self._head(record.created, record.levelname, record.name, record.process)
        if isinstance(record.msg, Exchange):
            line |= record.msg.fields()
        else:
            line["message"] = record.getMessage().rstrip()
            if request_id := current.get():
                line["request_id"] = request_id
        line |= {name: value for name, value in vars(record).items() if name not in self._OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return self._encode(line)


class AccessLog:
    """The access logger's ``info()``, as the core calls it for each response.

    With the built-in configuration the core makes the lines itself and hands over those of one turn
    of the loop together: a LogRecord that nobody could see, and a system call for every line, would
    cost more than the request. Whatever the application adds to the logger (a handler, a filter,
    another format, a level) is looked at in each turn, and brings the ordinary way back.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._styles = {colors: _style(colors) for colors in (False, True)}
        self._handler: logging.StreamHandler[Any] | None = None

    def __call__(
        self, fmt: str, client: str, method: str, path: str, http_version: str, status: int
    ) -> None:
        """Logs one response in the ordinary way."""
        self._logger.info(fmt, client, method, path, http_version, status)

    def plain(self) -> tuple[bytes, bytes, bytes, dict[int, bytes]] | None:
        """How lines may be made without a LogRecord: what comes before the client, before the
        request line and behind it, and the statuses. None where they may not.
        """
        self._handler = self._plain_handler()
        if self._handler is None:
            return None
        formatter = self._handler.formatter
        return self._styles[bool(formatter.use_colors)]  # type: ignore[union-attr]

    def write(self, lines: str) -> None:
        """Writes lines made in the style that plain() gave."""
        handler = self._handler
        assert handler is not None
        try:
            with handler.lock:  # type: ignore[union-attr]
                handler.stream.write(lines)
                handler.stream.flush()
        except Exception:
            # logging's own way to fail: it reports, and never raises.
            record = self._logger.makeRecord(
                self._logger.name, logging.INFO, __file__, 0, lines, (), None
            )
            handler.handleError(record)

    def _plain_handler(self) -> logging.StreamHandler[Any] | None:
        handler = only_stream_handler(self._logger)
        formatter = handler.formatter if handler is not None else None
        if type(formatter) is AccessFormatter and formatter._fmt == UVICORN_FORMAT:
            return handler
        return None


class ExchangeLog:
    """Logs the exchanges of accesslog.py: straight to the stream where nothing but our own
    configuration is there, as AccessLog does.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, exchange: Exchange) -> None:
        handler = only_stream_handler(self._logger)
        formatter = handler.formatter if handler is not None else None
        if handler is None or type(formatter) not in (LineFormatter, JSONFormatter):
            self._logger.info(exchange)
            return
        try:
            line: str = formatter.exchange_line(exchange)  # type: ignore[union-attr]
            with handler.lock:  # type: ignore[union-attr]
                handler.stream.write(line + "\n")
                handler.stream.flush()
        except Exception:
            self._logger.info(exchange)


def only_stream_handler(logger: logging.Logger) -> logging.StreamHandler[Any] | None:
    """The logger's handler, where one plain StreamHandler is all that a record of level INFO would
    meet: then it need not be made."""
    if len(logger.handlers) != 1 or logger.propagate or logger.filters:
        return None
    handler = logger.handlers[0]
    if (
        type(handler) is logging.StreamHandler
        and not handler.filters
        and handler.level <= logging.INFO
        and logger.isEnabledFor(logging.INFO)
    ):
        return handler
    return None


def configure(
    log_config: LogConfig,
    log_level: str | int | None,
    access_log: bool,
    use_colors: bool | None,
    lines: Literal["text", "json", "message"] = "text",
) -> None:
    """Sets up logging for this process.

    Args:
        log_config: a dictConfig, the path of a .json, .yaml/.yml or .ini file, an open .ini file
            or its parser, or None to leave logging as the application made it.
        log_level: overrides the level of our loggers; a name of ``LOG_LEVELS`` or a number.
        access_log: False takes the access logger's handlers away.
        use_colors: overrides the formatters' ``use_colors`` in a dict that has ours.
        lines: other formatters in a dict that has ours: all "json", or the access lines by their
            "message" alone.

    Raises:
        OSError, ValueError: the file cannot be read or is not a logging configuration.
    """
    import logging.config

    logging.addLevelName(TRACE_LEVEL, "TRACE")
    if isinstance(log_config, dict):
        log_config = copy.deepcopy(log_config)
        formatters = log_config.get("formatters", {})
        for name in ("default", "access"):
            if lines == "json" and name in formatters:
                formatters[name] = {"()": "asgiserver.logs.JSONFormatter"}
        if lines == "message" and "access" in formatters:
            formatters["access"] = {"()": "asgiserver.logs.LineFormatter"}
        if use_colors is not None:
            for name in ("default", "access"):
                formatter = log_config.get("formatters", {}).get(name)
                if formatter is not None and "use_colors" in formatter:
                    formatter["use_colors"] = use_colors
        logging.config.dictConfig(log_config)
    elif isinstance(log_config, str | os.PathLike):
        _configure_from_file(os.fspath(log_config))
    elif log_config is not None:
        logging.config.fileConfig(log_config, disable_existing_loggers=False)

    if log_level is not None:
        level = level_number(log_level)
        for name in ("asgiserver.error", "asgiserver.access", "asgiserver.asgi", "asgiserver.js"):
            logging.getLogger(name).setLevel(level)
    if not access_log:
        access = logging.getLogger("asgiserver.access")
        access.handlers = []
        access.propagate = False


def _configure_from_file(path: str) -> None:
    import logging.config

    suffix = os.path.splitext(path)[1]
    with open(path, encoding="utf-8") as file:
        if suffix == ".json":
            import json

            logging.config.dictConfig(json.load(file))
        elif suffix in (".yaml", ".yml"):
            try:
                import yaml  # type: ignore[import-untyped]
            except ImportError:
                raise ValueError(
                    "a YAML logging configuration needs PyYAML (pip install pyyaml)"
                ) from None
            logging.config.dictConfig(yaml.safe_load(file))
        else:
            logging.config.fileConfig(file, disable_existing_loggers=False)


def level_number(level: str | int) -> int:
    """The number of a level given by name or number.

    Raises:
        ValueError: no such level.
    """
    if isinstance(level, int):
        return level
    try:
        return LOG_LEVELS[level.lower()]
    except KeyError:
        known = ", ".join(LOG_LEVELS)
        raise ValueError(f"unknown log level {level!r}: one of {known}") from None


class TraceMessages:
    """Wraps an ASGI application: logs every message it gets and sends, at level trace."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.logger = logging.getLogger("asgiserver.asgi")
        self.count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        client = scope.get("client")
        prefix = f"{client[0]}:{client[1]} - ASGI" if client else "ASGI"
        label = f"{prefix} [{self.count}]"

        async def traced_receive() -> Any:
            message = await receive()
            self.logger.log(TRACE_LEVEL, "%s Receive %s", label, _abridged(message))
            return message

        async def traced_send(message: Any) -> None:
            self.logger.log(TRACE_LEVEL, "%s Send %s", label, _abridged(message))
            await send(message)

        self.logger.log(TRACE_LEVEL, "%s Started scope=%s", label, _abridged(scope))
        try:
            await self.app(scope, traced_receive, traced_send)
        except BaseException:
            self.logger.log(TRACE_LEVEL, "%s Raised exception", label)
            raise
        self.logger.log(TRACE_LEVEL, "%s Completed", label)


def _abridged(message: Any) -> dict[str, Any]:
    """A message with its payloads replaced by their sizes."""
    out = dict(message)
    for key in ("body", "bytes", "text", "headers"):
        if out.get(key) is not None:
            out[key] = f"<{len(out[key])} {'items' if key == 'headers' else 'bytes'}>"
    return out
