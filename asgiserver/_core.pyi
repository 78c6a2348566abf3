# SPDX-License-Identifier: MIT
"""Types of the C extension."""

from asyncio import (
    BaseProtocol,
    Future,
    Handle,
    ReadTransport,
    Task,
    TimerHandle,
    Transport,
    WriteTransport,
)
from asyncio import DatagramTransport as _DatagramTransport
from collections.abc import Callable, Coroutine
from contextvars import Context
from ssl import MemoryBIO
from typing import Any, TypeVar

_T = TypeVar("_T")

stats_layout: tuple[tuple[str, int], ...]

def _debug_counts() -> dict[str, int]: ...
def release_idle_pages() -> int: ...
def keep_freed_memory() -> bool: ...
def register_tasks() -> bool: ...

class Loop:
    """The C half of asgiserver.loop.Loop."""

    slow_callback_duration: float
    _current_handle: Handle | None
    _task_factory: Any
    _thread_id: int | None
    _stopping: bool
    _closed: bool
    _debug: bool
    @property
    def uv_loop(self) -> Any: ...  # a PyCapsule, "casgi.uv_loop"
    def call_soon(
        self, callback: Callable[..., object], /, *args: Any, context: Context | None = None
    ) -> Handle: ...
    def call_soon_threadsafe(
        self, callback: Callable[..., object], /, *args: Any, context: Context | None = None
    ) -> Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        /,
        *args: Any,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        /,
        *args: Any,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def time(self) -> float: ...
    def create_future(self) -> Future[Any]: ...
    def create_task(
        self,
        coro: Coroutine[Any, Any, _T],
        /,
        *,
        name: str | None = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> Task[_T]: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def _check_closed(self) -> None: ...
    def _run_turns(self) -> None: ...
    def _shut(self) -> None: ...
    def _add_callback(self, handle: Any, /) -> None: ...
    def _add_callback_signalsafe(self, handle: Any, /) -> None: ...
    def _make_handle(self, callback: Callable[..., object], /, *args: Any) -> Handle: ...
    def _timer_handle_cancelled(self, handle: Any, /) -> None: ...
    def _write_to_self(self) -> None: ...
    def _add_reader(self, fd: Any, callback: Callable[..., object], /, *args: Any) -> Handle: ...
    def _add_writer(self, fd: Any, callback: Callable[..., object], /, *args: Any) -> Handle: ...
    def _remove_reader(self, fd: Any, /) -> bool: ...
    def _remove_writer(self, fd: Any, /) -> bool: ...
    def _watched(self, fd: Any, /) -> int: ...
    def stats(self) -> dict[str, int | float]: ...
    def _take_lag(self) -> float: ...
    def _set_pulse(self, buffer: bytearray | memoryview | None, /) -> None: ...
    def _signals_attach(self) -> None: ...
    def _signals_detach(self) -> None: ...

class StreamTransport(Transport):
    """A transport over a connected TCP or Unix socket."""

    _sock_fd: int
    def __init__(
        self,
        loop: Loop,
        sock: Any,
        protocol: BaseProtocol,
        waiter: Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> None: ...

class ReadPipeTransport(ReadTransport):
    """A transport over the reading end of a pipe."""

    def __init__(
        self,
        loop: Loop,
        pipe: Any,
        protocol: BaseProtocol,
        waiter: Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None: ...

class WritePipeTransport(WriteTransport):
    """A transport over the writing end of a pipe."""

    def __init__(
        self,
        loop: Loop,
        pipe: Any,
        protocol: BaseProtocol,
        waiter: Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None: ...

class DatagramTransport(_DatagramTransport):
    """A transport over a datagram socket."""

    _sock_fd: int
    def __init__(
        self,
        loop: Loop,
        sock: Any,
        protocol: BaseProtocol,
        address: Any = None,
        waiter: Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None: ...

class TLSData:
    """The hot methods of an asyncio.sslproto.SSLProtocol; see loop_transports.py."""

    view: memoryview
    def __init__(
        self,
        loop: Loop,
        protocol: Any,
        incoming: MemoryBIO,
        outgoing: MemoryBIO,
        wrapped: Any,
        again: tuple[type[Exception], ...],
        buffer_updated: Callable[[int], None],
        write_appdata: Callable[[Any], None],
        /,
    ) -> None: ...
    def get_buffer(self, sizehint: int, /) -> memoryview: ...
    def buffer_updated(self, nbytes: int, /) -> None: ...
    def do_read(self) -> None: ...
    def write_appdata(self, list_of_data: Any, /) -> None: ...

class TLSContext:
    """What the TLS connections of a server have in common; see tls.py, which makes it."""

    def __init__(
        self,
        certificates: tuple[tuple[bytes, bytes | None], ...],
        password: bytes | None,
        ca_certs: bytes | None,
        ciphers: bytes | None,
        verify: int,
        least: int,
        most: int,
        seed: bytes,
        seeded: int,
        verbose: bool,
        http2: bool = False,
        /,
    ) -> None: ...
    def reload(self) -> None: ...
    @property
    def validity(self) -> list[float]: ...

class Server:
    """Serves one ASGI application, HTTP and WebSocket, on one loop.

    The keys of `config` are listed in the docstring of the class itself.
    """

    def __init__(self, loop: Loop, app: Callable[..., Any], config: dict[str, Any], /) -> None: ...
    def listen(self, sock: Any, /) -> None: ...
    def stop_listening(self) -> None: ...
    def shutdown(self) -> None: ...
    def abort(self) -> None: ...
    @property
    def connections(self) -> int: ...
    @property
    def tasks(self) -> int: ...
    @property
    def total_requests(self) -> int: ...
