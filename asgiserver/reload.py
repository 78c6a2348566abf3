# SPDX-License-Identifier: MIT
"""``--reload``: which files matter, and the process that watches them.

Watching takes a thread of its own (watchfiles' inotify backend), and the supervisor, which forks,
must have only one. So a child process watches, and writes to a pipe: an empty line when it has
begun, then one line, a JSON list of paths, for each batch of changes.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from .config import Config

logger = logging.getLogger("asgiserver.error")

DEFAULT_INCLUDES = ("*.py",)
DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")

_SETTLE_MS = 20
"""A batch of changes is over when nothing has changed for this long; an editor's save is several
events."""
_SETTLE_AT_MOST_MS = 400
_POLL_MS = 200
"""Between two looks, with $WATCHFILES_FORCE_POLLING (network and virtual file systems)."""
_ALIVE_MS = 500
"""How often the watching process looks whether the supervisor is still there."""

Patterns = Sequence[str] | str | os.PathLike[str] | None


class Watched:
    """The files whose changes restart the application.

    Args:
        dirs: watched with everything below; none: the current folder.
        includes: glob patterns beside DEFAULT_INCLUDES; one that names folders adds these.
        excludes: glob patterns beside DEFAULT_EXCLUDES; one that names a folder takes it out. A
            default pattern is dropped when it stands in the other list.
        files: watched whatever they are called.

    Attributes:
        dirs, includes, excludes: what became of them.
        exclude_dirs: folders taken out.
        files: resolved.
        missing: given folders that are none.
    """

    def __init__(
        self,
        dirs: Patterns = None,
        includes: Patterns = None,
        excludes: Patterns = None,
        files: Iterable[str] = (),
    ) -> None:
        given, wanted, unwanted = _strings(dirs), _strings(includes), _strings(excludes)
        folders = dict.fromkeys(map(_resolved, given))
        self.missing = [str(path) for path in folders if not path.is_dir()]
        self.includes = [each for each in DEFAULT_INCLUDES if each not in unwanted]
        for pattern in wanted:
            found = _folders(pattern)
            folders.update(dict.fromkeys(found))
            if not found and pattern not in unwanted:
                self.includes.append(pattern)
        self.excludes = [each for each in DEFAULT_EXCLUDES if each not in wanted]
        self.exclude_dirs: list[Path] = []
        for pattern in unwanted:
            found = _folders(pattern)
            self.exclude_dirs += found
            if not found:
                self.excludes.append(pattern)
        kept = [path for path in folders if path.is_dir() and not self._is_excluded(path)]
        self.dirs = _without_nested(kept or [Path.cwd()])
        self.files = [_resolved(file) for file in files]

    def matches(self, path: Path) -> bool:
        """Whether a change of this file counts."""
        if path in self.files:
            return True
        if self._is_excluded(path) or not any(path.is_relative_to(each) for each in self.dirs):
            return False
        matching = [pattern for pattern in self.includes if path.match(pattern)]
        if any(str(path).endswith(pattern) for pattern in matching):
            return True  # Named outright: that beats a pattern which excludes it.
        return bool(matching) and not any(path.match(pattern) for pattern in self.excludes)

    def roots(self) -> list[str]:
        """What has to be watched so that no change is missed. Files by their folders: an editor
        that saves by renaming gives a file another inode."""
        folders = [file.parent for file in self.files]
        outside = [each for each in folders if not any(each.is_relative_to(d) for d in self.dirs)]
        return [str(each) for each in dict.fromkeys([*self.dirs, *outside])]

    def _is_excluded(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self.exclude_dirs)


def _strings(value: Patterns) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str | os.PathLike):
        value = [os.fspath(value)]
    return [os.fspath(each) for each in value]


def _resolved(path: str | os.PathLike[str]) -> Path:
    return Path(path).absolute().resolve()


def _folders(pattern: str) -> list[Path]:
    """The folders that a pattern names: outright, or by a glob below the current one."""
    if "*" in pattern and not os.path.isabs(pattern):
        return [_resolved(each) for each in Path.cwd().glob(pattern) if each.is_dir()]
    path = _resolved(pattern)
    return [path] if path.is_dir() else []


def _without_nested(folders: list[Path]) -> list[Path]:
    return [
        each
        for each in folders
        if not any(each != other and each.is_relative_to(other) for other in folders)
    ]


def forget_bytecode(path: str) -> None:
    """Removes the compiled form of a changed module: Python takes it for current when the source
    has the same size and was saved in the same second."""
    if path.endswith(".py"):
        try:
            os.unlink(importlib.util.cache_from_source(path))
        except (OSError, NotImplementedError):
            pass


# -- the watching process --------------------------------------------------------------------------


class Watcher:
    """The watching process as the supervisor has it.

    Args:
        watched: what counts.

    Attributes:
        pid: its process id.
        pipe: descriptor on which it reports.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.pid = 0
        self.pipe = -1
        self._unread = b""

    def start(
        self, fork: Callable[[Callable[[], NoReturn]], int], sockets: Iterable[socket.socket]
    ) -> int:
        """Starts it. Returns ``pipe``, to be read when there is something.

        Args:
            fork: what forks a child that calls its argument.
            sockets: to be closed in the child, as nobody would answer there.
        """
        parent = os.getpid()
        self.pipe, write = os.pipe()

        def body() -> NoReturn:
            os.close(self.pipe)
            for sock in sockets:
                sock.close()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            watch(self.watched, write, parent)

        self.pid = fork(body)
        os.close(write)
        logger.info(
            "Will watch for changes in these directories: %s",
            sorted(map(str, self.watched.dirs)),
        )
        return self.pipe

    def read(self) -> list[str] | None:
        """The changed files that it has reported, None at its end. Reads once, so may block when
        there is nothing."""
        data = os.read(self.pipe, 65536)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        changed: dict[str, None] = {}
        for line in lines:
            if line:
                changed.update(dict.fromkeys(json.loads(line)))
            else:
                logger.info("Started reloader process [%d] using WatchFiles", self.pid)
        return list(changed)

    def stop(self) -> None:
        """Ends the process."""
        if self.pipe >= 0:
            os.close(self.pipe)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pipe = -1


