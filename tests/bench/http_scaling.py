#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the server's CPU time for a request grows: with workers, with connections, with bodies.

    python tests/bench/http_scaling.py                       # build/bench-scaling.csv
    python tests/bench/http_scaling.py --plot docs/img       # and SVG (pip install casgi[bench])
    python tests/bench/http_scaling.py --from FILE --plot docs/img      # of an earlier run
    python tests/bench/http_scaling.py --only workers                   # the other curves stay

Workers: 1, 2 and 4 casgi, answering 13 bytes to 128 connections: all on the server's core with the
load on the other, which shows what workers cost each other, and on all cores together with the
load, where they also change places with it. Connections: 100,
1,000 and 10,000, one worker; opening them is left out, as the difference of a long and a short
load. Bodies: 10 bytes to 10 MB, sent (down) and received (up), one worker, 8 connections.
Servers take turns, those not measured are stopped; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from http_peers import POST, Case, Command, Server, servers, wrk
from processes import Failed, wait_quiet

ROOT = Path(__file__).resolve().parents[2]
APP = Case("sizes", None, path="/13", expect=13)
WORKERS = (1, 2, 4)
CONNECTIONS = (100, 1_000, 10_000)
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
GOAL = 1.05
"""CPU time of a request with several workers, at most, times one worker's."""

Row = tuple[str, str, int, float, float, float]
"""Curve, server, x, and µs for a request: median, least, most."""


class Everywhere(Server):
    """A server on all cores, which its workers share with the load."""

    pin = ()


PLACES: dict[str, type[Server]] = {"load elsewhere": Server, "load beside": Everywhere}
CURVES = ("workers", "connections", "down", "up")


def settled(server: Server) -> float:
    """The server's CPU-seconds when it rests: thousands of connections take their time to close."""
    last = server.cpu()
    for _ in range(100):
        time.sleep(0.1)
        now = server.cpu()
        if now - last < 0.02:
            break
        last = now
    return now


class Runner:
    """Runs loads against servers that take turns.

    Args:
        patience: seconds to wait for a quiet machine, each time.
    """

    def __init__(self, rounds: int, patience: float) -> None:
        self.rounds = rounds
        self.patience = patience
        self.rows: list[Row] = []

    def cost(self, server: Server, load: Callable[[], int]) -> tuple[float, int]:
        """CPU-seconds of the server under a load, and how many requests that was."""
        wait_quiet(self.patience)
        server.signal(signal.SIGCONT)
        before = server.cpu()
        number = load()
        used = settled(server) - before
        server.signal(signal.SIGSTOP)
        if not number:
            raise Failed("nothing was answered")
        return used, number

    def point(self, curve: str, x: int, loads: dict[str, Callable[[], float]]) -> None:
        """All rounds of one point of a curve.

        Args:
            loads: by server, what measures it once: µs for a request.
        """
        samples: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(self.rounds):
            for name, load in loads.items():
                with contextlib.suppress(Failed):  # Told by a point that has no figure.
                    samples[name].append(load())
        for name, values in samples.items():
            if not values:  # Too slow for its seconds, or refused.
                print(f"{curve:12}{name:10}{x:>12,}  not measured", flush=True)
                continue
            middle = statistics.median(values)
            self.rows.append((curve, name, x, middle, min(values), max(values)))
            print(f"{curve:12}{name:10}{x:>12,}{middle:12.2f} µs", flush=True)

    def plain(self, server: Server, path: str, connections: int, post: int = 0) -> float:
        """A load of a second, longer for large bodies: µs for a request."""
        url = f"http://127.0.0.1:{server.port}{path}"
        script, values = (POST, [str(post)]) if post else ("", [])
        seconds = 1 if max(post, int(path[1:] or 0)) <= 1_000_000 else 3
        used, number = self.cost(
            server, lambda: wrk(url, connections, seconds, script, ("--timeout", "20s"), values)
        )
        return used / number * 1e6

    def opened(self, server: Server, connections: int) -> float:
        """µs for a request over connections that are there already."""
        url = f"http://127.0.0.1:{server.port}/13"
        opening = 1 + connections // 2500
        short, long = (
            self.cost(server, lambda s=s: wrk(url, connections, s, "", ("--timeout", "20s")))
            for s in (opening, opening + 3)
        )
        if long[1] <= short[1]:
            raise Failed("no more requests in a longer time")
        return (long[0] - short[0]) / (long[1] - short[1]) * 1e6


