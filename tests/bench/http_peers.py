#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""casgi beside uvicorn, granian and fastpysgi: the server's CPU time for a request, in every shape.

    tools/peers 'granian[uvloop]' fastpysgi           # once; uvicorn alone is made when needed
    make bench-peers                                  # all cases, 5 rounds
    python tests/bench/http_peers.py --cases hello,tls --rounds 9 --seconds 2

One worker, access log off, uvicorn with uvloop and httptools. In each case every server is started
on core 0, checked for the right answer and warmed up. Then come rounds A, B, C, A, B, C ... with
the load on core 1; a server that is not measured is held by SIGSTOP. A round waits for a quiet
machine and is taken again where others disturbed it. Figures are medians over the rounds, ratios
to uvicorn are taken round by round. README.md beside this file says how to read them.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import functools
import http.client
import json
import os
import re
import resource
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from http_peers_apps import FILE_VARIABLE
from processes import Failed, Group, busy, free_port, wait_quiet

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SERVER_CORE, CLIENT_CORE = "0", "1"
DISTURBED = 0.25
"""Share of a core by others above which a round is taken again."""
STARTS = 3
"""Starts in a round of a start-up case."""
BASE = "uvicorn"


@dataclass(frozen=True)
class Case:
    """One shape of load.

    Attributes:
        app: of http_peers_apps.
        goal: casgi's CPU time shall be at most this, times uvicorn's.
        path: what is asked for.
        connections: how many, all kept busy.
        expect: bytes of the right answer's body; 0: any with status 200 is right.
        body: bytes of the POST body, or of the WebSocket message.
        load: wrk, ws or h2load.
        script: wrk's.
        extra: further arguments of wrk or h2load.
        tls: over TLS.
        beside: {peer: at most this, times the peer's}, in addition.
    """

    app: str
    goal: float | None
    path: str = "/"
    connections: int = 64
    expect: int = 0
    body: int = 0
    load: str = "wrk"
    script: str = ""
    extra: tuple[str, ...] = ()
    tls: bool = False
    beside: tuple[tuple[str, float], ...] = ()


PIPELINE = """
local batch
function init(args) batch = string.rep(wrk.format("GET"), 16) end
function request() return batch end
"""
POST = """
function init(args)
  wrk.method = "POST"
  wrk.body = string.rep("x", tonumber(args[1]))
end
"""
CLOSE = ("-H", "Connection: close")
MIB = 1 << 20
CASES = {
    "hello": Case("hello", 0.40, expect=13, beside=(("fastpysgi", 0.66),)),
    "pipeline": Case("hello", 0.11, expect=13, script=PIPELINE),
    "json": Case("json", 0.40, expect=1024),
    "post10k": Case("echo", 0.45, expect=10_000, body=10_000, script=POST),
    "post1m": Case("echo", 0.50, expect=MIB, body=MIB, script=POST, connections=8),
    "big1m": Case("big", 0.85, expect=MIB, connections=8),
    "stream": Case("stream", 0.12, expect=102_400, connections=16),
    "close": Case("hello", 0.55, expect=13, connections=16, extra=CLOSE),
    "fastapi": Case("fastapi", 0.75, path="/items/42?q=abc"),
    "fastapi_sync": Case("fastapi", 0.70, path="/sync/42?q=abc"),
    "file": Case("static", 0.22, path="/file", expect=102_400, connections=16),
    "tls": Case("hello", 0.48, expect=13, tls=True),
    "tls_new": Case("hello", 0.45, expect=13, tls=True, connections=16, extra=CLOSE),
    "ws": Case("ws", 0.50, body=32, load="ws"),
    "ws64k": Case("ws", 0.75, body=65_536, connections=8, load="ws"),
    "h2c": Case("hello", None, expect=13, connections=32, extra=("-m", "10"), load="h2load"),
    "h2": Case("hello", None, expect=13, connections=32, extra=("-m10",), load="h2load", tls=True),
}
PROCESS_CASES = {"start1": 0.55, "start4": 0.30, "idle": 0.0, "rss": 0.75}
"""What is measured without load; times uvicorn's, but idle: per cent of a core."""


# ---- the servers -----------------------------------------------------------------------------

Command = Callable[[Case, int, int, Path | None], list[str | Path]]


