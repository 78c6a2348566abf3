# SPDX-License-Identifier: MIT
"""What an echoed message takes of a loop, in instructions and in system calls.

    python tests/bench/loop_counts.py [--only protocol,tcp,1] [--check]

The servers of loop_echo.py, over casgi's loop and uvloop. callgrind counts the instructions of FEW
and of MANY messages, strace the system calls; the difference leaves the start and the end out. Only
user space is counted: unlike loop_echo.py's times the figures repeat to some per cent on any
machine, busy or not, however dear its system calls are; they say nothing about caches.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from itertools import product
from pathlib import Path

import trustme
from loop_echo import KIB, SIZES, TRANSPORTS, WAYS, factories, listen, serve, start_client

FEW, MANY = 100, 600
LOOPS = ("casgi", "uvloop")
GOAL = 0.9


def run(name: str, way: str, transport: str, size: int, n: int, folder: Path) -> None:
    """In a process of its own: echoes n messages."""
    server = client = None
    if transport == "tls":
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(folder / "server.pem")
        client = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    with closing(factories()[name]()) as loop:
        asyncio.set_event_loop(loop)
        listening = listen(transport, folder)
        start_client(listening, size, n, client)
        loop.run_until_complete(serve(way, listening, server))
        asyncio.set_event_loop(None)


def make_certificates(folder: Path) -> None:
    """Made once: making a key takes a random number of instructions."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )


def instructions(command: list[str], folder: Path) -> int:
    """Of the process itself, not of its child, the client."""
    output = folder / "callgrind.out"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
    done = subprocess.run([*tool, *command], capture_output=True, text=True, check=True)
    return int(re.findall(r"Collected : (\d+)", done.stderr)[-1])


def calls(command: list[str], folder: Path) -> int:
    """System calls of the process itself."""
    output = folder / "strace.out"
    subprocess.run(["strace", "-c", "-o", str(output), *command], check=True)
    return int(re.findall(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)", output.read_text(), re.M)[-1])


def per_message(count, cell: list[str], folder: Path) -> float:  # type: ignore[no-untyped-def]
    """What one message more takes."""
    few, many = (
        count([sys.executable, __file__, "--run", *cell, str(n), str(folder)], folder)
        for n in (FEW, MANY)
    )
    return float(many - few) / (MANY - FEW)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="ways, transports and sizes in KiB, by comma")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--run", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, way, transport, size, n, where = options.run
        run(name, way, transport, int(size), int(n), Path(where))
        return 0
    if not shutil.which("valgrind") or not shutil.which("strace"):
        sys.exit("needs valgrind and strace")
    os.environ["PYTHONHASHSEED"] = "0"  # Starting takes the same each time.
    only = set(options.only.split(",")) - {""}
    groups = ({*WAYS}, {*TRANSPORTS}, {str(s // KIB) for s in SIZES})
    ratios = []
    print("| a message | instructions: casgi | uvloop | ratio | system calls: casgi | uvloop |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_certificates(Path(folder))
        for way, transport, size in product(WAYS, TRANSPORTS, SIZES):
            words = {way, transport, str(size // KIB)}
            if (way, transport) == ("sock", "tls") or not all(
                not (only & group) or only & group & words for group in groups
            ):
                continue
            cells = [[name, way, transport, str(size)] for name in LOOPS]
            ours, theirs = (per_message(instructions, cell, Path(folder)) for cell in cells)
            our_calls, their_calls = (per_message(calls, cell, Path(folder)) for cell in cells)
            ratios.append(ours / theirs)
            print(
                f"| {way} {transport} {size // KIB} KiB | {ours:,.0f} | {theirs:,.0f} "
                f"| {ratios[-1]:.2f} | {our_calls:.2f} | {their_calls:.2f} |",
                flush=True,
            )
    print(f"instructions: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}")
    missed = statistics.median(ratios) > GOAL or max(ratios) > 1.0
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
