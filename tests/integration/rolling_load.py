# SPDX-License-Identifier: MIT
"""A load of keep-alive connections that tells every request that was not answered.

    python rolling_load.py (PORT | PATH) CONNECTIONS

Each connection sends its next request as soon as it has the last answer, and opens another one
only after an answer that says `connection: close`: whatever ends otherwise was lost. It goes on
until a line comes on its standard input, and then prints a JSON object: answers, failures (a few of
them, as texts), failed (how many), slowest (seconds). After 100 answers it prints a line, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Load:
    """What all connections have counted."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = 0
        self.failed = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self.stopping = False
        self.begun = asyncio.Event()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.address.isdigit():
            return await asyncio.open_connection("127.0.0.1", int(self.address))
        return await asyncio.open_unix_connection(self.address)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request. Returns whether the connection goes on."""
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, fields = head.lower().partition(b"\r\n")
        length = int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        if status.split()[1] != b"200":
            raise ConnectionError(status.decode())
        return b"connection: close" not in fields

    async def connection(self) -> None:
        writer = None
        while not self.stopping:
            began = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await self.connect()
                async with asyncio.timeout(10):
                    goes_on = await self.ask(reader, writer)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.failed += 1
                if len(self.failures) < 10:
                    self.failures.append(repr(error))
                goes_on = False
            else:
                self.answers += 1
                if self.answers == 100:
                    self.begun.set()
                self.slowest = max(self.slowest, time.monotonic() - began)
            if writer is not None and not goes_on:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    async def run(self, connections: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self.connection())
            await self.begun.wait()
            print("begun", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            self.stopping = True


def main() -> None:
    async def run() -> Load:
        load = Load(sys.argv[1])
        await load.run(int(sys.argv[2]))
        return load

    load = asyncio.run(run())
    print(
        json.dumps(
            {
                "answers": load.answers,
                "failed": load.failed,
                "failures": load.failures,
                "slowest": round(load.slowest, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
