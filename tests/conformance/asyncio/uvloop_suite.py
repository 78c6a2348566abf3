# SPDX-License-Identifier: MIT
"""Runs the test suite of uvloop's released sdist over uvloop and over casgi's loop.

    python tests/conformance/asyncio/uvloop_suite.py [--only test_tcp,test_unix] [-v]

uvloop, its sdist and what its tests import are downloaded by pip into build/uvloop-suite; nothing
of them is part of this repository. For our run a package named uvloop is made there, whose names
are those of asgiserver. A test that passes over uvloop has to pass over our loop, unless
`uvloop.txt` beside this file names it, with the reason. Exit code 1 where one does not.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from recorder import Comparison, arguments, exceptions, outcomes_of, run_module

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "build" / "uvloop-suite"
# What tests/test_*.py of the sdist import.
NEEDED = ["uvloop", "aiohttp", "pyOpenSSL", "psutil"]
# Of the sources of uvloop, not of what a loop does.
LEFT_OUT = {"test_sourcecode", "test_cython"}
# A stand-in for uvloop; its _testbase, which the tests import, is the sdist's.
STAND_IN = """\
import sys
from asgiserver.loop import EventLoopPolicy, Loop, install, new_event_loop
from asgiserver.loop import run_loop as run
__path__.append({package!r})
"""


def fetch() -> Path:
    """Has pip download everything, once. Returns the folder of the unpacked sdist."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    site = FOLDER / f"site-{tag}"
    pip = [sys.executable, "-m", "pip"]
    if not (site / "uvloop").exists():
        subprocess.run([*pip, "install", "-q", "--target", str(site), *NEEDED], check=True)
    version = next(site.glob("uvloop-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    sdist = FOLDER / f"uvloop-{version}"
    if not sdist.exists():
        subprocess.run(
            [*pip, "download", "-q", "--no-deps", "--no-build-isolation", "--no-binary", "uvloop"]
            + ["-d", str(FOLDER), f"uvloop=={version}"],
            check=True,
        )
        with tarfile.open(FOLDER / f"{sdist.name}.tar.gz") as archive:
            archive.extractall(FOLDER, filter="data")
    stand_in = FOLDER / "stand-in" / "uvloop"
    stand_in.mkdir(parents=True, exist_ok=True)
    (stand_in / "__init__.py").write_text(STAND_IN.format(package=str(sdist / "uvloop")))
    return sdist


def main() -> int:
    options = arguments(__doc__, run=3)
    if options.run:
        name, pattern, results = options.run
        run_module(f"tests.{name}", pattern, Path(results))
        return 0
    sdist = fetch()
    # The sdist's own folder `uvloop` has no extension: only its folder `tests` is to be found.
    tests = FOLDER / "tests-of"
    tests.mkdir(exist_ok=True)
    if not (tests / "tests").exists():
        (tests / "tests").symlink_to(sdist / "tests")
    names = sorted({path.stem for path in (sdist / "tests").glob("test_*.py")} - LEFT_OUT)
    if options.only:
        names = options.only.split(",")
    site = str(FOLDER / f"site-cp{sys.version_info.major}{sys.version_info.minor}")
    package = str(Path(__import__("asgiserver").__file__).parents[1])
    comparison = Comparison("uvloop", exceptions("uvloop.txt"), most=25)
    for name in names:
        command = [sys.executable, "-P", __file__, "--run", name, options.pattern]
        runs = []
        for first in (site, str(FOLDER / "stand-in")):
            paths = ":".join(dict.fromkeys([first, str(tests), package, site]))
            verbose = options.verbose and first != site
            runs.append(outcomes_of(name, command, {"PYTHONPATH": paths}, verbose))
        comparison.add(name, *runs)
    return comparison.end()


if __name__ == "__main__":
    sys.exit(main())
