# SPDX-License-Identifier: MIT
"""Server: one process's life, from the application's import to the last connection's end.

Shaped as uvicorn's class: ``run()``, ``serve()``, ``startup()``, ``main_loop()``, ``shutdown()``,
``should_exit``, ``force_exit``, ``started``, ``servers``. What answers requests is
``_core.Server``, in C; of this file nothing runs while a request is answered but its access-log
line.

Order of a start: sockets bound (a taken port shows at once), application imported, JavaScript
context made, lifespan start-up, and only then the sockets listen: whoever can connect is served.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from . import binds, handover, js, systemd, tls
from .binds import address_text
from .config import STARTUP_FAILURE, Config, StartupError
from .lifespan import Lifespan
from .logs import LOG_LEVELS, AccessLog, paint

if TYPE_CHECKING:
    import mmap

    from .stats.reporter import Reporter
    from .stats.service import StatsThread

logger = logging.getLogger("asgiserver.error")
access_logger = logging.getLogger("asgiserver.access")

EXIT_SIGNALS = (signal.SIGINT, signal.SIGTERM)

SAME_SIGNAL = 0.25
"""Seconds in which signals to stop count as one: timeout(1) and service managers signal a process
and then its whole group."""
GC_DEFAULTS = ((700, 10, 10), (2000, 10, 10))
"""The collector's thresholds in CPython 3.11 and 3.12, and in 3.13."""
GC_THRESHOLD = 5000
"""Objects by which the youngest generation may grow before it is collected. A request takes some
hundred, so that what forty threads have under way passes CPython's own limits again and again, in
vain: every tenth request of a `def` endpoint paid for a collection, 8 % of its CPU time."""
_DRAIN_TICK = 0.02
"""Seconds between two looks at what is left while draining; nothing polls before that."""
_ABORT_GRACE = 1.0
"""Seconds that cancelled requests have to end."""
_SHUTDOWN_LEAST = 5.0
"""Seconds that lifespan shutdown has, however long the drain took."""


class Listening:
    """What Server.servers holds: the sockets of one listener, as asyncio.Server shows them."""

    def __init__(self, sock: socket.socket) -> None:
        self.sockets: tuple[socket.socket, ...] = (sock,)

    def is_serving(self) -> bool:
        return self.sockets[0].fileno() >= 0

    def close(self) -> None:
        self.sockets[0].close()


class _Capture:
    """A signal that servers of one loop, the main thread's, have handled: each of them hears it,
    and the last one to stop puts back what was there before the first."""

    captures: ClassVar[dict[int, _Capture]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop, sig: int) -> None:
        self.loop = loop
        self.former = signal.getsignal(sig)
        self.actions: list[Callable[[], object]] = []

    @classmethod
    def begin(cls, loop: asyncio.AbstractEventLoop, sig: int, action: Callable[[], object]) -> None:
        """Has ``action`` called for the signal."""
        capture = cls.captures.get(sig)
        if capture is None or capture.loop is not loop:
            capture = cls.captures[sig] = cls(loop, sig)
            loop.add_signal_handler(sig, capture._call)
        capture.actions.append(action)

    @classmethod
    def end(cls, loop: asyncio.AbstractEventLoop, sig: int, action: Callable[[], object]) -> bool:
        """Undoes begin(). Returns whether other servers of the loop go on."""
        capture = cls.captures.get(sig)
        if capture is None or capture.loop is not loop:
            return False
        capture.actions.remove(action)
        if capture.actions:
            return True
        del cls.captures[sig]
        loop.remove_signal_handler(sig)
        signal.signal(sig, capture.former)
        return False

    def _call(self) -> None:
        for action in list(self.actions):
            action()


