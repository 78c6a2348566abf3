# SPDX-License-Identifier: MIT
"""What a service manager and the server say to each other: passed sockets (sd_listen_fds(3)) and
notifications (sd_notify(3)).

Both are environment variables, taken out of the environment when they are read: what this process
starts is not meant by them. The process that systemd knows is the supervisor, or the only process;
workers have nothing of this. Without the variables everything here does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time

from .errors import StartupError

logger = logging.getLogger("asgiserver.error")

FIRST_DESCRIPTOR = 3
"""Where passed sockets begin (SD_LISTEN_FDS_START)."""
NEVER = float("inf")

_LISTEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


# -- passed sockets --------------------------------------------------------------------------------


class Passed(dict[int, socket.socket]):
    """Sockets by descriptor, in order.

    Attributes:
        names: what the socket unit calls each (``FileDescriptorName=``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str] = {}

    def named(self, name: str) -> dict[int, socket.socket]:
        """Those of this name; "": all."""
        return {fd: sock for fd, sock in self.items() if name in ("", self.names[fd])}


def descriptors() -> list[int]:
    """The descriptors of passed sockets, as long as nobody has taken them."""
    try:
        if int(os.environ.get("LISTEN_PID", "")) != os.getpid():
            return []
        count = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return []
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + max(count, 0)))


def has_sockets() -> bool:
    """Whether take_sockets() would give any."""
    return bool(descriptors())


def take_sockets() -> Passed:
    """The sockets that were passed to this very process, once. What is no socket is refused, any
    kind of socket is not.

    Raises:
        StartupError: a descriptor is no socket.
    """
    passed = Passed()
    fds = descriptors()
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for name in _LISTEN:
        os.environ.pop(name, None)
    for index, fd in enumerate(fds):
        try:
            os.set_inheritable(fd, False)
            passed[fd] = socket.socket(fileno=fd)
        except OSError as error:
            raise StartupError(
                f"Cannot use file descriptor {fd}, passed by systemd: {error.strerror}."
            ) from None
        passed.names[fd] = names[index] if len(names) == len(fds) else "unknown"
    return passed


def claim_sockets() -> None:
    """The sockets passed to the process that has started this one are for this one."""
    if os.environ.get("LISTEN_PID") == str(os.getppid()):
        os.environ["LISTEN_PID"] = str(os.getpid())


# -- notifications ---------------------------------------------------------------------------------


class Notifier:
    """Tells the service manager what the server is doing.

    Args:
        address: of the manager's datagram socket, None: there is none.
        patience: seconds without a ping after which it takes the server for dead; None: never.

    Attributes:
        ping_at: when the next ping is due, by time.monotonic().
    """

    def __init__(self, address: str | None = None, patience: float | None = None) -> None:
        self.address = address
        self.patience = patience if address else None
        self.ping_at = NEVER

    @classmethod
    def take(cls) -> Notifier:
        """The one that the environment speaks of, which then speaks of it no more."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        usec = os.environ.pop("WATCHDOG_USEC", "")
        pid = os.environ.pop("WATCHDOG_PID", "")
        if address[:1] not in ("/", "@"):
            return cls()
        watched = usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if watched else None)

    def environment(self) -> dict[str, str]:
        """What makes another process take up the conversation."""
        if not self.address:
            return {}
        variables = {"NOTIFY_SOCKET": self.address}
        if self.patience is not None:
            variables["WATCHDOG_USEC"] = str(int(self.patience * 1e6))
        return variables

    def begin(self) -> None:
        """The server serves: pings are due from now on."""
        if self.patience is not None:
            self.ping_at = time.monotonic() + self.patience / 2

    def ready(self, status: str) -> None:
        """It has started, or reloading is over; status: what ``systemctl status`` shows."""
        self.begin()
        self.send("READY=1", f"STATUS={status}")

    def reloading(self, status: str) -> None:
        """ready() will follow."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", f"STATUS={status}")

    def stopping(self) -> None:
        """It will end."""
        self.ping_at = NEVER
        self.send("STOPPING=1", "STATUS=Finishing requests")

    def handed_over(self, pid: int, status: str) -> None:
        """Another process is the service from now on. Said by the one that was: the manager need
        not listen to anybody else."""
        self.send(f"MAINPID={pid}", "READY=1", f"STATUS={status}")
        self.address = self.patience = None
        self.ping_at = NEVER

    def ping(self, healthy: bool) -> None:
        """If a ping is due, sends it where the server is well."""
        now = time.monotonic()
        if self.patience is None or now < self.ping_at:
            return
        self.ping_at = now + self.patience / 2
        if healthy:
            self.send("WATCHDOG=1")

    def send(self, *lines: str) -> None:
        """Sends assignments as they are. That a manager cannot be reached is no reason to fail."""
        if not self.address:
            return
        where = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(), where)
        except OSError as error:
            logger.debug("The service manager cannot be notified: %s", error)
