# SPDX-License-Identifier: MIT
"""What --stats costs a request, in instructions, counted by callgrind.

python tests/bench/stats_cost.py [--check]

A server of the smallest application answers a few thousand requests on one connection, with a
record to count in and without. Each is run with few and with many requests; the difference leaves
the start and the end out. The requests come in batches (pipelined): turns of the loop that wait for
a client's next one take a varying number of instructions, and would hide what is looked for.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FEW, MANY = 1000, 4000
BATCH = 50
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
GOAL = 1.0
"""Per cent."""


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The application."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


def serve(descriptor: int, stats: bool) -> None:
    """Serves until its one client has gone."""
    import asyncio
    import gc

    from asgiserver import _core, new_event_loop
    from asgiserver.vitals import Pulses

    gc.disable()

    async def main() -> None:
        pulses = Pulses()
        line = pulses.take()
        assert line is not None
        settings = {"stats": pulses.record(line) if stats else None, "timeout_keep_alive": 600.0}
        server: Any = _core.Server(asyncio.get_running_loop(), hello, settings)
        server.listen(socket.socket(fileno=descriptor))
        while server.total_requests == 0 or server.connections:
            await asyncio.sleep(1)
        server.abort()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def instructions(requests: int, stats: bool) -> int:
    """How many a server needs for so many requests, start and end included."""
    with socket.create_server(("127.0.0.1", 0)) as sock, tempfile.TemporaryDirectory() as folder:
        fd = sock.fileno()
        out = Path(folder) / "callgrind.out"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command = [*tool, sys.executable, __file__, "--serve", str(fd), *["--stats"] * stats]
        with subprocess.Popen(
            command, pass_fds=[fd], stderr=subprocess.PIPE, env={"PYTHONHASHSEED": "0"}
        ) as process:
            with socket.create_connection(sock.getsockname()) as client:
                for _ in range(requests // BATCH):
                    client.sendall(REQUEST * BATCH)
                    answers = b""
                    while answers.count(b"Hello, world!") < BATCH:
                        answers += client.recv(65536)
            assert process.wait(120) == 0
            assert process.stderr is not None
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
        assert found is not None
        return int(found[1])


def main() -> None:
    """Prints what it costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stats", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with 1 where it is too much")
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.stats)
        return
    per_request = {
        stats: (instructions(MANY, stats) - instructions(FEW, stats)) / (MANY - FEW)
        for stats in (False, True)
    }
    added = per_request[True] - per_request[False]
    share = added / per_request[False] * 100
    print(f"without: {per_request[False]:9.1f} instructions a request")
    print(f"with:    {per_request[True]:9.1f}")
    print(f"--stats: {added:+9.1f}, {share:+.2f} % (goal: at most {GOAL:g} %)")
    if options.check and share > GOAL:
        sys.exit(1)


if __name__ == "__main__":
    main()