def servers(peers: Path) -> dict[str, Command]:
    """{name: what starts it}: casgi, uvicorn, and what else the peers' virtualenv has.

    All run in that virtualenv, casgi by $PYTHONPATH: the same interpreter, with as much to import.
    """

    def with_uvicorns_flags(case: Case, port: int, workers: int, tls: Path | None) -> list[Any]:
        words = [f"http_peers_apps:{case.app}", "--app-dir", HERE, "--port", str(port)]
        words += ["--workers", str(workers), "--no-access-log", "--log-level", "warning"]
        if tls is not None:
            words += ["--ssl-certfile", tls / "cert.pem", "--ssl-keyfile", tls / "key.pem"]
        return words

    def casgi(case: Case, port: int, workers: int, tls: Path | None) -> list[str | Path]:
        command: list[str | Path] = [peers / "python", "-P", "-m", "asgiserver"]
        command += ["--http2"] if case.load == "h2load" else []
        return command + with_uvicorns_flags(case, port, workers, tls)

    def uvicorn(case: Case, port: int, workers: int, tls: Path | None) -> list[str | Path]:
        command: list[str | Path] = [peers / "uvicorn", "--loop", "uvloop", "--http", "httptools"]
        return command + with_uvicorns_flags(case, port, workers, tls)

    def granian(case: Case, port: int, workers: int, tls: Path | None) -> list[str | Path]:
        command: list[str | Path] = [peers / "granian", "--interface", "asgi", "--loop", "uvloop"]
        command += ["--working-dir", HERE, "--port", str(port), "--workers", str(workers)]
        command += ["--no-access-log", "--log-level", "warning"]
        if tls is not None:
            command += ["--ssl-certificate", tls / "cert.pem", "--ssl-keyfile", tls / "key.pem"]
        return [*command, f"http_peers_apps:{case.app}"]

    def fastpysgi(case: Case, port: int, workers: int, tls: Path | None) -> list[str | Path]:
        command: list[str | Path] = [peers / "python", HERE / "run_fastpysgi.py"]
        command += [f"http_peers_apps:{case.app}", str(port), str(workers)]
        return command + ([tls / "cert.pem", tls / "key.pem"] if tls is not None else [])

    found: dict[str, Command] = {"casgi": casgi, "uvicorn": uvicorn}
    for peer in (granian, fastpysgi):
        if (peers / peer.__name__).exists():
            found[peer.__name__] = peer
    return found


class Server(Group):
    """One running server on core 0."""

    pin: tuple[str, ...] = ("taskset", "-c", SERVER_CORE)

    def __init__(self, command: Command, case: Case, folder: Path, workers: int = 1) -> None:
        self.case = case
        self.port = free_port()
        tls = folder if case.tls else None
        self.born = time.monotonic()
        super().__init__(
            [*self.pin, *command(case, self.port, workers, tls)],
            HERE,
            {FILE_VARIABLE: str(folder / "file"), "PYTHONPATH": str(ROOT)},
        )

    @property
    def url(self) -> str:
        return f"http{'s' * self.case.tls}://127.0.0.1:{self.port}{self.case.path}"

    def wait_answer(self, limit: float = 20) -> float:
        """Waits for the first answer and checks it. Returns the seconds since the start."""
        case = self.case
        body = b"x" * case.body if case.load == "wrk" and case.body else None
        connect: Callable[..., http.client.HTTPConnection] = http.client.HTTPConnection
        if case.tls:
            context = ssl._create_unverified_context()
            connect = functools.partial(http.client.HTTPSConnection, context=context)
        while True:
            connection = connect("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("POST" if body else "GET", case.path, body)
                answer = connection.getresponse()
                found = answer.status, len(answer.read())
                break
            except (OSError, http.client.HTTPException) as error:
                if self.process.poll() is not None or time.monotonic() - self.born > limit:
                    raise Failed(f"no answer: {error!r} {self.tail()}") from None
                time.sleep(0.002)
            finally:
                connection.close()
        if found != (200, case.expect or found[1]):
            raise Failed(f"wrong answer: status {found[0]}, {found[1]} bytes")
        return time.monotonic() - self.born


# ---- the load ----------------------------------------------------------------------------------


def tool(*command: str | Path, limit: float) -> str:
    """Runs a load generator on core 1 and returns what it printed."""
    done = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, *command], capture_output=True, text=True, timeout=limit
    )
    if done.returncode:
        raise Failed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def wrk(
    url: str,
    connections: int,
    seconds: int,
    script: str = "",
    extra: Sequence[str] = (),
    values: Sequence[str] = (),
) -> int:
    """Loads with wrk; returns how many requests were answered.

    Args:
        script: in Lua; none where empty.
        extra: further options.
        values: the script's arguments.

    Raises:
        Failed: an answer was not 200, or a socket failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        options = ["-s", file.name] if script else []
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *options, *extra, url]
        text = tool(*command, *["--"] * bool(values), *values, limit=seconds + 30)
    if bad := re.findall(r"(?:Socket errors|Non-2xx).*", text):
        raise Failed(f"wrk: {'; '.join(bad)}")
    found = re.search(r"(\d+) requests in", text)
    assert found is not None
    return int(found[1])


def generate(server: Server, seconds: int) -> int:
    """Loads the server; returns how many requests or messages were answered."""
    case = server.case
    if case.load == "ws":
        size = [str(case.connections), str(case.body), str(seconds)]
        command = [sys.executable, HERE / "ws_load.py", str(server.port), *size]
        return int(tool(*command, limit=seconds + 30))
    if case.load == "h2load":
        command = ["h2load", "-t1", f"-c{case.connections}", f"-D{seconds}", "--npn-list=h2"]
        text = tool(*command, *case.extra, server.url, limit=seconds + 30)
        if not re.search("Application protocol: h2c?\n", text):
            raise Failed("no HTTP/2")
        if not re.search(r" 0 failed, 0 errored, 0 timeout", text):
            raise Failed("h2load: failed requests")
        found = re.search(r"(\d+) 2xx", text)
        assert found is not None
        return int(found[1])
    values = [str(case.body)] if case.body else []
    return wrk(server.url, case.connections, seconds, case.script, case.extra, values)


def measure(server: Server, seconds: int, patience: float) -> float:
    """One round: the server's CPU time for a request, in microseconds."""

    def clocks() -> tuple[float, float, float]:
        children, own = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu()
        client = children.ru_utime + children.ru_stime
        return own, busy() - own - client, time.monotonic()

    until = time.monotonic() + patience
    while True:
        wait_quiet(until - time.monotonic())
        server.signal(signal.SIGCONT)
        before = clocks()
        number = generate(server, seconds)
        own, others, took = (b - a for a, b in zip(before, clocks(), strict=True))
        server.signal(signal.SIGSTOP)
        if not number or server.process.poll() is not None:
            raise Failed(f"nothing answered under load, or died: {server.tail()}")
        if others / took <= DISTURBED or time.monotonic() >= until:
            return own / number * 1e6


