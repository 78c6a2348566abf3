# SPDX-License-Identifier: MIT
"""Runs all cases with all engines, and writes the table of what came of it.

    tools/peers --js                        # once: the peers, in build/peers-js
    python tests/js/hostile/table.py [--only TEXT] [--engines realm,isolate]
    python tests/js/hostile/table.py --only nothing --markdown docs/hostile.md     # what was kept

Each case runs in a process of its own, with a deadline. A peer that is not installed is named below
the table. Results are kept beside the table (.json), so that a part can be run again alone. Prints
which of ours are not as they must be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).parent))

from cases import Case, all_cases
from engines import HEAP_MB, OURS, TIMEOUT
from report import Result, Table, insert, markdown

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DEADLINE = 5.0
HEAVY_DEADLINE = 60.0
START = 60.0
"""Seconds for the interpreter and the first engine: a loaded machine is nobody's fault."""
MODULES = {
    "never_jscore": "never_jscore",
    "mini-racer": "py_mini_racer",
    "stpyv8": "STPyV8",
    "jsrun": "jsrun",
    "pythonmonkey": "pythonmonkey",
    "iv8": "iv8",
}


def fate(code: int | None) -> str:
    if code is None:
        return "hang"
    if code < 0:
        return (
            "abort"
            if -code in (signal.SIGABRT, signal.SIGTRAP, signal.SIGILL)
            else (signal.Signals(-code).name)
        )
    return f"exit {code}" if code else ""


