# SPDX-License-Identifier: MIT
"""Where V8's code caches are kept: in memory, and in a folder that all processes of a user share.

`compile()` asks here with the source and the version of V8 it is for, and brings back what V8 has
made of it. Nothing here is trusted: a file is believed only where it lies in a folder of this user
that nobody else may write, is the user's own, and carries the checksum of its content. All else is
ignored, with one warning in the logger ``jsrt``; it costs the time of a compilation.

`CASGI_JS_CACHE` names the folder, or is ``off``; the default is ``casgi/js`` in the user's cache
folder (`XDG_CACHE_HOME`, else ``~/.cache``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path

__all__ = ["Store", "folder_from_environment"]

# Imported at the first large compile() of a process, which waits for it: nothing that is heavy.

MAGIC = b"casgi code cache 1\n"
HEADER = len(MAGIC) + 1 + 32  # whether it was made after use; SHA-256 of that and the payload
IN_MEMORY = 32 << 20  # bytes of caches one process holds on to
ON_DISK = 256 << 20  # bytes of files; the oldest go first
OFF = ("", "0", "off", "no", "none", "false")


def folder_from_environment() -> Path | None:
    """The folder for code caches, or None where they are kept in memory only."""
    named = os.environ.get("CASGI_JS_CACHE")
    if named is not None:
        return None if named.strip().lower() in OFF else Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "casgi" / "js"
    except RuntimeError:  # no home
        return None


class Store:
    """Code caches by the hash of what they were made of. Every method may be called by any thread.

    Args:
        version: what a cache depends on besides its source: V8's version, flags and processor.
        folder: where the files are; None for memory only.
    """

    def __init__(self, version: str, folder: Path | None) -> None:
        self.version = version.encode()
        self.folder = folder
        self.memory: OrderedDict[bytes, tuple[bytes, bool]] = OrderedDict()
        self.memory_size = 0
        self.lock = threading.Lock()
        self.warned = False
        self.usable: bool | None = None  # the folder, once it was looked at

    def find(self, source: memoryview, kind: int) -> tuple[bytes, bytes | None, bool]:
        """Looks for the cache of a source.

        Args:
            source: its characters, as Python holds them; not kept.
            kind: bytes for each character.

        Returns:
            The key for `put`; the cache or None; whether it was made after use.
        """
        digest = hashlib.sha256(b"%b\0%d\0" % (self.version, kind))
        digest.update(source)
        key = digest.digest()
        return (key, *self.get(key))

    def get(self, key: bytes) -> tuple[bytes | None, bool]:
        """The cache of a key or None, and whether it was made after use."""
        with self.lock:
            found = self.memory.get(key)
            if found is not None:
                self.memory.move_to_end(key)
                return found
        data, used = self.read(key)
        if data is not None:
            self.remember(key, data, used)
        return data, used

    def put(self, key: bytes, data: bytes, used: bool) -> None:
        """Keeps a cache, in memory and as a file.

        Args:
            key: from `find`.
            data: what V8 made.
            used: whether functions were called before, so that it holds more than a start.
        """
        self.remember(key, data, used)
        if self.folder_is_safe(make=True):
            try:
                self.write(key, data, used)
            except OSError as error:
                self.warn("code cache %s: %s", self.folder, error)

    def reject(self, key: bytes) -> None:
        """V8 did not take the cache of that key: it is forgotten."""
        with self.lock:
            old = self.memory.pop(key, None)
            if old is not None:
                self.memory_size -= len(old[0])
        self.warn("code cache %s: V8 does not take what was kept for it", self.path(key))

    def remember(self, key: bytes, data: bytes, used: bool) -> None:
        with self.lock:
            old = self.memory.pop(key, None)
            if old is not None:
                self.memory_size -= len(old[0])
            self.memory[key] = (data, used)
            self.memory_size += len(data)
            while self.memory_size > IN_MEMORY and len(self.memory) > 1:
                _, (dropped, _) = self.memory.popitem(last=False)
                self.memory_size -= len(dropped)

    # ---- Files ------------------------------------------------------------------------------

    def warn(self, message: str, *args: object) -> None:
        if not self.warned:
            import logging

            self.warned = True
            logging.getLogger("jsrt").warning(message + "; ignored", *args)

    def path(self, key: bytes) -> str:
        return os.path.join(self.folder or "", key.hex() + ".v8")

    def folder_is_safe(self, make: bool) -> bool:
        """Whether the folder is this user's alone. A missing one is made where `make` says so."""
        if self.folder is None:
            return False
        if self.usable is None or (make and not self.usable):
            try:
                if make:
                    self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                found = os.stat(self.folder)
            except FileNotFoundError:
                return False  # may come yet
            except OSError as error:
                self.warn("code cache %s: %s", self.folder, error)
                self.usable = False
                return False
            self.usable = (
                stat.S_ISDIR(found.st_mode)
                and found.st_uid == os.geteuid()
                and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            )
            if not self.usable:
                self.warn("code cache %s: not a folder that only its user may write", self.folder)
        return self.usable

    def read(self, key: bytes) -> tuple[bytes | None, bool]:
        if not self.folder_is_safe(make=False):
            return None, False
        path = self.path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None, False
        except OSError as error:
            self.warn("code cache %s: %s", path, error)
            return None, False
        with open(fd, "rb", buffering=0) as file:
            found = os.fstat(fd)
            if (
                not stat.S_ISREG(found.st_mode)
                or found.st_uid != os.geteuid()
                or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            ):
                self.warn("code cache %s: not this user's own file", path)
                return None, False
            try:
                header = file.read(HEADER) or b""
                data = file.readall() or b""
            except OSError as error:
                self.warn("code cache %s: %s", path, error)
                return None, False
            used = header[len(MAGIC) : len(MAGIC) + 1]
            if header != MAGIC + used + checksum(key, used, data) or not data:
                self.warn("code cache %s: damaged", path)
                return None, False
            if found.st_mtime < found.st_atime - 86400:
                with contextlib.suppress(OSError):
                    os.utime(fd)  # in use: not the first to go
            return data, used == b"+"

    def write(self, key: bytes, data: bytes, used: bool) -> None:
        assert self.folder is not None
        mark = b"+" if used else b"-"
        name = os.path.join(self.folder, f".new-{os.urandom(8).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(name, flags, 0o600)
        try:
            with open(fd, "wb", buffering=0) as file:
                for part in (MAGIC + mark + checksum(key, mark, data), data):
                    view = memoryview(part)
                    while view:
                        view = view[file.write(view) :]
            os.rename(name, self.path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self.prune()

    def prune(self) -> None:
        """Removes the oldest files where all together are too large."""
        assert self.folder is not None
        files: list[tuple[float, int, str]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(".v8") or entry.name.startswith(".new-"):
                        files.append((found.st_mtime, found.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= ON_DISK:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def checksum(key: bytes, used: bytes, data: bytes) -> bytes:
    """Of a file's content; the key is part of it, so that a renamed file is not believed."""
    digest = hashlib.sha256(key + used)
    digest.update(data)
    return digest.digest()
