# SPDX-License-Identifier: MIT
"""What runs in a worker process: a Server that reports to its supervisor and obeys its signals.

SIGTERM drains (again and again does no more than once: service managers send it to the whole
group, beside the supervisor); SIGQUIT forces; SIGINT and SIGHUP are left to the supervisor, as a
terminal sends them to everybody. The channel is a pipe to the supervisor: ``R`` ready, ``L`` the
request limit is reached, ``F`` and a text: cannot start. The lifeline is a pipe from the supervisor
on which nothing is ever sent: its end means that the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import logging
import mmap
import os
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from . import binds
from .config import STARTUP_FAILURE, Config, StartupError
from .server import Server, flush_output
from .vitals import DUMP_SIGNAL

logger = logging.getLogger("asgiserver.error")

READY = b"R"
LIMIT = b"L"
FAILED = b"F"

_LONGEST_FAILURE = 32 * 1024


class Shared(NamedTuple):
    """What a worker shares with its supervisor.

    Attributes:
        loads: the table of connections that all workers share, and this one's entry; or None.
        pulse: where the loop shows that it turns, or None.
        stacks: descriptor of a file for the threads' stacks.
        record: where its figures go, or None.
    """

    loads: tuple[mmap.mmap, int] | None
    pulse: memoryview | None
    stacks: int
    record: memoryview | None


class WorkerServer(Server):
    """A Server under a supervisor.

    Args:
        config: the settings.
        channel: descriptor to write messages to.
        lifeline: descriptor that ends when the supervisor does.
        shared: what both of them see.
    """

    supervised = True

    def __init__(self, config: Config, channel: int, lifeline: int, shared: Shared) -> None:
        super().__init__(config)
        self.loads = shared.loads
        self.record = shared.record
        self._channel = channel
        self._lifeline = lifeline
        self._pulse = shared.pulse
        self._stacks = shared.stacks
        self.owns_process = True

    def serve_sockets(self, sockets: list[socket.socket]) -> int:
        """Serves until told to stop. Returns the process's exit code."""
        with asyncio.Runner(loop_factory=self.config.new_event_loop) as runner:
            runner.run(self._serve_and_clean_up(sockets))
        return STARTUP_FAILURE if self.startup_error is not None else 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.reuse_port and sockets is not None:
            sockets = binds.own_copies(sockets)
        await super().startup(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop: Any = self._loop
        assert loop is not None
        loop._set_pulse(self._pulse)
        # Written by a C signal handler: a blocked thread, or a held GIL, does not prevent it.
        jsrt: Any = sys.modules.get("jsrt")
        if jsrt is not None:
            jsrt.dump_stacks_on(DUMP_SIGNAL, self._stacks)
        faulthandler.register(
            DUMP_SIGNAL, file=self._stacks, all_threads=True, chain=jsrt is not None
        )
        loop.add_signal_handler(signal.SIGTERM, self._drain_on_signal)
        loop.add_signal_handler(signal.SIGQUIT, self._force_on_signal)
        loop.add_reader(self._lifeline, self._on_supervisor_gone)
        try:
            yield
        finally:
            loop.remove_reader(self._lifeline)
            # Where a manager's signal came first, the supervisor's is still to come: it must not
            # kill the process before its exit handlers have run.
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _drain_on_signal(self) -> None:
        if not self.should_exit:
            self.should_exit = True

    def _force_on_signal(self) -> None:
        self.should_exit = True
        self.force_exit = True

    def _on_supervisor_gone(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._lifeline)
        logger.error("The supervisor is gone: worker [%d] finishes its requests", os.getpid())
        self._drain_on_signal()

    def announce(self) -> None:
        self._tell(READY)

    def report_startup_error(self, error: StartupError) -> None:
        self._tell(FAILED + str(error).encode("utf-8", "replace")[:_LONGEST_FAILURE])

    def on_max_requests(self) -> None:
        # The supervisor starts a successor first, and drains this process when that is ready.
        self._tell(LIMIT)

    def leave_at_once(self) -> NoReturn:
        leave(STARTUP_FAILURE if self.startup_error is not None else 0, wait_for_threads=False)

    def _tell(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # The supervisor is gone: the lifeline tells.
            os.write(self._channel, message)


def worker_main(
    config: Config,
    sockets: list[socket.socket],
    channel: int,
    lifeline: int,
    shared: Shared,
) -> NoReturn:
    """The whole life of a freshly forked worker. Never returns.

    Args:
        config: the settings; the application is imported here unless the supervisor has done so.
        sockets: the bound sockets shared by all workers.
        channel, lifeline: see the module's description.
        shared: see there.
    """
    forget_parents_exit_handlers()
    code = 1
    try:
        server = WorkerServer(config, channel, lifeline, shared)
        code = server.serve_sockets(sockets)
    except SystemExit as error:
        code = exit_code(error)
    except BaseException:
        traceback.print_exc()
    leave(code, wait_for_threads=True)


def exit_code(error: SystemExit) -> int:
    """The exit code of a SystemExit; a text is printed, as the interpreter does."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    print(error.code, file=sys.stderr)
    return 1


def forget_parents_exit_handlers() -> None:
    """What the parent registered to be done at its exit is not the child's to do."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)


def leave(code: int, wait_for_threads: bool) -> NoReturn:
    """Ends a forked process: exit handlers yes, the parent's call stack no."""
    try:
        if wait_for_threads:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        flush_output()
    finally:
        os._exit(code)
