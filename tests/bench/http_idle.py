# SPDX-License-Identifier: MIT
"""What an idle keep-alive connection costs: resident memory of the server, and CPU of all of them.

    python tests/bench/http_idle.py [--count 10000] [--uvicorn]

Each form starts a server of its own, opens a tenth of the connections so that what is allocated
once is there, and then the rest, each after one answered request; the growth of the server's
resident memory is divided by their number. Then nobody says anything for --seconds, and the CPU
time that the server has used is told. The goals: 2 KiB each, and 0.0 % of a core.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from contextlib import ExitStack

from idle_server import ask, resident, serving

GOAL = 2 * 1024
APP = ("slow_apps:app", "--timeout-keep-alive", "600")
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"
)


def processor_time(pid: int) -> float:
    """Seconds of CPU time, to the kernel's nanosecond."""
    with open(f"/proc/{pid}/schedstat", "rb") as stat:
        return int(stat.read().split()[0]) / 1e9


def connect(port: int) -> socket.socket:
    """A connection that has had one answer."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    ask(sock, REQUEST)
    return sock


def measure(module: str, count: int, seconds: float, *options: str) -> tuple[int, float]:
    """Bytes of resident memory per connection, and percent of a core while they are idle."""
    with ExitStack() as stack:
        port, pid = stack.enter_context(serving(module, *APP, *options))
        for _ in range(count // 10):
            stack.enter_context(connect(port))
        before = resident(pid)
        for _ in range(count):
            stack.enter_context(connect(port))
        size = (resident(pid) - before) // count
        used = processor_time(pid)
        time.sleep(seconds)
        return size, (processor_time(pid) - used) / seconds * 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--uvicorn", action="store_true", help="measure uvicorn, too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * arguments.count + 1000), hard))
    servers = [("asgiserver", ("--no-js",))] + [("uvicorn", ())] * arguments.uvicorn
    print(f"{arguments.count} idle keep-alive connections, silent for {arguments.seconds:g} s")
    results = []
    for module, options in servers:
        size, share = measure(module, arguments.count, arguments.seconds, *options)
        results.append(size <= GOAL and round(share, 1) == 0.0)
        print(f"{module:>10} {size / 1024:6.2f} KiB each {share:7.3f} % of a core", flush=True)
    print(f"goal: {GOAL / 1024:.0f} KiB, 0.0 %: {'met' if results[0] else 'missed'}")
    return int(arguments.check and not results[0])


if __name__ == "__main__":
    sys.exit(main())
