# SPDX-License-Identifier: MIT
"""TLS settings: uvicorn's ``ssl_*`` keywords made into a ``_core.TLSContext``, and its reloading.

Certificates are read when a server starts, when it gets SIGHUP, and when their files have changed.
New connections get the new ones; connections that are open keep what they have. Files that cannot
be used leave everything as it is, and say so in the log.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from .config import Config

logger = logging.getLogger("asgiserver.error")

TLS_1_2, TLS_1_3 = 0x0303, 0x0304

VERSIONS: dict[int, tuple[int, int]] = {
    17: (TLS_1_2, TLS_1_3),
    2: (TLS_1_2, TLS_1_3),
    5: (TLS_1_2, TLS_1_2),
}
"""Least and greatest TLS version by the number of Python's ssl: PROTOCOL_TLS_SERVER, PROTOCOL_TLS
and PROTOCOL_TLSv1_2."""


@dataclass(frozen=True)
class Settings:
    """What a context is made from.

    Attributes:
        certificates: certificate file and key file (None: in the same file) of each.
        password: of encrypted keys.
        ca_certs: whose client certificates are good.
        ciphers: OpenSSL's list for TLS 1.2; None: forward secret AEAD suites.
        verify: client certificates: 0 not asked for, 1 optional, 2 required.
        versions: least and greatest.
        http2: offered to clients (ALPN).
        seed: of the session tickets' keys, and when it was made: workers inherit both, so a ticket
            of one is good at the others.
    """

    certificates: tuple[tuple[bytes, bytes | None], ...]
    password: bytes | None
    ca_certs: bytes | None
    ciphers: bytes | None
    verify: int
    versions: tuple[int, int]
    http2: bool = False
    seed: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    seeded: int = field(default_factory=lambda: int(time.monotonic()))

    @property
    def files(self) -> list[bytes]:
        """Every file that is read."""
        paths = [path for pair in self.certificates for path in pair if path is not None]
        if self.ca_certs is not None:
            paths.append(self.ca_certs)
        return paths


def settings_of(config: Config) -> Settings | None:
    """The TLS settings in a Config; None where it has no certificate.

    Raises:
        ValueError: they contradict each other.
    """
    certificates = _paths(config.ssl_certfile)
    keys = _paths(config.ssl_keyfile)
    if not certificates:
        for name in ("ssl_keyfile", "ssl_ca_certs", "ssl_cert_reqs"):
            if getattr(config, name):
                raise ValueError(f"{name} needs ssl_certfile")
        return None
    if keys and len(keys) != len(certificates):
        raise ValueError(
            f"ssl_keyfile is given {len(keys)} times and ssl_certfile {len(certificates)} times: "
            "one key for each certificate, or none where the keys are in the certificates' files"
        )
    versions = VERSIONS.get(int(config.ssl_version))
    if versions is None:
        raise ValueError(
            f"ssl_version must be 17 or 2 (TLS 1.2 and 1.3) or 5 (TLS 1.2), not "
            f"{int(config.ssl_version)}: older versions are not safe"
        )
    verify = int(config.ssl_cert_reqs)
    if verify not in (0, 1, 2):
        raise ValueError(f"ssl_cert_reqs must be 0, 1 or 2, not {verify}")
    if verify and not config.ssl_ca_certs:
        raise ValueError("ssl_cert_reqs needs ssl_ca_certs: whose client certificates are good")
    password, ciphers = config.ssl_keyfile_password, config.ssl_ciphers
    in_files: list[bytes | None] = [*keys] or [None] * len(certificates)
    return Settings(
        certificates=tuple(zip(certificates, in_files, strict=True)),
        password=None if password is None else password.encode(),
        ca_certs=os.fsencode(config.ssl_ca_certs) if config.ssl_ca_certs else None,
        # "TLSv1" was uvicorn's default once, and is spelled out by code written for it.
        ciphers=None if ciphers is None or ciphers == "TLSv1" else ciphers.encode(),
        verify=verify,
        versions=versions,
        http2=config.http2,
    )


def _paths(value: Any) -> list[bytes]:
    if value is None:
        return []
    several = (
        value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    )
    return [os.fsencode(path) for path in several]


def make_context(settings: Settings) -> Any:
    """A ``_core.TLSContext``.

    Raises:
        StartupError: a file or setting cannot be used.
    """
    from . import _core
    from .config import StartupError

    try:
        context = _core.TLSContext(
            settings.certificates,
            settings.password,
            settings.ca_certs,
            settings.ciphers,
            settings.verify,
            *settings.versions,
            settings.seed,
            settings.seeded,
            logger.isEnabledFor(logging.DEBUG),
            settings.http2,
        )
    except ValueError as error:
        raise StartupError(str(error)) from None
    return context


class Certificates:
    """A server's context, read again when its files change.

    Args:
        settings: what it is made from.
        loop: the server's.

    Attributes:
        context: the ``_core.TLSContext``.

    Raises:
        StartupError: a file or setting cannot be used.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._interval = 0.0
        # Before they are read: a change in between is found later.
        self._seen = self._used = self._look()
        self.context = make_context(settings)
        self._warn_of_expiry()

    def watch(self, interval: float) -> None:
        """Looks at the files every ``interval`` seconds from now on; 0: never."""
        self._interval = interval
        self._wait()

    def stop(self) -> None:
        """Looks no more."""
        self._interval = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self) -> bool:
        """Reads the files again. Whether they could be used; the log says why not."""
        self._seen = self._used = self._look()
        try:
            self.context.reload()
        except ValueError as error:
            logger.error("%s The former TLS certificates stay in use.", error)
            return False
        logger.info("TLS certificates reloaded")
        self._warn_of_expiry()
        return True

    def _wait(self) -> None:
        if self._interval > 0:
            self._timer = self._loop.call_later(self._interval, self._on_timer)

    def _on_timer(self) -> None:
        now = self._look()
        # Certificate and key are written one after the other: once they rest, they are read.
        if now != self._used and now == self._seen:
            self.reload()
        self._seen = now
        self._wait()

    def _look(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for path in self._settings.files:
            try:
                about = os.stat(path)
            except OSError:
                found.append(())
            else:
                found.append((about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns))
        return found

    def _warn_of_expiry(self) -> None:
        for (path, _), left in zip(self._settings.certificates, self.context.validity, strict=True):
            if left < 0:
                logger.warning("The TLS certificate %s has expired", os.fsdecode(path))


class HangUp:
    """SIGHUP at a server without a supervisor: reload, or the end where a terminal has gone.

    One that was started with SIGHUP ignored, as by nohup(1), is to outlive its terminal.

    Args:
        reload: called for a signal that somebody has sent.
        leave: called with the signal's number when the terminal hung up, which ends a process
            that does not say otherwise.
    """

    def __init__(self, reload: Callable[[], object], leave: Callable[[int], object]) -> None:
        self._reload = reload
        self._leave = leave
        self._of_terminal = has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    def __call__(self) -> None:
        if self._of_terminal and not has_terminal():
            self._leave(signal.SIGHUP)
        else:
            self._reload()


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that still answers."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
