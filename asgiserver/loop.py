# SPDX-License-Identifier: MIT
"""The event loop: asyncio's own classes for what is rare over a C core for what is hot.

``Loop`` puts ``_core.Loop`` (ready queue, handles, timers, descriptors, wake-up, the turn) before
asyncio's Unix selector loop in its MRO. Transports, happy eyeballs, subprocesses, TLS, executors
and the exception handler are asyncio's, over the C ``_add_reader`` and ``_add_writer``.

    asyncio.run(main(), loop_factory=new_event_loop)   # Python 3.12
    run_loop(main())                                   # 3.11 and later
    install()                                          # for code that calls asyncio.run itself
"""

from __future__ import annotations

import asyncio
import asyncio.coroutines
import asyncio.events
import asyncio.sslproto
import asyncio.unix_events
import errno
import logging
import selectors
import signal
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn, TypeVar

from . import _core
from .loop_sockets import SocketOperations
from .loop_transports import TLSProtocol

__all__ = ["EventLoopPolicy", "Loop", "install", "new_event_loop", "run_loop"]

_T = TypeVar("_T")
_UnixLoop: Any = asyncio.unix_events._UnixSelectorEventLoop
# asyncio's own names for the modules `signal` and `sys`: its tests put others in their place.
_unix: Any = asyncio.unix_events


class _NoSelector:
    """Stands where asyncio's loops keep their selector: there is none, the C core polls.

    asyncio's transports ask it, for their repr, which events a descriptor is watched for.
    """

    def __init__(self, loop: Loop) -> None:
        self._watched = loop._watched

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """What `fileobj` is watched for.

        Raises:
            KeyError: it is not watched.
        """
        events = self._watched(fileobj)
        if not events:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return selectors.SelectorKey(fileobj, fd, events, None)

    def close(self) -> None:
        """Nothing to close."""

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Fails: there is no selector."""
        self._fail()

    def register(self, *args: Any) -> NoReturn:
        """Fails: there is no selector."""
        self._fail()

    unregister = modify = select = register

    def _fail(self) -> NoReturn:
        raise NotImplementedError(
            "asgiserver's event loop has no selector: use add_reader() and add_writer()"
        )


def _on_signal(number: int, frame: Any) -> None:
    """Python's side of a signal that the loop hands on; the number comes by the wake-up pipe."""


