# SPDX-License-Identifier: MIT
"""Supervisor: binds the sockets, forks the workers, replaces the dead, passes signals on.

One thread, no event loop: a selector over the signal wake-up pipe and the workers' channels, with
a timeout only where something is due. It never starts V8 and imports the application only with
``preload``, so a fork copies a small and quiet process.

Signals: SIGTERM, SIGINT stop (a second one forces), SIGHUP replaces the workers one by one, each
successor ready before its predecessor drains, SIGTTIN and SIGTTOU add and remove a worker,
SIGUSR2 starts another supervisor that takes the sockets over (handover.py).

A worker is replaced in the same way when it has answered its share of requests, has lived or grown
beyond its limits, or its loop is blocked (vitals.py): a look at all workers every so often, only
where one of these limits is set, sees that.

With --reload a change does what nobody wants in production: the worker stops accepting at once and
its successor starts at the same time. Clients wait in the sockets' queue until that is ready, so
none is refused, and none gets an answer of the old code.

A worker's life: starting -> ready -> draining; it is current in its slot from the start (or, a
successor, from the moment it is ready) until it drains or dies. Every worker in ``_workers`` is a
child not yet reaped.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from . import binds, handover, js, systemd, tls
from ._core import release_idle_pages
from .config import STARTUP_FAILURE, Config, StartupError
from .logs import paint
from .reload import Watcher, forget_bytecode
from .server import SAME_SIGNAL, flush_output, log_addresses
from .slots import Slot, State, Worker
from .vitals import DUMP_SIGNAL, Pulses, Watchdog, ending, resident_bytes, sleeps
from .worker import FAILED, LIMIT, READY, Shared, worker_main

if TYPE_CHECKING:
    from .stats.service import StatsProcess

logger = logging.getLogger("asgiserver.error")

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR2,
    signal.SIGCHLD,
)

NEVER = float("inf")
SETTLED = 10.0
"""Seconds of service after which a worker's death is no longer counted as one in a row."""
KILL_AFTER_DRAIN = 10.0
"""Seconds beyond timeout_graceful_shutdown after which a draining worker is killed."""
KILL_AFTER_FORCE = 3.0
"""Seconds from a forced stop to SIGKILL."""
DUMP_TIME = 0.3
"""Seconds that a worker has to write its threads' stacks."""
CHECKUP_AT_MOST = 1.25
"""Seconds between two looks at the workers' health; less where the patience is short."""
RELOAD_GRACE = 2.0
"""Seconds that requests of the old code have after a reload."""