Samples = dict[str, list[float]]


@contextlib.contextmanager
def failing(samples: Samples, name: str, running: dict[str, Server]) -> Iterator[None]:
    """Takes a server that cannot do a case out of it, and stops it: it may run in circles."""
    try:
        yield
    except (Failed, OSError, subprocess.TimeoutExpired, http.client.HTTPException) as error:
        print(f"  {name}: not measured ({error})", file=sys.stderr)
        del samples[name]
        if name in running:
            running[name].stop(1)


def load_case(
    case: Case, commands: dict[str, Command], folder: Path, options: argparse.Namespace
) -> Samples:
    """All rounds of one case: {server: µs of each round}, without the servers that cannot do it."""
    samples: Samples = {name: [] for name in commands}
    with contextlib.ExitStack() as stack:
        running: dict[str, Server] = {}
        for name, command in commands.items():
            with failing(samples, name, running):
                server = running[name] = Server(command, case, folder)
                stack.callback(server.stop, 1)
                server.wait_answer()
                generate(server, 1)
                server.signal(signal.SIGSTOP)
        for _ in range(options.rounds):
            for name in list(samples):
                with failing(samples, name, running):
                    samples[name].append(measure(running[name], options.seconds, options.patience))
    return samples


def process_case(
    name: str, commands: dict[str, Command], folder: Path, options: argparse.Namespace
) -> Samples:
    """Start to first answer in ms, CPU while idle in per cent, or RSS in MB, by server."""
    samples: Samples = {name: [] for name in commands}
    once = name in ("idle", "rss")
    for _ in range(1 if name == "idle" else options.rounds if once else options.rounds * STARTS):
        wait_quiet(options.patience)
        for peer in list(samples):
            with failing(samples, peer, {}), contextlib.ExitStack() as stack:
                workers = 4 if name == "start4" else 1
                server = Server(commands[peer], CASES["hello"], folder, workers)
                stack.callback(server.stop, 1)
                took = server.wait_answer()
                if name == "rss":
                    time.sleep(0.3)
                    samples[peer].append(server.memory()["rss_mb"])
                elif name == "idle":
                    time.sleep(1)
                    before, start = server.cpu(), time.monotonic()
                    time.sleep(10)
                    used = (server.cpu() - before) / (time.monotonic() - start)
                    samples[peer].append(used * 100)
                else:
                    samples[peer].append(took * 1e3)
    return samples


# ---- what is printed ---------------------------------------------------------------------------


def ratio(samples: Samples, name: str, base: str) -> float | None:
    """Median of a server's figures over another's, round by round."""
    if not samples.get(name) or not samples.get(base):
        return None
    pairs = zip(samples[name], samples[base], strict=True)
    return statistics.median(a / b if b else float("inf") for a, b in pairs)