class Server:
    """Serves one application in this process.

    Args:
        config: the settings.

    Attributes:
        started: requests are being answered (stays true afterwards).
        should_exit: set it, from any thread, to drain and stop.
        force_exit: set it, from any thread, to stop without waiting for anything.
        servers: one entry per listening socket.
        startup_error: why the start failed, else None.
        owns_process: nothing else of worth goes on in this process, so it may be ended at once
            where threads or tasks refuse to end.
    """

    supervised: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started = False
        self.servers: list[Listening] = []
        self.startup_error: StartupError | None = None
        self.lifespan: Lifespan | None = None
        self.core: Any = None
        self.js: Any = None
        self.state: dict[str, Any] = {}
        self.unfinished = False
        self._should_exit = False
        self._force_exit = False
        self.owns_process = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._captured: list[int] = []
        self._first_signal = float("-inf")
        self._unlink: list[tuple[str, int]] = []
        self._notifier = systemd.Notifier()
        self._ping_timer: asyncio.TimerHandle | None = None
        self.loads: tuple[mmap.mmap, int] | None = None
        self.record: memoryview | None = None
        self._stats: StatsThread | None = None
        self._reporter: Reporter | None = None
        self._certificates: tls.Certificates | None = None

    # -- stopping from outside ------------------------------------------------------------------

    @property
    def should_exit(self) -> bool:
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        self._wake()

    @property
    def force_exit(self) -> bool:
        return self._force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._force_exit = value
        self._wake()

    def _wake(self) -> None:
        loop, changed = self._loop, self._changed
        if loop is not None and changed is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # Closed in between, by its own thread.
                loop.call_soon_threadsafe(changed.set)

    def handle_exit(self, sig: int, frame: FrameType | None = None) -> None:
        """Called for SIGINT and SIGTERM: the first drains, the second forces."""
        now = time.monotonic()
        if self.should_exit and now - self._first_signal < SAME_SIGNAL:
            return
        self._captured.append(sig)
        if self.should_exit:
            self.force_exit = True
        else:
            self._first_signal = now
            self.should_exit = True

    # -- entry points ---------------------------------------------------------------------------

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves on a new event loop until stopped; then passes a signal that stopped it on.

        Args:
            sockets: bound stream sockets to serve on, in place of the settings' address.

        Raises:
            KeyboardInterrupt: SIGINT stopped it.
        """
        with asyncio.Runner(loop_factory=self.config.new_event_loop) as runner:
            runner.run(self._serve_and_clean_up(sockets))
        self._raise_captured()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves on the running event loop, which must be ours, until stopped.

        Raises:
            RuntimeError: another kind of event loop is running.
        """
        await self._serve_and_clean_up(sockets)
        self._raise_captured()

    async def _serve_and_clean_up(self, sockets: list[socket.socket] | None) -> None:
        self._loop = _our_running_loop()
        self._changed = asyncio.Event()
        try:
            with self.capture_signals():
                await self._serve(sockets)
        finally:
            self._loop = self._changed = None

    async def _serve(self, sockets: list[socket.socket] | None) -> None:
        pid = os.getpid()
        logger.info(
            "Started server process [%d]",
            pid,
            extra={"color_message": f"Started server process [{paint('%d', '36')}]"},
        )
        try:
            await self.startup(sockets=sockets)
            if self.started:
                await self.main_loop()
        except StartupError as error:
            self.startup_error = error
            self.should_exit = True
            self.report_startup_error(error)
        finally:
            await self.shutdown(sockets=sockets)
        if self.startup_error is None:
            logger.info(
                "Finished server process [%d]",
                pid,
                extra={"color_message": f"Finished server process [{paint('%d', '36')}]"},
            )
        if self.owns_process and (self.force_exit or self.unfinished):
            # Threads or tasks that do not end would keep the interpreter from ending.
            self.leave_at_once()

    def report_startup_error(self, error: StartupError) -> None:
        """Tells why the start failed; a worker tells its supervisor instead."""
        logger.error("%s", error)

    # -- phases ---------------------------------------------------------------------------------

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Everything up to listening sockets.

        Raises:
            StartupError: something keeps the server from starting.
        """
        config = self.config
        if self.owns_process and sockets is None:
            self._notifier = systemd.Notifier.take()
        bound = list(sockets) if sockets is not None else self._bind()
        self.servers = [Listening(sock) for sock in bound]
        self._begin_stats()
        if config.tls is not None:
            assert self._loop is not None
            self._certificates = tls.Certificates(config.tls, self._loop)
        config.load()
        self.js = js.make_context(config)
        if self.js is not None:
            self.state["js"] = self.js
        self.lifespan = Lifespan(
            config.loaded_app, config.lifespan, self.state, config.asgi_version
        )
        if not await self._unless_stopped(self.lifespan.startup()):
            return
        self.core = self._make_core()
        for sock in bound:
            try:
                self.core.listen(sock)
            except OSError as error:
                raise StartupError(
                    f"Cannot listen on {address_text(sock.getsockname())}: {error.strerror}."
                ) from None
        if self.owns_process:
            # What exists now lives as long as the process: the collector need not look at it. And
            # what starting has left behind goes now, not in some request's time: some 5 MB of
            # Node's, and pages of libraries that only starting has touched.
            if self.js is not None and config.js:
                self.js.collect()
            gc.collect()
            gc.freeze()
            if gc.get_threshold() in GC_DEFAULTS:
                gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
            from ._core import keep_freed_memory, register_tasks, release_idle_pages

            keep_freed_memory()
            register_tasks()
            release_idle_pages()
        if self._certificates is not None:
            self._certificates.watch(config.ssl_reload_interval)
        self.started = True
        if self._stats is not None:
            self._stats.show("ready")
        self.announce()

    def announce(self) -> None:
        """Logs where the server can be reached, and tells the service manager."""
        log_addresses(self.config, self._listening())
        if self._stats is not None:
            self._stats.port.announce()
        handover.accept()
        self._notifier.ready(self._status())
        self._ping()

    def _listening(self) -> list[socket.socket]:
        return [sock for server in self.servers for sock in server.sockets]

    def _status(self) -> str:
        return "Serving on " + ", ".join(binds.addresses(self._listening(), self.config.is_ssl))

    def _ping(self) -> None:
        """Pings the service manager whenever that is due: as long as the loop turns."""
        self._notifier.ping(healthy=True)
        if self._notifier.ping_at != systemd.NEVER:
            assert self._loop is not None
            left = self._notifier.ping_at - time.monotonic()
            self._ping_timer = self._loop.call_later(max(left, 0), self._ping)

    async def main_loop(self) -> None:
        """Returns when should_exit is set; calls callback_notify every timeout_notify seconds."""
        changed = self._changed
        assert changed is not None
        notify = self.config.callback_notify
        while not self.should_exit:
            changed.clear()
            if notify is None:
                await changed.wait()
                continue
            try:
                await asyncio.wait_for(changed.wait(), self.config.timeout_notify)
            except TimeoutError:
                await notify()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops listening, lets requests finish, runs lifespan shutdown, closes the context."""
        limit = self.config.timeout_graceful_shutdown
        deadline = None if limit is None else time.monotonic() + limit
        self._notifier.stopping()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if self._certificates is not None:
            self._certificates.stop()
        if self._stats is not None:
            self._stats.show("draining")
        if self.core is not None:
            logger.info("Shutting down")
            self.core.stop_listening()
        for server in self.servers:
            server.close()
        binds.unlink(self._unlink)
        if self.core is not None:
            self.core.shutdown()
            await self._drain(deadline)
        if self.lifespan is not None:
            if self.startup_error is None and self.started and not self.force_exit:
                left = None
                if deadline is not None:
                    left = max(deadline - time.monotonic(), _SHUTDOWN_LEAST)
                await self._unless_forced(self.lifespan.shutdown(), left)
            await self.lifespan.cancel()
        self._end_stats()
        if self.js is not None:
            self.state.pop("js", None)
            self.js.close()
            self.js = None

    async def _drain(self, deadline: float | None) -> None:
        core = self.core
        if core.tasks and not self.force_exit:
            logger.info("Waiting for requests to finish. (CTRL+C to force quit)")
        while (core.connections or core.tasks) and not self.force_exit:
            if deadline is not None and time.monotonic() >= deadline:
                logger.error(
                    "Cancel %d running task(s), timeout graceful shutdown exceeded", core.tasks
                )
                break
            await asyncio.sleep(_DRAIN_TICK)
        else:
            if not self.force_exit:
                return
        core.abort()
        end = time.monotonic() + _ABORT_GRACE
        while core.tasks and time.monotonic() < end:
            await asyncio.sleep(_DRAIN_TICK)
        self.unfinished = bool(core.tasks)

    # -- parts ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Has SIGINT and SIGTERM handled by handle_exit(), in the main thread only, and puts the
        former handlers back."""
        loop = self._loop
        if loop is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        actions: dict[int, Callable[[], object]] = {
            sig: functools.partial(self.handle_exit, sig, None) for sig in EXIT_SIGNALS
        }
        if self.config.is_ssl:
            actions[signal.SIGHUP] = tls.HangUp(self._reload_certificates, self.handle_exit)
        for sig, action in actions.items():
            _Capture.begin(loop, sig, action)
        others = False
        try:
            yield
        finally:
            for sig, action in actions.items():
                others = _Capture.end(loop, sig, action)
        if others:
            self._captured.clear()  # The last server to stop passes the signal on.

    def _reload_certificates(self) -> None:
        if self._certificates is not None:
            self._notifier.reloading("Reading the certificates again")
            self._certificates.reload()
            self._notifier.ready(self._status())

    def _raise_captured(self) -> None:
        """Signals that stopped the server take their ordinary effect, now that it has stopped."""
        captured, self._captured = self._captured, []
        for sig in reversed(captured):
            signal.raise_signal(sig)

    def leave_at_once(self) -> NoReturn:
        """Ends the process without waiting for threads, by the signal that stopped it if any."""
        atexit._run_exitfuncs()
        flush_output()
        for sig in reversed(self._captured):
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        os._exit(0)

    def on_max_requests(self) -> None:
        """Called once by the core, when the process has answered its share of requests."""
        logger.warning(
            "Maximum request limit of %d exceeded. Terminating process.",
            self.config.limit_max_requests,
        )
        self.should_exit = True

    def _make_core(self) -> Any:
        from . import _core

        config = self.config
        given = {name for name, _ in config.encoded_headers}
        settings = {
            "root_path": config.root_path,
            "scheme": "http" if self._certificates is None else "https",
            "tls": None if self._certificates is None else self._certificates.context,
            "timeout_tls_handshake": float(config.timeout_tls_handshake),
            "server_header": config.server_header and b"server" not in given,
            "date_header": config.date_header and b"date" not in given,
            "headers": config.encoded_headers,
            "timeout_keep_alive": float(config.timeout_keep_alive),
            "limit_concurrency": config.limit_concurrency,
            "limit_max_requests": config.max_requests,
            "backlog": config.backlog,
            "state": self.state,
            "access_log": access_log(config),
            "error_log": log_error,
            "proxy_headers": config.proxy_headers,
            "proxy_protocol": config.proxy_protocol,
            "forwarded_allow_ips": config.forwarded_allow_ips,
            "forwarded_header": config.forwarded_header,
            "debug": logger.isEnabledFor(logging.DEBUG),
            "on_max_requests": self.on_max_requests,
            "max_header_bytes": config.limit_header_bytes,
            "max_line_bytes": config.limit_request_line,
            "max_header_count": config.limit_header_count,
            "max_chunk_extra": config.limit_chunk_extensions,
            "limit_connections_per_client": config.limit_connections_per_client,
            "max_body_bytes": config.limit_body_bytes,
            "limit_min_rate": config.limit_min_rate,
            "http2": config.http2,
            "max_streams": config.limit_streams,
            "timeout_header": float(config.timeout_header),
            "timeout_body": float(config.timeout_body),
            "timeout_write": float(config.timeout_write),
            "ws_max_size": config.ws_max_size,
            "ws_max_queue": config.ws_max_queue,
            "ws_ping_interval": config.ws_ping_interval,
            "ws_ping_timeout": config.ws_ping_timeout,
            "ws_per_message_deflate": config.ws_per_message_deflate,
        }
        if self.loads is not None:
            settings["loads"], settings["load_index"] = self.loads
        settings["stats"] = self.record
        loop: Any = self._loop
        # The core copies the context it is made in for each request.
        context = contextvars.Context() if config.reset_contextvars else contextvars.copy_context()
        return context.run(_core.Server, loop, config.loaded_app, settings)

    def _begin_stats(self) -> None:
        if self.config.stats is None:
            return
        from .stats.reporter import Reporter

        if self.record is None and not self.supervised:
            from .stats.service import StatsThread

            self._stats = StatsThread(self.config)
            self.record = self._stats.record
        if self.record is not None:
            loop: Any = self._loop
            self._reporter = Reporter(self.record, loop)
            self._reporter.start()

    def _end_stats(self) -> None:
        if self._reporter is not None:
            self._reporter.stop()
        if self._stats is not None:
            self._stats.stop()
            self._stats = None

    def _bind(self) -> list[socket.socket]:
        sockets = self.config.bind_sockets()
        self._unlink = binds.socket_files(self.config)
        return sockets

    async def _unless_stopped(self, awaitable: Awaitable[None]) -> bool:
        """Awaits, unless should_exit is set first: then cancels it. Whether it has ended."""
        return await self._race(awaitable, lambda: self.should_exit, None)

    async def _unless_forced(self, awaitable: Awaitable[None], timeout: float | None) -> None:
        if not await self._race(awaitable, lambda: self.force_exit, timeout):
            self.unfinished = True
            logger.error("Application shutdown was given up.")

    async def _race(self, awaitable: Awaitable[None], stop: Any, timeout: float | None) -> bool:
        changed = self._changed
        assert changed is not None
        work = asyncio.ensure_future(awaitable)
        deadline = None if timeout is None else time.monotonic() + timeout
        while not work.done() and not stop():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            changed.clear()
            change = asyncio.ensure_future(changed.wait())
            await asyncio.wait({work, change}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
        if work.done():
            work.result()
            return True
        work.cancel()
        await asyncio.wait({work}, timeout=_ABORT_GRACE)
        if work.done() and not work.cancelled() and work.exception() is not None:
            logger.debug("Given up:", exc_info=work.exception())
        return False


# -- helpers ---------------------------------------------------------------------------------------


def _our_running_loop() -> asyncio.AbstractEventLoop:
    from .loop import Loop

    loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
    if not isinstance(loop, Loop):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        raise RuntimeError(
            f"casgi serves on its own event loop, and this is a {kind}. Start the program with "
            "asgiserver.run_loop(main()), or call asgiserver.install() before asyncio.run(main()), "
            "or let asgiserver.run(app) do all of it."
        )
    return loop


def log_addresses(config: Config, sockets: list[socket.socket]) -> None:
    """One line per listening socket, as uvicorn words it."""
    for where in binds.addresses(sockets, config.is_ssl):
        color = paint(where, "1")
        logger.info(
            f"casgi running on {where} (Press CTRL+C to quit)",
            extra={"color_message": f"casgi running on {color} (Press CTRL+C to quit)"},
        )


def access_log(config: Config) -> Any:
    """The function that the core calls for each answered request; None when nobody listens, or
    the lines are made elsewhere."""
    if not config.access_log or config.records_exchanges or not access_logger.hasHandlers():
        return None
    return AccessLog(access_logger)


def log_error(level: int | str, message: str, error: BaseException | None = None) -> None:
    """What the core has to say.

    Args:
        level: a number or name of logging's.
        message: one line; "Exception in ASGI application" and the like.
        error: the exception whose traceback follows.
    """
    number = level if isinstance(level, int) else LOG_LEVELS.get(level.lower(), logging.ERROR)
    if error is not None:
        logger.log(number, "%s\n", message, exc_info=error)
    else:
        logger.log(number, "%s", message)


def flush_output() -> None:
    """Flushes stdout and stderr, which may be closed or gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def run(app: Any, **settings: Any) -> None:
    """Serves an application until stopped: ``uvicorn.run``'s shape and keywords.

    Args:
        app: an import string ("module:attribute") or the application itself.
        settings: the keywords of :class:`Config`.

    Raises:
        SystemExit: with code 3, the server could not start.
        ValueError, TypeError: a setting is wrong.
    """
    run_config(Config(app, **settings))


def run_config(config: Config) -> None:
    """As run(), with the settings made already."""
    if config.reload and not config.should_reload:
        logger.warning("You must pass the application as an import string to enable 'reload'.")
        sys.exit(STARTUP_FAILURE)
    main_thread = threading.current_thread() is threading.main_thread()
    if config.use_subprocess and (main_thread or config.reload or config.workers > 1):
        code = _supervise(config)
        if code:
            sys.exit(code)
        return
    server = Server(config)
    server.owns_process = main_thread
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    if server.startup_error is not None:
        sys.exit(STARTUP_FAILURE)


def _supervise(config: Config) -> int:
    """Runs worker processes. Returns the exit code."""
    from .supervisor import Supervisor

    if config.watched is not None:
        from .reload import has_loaded, run_apart

        if has_loaded(config.watched):
            return run_apart(config)
    return Supervisor(config).run()
