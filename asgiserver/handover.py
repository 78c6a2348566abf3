# SPDX-License-Identifier: MIT
"""SIGUSR2: another casgi, perhaps a newer one, takes over the listening sockets.

The old supervisor runs its own command again, in a new process that inherits the sockets and a
pipe. When the new one serves, it says so through the pipe, and the old one drains. A new process
that ends before that changes nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

VARIABLE = "CASGI_HANDOVER"
"""Environment variable: descriptors of the sockets, then that of the pipe, with commas between."""

STATS_VARIABLE = "CASGI_HANDOVER_STATS"
"""Environment variable: descriptors of the stats port's sockets, with commas between."""

READY = b"R"

_pipe = -1


class Handover:
    """A handover under way, from the old supervisor's side.

    Args:
        sockets: what is handed over.
        variables: to be added to the new process's environment.
        stats: the sockets of the stats port, handed over too.

    Attributes:
        pipe: gives READY, or nothing where the new process has ended.
        process: the new process.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        variables: dict[str, str],
        stats: Sequence[socket.socket] = (),
    ) -> None:
        self.pipe, write = os.pipe()
        descriptors = [sock.fileno() for sock in sockets] + [write]
        environment = {**os.environ, **variables, VARIABLE: ",".join(map(str, descriptors))}
        if stats:
            extra = [sock.fileno() for sock in stats]
            environment[STATS_VARIABLE] = ",".join(map(str, extra))
            descriptors += extra
        try:
            self.process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]], pass_fds=descriptors, env=environment
            )
        except OSError:
            os.close(self.pipe)
            raise
        finally:
            os.close(write)

    def is_accepted(self) -> bool:
        """Whether the new process serves. To be called once, when ``pipe`` is readable."""
        accepted = os.read(self.pipe, 1) == READY
        os.close(self.pipe)
        if accepted:
            self.process.returncode = 0  # It goes on without us: nobody will wait for it.
        else:
            self.process.wait()
        return accepted

    def abandon(self) -> None:
        """The new process is to end with this one."""
        self.process.terminate()


def inherited_sockets() -> list[socket.socket]:
    """The sockets that an older process hands over; none: this one was started in another way."""
    global _pipe
    text = os.environ.pop(VARIABLE, "")
    if not text:
        return []
    *descriptors, _pipe = map(int, text.split(","))
    for descriptor in (*descriptors, _pipe):
        os.set_inheritable(descriptor, False)
    return _adopt(descriptors)


def inherited_stats() -> list[socket.socket]:
    """The same for the stats port's."""
    text = os.environ.pop(STATS_VARIABLE, "")
    descriptors = [int(part) for part in text.split(",") if part]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return _adopt(descriptors)


def is_pending() -> bool:
    """Whether an older process still serves, and may go on if this one cannot start."""
    return _pipe >= 0


def _adopt(descriptors: list[int]) -> list[socket.socket]:
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def accept() -> bool:
    """This process serves: the older one may stop. Returns whether there is one."""
    global _pipe
    if _pipe < 0:
        return False
    descriptor, _pipe = _pipe, -1
    try:
        os.write(descriptor, READY)
        return True
    except OSError:
        return False  # It has ended in the meantime.
    finally:
        os.close(descriptor)
