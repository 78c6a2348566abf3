# SPDX-License-Identifier: MIT
"""asgiserver.logs: lines, colours, configuration from dict and files."""

from __future__ import annotations

import copy
import io
import json
import logging

import pytest

from asgiserver import logs
from asgiserver.logs import LOGGING_CONFIG, AccessFormatter, DefaultFormatter

NAMES = ("asgiserver", "asgiserver.error", "asgiserver.access", "asgiserver.asgi")


@pytest.fixture(autouse=True)
def restore_loggers():
    kept = [
        (logger, logger.level, logger.propagate, logger.handlers[:])
        for logger in map(logging.getLogger, NAMES)
    ]
    yield
    for logger, level, propagate, handlers in kept:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers = handlers


def record(message: str, *args: object, level: int = logging.INFO, **extra: object):
    made = logging.LogRecord("asgiserver.error", level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


ACCESS = '%s - "%s %s HTTP/%s" %d'


class TestFormatters:
    @pytest.mark.parametrize(
        ("level", "line"),
        [
            (logging.INFO, "INFO:     hello 1"),
            (logging.WARNING, "WARNING:  hello 1"),
            (logging.CRITICAL, "CRITICAL: hello 1"),
        ],
    )
    def test_default(self, level, line):
        formatter = DefaultFormatter("%(levelprefix)s %(message)s", use_colors=False)
        assert formatter.format(record("hello %d", 1, level=level)) == line

    def test_default_in_colour(self):
        formatter = DefaultFormatter("%(levelprefix)s %(message)s", use_colors=True)
        made = record("plain %d", 1, color_message="\x1b[1mpaint %d\x1b[0m")
        assert formatter.format(made) == "\x1b[32mINFO\x1b[0m:     \x1b[1mpaint 1\x1b[0m"
        # The record itself stays as it was, for the next handler.
        assert made.getMessage() == "plain 1"

    def test_access(self):
        fmt = LOGGING_CONFIG["formatters"]["access"]["fmt"]
        line = record(ACCESS, "127.0.0.1:5", "GET", "/a?b=1", "1.1", 404)
        assert (
            AccessFormatter(fmt, use_colors=False).format(line)
            == 'INFO:     127.0.0.1:5 - "GET /a?b=1 HTTP/1.1" 404 Not Found'
        )
        assert AccessFormatter(fmt, use_colors=True).format(line) == (
            "\x1b[32mINFO\x1b[0m:     127.0.0.1:5 - "
            '"\x1b[1mGET /a?b=1 HTTP/1.1\x1b[0m" \x1b[31m404 Not Found\x1b[0m'
        )

    def test_access_with_a_status_of_its_own(self):
        fmt = "%(status_code)s"
        line = record(ACCESS, "", "GET", "/", "1.1", 799)
        assert AccessFormatter(fmt, use_colors=False).format(line).strip() == "799"

    def test_percent_in_a_path_is_no_format(self):
        fmt = LOGGING_CONFIG["formatters"]["access"]["fmt"]
        line = record(ACCESS, "c:1", "GET", "/%s%d%n", "1.1", 200)
        assert '"GET /%s%d%n HTTP/1.1"' in AccessFormatter(fmt, use_colors=False).format(line)


class TestConfigure:
    def test_levels_and_access_log(self):
        logs.configure(LOGGING_CONFIG, "warning", False, None)
        assert not logging.getLogger("asgiserver.error").isEnabledFor(logging.INFO)
        assert not logging.getLogger("asgiserver.access").hasHandlers()

    def test_trace(self):
        logs.configure(LOGGING_CONFIG, "trace", True, None)
        assert logging.getLogger("asgiserver.asgi").isEnabledFor(logs.TRACE_LEVEL)
        assert logging.getLevelName(logs.TRACE_LEVEL) == "TRACE"

    def test_colours_leave_the_exported_dict_alone(self):
        before = copy.deepcopy(LOGGING_CONFIG)
        logs.configure(LOGGING_CONFIG, None, True, True)
        assert before == LOGGING_CONFIG
        formatter = logging.getLogger("asgiserver").handlers[0].formatter
        assert isinstance(formatter, DefaultFormatter)
        assert formatter.use_colors is True

    def test_none_leaves_logging_alone(self):
        stream = io.StringIO()
        logger = logging.getLogger("asgiserver")
        logger.handlers = [logging.StreamHandler(stream)]
        logger.setLevel(logging.INFO)
        logs.configure(None, None, True, None)
        logging.getLogger("asgiserver.error").info("mine")
        assert stream.getvalue() == "mine\n"

    def test_json_file(self, tmp_path):
        config = copy.deepcopy(LOGGING_CONFIG)
        config["loggers"]["asgiserver.error"]["level"] = "ERROR"
        path = tmp_path / "log.json"
        path.write_text(json.dumps(config))
        logs.configure(str(path), None, True, None)
        assert not logging.getLogger("asgiserver.error").isEnabledFor(logging.WARNING)

    def test_yaml_file(self, tmp_path):
        yaml = pytest.importorskip("yaml")
        path = tmp_path / "log.yaml"
        path.write_text(yaml.safe_dump(LOGGING_CONFIG))
        logs.configure(str(path), None, True, None)
        assert logging.getLogger("asgiserver").handlers

    def test_ini_file(self, tmp_path):
        path = tmp_path / "log.ini"
        path.write_text(
            "[loggers]\nkeys=root,casgi\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n"
            "[logger_root]\nlevel=WARNING\nhandlers=\n"
            "[logger_casgi]\nlevel=DEBUG\nhandlers=h\nqualname=asgiserver\n"
            "[handler_h]\nclass=StreamHandler\nargs=(sys.stderr,)\nformatter=f\n"
            "[formatter_f]\nformat=%(message)s\n"
        )
        logs.configure(path, None, True, None)
        assert logging.getLogger("asgiserver").level == logging.DEBUG

    def test_unknown_level(self):
        with pytest.raises(ValueError, match="unknown log level 'loud'"):
            logs.configure(LOGGING_CONFIG, "loud", True, None)


def test_trace_messages_hide_payloads(caplog):
    import asyncio

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.body", "body": b"secret"})

    async def receive():
        return {"type": "http.request", "body": b"password"}

    async def send(message):
        assert message["body"] == b"secret"

    logger = logging.getLogger("asgiserver.asgi")
    logger.addHandler(caplog.handler)
    logger.setLevel(logs.TRACE_LEVEL)
    try:
        asyncio.run(logs.TraceMessages(app)({"type": "http", "client": ("c", 1)}, receive, send))
    finally:
        logger.removeHandler(caplog.handler)
    assert "c:1 - ASGI [1] Receive {'type': 'http.request', 'body': '<8 bytes>'}" in caplog.text
    assert "secret" not in caplog.text
    assert "password" not in caplog.text
