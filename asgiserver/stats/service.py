# SPDX-License-Identifier: MIT
"""Who answers on the stats port: a process beside the workers, or a thread where there are none.

The supervisor has one thread and forks, so it serves nobody itself: a child of its own does, from
the shared records. A slow client, a burst of them or an error costs that child alone; the
supervisor only writes who is there, and starts another child where one dies. Without a supervisor
a thread with an event loop of its own does the same, and answers while the application's loop is
busy, as long as that lets the GIL go now and then.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from .. import handover
from ..binds import address_text, bind_tcp, bind_unix, files_of, unlink
from ..errors import StartupError
from ..vitals import Pulses
from .address import parse_address
from .record import STATES, Board, micros

if TYPE_CHECKING:
    from ..config import Config

logger = logging.getLogger("asgiserver.error")

_BOUNDS: dict[str, Any] = {
    "server_header": False,
    "timeout_keep_alive": 30.0,
    "timeout_header": 10.0,
    "timeout_body": 5.0,
    "timeout_write": 10.0,
    "limit_concurrency": 64,
    "max_header_bytes": 16384,
    "max_header_count": 64,
    "max_body_bytes": 1,
    "backlog": 64,
}
"""Settings of _core.Server for the stats port: it has few clients, who ask little."""

_SETTLED = 5.0
"""Seconds of service after which the process's death is worth another start."""


class Port:
    """The listening socket of the stats port.

    Args:
        text: the address as --stats gives it.
        inherited: the sockets of an older process that hands over, in place of new ones.

    Raises:
        StartupError: it cannot be bound.
    """

    def __init__(self, text: str, inherited: list[socket.socket]) -> None:
        address = parse_address(text)
        self._unlink: list[tuple[str, int]] = []
        if inherited:
            self.sockets = inherited
        elif isinstance(address, str):
            self.sockets = [bind_unix(address, None)]
        else:
            self.sockets = bind_tcp(*address, reuse_port=False)
        # Who comes before somebody answers, or between two processes, waits in the kernel's queue.
        if isinstance(address, str):
            self._unlink = files_of([address])
        try:
            for sock in self.sockets:
                sock.listen(_BOUNDS["backlog"])
        except OSError as error:
            self.close()
            raise StartupError(f"Cannot listen on {text}: {error.strerror}.") from None

    @property
    def local_only(self) -> bool:
        """Whether nobody but this machine can get here by TCP."""
        names = [sock.getsockname() for sock in self.sockets]
        return all(
            isinstance(name, tuple) and ipaddress.ip_address(name[0]).is_loopback for name in names
        )

    def announce(self) -> None:
        """Logs where the figures are."""
        for sock in self.sockets:
            name = sock.getsockname()
            text = address_text(name)
            logger.info("Stats on %s", f"http://{text}" if isinstance(name, tuple) else text)

    def hand_over(self) -> None:
        """Another process has the socket now, and its file."""
        self._unlink = []

    def close(self) -> None:
        """Closes the socket and removes its file."""
        sockets, self.sockets = self.sockets, []
        for sock in sockets:
            sock.close()
        unlink(self._unlink)


