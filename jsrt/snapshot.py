# SPDX-License-Identifier: MIT
"""Start-up snapshots: bare contexts that begin where a script has ended."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

from . import _jsrt
from .errors import Error

__all__ = ["Snapshot", "snapshot"]

MAGIC = b"jsrt snapshot 1\n"
MAKER = """
import sys
sys.path.insert(0, sys.argv[1])
from jsrt import _jsrt, errors
code = sys.stdin.buffer.read().decode("utf-16-le", "surrogatepass")
try:
    blob = _jsrt._make_snapshot(code, sys.argv[2])
except errors.Error as error:
    sys.stderr.buffer.write(str(error).encode("utf-8", "replace"))
    sys.exit(3)
sys.stdout.buffer.write(blob)
"""


class Snapshot:
    """V8's heap as a script has left it, for ``Context(profile="bare", snapshot=...)``.

    Good for the version of V8 that made it only, and only in a process all of whose isolates come
    from it: V8 shares parts of it between them.
    """

    __slots__ = ("_blob", "_digest", "_version")

    def __init__(self, blob: bytes, version: str) -> None:
        self._blob = blob
        self._version = version
        self._digest = hashlib.sha256(blob).digest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file, whole or not at all."""
        target = Path(path)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        partial.write_bytes(
            MAGIC
            + self._version.encode()
            + b"\n"
            + self._digest.hex().encode()
            + b"\n"
            + self._blob
        )
        partial.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Reads one from a file, which must be of as much trust as code: V8 runs what it says.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no snapshot, or damaged.
        """
        data = Path(path).read_bytes()
        head = data.split(b"\n", 3)
        if not data.startswith(MAGIC) or len(head) != 4:
            raise ValueError(f"{os.fspath(path)}: not a snapshot of jsrt")
        loaded = cls(head[3], head[1].decode())
        if loaded._digest.hex().encode() != head[2]:
            raise ValueError(f"{os.fspath(path)}: a damaged snapshot")
        return loaded

    def _checked(self) -> bytes:
        """The blob, for an engine."""
        if self._version != version():
            raise Error(
                f"the snapshot was made by V8 {self._version}, this is {version()}: make it again"
            )
        return self._blob

    def __len__(self) -> int:
        """Its size in bytes."""
        return len(self._blob)

    def __repr__(self) -> str:
        return f"<jsrt.Snapshot of V8 {self._version}, {len(self._blob)} bytes>"


def version() -> str:
    """What a blob depends on. V8's flags are always those that jsrt starts it with."""
    return f"{_jsrt.v8_version} in Node {_jsrt.node_version} on {platform.machine()}"


def snapshot(code: str, filename: str = "<snapshot>", *, timeout: float = 60.0) -> Snapshot:
    """Runs a script in a bare context and takes its heap as it is then.

    A process of its own does it, which takes some 100 ms and what the script takes. What the script
    leaves must be plain JavaScript's: functions, objects, classes, typed arrays; not a WebAssembly
    module.

    Args:
        code: the script.
        filename: its name in stack traces.
        timeout: seconds it may take.

    Raises:
        Error: the script threw, or V8 cannot make a snapshot of what it left.
        TimeoutError: it took too long.
    """
    packages = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", MAKER, packages, filename]
    try:
        done = subprocess.run(
            command,
            input=code.encode("utf-16-le", "surrogatepass"),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the script of a snapshot took more than {timeout:g} s") from None
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode != 3:
            last = said.splitlines()[-1:] or ["no message"]
            said = f"V8 could not make a snapshot (exit code {done.returncode}): {last[0]}"
        raise Error(said)
    return Snapshot(done.stdout, version())
