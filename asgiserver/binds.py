# SPDX-License-Identifier: MIT
"""The sockets to serve on: from what the settings say to bound sockets.

Everything here happens in the process that was started, before any worker is forked; but for
own_copies(), with which a worker of ``--reuse-port`` begins. Sockets are bound and not yet
listening when they leave this file, unless somebody else has made them so.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import handover, systemd
from .errors import StartupError

if TYPE_CHECKING:
    from .config import Config

logger = logging.getLogger("asgiserver.error")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
UNIX_MODE = 0o666
"""Mode of a new socket file where no other is asked for."""


# -- what the settings say -------------------------------------------------------------------------


@dataclass(frozen=True)
class Tcp:
    """A host, "" for all addresses, and a port, 0 for a free one."""

    host: str
    port: int


@dataclass(frozen=True)
class Unix:
    """The path of a socket file."""

    path: str


@dataclass(frozen=True)
class Descriptor:
    """A bound socket that this process was started with."""

    fd: int


@dataclass(frozen=True)
class Activated:
    """What systemd has passed: the sockets of one name (FileDescriptorName=), or "" for all."""

    name: str


Bind = Tcp | Unix | Descriptor | Activated


def parse(text: str) -> Bind:
    """One value of ``--bind``.

    Args:
        text: ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT``, ``HOST``, ``unix:PATH``, ``fd://N``,
            ``systemd`` or ``systemd:NAME``; in front of the first four, ``tcp://`` may stand.

    Raises:
        ValueError: it is none of these.
    """
    if text.startswith("unix:"):
        # unix:///run/x, too.
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError(f"bind {text!r}: the path of the socket is missing")
        return Unix(path)
    if found := re.fullmatch(r"fd://(\d{1,9})", text):
        return Descriptor(int(found[1]))
    if text == "systemd" or text.startswith("systemd:"):
        return Activated(text.partition(":")[2])
    address = text.removeprefix("tcp://")
    if "://" in address:
        raise ValueError(f"bind {text!r}: neither tcp://, unix: nor fd://")
    if address.startswith("["):
        found = re.fullmatch(r"\[([^][]+)\](?::(\d+))?", address)
    elif address.count(":") > 1:
        raise ValueError(f"bind {text!r}: an IPv6 address is written in brackets, [::1]:8000")
    elif address.isdigit() or not address:
        raise ValueError(f"bind {text!r}: no host; ':8000' stands for all addresses of the machine")
    else:
        found = re.fullmatch(r"([^:/]*)(?::(\d+))?", address)
    port = int(found[2] or DEFAULT_PORT) if found else -1
    if found is None or not 0 <= port <= 65535:
        raise ValueError(f"bind {text!r}: not HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N")
    return Tcp(found[1], port)


def parse_mode(mode: int | str | None) -> int | None:
    """The permissions of a socket file: a number as it is, a text as octal digits.

    Raises:
        ValueError: neither, or out of range.
    """
    if mode is None:
        return None
    try:
        number = int(mode, 8) if isinstance(mode, str) else mode
    except ValueError:
        number = -1
    if not 0 <= number <= 0o777:
        raise ValueError(f"uds_permissions must be octal digits up to 777, not {mode!r}")
    return number


def check(config: Config) -> None:
    """Looks at the settings that are about sockets, together.

    Raises:
        ValueError: they contradict each other.
    """
    if config.binds and not _by_default(config):
        raise ValueError("bind excludes host, port, uds and fd: it says the same")


def _by_default(config: Config) -> bool:
    """Whether host, port, uds and fd leave the address to us."""
    address = (config.host, config.port, config.uds, config.fd)
    return address == (DEFAULT_HOST, DEFAULT_PORT, None, None)


def wanted(config: Config) -> list[Bind]:
    """Where the settings want the server to listen, what systemd has passed included."""
    if config.binds:
        return list(config.binds)
    if config.uds is not None:
        return [Unix(config.uds)]
    if config.fd is not None:
        return [Descriptor(config.fd)]
    if _by_default(config) and systemd.has_sockets():
        return [Activated("")]
    return [Tcp(config.host, config.port)]


# -- making sockets --------------------------------------------------------------------------------


def bind_all(config: Config) -> list[socket.socket]:
    """Sockets for everything that the settings want.

    Raises:
        StartupError: one of them cannot be had; then none is left open.
    """
    binds = wanted(config)
    activated = systemd.take_sockets()
    sockets: list[socket.socket] = []
    try:
        for bind in binds:
            match bind:
                case Tcp(host, port):
                    sockets += bind_tcp(host, port, config.reuse_port)
                case Unix(path):
                    sockets.append(bind_unix(path, config.uds_mode))
                case Descriptor(fd):
                    sockets.append(_adopt(fd))
                case Activated(name):
                    sockets += _activated(activated, name)
    except BaseException:
        for sock in (*sockets, *activated.values()):
            sock.close()
        raise
    unused = [fd for fd, sock in activated.items() if sock not in sockets]
    spoken_for = {bind.fd for bind in binds if isinstance(bind, Descriptor)}
    for fd in unused:
        activated[fd].detach() if fd in spoken_for else activated[fd].close()
    if left := [fd for fd in unused if fd not in spoken_for]:
        logger.warning(
            "systemd has passed %d socket(s) that the settings do not ask for: not served",
            len(left),
        )
    return sockets


def bind_tcp(host: str, port: int, reuse_port: bool) -> list[socket.socket]:
    try:
        # As bytes it needs no codec of IDNA's, whose tables take their time to load.
        name = host.encode("ascii") if host.isascii() else host
        found = socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartupError(f"Cannot resolve host {host!r}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    failure: StartupError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if port == 0 and sockets:
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError:
            continue  # The kernel does not know this family: IPv6 switched off.
        try:
            _bind_to(sock, address, reuse_port)
        except OSError as error:
            sock.close()
            failure = StartupError(f"Cannot bind to {address_text(address)}: {error.strerror}.")
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            break
        sockets.append(sock)
    else:
        if sockets:
            return sockets
    for sock in sockets:
        sock.close()
    raise failure or StartupError(f"Cannot bind to {host!r}: no usable address.")


def _bind_to(sock: socket.socket, address: Any, reuse_port: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)
    sock.setblocking(False)


def bind_unix(path: str, mode: int | None) -> socket.socket:
    try:
        found = os.stat(path)
    except OSError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise StartupError(f"Cannot bind to unix socket {path}: the file is not a socket.")
        if _answers(path):
            raise StartupError(f"Cannot bind to unix socket {path}: Address already in use.")
        if mode is None:
            mode = stat.S_IMODE(found.st_mode)
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        # Nobody can connect before it listens, so the mode is never wider than asked for.
        os.chmod(path, UNIX_MODE if mode is None else mode)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise StartupError(f"Cannot bind to unix socket {path}: {reason}.") from None
    sock.setblocking(False)
    return sock


def _answers(path: str) -> bool:
    """Whether somebody listens on a unix socket; a file left behind by a dead server does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def _adopt(fd: int) -> socket.socket:
    # A duplicate: the number given stays the caller's (systemd, a parent process).
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise StartupError(f"Cannot use file descriptor {fd}: {error.strerror}.") from None
    try:
        _check_stream(fd, sock)
    except StartupError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _check_stream(fd: int, sock: socket.socket) -> None:
    if sock.type != socket.SOCK_STREAM:
        raise StartupError(f"Cannot use file descriptor {fd}: not a stream socket.")