async def serve(board: Board, port: Port, until: asyncio.Event) -> None:
    """Answers on the stats port, on this thread's loop, until an event."""
    from .. import _core
    from .site import Site

    loop: Any = asyncio.get_running_loop()
    site = Site(board, port.local_only)
    core = _core.Server(loop, site, {**_BOUNDS, "error_log": _log})
    for sock in port.sockets:
        core.listen(sock)
    sampling = asyncio.ensure_future(site.sample())
    waiting = asyncio.ensure_future(until.wait())
    try:
        await asyncio.wait({sampling, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if sampling.done():
            sampling.result()
    finally:
        sampling.cancel()
        waiting.cancel()
        core.abort()


def _log(level: int, message: str, error: BaseException | None = None) -> None:
    """What the core has to say: bad requests on this port are nobody's business but errors are."""
    if level >= logging.ERROR:
        logger.log(level, "Stats: %s", message, exc_info=error)


class StatsProcess:
    """--stats under a supervisor.

    Args:
        config: the settings.
        pulses: the memory shared with the workers.
        inherited: sockets of the port that an older process hands over.

    Raises:
        StartupError: the port cannot be bound.
    """

    def __init__(self, config: Config, pulses: Pulses, inherited: list[socket.socket]) -> None:
        assert config.stats is not None
        self.port = Port(config.stats, inherited)
        self._config = config
        self._board = Board(pulses)
        self._pid = 0
        self._started_at = 0.0

    def start(
        self,
        fork: Callable[[Callable[[], NoReturn]], int],
        lifeline: int,
        sockets: list[socket.socket],
    ) -> None:
        """Forks the process, which ends with the supervisor.

        Args:
            fork: the supervisor's.
            lifeline: the descriptor whose end tells that the supervisor is gone.
            sockets: the server's, which are not to stay open in the process.
        """

        def body() -> NoReturn:
            for sock in sockets:
                sock.close()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            with asyncio.Runner(loop_factory=self._config.new_event_loop) as runner:
                runner.run(self._serve(lifeline))
            os._exit(0)

        self._started_at = time.monotonic()
        try:
            self._pid = fork(body)
        except OSError as error:
            logger.error("Cannot fork the stats process: %s", error.strerror)

    async def _serve(self, lifeline: int) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(lifeline, over.set)
        await serve(self._board, self.port, over)

    def record(self, line: int | None) -> memoryview | None:
        """The record for a new worker; None: there is no line for it."""
        return None if line is None else self._board.prepare(line)

    def show(
        self,
        state: str,
        wanted: int,
        workers: Iterable[tuple[int, int, str, int, int]],
        crashes: int,
        blocked: int,
    ) -> None:
        """What the supervisor knows: see Board."""
        self._board.show(workers)
        self._board.put(state=STATES.index(state), wanted=wanted, crashes=crashes, blocked=blocked)

    def revive(
        self,
        fork: Callable[[Callable[[], NoReturn]], int],
        lifeline: int,
        sockets: list[socket.socket],
    ) -> None:
        """Starts the process again where it has died; not for ever where it cannot live."""
        if not self._pid or os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            return
        self._pid = 0
        if time.monotonic() - self._started_at < _SETTLED:
            logger.error("The stats process has died at once: no more stats")
            self.port.close()
        else:
            logger.error("The stats process has died: starting another one")
            self.start(fork, lifeline, sockets)

    def close_in_worker(self) -> None:
        """A worker does not keep the port open."""
        for sock in self.port.sockets:
            sock.close()

    def stop(self) -> None:
        """Ends the process and closes the port."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        self.port.close()


class StatsThread:
    """--stats in a process without a supervisor.

    Args:
        config: the settings.

    Raises:
        StartupError: the port cannot be bound.
    """

    def __init__(self, config: Config) -> None:
        assert config.stats is not None
        self.port = Port(config.stats, handover.inherited_stats())
        self._config = config
        pulses = Pulses()
        line = pulses.take()
        assert line is not None
        self._board = Board(pulses)
        self._line = line
        self.record = self._board.prepare(line)
        self._since = micros()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="casgi-stats", daemon=True)
        self._board.put(wanted=1)
        self.show("starting")
        self._thread.start()
        self._running.wait(5)

    def show(self, state: str) -> None:
        """The server's state is another now."""
        self._board.show([(self._line, os.getpid(), state, 1, self._since)])
        self._board.put(state=STATES.index(state))

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._config.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception:
            logger.exception("Stats have ended")
            self.port.close()
        finally:
            self._running.set()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._running.set()
        await serve(self._board, self.port, self._over)

    def stop(self) -> None:
        """Ends the thread and closes the port."""
        loop, over = self._loop, self._over
        if loop is not None and over is not None:
            try:
                loop.call_soon_threadsafe(over.set)
            except RuntimeError:
                pass  # Its loop has ended.
        self._thread.join(2)
        self.port.close()
