# SPDX-License-Identifier: MIT
"""The part of tools/autobahn that starts casgi, runs the suite against it and reads its results."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_NON_STRICT = 2
AGENT = "casgi"


def run_suite(python: str, home: Path, port: int, patterns: list[str]) -> None:
    """Runs the cases that match; results go to home/reports.

    Raises:
        subprocess.CalledProcessError: the suite could not run.
    """
    spec = {
        "outdir": str(home / "reports"),
        "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}],
        "cases": patterns,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (home / "spec.json").write_text(json.dumps(spec))
    # As a site folder: it has namespace packages, which PYTHONPATH alone would not find.
    start = "import site, sys; site.addsitedir(sys.argv.pop(1)); "
    start += "from autobahntestsuite import wstest; wstest.run()"
    subprocess.run(
        [python, "-c", start, str(home / "lib"), "-m", "fuzzingclient"]
        + ["-s", str(home / "spec.json")],
        env={**os.environ, "PYTHONNOUSERSITE": "1"},
        stdout=subprocess.DEVNULL,
        cwd=home,
        check=True,
    )


def judge(results: dict[str, dict[str, str]]) -> int:
    """Prints how often each behaviour was seen and what was not OK. Returns the exit code."""
    kinds = ("behavior", "behaviorClose")
    counts = {kind: collections.Counter(r[kind] for r in results.values()) for kind in kinds}
    for name, result in results.items():
        if any(result[kind] not in ("OK", "INFORMATIONAL") for kind in kinds):
            print(f"{name}: {result['behavior']}, closing {result['behaviorClose']}")
    for kind in kinds:
        print(f"{kind}: " + ", ".join(f"{n} {name}" for name, n in counts[kind].most_common()))
    total = sum(counts.values(), collections.Counter())
    bad = sum(n for k, n in total.items() if k not in ("OK", "INFORMATIONAL", "NON-STRICT"))
    return int(bad > 0 or total["NON-STRICT"] > ALLOWED_NON_STRICT or not results)


def main() -> int:
    python, home, patterns = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    command = [sys.executable, "-m", "asgiserver", "process_apps:websocket"]
    command += ["--app-dir", str(ROOT / "tests" / "integration"), "--port", "0", "--no-js"]
    # The suite sends messages of 16 MiB and a pong only where it is asked: no pings of ours.
    command += ["--ws-max-size", str(64 << 20), "--ws-ping-interval", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            print("autobahn: casgi did not start", file=sys.stderr)
            return 1
        # Its log must be read, or it would block in the end.
        with (home / "casgi.log").open("w") as log:
            copier = subprocess.Popen(["cat"], stdin=server.stderr, stdout=log)
        run_suite(python, home, int(found[1]), patterns)
    finally:
        server.terminate()
        server.wait(60)
    copier.wait(60)
    return judge(json.loads((home / "reports" / "index.json").read_text())[AGENT])


if __name__ == "__main__":
    sys.exit(main())