def _activated(passed: systemd.Passed, name: str) -> list[socket.socket]:
    chosen = passed.named(name)
    if not chosen:
        what = f"no socket named {name!r}" if name and passed else "no socket"
        raise StartupError(f"systemd has passed {what} to this process.")
    for fd, sock in chosen.items():
        _check_stream(fd, sock)
        sock.setblocking(False)
    return list(chosen.values())


# -- what becomes of them --------------------------------------------------------------------------


def socket_files(config: Config) -> list[tuple[str, int]]:
    """Paths and inode numbers of the socket files that are the server's own, to be removed when it
    stops."""
    return files_of(bind.path for bind in wanted(config) if isinstance(bind, Unix))


def files_of(paths: Iterable[str]) -> list[tuple[str, int]]:
    """Socket files and their inode numbers; those that are there."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append((path, os.stat(path).st_ino))
    return found


def unlink(files: list[tuple[str, int]]) -> None:
    """Removes socket files and empties the list. Not where a later server has put its own, nor
    while an older process still serves on them."""
    while files:
        path, inode = files.pop()
        with contextlib.suppress(OSError):
            if not handover.is_pending() and os.stat(path).st_ino == inode:
                os.unlink(path)


def descriptors(config: Config) -> list[int]:
    """The descriptors that the settings and systemd speak of: a process that is to bind the sockets
    in place of this one needs them."""
    given = [bind.fd for bind in wanted(config) if isinstance(bind, Descriptor)]
    return sorted({*given, *systemd.descriptors()})


def own_copies(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """With ``--reuse-port``: a worker's own sockets, bound to the same addresses.

    Sockets without SO_REUSEPORT, and those that somebody made listen before us (they have a queue,
    which must be served), stay the common ones.

    Raises:
        StartupError: an address cannot be bound.
    """
    copies = []
    for sock in sockets:
        if is_shared_port(sock):
            copy = socket.socket(sock.family, sock.type, sock.proto)
            try:
                _bind_to(copy, sock.getsockname(), True)
            except OSError as error:
                where = address_text(sock.getsockname())
                raise StartupError(f"Cannot bind to {where}: {error.strerror}.") from None
            sock = copy
        copies.append(sock)
    return copies


def is_shared_port(sock: socket.socket) -> bool:
    """Whether others may bind the socket's port, and the socket is not in use yet."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    option = sock.getsockopt
    reused = option(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    return bool(reused) and not option(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def addresses(sockets: Iterable[socket.socket], secure: bool) -> list[str]:
    """Where the sockets can be reached, as people write it."""
    texts = []
    for sock in sockets:
        address = sock.getsockname()
        if isinstance(address, tuple):
            texts.append(f"{'https' if secure else 'http'}://{address_text(address)}")
        else:
            texts.append(f"unix socket {address_text(address)}")
    return texts


def address_text(address: Any) -> str:
    """``host:port`` of a socket's address, an IPv6 host in brackets; a unix path as it is."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address.decode() if isinstance(address, bytes) else str(address)
