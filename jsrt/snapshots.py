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
SAID = 3
"""The exit code of a process that has said what is wrong."""
START = f"""
import sys
sys.path.insert(0, sys.argv[1])
from jsrt import Context, Error, JSError, _jsrt, snapshots
given, out = sys.stdin.buffer.read(), sys.stdout.buffer
def fail(error):
    sys.stderr.buffer.write(str(error).encode("utf-8", "replace"))
    sys.exit({SAID})
def text():
    return given.decode("utf-16-le", "surrogatepass")
"""
MAKER = """
try:
    out.write(_jsrt._make_snapshot(text(), sys.argv[2]))
except Error as error:
    fail(error)
"""
# Three contexts, each looked at before and after a collection; with the script there is one.
TRIAL = """
plain = len(sys.argv) > 3
snap = None if plain else snapshots.Snapshot(given, snapshots.version())
seen = set()
try:
    for _ in range(1 if plain else 3):
        with Context(profile="bare", snapshot=snap) as ctx:
            if plain:
                ctx.compile(text(), filename=sys.argv[3])
            seen.add(repr(ctx.eval(sys.argv[2])))
            ctx.collect()
            seen.add(repr(ctx.eval(sys.argv[2])))
except Error as error:
    fail(error)
out.write("; ".join(sorted(seen)).encode("utf-8", "surrogatepass"))
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


def snapshot(
    code: str, filename: str = "<snapshot>", *, check: str | None = None, timeout: float = 60.0
) -> Snapshot:
    """Runs a script in a bare context and takes its heap as it is then.

    A process of its own does it, which takes some 100 ms and what the script takes. What the script
    leaves must be plain JavaScript's: functions, objects, classes, typed arrays; not a WebAssembly
    module.

    Args:
        code: the script.
        filename: its name in stack traces.
        check: an expression for a trial: its value must be the same in contexts from the snapshot
            as where the script has run. Takes two more processes; without it nothing is tried.
        timeout: seconds that each process may take.

    Raises:
        Error: the script threw, V8 cannot make a snapshot of what it left, or the check failed.
        TimeoutError: it took too long.
    """
    source = code.encode("utf-16-le", "surrogatepass")
    blob = _ask(MAKER, source, filename, timeout=timeout)
    if check is not None:
        wanted = _ask(TRIAL, source, check, filename, timeout=timeout)
        got = _ask(TRIAL, blob, check, timeout=timeout)
        if got != wanted:
            text = [each.decode("utf-8", "replace")[:200] for each in (got, wanted)]
            raise Error(f"the check of the snapshot gave {text[0]}, and without it {text[1]}")
    return Snapshot(blob, version())


def _ask(script: str, given: bytes, *args: str, timeout: float) -> bytes:
    """What a process of its own says, for `script` with `given` as its input."""
    packages = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", START + script, packages, *args]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"a process of the snapshot took more than {timeout:g} s") from None
    if done.returncode == 0 and done.stdout:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != SAID:
        last = said.splitlines()[-1:] or ["no message"]
        said = (
            f"V8 could not make or use a snapshot of this (exit code {done.returncode}): {last[0]}"
        )
    raise Error(said)