class Loop(_core.Loop, SocketOperations):
    """An asyncio event loop on libuv.

    `uv_loop` is a PyCapsule named "casgi.uv_loop" with the loop's `uv_loop_t *`, for extensions
    that put handles of their own on it.
    """

    _default_executor: Any

    def __init__(self) -> None:
        super().__init__(_NoSelector(self))

    # The wake-up is a uv_async, with a descriptor of libuv's: no pair of sockets.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None
        self._internal_fds = 1

    def _close_self_pipe(self) -> None:
        self._internal_fds = 0

    # Connections and children are asyncio's to make, and end in transports in C.

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> _core.StreamTransport:
        self._ensure_fd_no_transport(sock)
        transport = _core.StreamTransport(self, sock, protocol, waiter, extra, server)
        self._transports[transport._sock_fd] = transport
        return transport

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        **timeouts: Any,
    ) -> Any:
        ssl_protocol = TLSProtocol(
            self, protocol, sslcontext, waiter, server_side, server_hostname, **timeouts
        )
        self._make_socket_transport(rawsock, ssl_protocol, extra=extra, server=server)
        return ssl_protocol._app_transport

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.DatagramTransport:
        transport = _core.DatagramTransport(self, sock, protocol, address, waiter, extra)
        self._transports[transport._sock_fd] = transport
        return transport

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.ReadPipeTransport:
        return _core.ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.WritePipeTransport:
        return _core.WritePipeTransport(self, pipe, protocol, waiter, extra)

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Change a transport to TLS.

        Returns:
            The transport to use from now on.

        Raises:
            TypeError: no SSLContext, or a transport that cannot be changed.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        ssl_protocol = TLSProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        ssl_protocol.adopt_context(transport)
        # Data that is here already must not come before the protocol has been told.
        transport.pause_reading()
        transport.set_protocol(ssl_protocol)
        made = self.call_soon(ssl_protocol.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return ssl_protocol._app_transport

    def _run_once(self) -> NoReturn:
        raise NotImplementedError("the turn of this loop is in C: run_forever()")

    def set_debug(self, enabled: bool) -> None:
        """Turn debug mode on or off: argument checks, slow-callback reports, tracebacks."""
        _UnixLoop.set_debug(self, enabled)

    def run_forever(self) -> None:
        """Run until stop() is called.

        Raises:
            RuntimeError: the loop is closed, or a loop runs in this thread already.
            BaseException: KeyboardInterrupt or SystemExit out of a callback.
        """
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            asyncio.events._set_running_loop(self)
            self._run_turns()
        finally:
            self._stopping = False
            self._thread_id = None
            asyncio.events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def close(self) -> None:
        """Close the loop and every libuv handle of its own.

        Raises:
            RuntimeError: it is running.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        if self._debug:
            logging.getLogger("asyncio").debug("Close %r", self)
        if _unix.sys.is_finalizing():
            if self._signal_handlers:
                warnings.warn(
                    f"Closing the loop {self!r} on interpreter shutdown stage, "
                    "skipping signal handlers removal",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
                self._signal_handlers.clear()
        else:
            for number in list(self._signal_handlers):
                self.remove_signal_handler(number)
        self._executor_shutdown_called = True
        executor: Any = self._default_executor
        if executor is not None:
            self._default_executor = None
            executor.shutdown(wait=False)
        self._close_self_pipe()
        self._shut()
        self._selector = None

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        """Call `callback(*args)` on the loop when the process gets signal `sig`.

        Raises:
            ValueError: no such signal, or one that cannot be caught.
            RuntimeError: not the main thread, or the handler cannot be set.
            TypeError: the callback is a coroutine function.
        """
        if asyncio.iscoroutine(callback) or asyncio.coroutines.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        first = not self._signal_handlers
        if first:
            try:
                self._signals_attach()
            except (ValueError, OSError) as exc:
                raise RuntimeError(str(exc))
        self._signal_handlers[sig] = self._make_handle(callback, *args)
        try:
            _unix.signal.signal(sig, _on_signal)
            # Set SA_RESTART to limit EINTR occurrences.
            _unix.signal.siginterrupt(sig, False)
        except (ValueError, OSError) as exc:
            del self._signal_handlers[sig]
            if not self._signal_handlers:
                self._signals_detach()
            if isinstance(exc, ValueError):
                raise RuntimeError(str(exc))
            if exc.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught")
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Give `sig` its default handler back.

        Returns:
            Whether it had a handler of this loop.

        Raises:
            ValueError: no such signal.
        """
        self._check_signal(sig)
        try:
            del self._signal_handlers[sig]
        except KeyError:
            return False
        module = _unix.signal
        default = module.default_int_handler if sig == signal.SIGINT else module.SIG_DFL
        try:
            module.signal(sig, default)
        except OSError as exc:
            if exc.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught")
            raise
        finally:
            if not self._signal_handlers:
                self._signals_detach()
        return True


def new_event_loop() -> Loop:
    """A new event loop; fit for `asyncio.Runner(loop_factory=...)`."""
    return Loop()


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """A policy whose loops are casgi's."""

    _loop_factory = Loop


def install() -> None:
    """Make asyncio create casgi's loops wherever it creates one."""
    asyncio.set_event_loop_policy(EventLoopPolicy())


def run_loop(
    main: Coroutine[Any, Any, _T],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop,
    debug: bool | None = None,
) -> _T:
    """`asyncio.run(main)` on a casgi loop, whatever the policy; as `uvloop.run`.

    Args:
        main: the coroutine to run.
        loop_factory: makes the loop.
        debug: the loop's debug mode; None leaves it to PYTHONASYNCIODEBUG.

    Returns:
        What the coroutine returned.

    Raises:
        RuntimeError: called while a loop runs in this thread.
    """
    if asyncio.events._get_running_loop() is not None:
        raise RuntimeError("run_loop() cannot be called from a running event loop")
    with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
        return runner.run(main)
