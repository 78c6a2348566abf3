#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""FastAPI that computes in JavaScript: casgi's request.state.js against uvicorn + never_jscore.

    make bench-seed                                   # all forms, 3 rounds
    python tests/bench/seed.py --forms uvicorn-local,casgi-js --only fastapi --rounds 5

One application (seed_apps.py) and one script (examples/fastapi_js/lib.js) in several forms, four
workers each. A round takes the forms in turn; each gets a new server, alone on the machine, then
its first 100 requests at 20 connections (cold), 100 more (seed), a second of wrk to warm up and
--seconds of wrk at 20 connections. Figures are medians over the rounds, ratios are taken round by
round. README.md beside this file says how to read them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processes import Failed, Group, busy, free_port, milliseconds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = ROOT / "examples" / "fastapi_js" / "lib.js"
WORKERS = 4
CONNECTIONS = 20
BURST = 100
DATA = "The quick brown fox jumps over the dogs!"  # 40 characters
BODY = json.dumps({"data": DATA}).encode()


@dataclass(frozen=True)
class Form:
    """A server, who computes ($SEED_ENGINE of seed_apps.py), and more of the command line."""

    server: str
    engine: str
    flags: tuple[str, ...] = ()


JS = ("--js", str(LIB))
FORMS = {
    "uvicorn": Form("uvicorn", "none"),
    "uvicorn-engine1": Form("uvicorn", "engine1"),
    "uvicorn-engine4": Form("uvicorn", "engine4"),
    "uvicorn-local": Form("uvicorn", "local"),
    "casgi": Form("casgi", "none", ("--no-js",)),
    "casgi-js": Form("casgi", "state", JS),
    "casgi-js-bare": Form("casgi", "state", (*JS, "--js-profile", "bare")),
    "casgi-def": Form("casgi", "def", JS),
}
FIGURES = ["cold_rps", "seed_rps", "wrk_rps", "p50_ms", "p99_ms", "rss_mb", "pss_mb", "isolates"]


def expected(data: str) -> dict[str, object]:
    """What process(data) of lib.js has to answer, computed by Python."""
    cipher = ""
    for c in data:
        first = 97 if "a" <= c <= "z" else 65 if "A" <= c <= "Z" else 0
        cipher += chr((ord(c) - first + 3) % 26 + first) if first else c
    fnv = 0x811C9DC5
    for byte in cipher.encode():
        fnv = (fnv ^ byte) * 0x01000193 & 0xFFFFFFFF
    return {"cipher": cipher, "hash": fnv, "base64": base64.b64encode(cipher.encode()).decode()}


# ---- the server ------------------------------------------------------------------------------


class Server(Group):
    """One running server: the group is led by the supervisor."""

    def __init__(self, form: Form, app: str, peers: Path) -> None:
        self.port = free_port()
        self.ready_folder = tempfile.TemporaryDirectory(prefix="bench-seed-")
        self.ready = Path(self.ready_folder.name, "ready")
        self.ready.touch()
        head: list[str | Path] = [sys.executable, "-P", "-m", "asgiserver"]
        if form.server == "uvicorn":
            # By default its supervisor kills a worker that was busy for 5 s.
            head = [peers / "uvicorn", "--timeout-worker-healthcheck", "60"]
        command = [*head, f"seed_apps:{app}", "--factory", "--app-dir", HERE]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(WORKERS)]
        command += ["--no-access-log", "--log-level", "info", *form.flags]
        environment = {
            "SEED_ENGINE": form.engine,
            "SEED_READY": str(self.ready),
            "SEED_CONSTANT": json.dumps(expected(DATA)),
        }
        super().__init__(command, ROOT, environment)

    def wait_ready(self, limit: float = 60) -> None:
        """Waits until all workers have started and the group rests: no request is made."""
        until, rest = time.monotonic() + limit, 0
        while rest < 3:
            if self.process.poll() is not None:
                raise Failed(f"ended with {self.process.returncode}: {self.tail()}")
            if time.monotonic() > until:
                raise Failed(f"not ready after {limit:.0f} s: {self.tail()}")
            before = self.cpu()
            time.sleep(0.1)
            started = len(self.ready.read_text().split()) >= WORKERS
            rest = rest + 1 if started and self.cpu() - before < 0.03 else 0

    def isolates(self) -> int:
        """How many V8 isolates live in the workers, as they tell themselves."""
        found: dict[int, int] = {}
        for _ in range(20):  # the kernel chooses the worker: ask on many connections at a time
            asked = []
            for _ in range(CONNECTIONS):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("GET", "/isolates")
                asked.append(connection)
            for connection in asked:
                answer = json.loads(connection.getresponse().read())
                found[answer["pid"]] = answer["isolates"]
                connection.close()
            if len(found) == WORKERS:
                return sum(found.values())
        raise Failed(f"only {len(found)} of {WORKERS} workers answered GET /isolates")

    def stop(self, limit: float = 10) -> bool:
        said, orderly = self.tail(), super().stop(limit)
        if not orderly:
            print(f"  the server did not stop within {limit:g} s: {said}", file=sys.stderr)
        self.ready_folder.cleanup()
        return orderly