def measure(
    commands: dict[str, Command], rounds: int, patience: float, wanted: Sequence[str] = CURVES
) -> list[Row]:
    """The curves that are wanted."""
    runner = Runner(rounds, patience)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:

        def start(kind: type[Server], name: str, workers: int) -> Server:
            server = kind(commands[name], APP, Path(folder), workers)
            stack.callback(server.stop, 3)
            server.wait_answer()
            time.sleep(0.5)  # With several workers: until the last has started, too.
            server.signal(signal.SIGSTOP)
            return server

        for place, kind in PLACES.items() if "workers" in wanted else ():
            several = {n: start(kind, "casgi", n) for n in WORKERS}
            # All in the same rounds: their ratios are what counts.
            samples: dict[int, list[float]] = {n: [] for n in several}
            for _ in range(rounds * 2):
                for n, server in several.items():
                    samples[n].append(runner.plain(server, "/13", 128))
            for n, values in samples.items():
                middle = statistics.median(values)
                runner.rows.append(("workers", place, n, middle, min(values), max(values)))
                one = statistics.median(a / b for a, b in zip(values, samples[1], strict=True))
                held = "" if n == 1 else f"  x {one:.3f} of one worker's"
                if n > 1 and kind is Server:
                    held += f", goal {GOAL}: {'held' if round(one, 2) <= GOAL else 'NOT HELD'}"
                print(f"{'workers':12}{place:15}{n:>7,}{middle:12.2f} µs{held}", flush=True)
            for server in several.values():
                server.stop(3)

        others = {*wanted} - {"workers"}
        alone = {name: start(Server, name, 1) for name in commands} if others else {}
        for x in CONNECTIONS if "connections" in wanted else ():
            runner.point(
                "connections",
                x,
                {n: lambda s=s, x=x: runner.opened(s, x) for n, s in alone.items()},
            )
        for x in SIZES if "down" in wanted else ():
            runner.point(
                "down",
                x,
                {n: lambda s=s, x=x: runner.plain(s, f"/{x}", 8) for n, s in alone.items()},
            )
        for x in SIZES if "up" in wanted else ():
            runner.point(
                "up", x, {n: lambda s=s, x=x: runner.plain(s, "/", 8, x) for n, s in alone.items()}
            )
    return runner.rows


def plot(rows: list[Row], folder: Path) -> None:
    """One SVG for connections and workers, one for bodies."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "casgi", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    def curve(axes, name: str, scale: Callable[[int, float], float] = lambda x, y: y) -> None:  # type: ignore[no-untyped-def]
        for server in dict.fromkeys(row[1] for row in rows if row[0] == name):
            points = [row for row in rows if row[:2] == (name, server)]
            xs = [row[2] for row in points]
            axes.plot(xs, [scale(row[2], row[3]) for row in points], marker="o", label=server)
            axes.fill_between(
                xs,
                [scale(row[2], row[4]) for row in points],
                [scale(row[2], row[5]) for row in points],
                alpha=0.2,
            )
        axes.grid(alpha=0.3)

    folder.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained")
    curve(left, "workers")
    left.set(title="workers", xlabel="workers", ylabel="CPU µs a request", xticks=WORKERS)
    left.set_ylim(bottom=0)
    left.legend()
    curve(right, "connections")
    right.set(title="connections", xlabel="connections", xscale="log")
    right.set_ylim(bottom=0)
    right.legend()
    figure.savefig(folder / "scaling.svg", metadata={"Date": None})

    figure, grid = pyplot.subplots(2, 2, figsize=(8, 5.5), layout="constrained", sharex=True)
    for column, name in enumerate(("down", "up")):
        curve(grid[0][column], name)
        grid[0][column].set(title=f"body {name}", xscale="log", yscale="log")
        curve(grid[1][column], name, lambda x, y: y / (x / (1 << 20)))
        grid[1][column].set(xlabel="bytes", xscale="log", yscale="log")
    grid[0][0].set(ylabel="CPU µs a request")
    grid[1][0].set(ylabel="CPU µs a MiB")
    grid[0][0].legend()
    figure.savefig(folder / "bodies.svg", metadata={"Date": None})


def earlier(path: Path) -> list[Row]:
    """The figures of an earlier run."""
    with path.open() as file:
        return [
            (r[0], r[1], int(r[2]), float(r[3]), float(r[4]), float(r[5]))
            for r in list(csv.reader(file))[1:]
        ]


def main() -> None:
    """Measures, or reads what was measured, and plots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--patience", type=float, default=30, help="seconds to wait for a quiet machine, each time")
    add("--servers", default="casgi,uvicorn")
    add("--peers", type=Path, help="bin folder of the peers' virtualenv (default: tools/peers)")
    add("--csv", type=Path, default=ROOT / "build" / "bench-scaling.csv", help="where figures go")
    add("--from", type=Path, dest="source", help="figures of an earlier run, in place of measuring")
    add("--only", default="", help=f"curves, of: {', '.join(CURVES)}; the file keeps the others")
    add("--plot", type=Path, metavar="FOLDER", help="where the plots go")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in good order, servers too
    wanted = options.only.split(",") if options.only else CURVES
    if options.source is not None:
        rows = earlier(options.source)
    else:
        if options.peers is None:
            done = subprocess.run([ROOT / "tools" / "peers"], stdout=subprocess.PIPE, check=True)
            options.peers = Path(done.stdout.decode().strip())
        known = servers(options.peers)
        commands = {name: known[name] for name in options.servers.split(",")}
        kept = earlier(options.csv) if options.csv.exists() else []
        rows = [row for row in kept if row[0] not in wanted]
        rows += measure(commands, options.rounds, options.patience, wanted)
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["curve", "server", "x", "us", "us_least", "us_most"])
            writer.writerows((*row[:3], *(f"{value:.3f}" for value in row[3:])) for row in rows)
    if options.plot is not None:
        plot(rows, options.plot)


if __name__ == "__main__":
    sys.exit(main())
