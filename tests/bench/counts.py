# SPDX-License-Identifier: MIT
"""How many instructions a request takes, stage by stage of its way through the server.

make bench-counts                               # beside the table of docs/performance.md
python tests/bench/counts.py --write            # puts the new table there

callgrind counts the instructions of a server that answers FEW and MANY requests of one connection,
one at a time; the difference leaves the start and the end out. A stage is what its function takes,
the functions it calls included, less the stages within. Only user space is counted: what the kernel
does for a read and a write is not in it. Instructions repeat to some hundredths of a per cent where
time does not, on a busy machine too; they say nothing about caches.
"""

from __future__ import annotations

import argparse
import py_compile
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- counts: begin -->\n", "<!-- counts: end -->\n"
FEW, MANY = 500, 2500


@dataclass(frozen=True)
class Stage:
    """One stage of a request's way.

    Attributes:
        name: what is done there.
        file: whose it is, below asgiserver/core.
        functions: where it begins.
        within: the stages that are called from it, which are counted for themselves.
    """

    name: str
    file: str
    functions: tuple[str, ...]
    within: tuple[Stage, ...] = ()


ACCESS_LOG = Stage("access log: line", "asgi/accesslog", ("asgi_accesslog_write",))
LOGGED = Stage("access log: written", "asgi/accesslog", ("write_lines",))
WRITE = Stage("write", "net/stream", ("asgi_stream_flush",))
NEXT = Stage("end of the exchange", "net/conn_http1", ("asgi_http1_conn_answered",), (WRITE,))
STAGES = Stage(
    "turn of the loop",
    "loop/loop",
    ("asgi_loop_run",),
    (
        LOGGED,
        Stage(
            "poll and read",
            "net/stream",
            ("uv_run",),
            (
                Stage(
                    "connection",
                    "net/conn_http1",
                    ("asgi_http1_conn_input",),
                    (
                        Stage("parse", "proto/http1", ("asgi_http1_next",)),
                        Stage("scope", "asgi/scope", ("asgi_scope_build",)),
                        Stage("task: start", "asgi/task", ("asgi_task_start",)),
                    ),
                ),
            ),
        ),
        Stage(
            "task: steps",
            "loop/handle",
            ("asgi_handle_run",),
            (
                Stage(
                    "application",
                    "asgi/task",
                    ("asgi_task_send",),
                    (
                        Stage("receive", "asgi/receive", ("asgi_receive_take",)),
                        Stage("response: head", "asgi/send", ("asgi_send_start",), (ACCESS_LOG,)),
                        Stage("response: body", "asgi/send", ("send_piece",), (NEXT,)),
                    ),
                ),
            ),
        ),
    ),
)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """A constant answer."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The body that was sent."""
    body = (await receive())["body"]
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


FIELDS = b"Host: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n"
GET = b"GET / HTTP/1.1\r\n" + FIELDS + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + FIELDS + b"Content-Length: 1024\r\n\r\n" + b"x" * 1024
CASES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "hello": ("hello", GET, ("--no-js", "--no-access-log")),
    "access log": ("hello", GET, ("--no-js",)),
    "echo 1 KiB": ("echo", POST, ("--no-js", "--no-access-log")),
}
"""Name: application, request, arguments of casgi."""


def inclusive(profile: Path) -> dict[str, int]:
    """Instructions of each function with all that it calls."""
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no"]
    text = subprocess.run(
        [*command, str(profile)], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, int] = {}
    for count, name in re.findall(
        r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+\S*?:?(\w+)(?: \[|$)", text, re.M
    ):
        found[name] = max(found.get(name, 0), int(count.replace(",", "")))
    return found


def answered(client: socket.socket, request: bytes) -> None:
    """Sends one request and reads the whole answer."""
    client.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])  # type: ignore[index]
    while len(body) < length:
        body += client.recv(65536)
    assert head.startswith(b"HTTP/1.1 200 "), head


def profile(case: str, requests: int) -> dict[str, int]:
    """Instructions of a server that answers so many requests, its start and its end included."""
    app, request, arguments = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        (Path(folder) / "one.js").write_text("function one() { return 1 }")
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        server = [sys.executable, "-P", "-m", "asgiserver", f"counts:{app}", "--app-dir", str(HERE)]
        options = [*arguments, "--uds", "s", "--lifespan", "off"]
        with subprocess.Popen(
            [*tool, *server, *options],
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "running on" in line:
                    break
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{folder}/s")
                for _ in range(requests):
                    answered(client, request)
            process.terminate()
            process.communicate(timeout=120)
        return inclusive(out)


def taken(case: str) -> dict[str, float]:
    """Instructions of one request by stage; `total` is all of them."""
    few, many = profile(case, FEW), profile(case, MANY)

    def count(stage: Stage) -> float:
        names = stage.functions
        return sum(many.get(n, 0) - few.get(n, 0) for n in names) / (MANY - FEW)

    rows: dict[str, float] = {}

    def add(stage: Stage) -> None:
        rows[stage.name] = count(stage) - sum(map(count, stage.within))
        for inner in stage.within:
            add(inner)

    add(STAGES)
    return {**rows, "total": count(STAGES)}


def files() -> dict[str, str]:
    """The owner of each stage."""
    found: dict[str, str] = {}

    def add(stage: Stage) -> None:
        found[stage.name] = stage.file
        for inner in stage.within:
            add(inner)

    add(STAGES)
    return found


def table(columns: dict[str, dict[str, float]]) -> str:
    """Markdown, one row a stage and one column a case."""
    lines = [
        "| stage | file | " + " | ".join(columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for stage, file in {**files(), "total": ""}.items():
        cells = [f"{column[stage]:,.0f}" for column in columns.values()]
        owner = f"`{file}`" if file else ""
        lines.append(f"| {stage} | {owner} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def committed(text: str) -> dict[str, dict[str, float]]:
    """The table of the document, as columns."""
    rows = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("|")]
    if not rows:
        return {}
    names = rows[0][2:]
    return {
        name: {row[0]: float(row[2 + i].replace(",", "")) for row in rows[2:]}
        for i, name in enumerate(names)
    }


def main() -> None:
    """Prints the table and where it differs from the committed one."""
    parser = argparse.ArgumentParser(description="Instructions per request, stage by stage.")
    parser.add_argument("--cases", help=f"comma-separated, of: {', '.join(CASES)}")
    parser.add_argument("--write", action="store_true", help="replace the table in the document")
    options = parser.parse_args()
    cases = options.cases.split(",") if options.cases else list(CASES)
    py_compile.compile(__file__)  # Not by the first server, whose count it would be in.
    if options.write and cases != list(CASES):
        parser.error("--write takes all cases")
    columns = {case: taken(case) for case in cases}
    print(table(columns))

    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    for case, rows in columns.items():
        was = committed(old).get(case, {})
        changed = [
            f"{stage} {rows[stage] - was[stage]:+,.0f}"
            for stage in rows
            if stage in was and abs(rows[stage] - was[stage]) > 5
        ]
        print(f"{case}: {', '.join(changed) or 'as committed'}")
    if options.write:
        DOCUMENT.write_text(before + BEGIN + table(columns) + END + after)


if __name__ == "__main__":
    main()
