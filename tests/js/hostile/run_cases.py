# SPDX-License-Identifier: MIT
"""Runs cases with one engine, in this process, and prints a JSON line before and after each.

    python run_cases.py ENGINE CASE...

Written so that whoever reads the lines knows what happened also where this process dies or hangs.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cases import Case, all_cases
from engines import OURS, PEERS, Engine, NotOffered, Ours

ADD = "function add(a, b) { return a + b }"


PR_SET_PDEATHSIG = 1


def die_with(runner: str) -> None:
    """Ends this process with its runner, and whatever it starts after so much CPU time: a peer's
    endless loop is not to go on where the runner was killed and could not end it.

    Args:
        runner: the runner's process id, and seconds of CPU time.
    """
    parent, seconds = map(int, runner.split())
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # killed before that
        os._exit(1)


def say(**fields: Any) -> None:
    os.write(1, json.dumps(fields).encode() + b"\n")


def outcome_of(case: Case, engine: Engine) -> tuple[str, str]:
    """What came of it, and the error's first line."""
    try:
        value = case.run(engine)
    except NotOffered as error:
        return "-", str(error)
    except BaseException as error:
        name = type(error).__name__
        if isinstance(engine, Ours) and name in ("JSError", "JSSyntaxError"):
            name += f" {error.name}"  # type: ignore[attr-defined]
        try:
            text = str(error)
        except Exception:
            text = "(no text)"
        return name, " ".join(text.split())[:200]
    try:
        return f"= {value!r}"[:300], ""
    except Exception as error:
        return f"= {type(value).__name__}", str(error)


def next_call(engine: Engine) -> str:
    """ "yes", or what went wrong with a plain call after the case."""
    try:
        if (got := engine.call("add", [1, 2])) != 3:
            return f"add gave {got!r}"
        if isinstance(engine, Ours):
            if (got := engine.eval("[1, {b: [true]}]")) != [1, {"b": [True]}]:
                return f"a container came as {got!r}"
            neighbour = getattr(engine, "neighbour", None)
            if neighbour is not None and (got := neighbour.call("add", [3, 4])) != 7:
                return f"the neighbour gave {got!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "yes"


def make(kind: str, case: Case) -> Engine:
    if kind in OURS:
        engine: Engine = OURS[kind](case.profile, **case.limits)
        assert isinstance(engine, Ours)
        engine.ctx.compile(ADD)  # compiled code survives a heap limit
    else:
        engine = PEERS[kind]()
        engine.define(ADD)
    engine.kind = kind  # type: ignore[attr-defined]
    return engine


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "CASGI_HOSTILE_RUNNER" in os.environ:
        die_with(os.environ["CASGI_HOSTILE_RUNNER"])
    kind, *names = sys.argv[1:]
    cases = all_cases()
    say(ready=kind)
    for name in names:
        case = cases[name]
        engine = make(kind, case)
        say(begin=name)
        started = time.perf_counter()
        outcome, text = outcome_of(case, engine)
        took = (time.perf_counter() - started) * 1000
        say(case=name, outcome=outcome, text=text, ms=took)
        again = next_call(engine)
        say(case=name, next=again)
        if isinstance(engine, Ours):  # peers: some abort at this, which is a case of its own
            engine.close()
        del engine
        gc.collect()
    say(done=True)


if __name__ == "__main__":
    main()