def watched(
    arguments: list[str],
    out: IO[bytes],
    err: IO[bytes],
    deadline: float,
    environment: Mapping[str, str] = os.environ,
) -> int | None:
    """Runs a program that says "begin"; `deadline` seconds later it, and all that it has started,
    is killed. Its exit code, None where it did not end. See run_cases.die_with() for what becomes
    of it where this process is killed meanwhile."""
    seconds = int((START + deadline) * (os.cpu_count() or 1))
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env={**environment, "CASGI_HOSTILE_RUNNER": f"{os.getpid()} {seconds}"},
        start_new_session=True,
    )
    try:
        begun = time.monotonic()
        while process.poll() is None and time.monotonic() - begun < START:
            if b'"begin"' in os.pread(out.fileno(), 4096, 0):
                break
            time.sleep(0.02)
        return process.wait(deadline)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(python: str, kind: str, names: list[str], deadline: float = DEADLINE) -> dict[str, Result]:
    """Runs cases in one process. Where it dies, the case that was under way has its fate."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        arguments = [python, "-X", "faulthandler", str(HERE / "run_cases.py"), kind, *names]
        environment = dict(os.environ, CASGI_JS_CACHE="off", CASGI_HOSTILE_HEAP=str(HEAP_MB))
        if kind in OURS:
            paths = [environment.get("PYTHONPATH"), str(ROOT)]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        code = watched(arguments, out, err, deadline, environment)
        out.seek(0)
        err.seek(0)
        lines = out.read().decode(errors="replace").splitlines()
        stderr = err.read().decode(errors="replace")
    results: dict[str, Result] = {}
    current, done = None, False
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        if "begin" in said:
            current = results[said["begin"]] = Result()
        elif current is not None and "outcome" in said:
            current.outcome, current.text, current.ms = said["outcome"], said["text"], said["ms"]
        elif current is not None and "next" in said:
            current.next = said["next"]
        elif "done" in said:
            done = True
    if current is None:
        current = results[names[0]] = Result(outcome=f"no start: {fate(code)}")
    elif code != 0 or not done:
        if current.outcome == "":
            current.outcome = fate(code)
        elif current.next == "":
            current.next = fate(code)
        else:
            current.end = fate(code)
    current.stderr = stderr
    if current.text == "" and stderr and code != 0:
        current.text = stderr.strip().splitlines()[0][:200]
    return results


def judged(case: Case, result: Result) -> bool:
    """Whether ours did what it must."""
    if not case.accepts(result.outcome):
        return False
    if result.outcome == "abort":
        return case.fatal and "heap limit is" in result.stderr
    if result.outcome in ("hang", "SIGKILL"):
        return True
    return result.next == "yes" and not result.end


def installed(python: str) -> list[str]:
    """The peers that an interpreter has."""
    found = []
    for name, module in MODULES.items():
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", code]).returncode == 0:
            found.append(name)
    return found


def versions(python: str, peers: list[str]) -> str:
    """What the engines were, and their limits, as a paragraph."""
    import jsrt

    parts = [f"jsrt on V8 {jsrt.v8_version}"]
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    for name in peers:
        asked = subprocess.run([python, "-c", code, name], capture_output=True, text=True)
        parts.append(f"{name} {asked.stdout.strip()}")
    return (
        f"{', '.join(parts)}, Python {platform.python_version()}. Timeout {TIMEOUT:g} s and heap "
        f"limit {HEAP_MB} MB where an engine has them; a case's deadline {DEADLINE:.0f} s, of the "
        f"heavy ones {HEAVY_DEADLINE:.0f} s ({HEAVY_DEADLINE / 4:.0f} s for a peer)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose id contains this")
    parser.add_argument("--engines", default="", help="comma-separated; default: all there are")
    parser.add_argument("--peer-python", default=str(ROOT / "build/peers-js/bin/python"))
    parser.add_argument("--out", default=str(ROOT / "build/hostile.md"))
    parser.add_argument("--missing", action="store_true", help="only what has no result yet")
    parser.add_argument("--markdown", type=Path, help="a document that gets the table as well")
    parser.add_argument("--peer-deadline", type=float, default=DEADLINE, help="seconds")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()

    cases = [case for case in all_cases().values() if options.only in case.id]
    there = installed(options.peer_python) if Path(options.peer_python).exists() else []
    kinds = [*OURS, *there]
    if options.engines:
        kinds = [kind for kind in options.engines.split(",") if kind in OURS or kind in there]
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    store = out.with_suffix(".json")
    about = versions(options.peer_python, there)
    table: Table = {}
    if store.exists():
        table = {(c, k): Result(**fields) for c, k, fields in json.loads(store.read_text())}

    def one(job: tuple[Case, str]) -> None:
        case, kind = job
        python = sys.executable if kind in OURS else options.peer_python
        if kind in OURS:
            deadline = HEAVY_DEADLINE if case.heavy else DEADLINE
            deadline += case.limits.get("timeout", 0)
        else:
            deadline = HEAVY_DEADLINE / 4 if case.heavy else options.peer_deadline
        table[case.id, kind] = run(python, kind, [case.id], deadline)[case.id]

    def save() -> None:
        so_far = dict(table)  # The threads go on.
        store.write_text(json.dumps([[c, k, asdict(result)] for (c, k), result in so_far.items()]))
        text = markdown(so_far, [*OURS, *there], about)
        out.write_text(text)
        if options.markdown:
            insert(options.markdown, text)

    jobs = [(case, kind) for case in cases for kind in kinds if kind in OURS or case.common]
    if options.missing:
        jobs = [(case, kind) for case, kind in jobs if (case.id, kind) not in table]
    with ThreadPoolExecutor(options.jobs) as pool:
        for done, _ in enumerate(pool.map(one, jobs), 1):
            if sys.stderr.isatty():
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr)
            if done % 10 == 0:
                save()
    save()
    wrong = [
        (case, kind, table[case.id, kind])
        for case in cases
        for kind in kinds
        if kind in OURS and not judged(case, table[case.id, kind])
    ]
    for case, kind, result in wrong:
        print(
            f"{kind:8} {case.id}: {result.outcome} ({result.text}) next {result.next!r} "
            f"{result.end} {result.ms and round(result.ms)} ms; expected {case.expected}"
        )
    print(f"{len(cases)} cases, {len(wrong)} of ours not as they should be; {out}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