# ---- the load --------------------------------------------------------------------------------


def burst(port: int, total: int = BURST, connections: int = CONNECTIONS) -> float:
    """Sends `total` requests over keep-alive connections and returns requests a second.

    One thread over non-blocking sockets; the time runs from the first connect to the last byte.
    The answers are checked after it.

    Raises:
        Failed: a wrong answer, a closed connection, or silence for 60 s.
    """
    request = (
        f"POST /api HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    answers: list[tuple[bytes, bytes]] = []
    buffers: dict[socket.socket, bytes] = {}
    left = total
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        start = time.perf_counter()
        for _ in range(connections):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(request)
            left -= 1
            buffers[s] = b""
            selector.register(s, selectors.EVENT_READ)
        while len(answers) < total:
            if not (events := selector.select(60)):
                raise Failed(f"no answer for 60 s, {len(answers)} of {total} came")
            for key, _ in events:
                s = key.fileobj  # type: ignore[assignment]
                if not (piece := s.recv(65536)):
                    raise Failed("the server closed a connection")
                buffers[s] += piece
                head, end, body = buffers[s].partition(b"\r\n\r\n")
                if not end:
                    continue
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
                if length is None or len(body) < int(length[1]):
                    continue
                answers.append((head, body))
                buffers[s] = b""
                if left:
                    s.sendall(request)
                    left -= 1
        took = time.perf_counter() - start
    wanted = {"result": expected(DATA)}
    for head, body in set(answers):
        if not head.startswith(b"HTTP/1.1 200 ") or json.loads(body) != wanted:
            raise Failed(f"wrong answer: {head.splitlines()[0]!r} {body[:200]!r}")
    return total / took


def wrk(port: int, seconds: int, script: Path) -> dict[str, float]:
    """Loads the server with wrk. Raises Failed on any answer but 200, or any socket error."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/api"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    if done.returncode:
        raise Failed(f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
    if bad := re.findall(r"(?:Socket errors|Non-2xx).*", done.stdout):
        raise Failed(f"wrk: {'; '.join(bad)}")

    def figure(pattern: str) -> str:
        if (found := re.search(pattern, done.stdout, re.M)) is None:
            raise Failed(f"wrk said nothing of {pattern}: {done.stdout[-300:]}")
        return found[1]

    return {
        "wrk_rps": float(figure(r"Requests/sec:\s+([\d.]+)")),
        "p50_ms": milliseconds(figure(r"^ +50% +(\S+)")),
        "p99_ms": milliseconds(figure(r"^ +99% +(\S+)")),
    }


def measure(name: str, app: str, seconds: int, peers: Path, script: Path) -> dict[str, float]:
    """One round of one form: its figures, the server's CPU time for a request of wrk's, and the
    share of a core that others used meanwhile."""
    server = Server(FORMS[name], app, peers)
    try:
        server.wait_ready()
        figures = {"cold_rps": burst(server.port), "seed_rps": burst(server.port)}
        wrk(server.port, 1, script)

        def clocks() -> tuple[float, float, float]:
            children, own = os.times(), server.cpu()
            client = children.children_user + children.children_system
            return own, busy() - own - client, time.monotonic()

        before = clocks()
        figures |= wrk(server.port, seconds, script)
        own, others, took = (b - a for a, b in zip(before, clocks(), strict=True))
        figures |= server.memory() | {"isolates": server.isolates()}
        requests = figures["wrk_rps"] * seconds
        return figures | {"others": others / took, "cpu_us": own / requests * 1e6}
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
        raise Failed(f"{error!r}: {server.tail()}") from error
    finally:
        server.stop()


# ---- what is printed ---------------------------------------------------------------------------

Rounds = dict[tuple[str, str], list[dict[str, float]]]


def show(rounds: Rounds) -> list[dict[str, object]]:
    """Prints the table of medians; returns its rows."""
    rows: list[dict[str, object]] = []
    titles = ["cold req/s", "seed req/s", "wrk req/s", "p50 ms", "p99 ms", "RSS MB", "PSS MB"]
    print("\n| form | app | " + " | ".join([*titles, "isolates"]) + " |")
    print("|---|---|" + "---:|" * len(FIGURES))
    for (name, app), samples in rounds.items():
        row = {key: statistics.median(s[key] for s in samples) for key in FIGURES}
        digits = {"p50_ms": 2, "p99_ms": 2}
        cells = (f"{row[key]:,.{digits.get(key, 0)}f}" for key in FIGURES)
        print(f"| {name} | {app} | " + " | ".join(cells) + " |")
        rows.append(
            {"form": name, "app": app}
            | {key: round(value, 2) for key, value in row.items()}
            | {"isolates": int(row["isolates"])}
        )
    return rows


# (app, figure, ours, theirs, bound): ours/theirs has to be at least the bound, or at most -bound.
GOALS = [
    ("fastapi", "wrk_rps", "casgi-js", "uvicorn-local", 1.75),
    ("fastapi", "wrk_rps", "casgi-js", "uvicorn-engine1", 2.7),
    ("fastapi", "wrk_rps", "casgi-js", "uvicorn-engine4", 2.7),
    ("fastapi", "wrk_rps", "casgi-js", "casgi", 0.93),
    ("raw", "wrk_rps", "casgi-js", "uvicorn-local", 4.0),
    ("raw", "wrk_rps", "casgi-js", "uvicorn-engine1", 6.0),
    ("raw", "wrk_rps", "casgi-js", "uvicorn-engine4", 6.0),
    ("fastapi", "cold_rps", "casgi-js", "uvicorn-local", 15.0),
    ("fastapi", "pss_mb", "casgi-js", "uvicorn-local", -0.65),
    ("fastapi", "rss_mb", "casgi-js", "uvicorn-local", -0.75),
]


def judge(rounds: Rounds) -> bool:
    """Prints how the figures stand to the goals; False if one that was measured is missed."""
    lines, good = [], True
    for app, key, ours, theirs, bound in GOALS:
        other = {b["round"]: b[key] for b in rounds.get((theirs, app), [])}
        mine = [a for a in rounds.get((ours, app), []) if a["round"] in other]
        if not mine:
            continue
        ratio = statistics.median(a[key] / other[a["round"]] for a in mine)
        held = ratio >= bound if bound > 0 else ratio <= -bound
        good &= held
        goal = f"{'>=' if bound > 0 else '<='} {abs(bound):g}"
        lines.append(f"| {app} | {key} | {ours} / {theirs} | {ratio:.2f} | {goal} | {held} |")
    if lines:
        print("\n| app | figure | ratio of | is | goal | held |\n|---|---|---|---:|---:|---|")
        print("\n".join(lines).replace("| True |", "| yes |").replace("| False |", "| **no** |"))
    return good


def main() -> int:
    """Runs the rounds; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3)
    add("--seconds", type=int, default=5, help="of wrk in a round (default: 5)")
    add("--forms", default=",".join(FORMS), help="comma-separated, of: " + ", ".join(FORMS))
    add("--only", choices=["fastapi", "raw"], help="just this kind of application")
    add("--json", type=Path, default=ROOT / "build" / "bench-seed.json", help="where rows go")
    add("--check", action="store_true", help="exit with 1 if a goal is missed")
    args = parser.parse_args()
    names = args.forms.split(",")
    if unknown := [name for name in names if name not in FORMS]:
        parser.error(f"unknown forms: {', '.join(unknown)}")
    if shutil.which("wrk") is None:
        parser.error("wrk is needed: apt-get install wrk")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in good order, servers too
    apps = [args.only] if args.only else ["fastapi", "raw"]
    peers = Path()
    if any(FORMS[name].server == "uvicorn" for name in names):
        done = subprocess.run([ROOT / "tools" / "peers"], stdout=subprocess.PIPE, check=True)
        peers = Path(done.stdout.decode().strip())
    load = os.getloadavg()[0]
    print(f"{args.rounds} rounds, wrk {args.seconds} s, {os.cpu_count()} cores, load {load:.1f}")

    rounds: Rounds = {(name, app): [] for app in apps for name in names}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="bench-seed-") as folder:
        script = Path(folder, "post.lua")
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [==[{BODY.decode()}]==]\n"
        )
        for number in range(args.rounds):
            for name, app in rounds:
                try:
                    figures = measure(name, app, args.seconds, peers, script)
                except Failed as error:
                    failed += 1
                    print(f"  round {number + 1} {name} {app}: failed: {error}", flush=True)
                    continue
                rounds[name, app].append(figures | {"round": number})
                noise = f", others used {figures['others']:.0%} of a core"
                print(
                    f"  round {number + 1} {name} {app}: cold {figures['cold_rps']:,.0f}, "
                    f"seed {figures['seed_rps']:,.0f}, wrk {figures['wrk_rps']:,.0f} req/s, "
                    f"{figures['cpu_us']:.0f} µs of CPU each"
                    + (noise if figures["others"] > 0.1 else ""),
                    flush=True,
                )
    rows = show({key: samples for key, samples in rounds.items() if samples})
    good = judge(rounds)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{args.json}")
    return 1 if failed or (args.check and not good) else 0


if __name__ == "__main__":
    sys.exit(main())