class Supervisor:
    """Runs ``config.workers`` worker processes.

    Args:
        config: the settings.
        sockets: bound sockets to serve on, in place of the settings' address.
        lifeline: descriptor whose end means that the process which asked for this one is gone.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket] | None = None,
        lifeline: int | None = None,
    ) -> None:
        self.config = config
        self._given = sockets
        self._parents_lifeline = lifeline
        self._sockets: list[socket.socket] = []
        self._slots: list[Slot] = [Slot() for _ in range(config.workers)]
        self._workers: dict[int, Worker] = {}
        self._generation = 0
        self._complete = False
        self._rolling = False
        self._stopping = False
        self._forced = False
        self._stop_signal_at = float("-inf")
        self._exit_code = 0
        self._selector: selectors.BaseSelector = selectors.PollSelector()
        self._signal_pipe = (-1, -1)
        self._lifeline = (-1, -1)
        self._unlink: list[tuple[str, int]] = []
        self._notifier = systemd.Notifier()
        self._pulses = Pulses()
        self._stats: StatsProcess | None = None
        self._crashes = self._blocked = 0
        self._checkup_at = NEVER
        self._handover: handover.Handover | None = None
        self._watcher: Watcher | None = None
        self._reload_due: float | None = None
        self._reloaded_at = float("-inf")

    def run(self) -> int:
        """Supervises until told to stop and every worker has ended. Returns the exit code.

        Raises:
            RuntimeError: not called in the main thread, which alone gets signals.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("workers > 1 must be run in the main thread")
        try:
            self._prepare()
        except StartupError as error:
            logger.error("%s", error)
            return STARTUP_FAILURE
        former = self._take_signals()
        if self._parents_lifeline is not None:
            self._selector.register(
                self._parents_lifeline, selectors.EVENT_READ, self._on_parent_gone
            )
        try:
            if self.config.watched is not None:
                self._start_watcher()
            if self._stats is not None and not handover.is_pending():
                self._stats.start(self._fork, self._lifeline[0], self._sockets)
            self._loop()
        finally:
            self._kill_all()
            if self._watcher is not None:
                self._watcher.stop()
            self._close_sockets()
            if self._stats is not None:
                self._stats.stop()
            self._release_signals(former)
            self._selector.close()
            for fd in self._lifeline:
                os.close(fd)
        logger.info(
            "Stopped parent process [%d]",
            os.getpid(),
            extra={"color_message": f"Stopped parent process [{paint('%d', '36')}]"},
        )
        return self._exit_code

    # -- set-up ---------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Whatever can fail or is worth sharing, before the first fork."""
        logger.info(
            "Started parent process [%d]",
            os.getpid(),
            extra={"color_message": f"Started parent process [{paint('%d', '36')}]"},
        )
        self._notifier = systemd.Notifier.take()
        if self._given is not None:
            self._sockets = list(self._given)
        else:
            self._sockets = self.config.bind_sockets()
            self._unlink = binds.socket_files(self.config)
        from . import loop  # noqa: F401  (loads the extension: once, for all workers)

        try:
            for path in self.config.js:
                js.read_source(path)
            js.find_jsrt(self.config, load=True)
            if self.config.tls is not None:
                # Each worker reads them again when it starts: SIGHUP brings new ones in.
                tls.make_context(self.config.tls)
            if self.config.preload:
                self.config.load()
            inherited = handover.inherited_stats()
            if self.config.stats is not None:
                from .stats.service import StatsProcess

                self._stats = StatsProcess(self.config, self._pulses, inherited)
            else:
                for sock in inherited:  # This process's settings have no stats port any more.
                    sock.close()
        except StartupError:
            self._close_sockets()
            raise
        if len(os.listdir("/proc/self/task")) > 1:
            logger.warning(
                "The supervisor has more than one thread; a fork keeps only one of them. "
                "Start threads in the application's lifespan, not at import."
            )
        # The children's collections would otherwise touch, and so copy, the shared objects.
        gc.collect()
        gc.freeze()
        # What the dynamic linker has read of the libraries; nothing runs here any more but waiting.
        release_idle_pages()
        self._lifeline = os.pipe()

    def _take_signals(self) -> tuple[int, dict[int, Any]]:
        """Has every signal wake the selector. Returns what was there before."""
        read, write = self._signal_pipe = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        handlers = {int(sig): signal.signal(sig, _no_action) for sig in SIGNALS}
        wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._selector.register(read, selectors.EVENT_READ, self._on_signals)
        return wakeup, handlers

    def _release_signals(self, former: tuple[int, dict[int, Any]]) -> None:
        wakeup, handlers = former
        signal.set_wakeup_fd(wakeup)
        for sig, handler in handlers.items():
            signal.signal(sig, handler)
        for fd in self._signal_pipe:
            os.close(fd)

    # -- the loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            self._escalate()
            if not self._stopping:
                self._reload_if_due()
                self._check_up()
                self._start_due()
                self._notifier.ping(self._is_healthy())
            if self._stats is not None:
                self._show(self._stats)
            if self._stopping and not self._workers:
                return
            for key, _ in self._selector.select(self._timeout()):
                # Closed by what came before it in this batch: nothing to read.
                if key.fileobj in self._selector.get_map():
                    key.data()
            self._reap()

    def _timeout(self) -> float | None:
        """Seconds until something is due, None: only an event can bring news."""
        due = [w.escalation[-1][0] for w in self._workers.values() if w.escalation]
        if not self._stopping:
            due += [slot.not_before for slot in self._slots if self._wants_start(slot)]
            due += [w.dump_due for w in self._workers.values() if w.dump_due is not None]
            due += [self._checkup_at, self._notifier.ping_at]
            if self._reload_due is not None:
                due.append(self._reload_due)
        earliest = min(due, default=NEVER)
        return None if earliest == NEVER else max(0.0, earliest - time.monotonic())

    def _on_signals(self) -> None:
        try:
            numbers = os.read(self._signal_pipe[0], 512)
        except BlockingIOError:
            return
        for number in numbers:
            if number in (signal.SIGINT, signal.SIGTERM):
                self._on_exit_signal()
            elif number == signal.SIGHUP and not self._stopping:
                logger.info("Received SIGHUP: replacing the workers one by one")
                self._generation += 1
                self._notifier.reloading("Replacing the workers")
                self._rolling = True
            elif number == signal.SIGTTIN and not self._stopping:
                self._slots.append(Slot())
                logger.info("Received SIGTTIN: %d workers", len(self._slots))
            elif number == signal.SIGTTOU and not self._stopping:
                self._remove_slot()
            elif number == signal.SIGUSR2 and not self._stopping:
                self._start_handover()

    def _on_exit_signal(self) -> None:
        now = time.monotonic()
        if not self._stopping:
            logger.info("Received a signal to stop: workers finish their requests")
            self._stop_signal_at = now
            if self._handover is not None:
                self._handover.abandon()
            self._stop(0)
        elif not self._forced and now - self._stop_signal_at >= SAME_SIGNAL:
            logger.warning("Received a second signal: stopping at once")
            self._forced = True
            for worker in self._workers.values():
                worker.escalation = [(now + KILL_AFTER_FORCE, signal.SIGKILL)]
                self._signal(worker, signal.SIGQUIT)

    def _stop(self, code: int) -> None:
        self._stopping = True
        self._exit_code = code
        self._notifier.stopping()
        self._close_sockets()
        for worker in self._workers.values():
            self._drain(worker)

    def _remove_slot(self) -> None:
        if len(self._slots) == 1:
            logger.info("Received SIGTTOU: the last worker stays")
            return
        slot = self._slots.pop()
        logger.info("Received SIGTTOU: %d workers", len(self._slots))
        for worker in (slot.current, slot.successor):
            if worker is not None:
                self._drain(worker)

    # -- starting -------------------------------------------------------------------------------

    def _wants_start(self, slot: Slot) -> bool:
        """Whether a process should be started in this slot, now or when its back-off ends."""
        if slot.successor is not None:
            return False
        if slot.current is None:
            return True
        return (
            self._complete
            and slot.current.state is State.READY
            and (slot.current.generation < self._generation or slot.current.retiring)
            and not any(other.successor is not None for other in self._slots)
        )

    def _start_due(self) -> None:
        for slot in self._slots:
            if self._stopping:
                return
            if self._wants_start(slot) and slot.not_before <= time.monotonic():
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        read, write = os.pipe()
        stacks = os.memfd_create("casgi-stacks")
        line = self._pulses.take()
        pulse = None if line is None else self._pulses.buffer(line)
        loads = None if line is None else (self._pulses.loads, line)
        record = None if self._stats is None else self._stats.record(line)

        def become_worker() -> NoReturn:
            os.close(read)
            # A terminal sends these to the whole group, and they are the supervisor's. A handler
            # rather than SIG_IGN, which the application's own children would inherit.
            signal.signal(signal.SIGINT, _no_action)
            signal.signal(signal.SIGHUP, _no_action)
            # SIGQUIT's default would leave a core file behind.
            signal.signal(signal.SIGQUIT, _exit_at_once)
            if self._stats is not None:
                self._stats.close_in_worker()
            shared = Shared(loads, pulse, stacks, record)
            worker_main(self.config, self._sockets, write, self._lifeline[0], shared)

        try:
            pid = self._fork(become_worker)
        except OSError as error:
            os.close(read)
            os.close(stacks)
            self._pulses.give_back(line)
            self._start_failed(slot, f"Cannot fork a worker: {error.strerror}.", fatal=False)
            return
        finally:
            os.close(write)
        worker = Worker(pid, read, self._generation, line=line, stacks=stacks)
        self._workers[pid] = worker
        if slot.current is None:
            slot.current = worker
        else:
            slot.successor = worker
        self._selector.register(read, selectors.EVENT_READ, lambda: self._on_channel(worker))

    def _fork(self, body: Callable[[], NoReturn]) -> int:
        """Forks a child that runs ``body`` with ordinary signal handling, and with no descriptor
        of the supervisor's own. Returns its process id.

        Raises:
            OSError: no process can be had.
        """
        flush_output()
        # A signal between fork and the child's own handlers would be taken for the parent's.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_child(body, mask)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _become_child(self, body: Callable[[], NoReturn], mask: set[int]) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for sig in SIGNALS:
                signal.signal(sig, signal.SIG_DFL)
            for key in list(self._selector.get_map().values()):
                os.close(key.fd)
            for fd in (self._signal_pipe[1], self._lifeline[1]):
                os.close(fd)
            for other in self._workers.values():
                os.close(other.stacks)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            body()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    # -- reloading ------------------------------------------------------------------------------

    def _start_watcher(self) -> None:
        assert self.config.watched is not None
        self._watcher = watcher = Watcher(self.config.watched)
        pipe = watcher.start(self._fork, self._sockets)
        self._selector.register(pipe, selectors.EVENT_READ, self._on_watcher)

    def _on_watcher(self) -> None:
        assert self._watcher is not None
        changed = self._watcher.read()
        if changed is None:
            self._selector.unregister(self._watcher.pipe)
            self._watcher.stop()
            self._watcher = None
            if not self._stopping:
                logger.error("The watching process has ended: no more reloading")
        elif changed and not self._stopping:
            for path in changed:
                forget_bytecode(path)
            names = ", ".join(repr(os.path.relpath(path)) for path in changed)
            logger.warning("WatchFiles detected changes in %s. Reloading...", names)
            if self._reload_due is None:
                self._reload_due = self._reloaded_at + self.config.reload_delay

    def _reload_if_due(self) -> None:
        now = time.monotonic()
        if self._reload_due is None or now < self._reload_due:
            return
        self._reload_due, self._reloaded_at = None, now
        for slot in self._slots:
            for worker in (slot.current, slot.successor):
                if worker is not None:
                    self._drain(worker)
                    worker.escalation = [
                        (now + RELOAD_GRACE + KILL_AFTER_FORCE, signal.SIGKILL),
                        (now + RELOAD_GRACE, signal.SIGQUIT),
                    ]
            slot.current = slot.successor = None
            slot.failures, slot.not_before = 0, now

    def _on_parent_gone(self) -> None:
        assert self._parents_lifeline is not None
        self._selector.unregister(self._parents_lifeline)
        if not self._stopping:
            logger.error("The parent process is gone: stopping")
            self._stop(0)

    # -- what workers say -----------------------------------------------------------------------

    def _on_channel(self, worker: Worker) -> None:
        if worker.channel < 0:
            return
        data = os.read(worker.channel, 65536)
        if not data:
            self._close_channel(worker)
            return
        if worker.failure is not None:
            worker.failure += data
            return
        for index, byte in enumerate(data):
            message = bytes((byte,))
            if message == FAILED:
                worker.failure = data[index + 1 :]
                return
            if message == READY:
                self._on_ready(worker)
            elif message == LIMIT:
                worker.retiring = True
                logger.info("Worker [%d] has reached its request limit", worker.pid)

    def _close_channel(self, worker: Worker) -> None:
        if worker.channel >= 0:
            self._selector.unregister(worker.channel)
            os.close(worker.channel)
            worker.channel = -1

    def _on_ready(self, worker: Worker) -> None:
        if worker.state is not State.STARTING:
            return
        worker.state = State.READY
        worker.ready_at = now = time.monotonic()
        patience = self.config.timeout_worker_healthcheck
        # Not while somebody develops: a breakpoint blocks the loop too.
        if patience and worker.line is not None and self.config.watched is None:
            worker.watchdog = Watchdog(patience)
        if self._needs_checkups():
            self._checkup_at = min(self._checkup_at, now + self._checkup_period())
        if self._complete:
            logger.info("Worker [%d] is ready", worker.pid)
        for slot in self._slots:
            if slot.successor is worker:
                old, slot.current, slot.successor = slot.current, worker, None
                if old is not None:
                    self._drain(old)
        if not self._complete and all(
            slot.current is not None and slot.current.state is State.READY for slot in self._slots
        ):
            self._complete = True
            log_addresses(self.config, self._sockets)
            if self._stats is not None:
                self._stats.port.announce()
                if handover.is_pending():  # Until now the older process's stats answered.
                    self._stats.start(self._fork, self._lifeline[0], self._sockets)
            if handover.accept():
                self._notifier.begin()  # The older process tells the service manager the rest.
            else:
                self._notifier.ready(self._status())
        current = [slot.current for slot in self._slots]
        if self._rolling and all(
            w is not None and w.generation == self._generation for w in current
        ):
            self._rolling = False
            self._notifier.ready(self._status())

    def _status(self) -> str:
        where = ", ".join(binds.addresses(self._sockets, self.config.is_ssl))
        return f"Serving on {where} with {len(self._slots)} worker(s)"

    # -- health ---------------------------------------------------------------------------------

    def _is_healthy(self) -> bool:
        """Whether anybody answers: the service manager is to see to it otherwise."""
        return any(w.state is State.READY and not w.blocked for w in self._workers.values())

    def _needs_checkups(self) -> bool:
        config = self.config
        return (
            config.max_worker_lifetime is not None
            or config.max_worker_rss is not None
            or any(worker.watchdog is not None for worker in self._workers.values())
        )

    def _checkup_period(self) -> float:
        limits = (self.config.timeout_worker_healthcheck, self.config.max_worker_lifetime)
        return max(0.02, min([CHECKUP_AT_MOST, *(limit / 4 for limit in limits if limit)]))

    def _check_up(self) -> None:
        """Finds workers that are to be replaced."""
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.dump_due is not None and worker.dump_due <= now:
                self._on_stacks(worker)
        if now < self._checkup_at:
            return
        period = self._checkup_period()
        # After a suspension of the whole group the others have had no time either.
        was_away = now - self._checkup_at > 2 * period
        self._checkup_at = now + period if self._needs_checkups() else NEVER
        for worker in list(self._workers.values()):
            if worker.state is State.READY and not worker.retiring and worker.dump_due is None:
                if was_away and worker.watchdog is not None:
                    worker.watchdog.forget()
                self._examine(worker, now)

    def _examine(self, worker: Worker, now: float) -> None:
        lifetime, rss = self.config.max_worker_lifetime, self.config.max_worker_rss
        if lifetime is not None and now - worker.ready_at >= lifetime:
            logger.info("Worker [%d] has lived for %g s: replacing it", worker.pid, lifetime)
            worker.retiring = True
            return
        if rss is not None:
            size = resident_bytes(worker.pid) / (1024 * 1024)
            if size > rss:
                logger.warning("Worker [%d] has grown to %.0f MB: replacing it", worker.pid, size)
                worker.retiring = True
                return
        if worker.watchdog is not None and worker.line is not None:
            pulse = self._pulses.read(worker.line)
            blocked = worker.watchdog.blocked_for(pulse, sleeps(worker.pid), now)
            if blocked is not None:
                logger.error(
                    "Worker [%d] is blocked: its event loop has not turned for %.1f s. "
                    "Replacing it; what it is answering may still finish",
                    worker.pid,
                    blocked,
                )
                self._signal(worker, DUMP_SIGNAL)
                worker.blocked = True
                worker.dump_due = now + DUMP_TIME

    def _on_stacks(self, worker: Worker) -> None:
        worker.dump_due = None
        worker.retiring = True
        self._blocked += 1
        text = os.pread(worker.stacks, 1 << 20, 0).decode("utf-8", "replace").rstrip()
        logger.error("Stacks of worker [%d], the latest call first:\n%s", worker.pid, text)

    def _show(self, stats: StatsProcess) -> None:
        state = "draining" if self._stopping else "ready" if self._complete else "starting"
        slots = {w: i for i, s in enumerate(self._slots, 1) for w in (s.current, s.successor) if w}
        stats.show(
            state,
            len(self._slots),
            [
                (w.line, w.pid, w.state.name.lower(), slots.get(w, 0), int(w.since * 1e6))
                for w in self._workers.values()
                if w.line is not None
            ],
            self._crashes,
            self._blocked,
        )

    # -- handing over ---------------------------------------------------------------------------

    def _start_handover(self) -> None:
        if self._handover is not None:
            logger.info("Received SIGUSR2: a process to take over is being started already")
            return
        logger.info("Received SIGUSR2: starting a process to take over")
        flush_output()
        try:
            stats = () if self._stats is None else self._stats.port.sockets
            self._handover = handover.Handover(self._sockets, self._notifier.environment(), stats)
        except OSError as error:
            logger.error("It cannot be started: %s", error)
            return
        self._notifier.reloading("Starting another process to take over")
        self._selector.register(self._handover.pipe, selectors.EVENT_READ, self._on_handover)

    def _on_handover(self) -> None:
        taken = self._handover
        assert taken is not None
        self._selector.unregister(taken.pipe)
        self._handover = None
        if taken.is_accepted():
            logger.info(
                "Process [%d] has taken over: workers finish their requests", taken.process.pid
            )
            self._notifier.handed_over(taken.process.pid, self._status())
            self._unlink = []  # The socket files are the new process's.
            if self._stats is not None:
                self._stats.port.hand_over()
                self._stats.stop()
                self._stats = None
            if not self._stopping:
                self._stop(0)
        elif not self._stopping:
            logger.error("The process to take over has ended: going on without")
            self._notifier.ready(self._status())

    # -- ends -----------------------------------------------------------------------------------

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            try:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = worker.pid, 0
            if pid:
                self._on_death(worker, os.waitstatus_to_exitcode(status))
        if self._stats is not None:
            self._stats.revive(self._fork, self._lifeline[0], self._sockets)

    def _on_death(self, worker: Worker, code: int) -> None:
        while worker.channel >= 0:  # Its last words; the pipe ends as the process has.
            if not self._readable(worker.channel):
                self._close_channel(worker)
            else:
                self._on_channel(worker)
        del self._workers[worker.pid]
        self._pulses.give_back(worker.line)
        os.close(worker.stacks)
        slot = next((s for s in self._slots if worker in (s.current, s.successor)), None)
        was = worker.state
        if slot is not None:
            if slot.successor is worker:
                slot.successor = None
            else:
                slot.current, slot.successor = slot.successor, None
        if slot is None or self._stopping or was is State.DRAINING:
            # Without handlers yet, a worker that is told to stop during its start ends by SIGTERM.
            if code < 0 and (code != -signal.SIGTERM or worker.ready_at):
                logger.warning("Worker [%d] %s while stopping", worker.pid, ending(code))
            return
        if was is State.STARTING:
            text = (worker.failure or b"").decode("utf-8", "replace")
            self._start_failed(
                slot,
                text or f"Worker [{worker.pid}] {ending(code)} during its start.",
                fatal=bool(text),
            )
            return
        if time.monotonic() - worker.ready_at > SETTLED or (code == 0 and worker.retiring):
            slot.failures = 0
        self._crashes += 1
        delay = slot.back_off()
        when = f"in {delay:g} s" if delay else "now"
        logger.error("Worker [%d] %s: replacing it %s", worker.pid, ending(code), when)

    def _start_failed(self, slot: Slot, text: str, fatal: bool) -> None:
        """A start has failed. At first, or when nobody else is left, that ends everything."""
        others = any(worker.state is not State.DRAINING for worker in self._workers.values())
        if self._stopping:
            return
        if self.config.watched is not None:
            logger.error("%s\nWaiting for a change to try again.", text)
            slot.not_before = NEVER
            return
        if not self._complete or (fatal and not others):
            logger.error("%s", text)
            self._stop(STARTUP_FAILURE)
            return
        delay = slot.back_off()
        logger.error("%s\nA worker could not start: trying again in %g s", text, delay)
        if self._rolling:
            self._notifier.ready("A worker could not start; those of before serve")

    def _drain(self, worker: Worker) -> None:
        if worker.state is State.DRAINING:
            return
        worker.state = State.DRAINING
        limit = self.config.timeout_graceful_shutdown
        if limit is not None:
            end = time.monotonic() + limit + KILL_AFTER_DRAIN
            worker.escalation = [(end, signal.SIGKILL)]
        self._signal(worker, signal.SIGTERM)

    def _escalate(self) -> None:
        """Sends what is due to workers that do not end."""
        now = time.monotonic()
        for worker in self._workers.values():
            while worker.escalation and worker.escalation[-1][0] <= now:
                _, number = worker.escalation.pop()
                if number == signal.SIGKILL:
                    logger.error("Worker [%d] does not end: killing it", worker.pid)
                self._signal(worker, number)

    def _kill_all(self) -> None:
        """Leaves no child behind when the loop ends by an exception."""
        for worker in list(self._workers.values()):
            self._signal(worker, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            self._close_channel(worker)
            os.close(worker.stacks)
        self._workers.clear()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        binds.unlink(self._unlink)

    @staticmethod
    def _readable(fd: int) -> bool:
        poll = selectors.PollSelector()
        poll.register(fd, selectors.EVENT_READ)
        try:
            return bool(poll.select(0))
        finally:
            poll.close()

    @staticmethod
    def _signal(worker: Worker, number: int) -> None:
        try:
            os.kill(worker.pid, number)
        except ProcessLookupError:
            pass  # Not reaped yet, so the id is still its own; it has just ended.


def _no_action(number: int, frame: object) -> None:
    """Signals reach the loop through the wake-up descriptor."""


def _exit_at_once(number: int, frame: object) -> None:
    os._exit(1)