def watch(watched: Watched, pipe: int, parent: int) -> NoReturn:
    """The whole life of the watching process, which ends when the supervisor does.

    Args:
        watched: what counts.
        pipe: descriptor to report to.
        parent: the supervisor's process id.
    """
    # The part of watchfiles beneath its watch(): it says when watching has begun, and leaves
    # asyncio and anyio out of this process.
    from watchfiles._rust_notify import RustNotify

    polling = os.environ.get("WATCHFILES_FORCE_POLLING", "").lower() in ("1", "true", "yes")
    notify = RustNotify(watched.roots(), False, polling, _POLL_MS, True, True)
    os.write(pipe, b"\n")
    while os.getppid() == parent:
        batch = notify.watch(_SETTLE_AT_MOST_MS, _SETTLE_MS, _ALIVE_MS, None)
        if isinstance(batch, str):  # "timeout", "signal"
            continue
        paths = sorted({path for _, path in batch if watched.matches(Path(path))})
        if paths:
            os.write(pipe, json.dumps(paths).encode() + b"\n")
    os._exit(0)


# -- a supervisor without the application's modules -----------------------------------------------


def has_loaded(watched: Watched) -> bool:
    """Whether this process has imported modules that are watched: a worker forked from it would
    find them in ``sys.modules``, as they were."""
    ours = Path(__file__).parent
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and isinstance(file, str):
            path = Path(file)
            if watched.matches(path) and not path.is_relative_to(ours):
                return True
    return False


def run_apart(config: Config) -> int:
    """Runs the supervisor in a new Python process, which has imported nothing of the application's,
    and waits for it.

    Returns:
        its exit code.

    Raises:
        TypeError, AttributeError, pickle.PicklingError: a setting cannot be handed over.
    """
    from . import binds

    order = pickle.dumps({"config": config, "path": sys.path})
    read, write = os.pipe()
    code = f"from asgiserver.reload import serve_order; serve_order({read})"
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    # Sockets that this process was started with are for that one to serve on.
    fds = [read, *binds.descriptors(config)]
    process = subprocess.Popen([sys.executable, *flags, "-c", code], pass_fds=fds)
    os.close(read)
    # A terminal sends SIGINT and SIGHUP to the group: the supervisor acts, this process waits.
    former = {sig: signal.signal(sig, signal.SIG_IGN) for sig in (signal.SIGINT, signal.SIGHUP)}
    former[signal.SIGTERM] = signal.signal(
        signal.SIGTERM, lambda number, frame: process.send_signal(number)
    )
    try:
        # Kept open: its end tells the supervisor that this process is gone.
        with os.fdopen(write, "wb", buffering=0) as pipe:
            try:
                pipe.write(len(order).to_bytes(8, "big") + order)
            except BrokenPipeError:
                pass  # Its exit code tells.
            return process.wait()
    finally:
        for sig, handler in former.items():
            signal.signal(sig, handler)


def serve_order(descriptor: int) -> NoReturn:
    """What the process that run_apart() starts does."""
    from . import systemd
    from .supervisor import Supervisor

    with os.fdopen(descriptor, "rb", closefd=False) as pipe:
        order = pickle.loads(pipe.read(int.from_bytes(pipe.read(8), "big")))
    sys.path[:] = order["path"]
    systemd.claim_sockets()
    config: Config = order["config"]
    config.configure_logging()
    sys.exit(Supervisor(config, lifeline=descriptor).run())