def cell(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def judge(name: str, samples: Samples) -> tuple[str, bool | None]:
    """The goal of a case in words, and whether it is held; None where there is none to hold."""
    if name == "idle":
        used = samples.get("casgi")
        return "0.0 %", None if not used else used[0] < 0.05
    if name in PROCESS_CASES:
        goals = [(BASE, PROCESS_CASES[name])]
    else:
        case = CASES[name]
        goals = [(BASE, case.goal)] if case.goal else []
        goals += case.beside
    known = [(r, goal) for peer, goal in goals if (r := ratio(samples, "casgi", peer)) is not None]
    text = ", ".join(f"{goal:.2f}" + f" x {peer}" * (peer != BASE) for peer, goal in goals)
    # Goals have two digits; so has what is compared with them.
    return text or "-", all(round(r, 2) <= goal for r, goal in known) if known else None


def row(name: str, samples: Samples, peers: list[str]) -> str:
    """A line of the table."""
    medians = {key: statistics.median(values) for key, values in samples.items() if values}
    digits = 1 if min(medians.values(), default=0) < 100 else 0
    others = [peer for peer in peers if peer not in ("casgi", BASE)]
    cells = [name, cell(medians.get(BASE), digits)]
    for peer in others:
        value = ratio(samples, peer, BASE) if name != "idle" else None
        if value is None and peer in medians:  # Without uvicorn there is the figure itself.
            cells.append(f"({cell(medians[peer], digits)})")
        else:
            cells.append(cell(value))
    mine = samples.get("casgi") or [0]
    spread = (max(mine) - min(mine)) / 2 / (statistics.median(mine) or 1) * 100
    cells += [cell(medians.get("casgi"), digits), f"{spread:.0f}"]
    cells += [cell(ratio(samples, "casgi", BASE)) if name != "idle" else "-"]
    goal, held = judge(name, samples)
    cells += [goal, {None: "-", True: "yes", False: "**no**"}[held]]
    return "| " + " | ".join(cells) + " |"


def head(peers: list[str]) -> str:
    others = [f"{peer} x" for peer in peers if peer not in ("casgi", BASE)]
    titles = ["case", BASE, *others, "casgi", "± %", "casgi x", "goal ≤", "held"]
    return "| " + " | ".join(titles) + " |\n|---|" + "---:|" * (len(titles) - 2) + "---|"


def make_files(folder: Path) -> None:
    """A P-256 certificate, and the file that is sent."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    out = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "30"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *out, *subject], check=True, stderr=subprocess.DEVNULL
    )
    (folder / "file").write_bytes(b"x" * 102_400)


def main() -> int:
    """Runs the cases; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    every = [*CASES, *PROCESS_CASES]
    add("--cases", default=",".join(every), help="comma-separated, of: " + ", ".join(every))
    add("--rounds", type=int, default=5)
    add("--seconds", type=int, default=3, help="of load in a round (default: 3)")
    add("--patience", type=float, default=30, help="seconds a round waits for a quiet machine")
    add("--servers", help="comma-separated; by default all that are installed")
    add("--peers", type=Path, help="bin folder of the peers' virtualenv (default: tools/peers)")
    add("--json", type=Path, default=ROOT / "build" / "bench-peers.json", help="where figures go")
    add("--check", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args()
    names = options.cases.split(",")
    if unknown := [name for name in names if name not in every]:
        parser.error(f"unknown cases: {', '.join(unknown)}")
    for program in ("wrk", "taskset", "openssl"):
        if shutil.which(program) is None:
            parser.error(f"{program} is needed")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in good order, servers too
    if options.peers is None:
        done = subprocess.run([ROOT / "tools" / "peers"], stdout=subprocess.PIPE, check=True)
        options.peers = Path(done.stdout.decode().strip())
    commands = servers(options.peers)
    if options.servers:
        commands = {name: commands[name] for name in options.servers.split(",")}
    print(
        f"{options.rounds} rounds of {options.seconds} s, one worker, access log off, CPU µs of the"
        f" server for a request; load average {os.getloadavg()[0]:.1f}\n\n{head(list(commands))}",
        flush=True,
    )
    for package in ("asgiserver", "jsrt", "tests/bench"):  # As an installation does.
        compileall.compile_dir(ROOT / package, quiet=1)
    figures, good = {}, True
    with tempfile.TemporaryDirectory(prefix="http-peers-") as path:
        folder = Path(path)
        make_files(folder)
        for name in names:
            if name in CASES:
                samples = load_case(CASES[name], commands, folder, options)
            else:
                samples = process_case(name, commands, folder, options)
            figures[name] = samples
            good &= judge(name, samples)[1] is not False
            print(row(name, samples, list(commands)), flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print("\nstart1, start4: ms to the first answer; idle: % of a core; rss: MB")
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
