# SPDX-License-Identifier: MIT
"""V8's code cache: made after use, kept on disk, believed only where it may be."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import jsrt
from jsrt.code_cache import HEADER, MAGIC, Store, folder_from_environment

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FUNCTIONS = "\n".join(
    f"function f{n}(x) {{ const y = x + {n}; return [y, `text {n} of ${{y}}`, /a{n}+/.source] }}"
    for n in range(200)
)
SOURCE = f"{FUNCTIONS}\nconst all = () => {{ let n = 0; return [f0(1), f199(1), n] }};"
assert len(SOURCE) > 4096

SCRIPT = """
import logging, sys, jsrt
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
source = open(sys.argv[1]).read()
with jsrt.Context(profile="bare") as context:
    context.compile(source, filename="lib.js")
    if sys.argv[2] == "use":
        first, last, n = context.call("all")
        assert (first, last) == ([1, "text 0 of 1", "a0+"], [200, "text 199 of 200", "a199+"])
    elif sys.argv[2] == "much":
        for n in range(200):
            assert context.call(f"f{n}", [1])[0] == n + 1
print("done")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the processes a test starts."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CASGI_JS_CACHE", str(folder))
    return folder


@pytest.fixture
def lib(tmp_path: Path) -> str:
    path = tmp_path / "lib.js"
    path.write_text(SOURCE)
    return str(path)


def run(run_python: Run, lib: str, how: str = "use") -> str:
    done = run_python(SCRIPT, lib, how)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_made_private_and_reused(run_python: Run, folder: Path, lib: str) -> None:
    assert run(run_python, lib) == "done\n"
    path = only_file(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert run(run_python, lib) == "done\n"
    assert (only_file(folder).read_bytes(), path.stat().st_mtime_ns) == before


def test_made_again_with_what_calls_have_compiled(run_python: Run, folder: Path, lib: str) -> None:
    run(run_python, lib, "load only")
    first = only_file(folder).read_bytes()
    assert first[len(MAGIC) : len(MAGIC) + 1] == b"-"
    run(run_python, lib, "much")
    used = only_file(folder).read_bytes()
    assert used[len(MAGIC) : len(MAGIC) + 1] == b"+"
    assert len(used) > len(first) * 2
    run(run_python, lib, "load only")
    assert only_file(folder).read_bytes() == used


def test_each_source_has_its_own(run_python: Run, folder: Path, lib: str) -> None:
    run(run_python, lib)
    # Of the same length, which is all that V8 itself compares.
    Path(lib).write_text(SOURCE.replace("f0(1)", "f1(1)"))
    with pytest.raises(AssertionError):
        run(run_python, lib)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "payload of another"])
def test_damaged_files_are_ignored_once_and_replaced(
    run_python: Run, folder: Path, lib: str, damage: str
) -> None:
    run(run_python, lib)
    path = only_file(folder)
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(
        {
            "flip": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "cut": good[:-10],
            "empty": b"",
            "foreign": b"#!/bin/sh\n" * 1000,
            "payload of another": good[:HEADER] + good[HEADER:][::-1],
        }[damage]
    )
    output = run(run_python, lib)
    assert output.count("damaged; ignored") == 1
    assert output.endswith("done\n")
    assert run(run_python, lib) == "done\n"
    assert only_file(folder).read_bytes()[: len(MAGIC)] == MAGIC


def test_a_renamed_file_is_not_believed(run_python: Run, folder: Path, lib: str) -> None:
    run(run_python, lib)
    first = only_file(folder)
    Path(lib).write_text(SOURCE.replace("text 0", "text X"))
    other = SCRIPT.replace("text 0 of", "text X of")
    assert run_python(other, lib, "use").stdout == "done\n"
    (second,) = set(folder.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    done = run_python(other, lib, "use")
    assert done.stdout.startswith("code cache")
    assert done.stdout.endswith("done\n")


@pytest.mark.parametrize("what", ["link", "others may write", "folder", "folder is a file"])
def test_unsafe_places_are_ignored(
    run_python: Run, folder: Path, lib: str, what: str, tmp_path: Path
) -> None:
    run(run_python, lib)
    path = only_file(folder)
    if what == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "others may write":
        path.chmod(0o622)
    elif what == "folder":
        folder.chmod(0o777)
    else:
        path.unlink()
        folder.rmdir()
        folder.write_text("")
    output = run(run_python, lib)
    assert output.count("; ignored") == 1
    assert output.endswith("done\n")


def test_off(run_python: Run, lib: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("CASGI_JS_CACHE", "off")
    assert run(run_python, lib) == "done\n"
    assert not (tmp_path / ".cache").exists()
    monkeypatch.delenv("CASGI_JS_CACHE")
    assert run(run_python, lib) == "done\n"
    assert only_file(tmp_path / ".cache" / "casgi" / "js").name.endswith(".v8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert folder_from_environment() == tmp_path / "xdg" / "casgi" / "js"


def test_small_sources_are_not_kept(run_python: Run, folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.js"
    small.write_text("function f0(x) { return [1] }")
    assert run(run_python, str(small), "load only") == "done\n"
    assert not folder.exists()


def test_wide_text(run_python: Run, folder: Path, lib: str) -> None:
    Path(lib).write_text(SOURCE + "// \N{SNOWMAN}", encoding="utf-8")
    for _ in range(2):
        assert run(run_python, lib) == "done\n"
    assert len(list(folder.iterdir())) == 1


def test_values_are_whole_after_loading(run_python: Run, folder: Path, tmp_path: Path) -> None:
    """Strings, regexes, classes and the like of a cached script, compared with a fresh one."""
    script = """
import sys, jsrt
source = '''
const padding = %r;
class A { #p = 1; static s = "st"; get p() { return this.#p } }
class B extends A { m() { return super.p + 1 } }
function* g() { yield* [1, 2n, "\\u20ac", `t${1 + 1}`] }
const tag = (s, ...v) => s.raw.join("|") + v;
async function later() { return [...g()].length }
const all = () => [new B().m(), A.s, [...g()], "ab12".match(/(?<l>[a-z]+)(\\d+)/u).groups.l,
  tag`x${1}\\n`, new Float64Array([0.1, -0]), { ...{ a: 1 }, ["b" + 1]: -0.5 }, 2 ** 53, NaN + "",
  [1.5, , 3], (() => { try { null.x } catch ({ name }) { return name } })(), later.toString()];
'''
with jsrt.Context(profile="bare") as c:
    c.compile(source)
    print(c.call("all"), c.call("later"))
""" % ("x" * 5000)
    outputs = {run_python(script).stdout for _ in range(3)}
    assert len(outputs) == 1
    assert "TypeError" in outputs.pop()
    assert len(list(folder.iterdir())) == 1


def test_shared_by_isolates_of_a_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with jsrt.Context(profile="bare") as first, jsrt.Context(profile="bare") as second:
        for context in (first, second):
            context.compile(SOURCE)
            assert context.call("f3", [1])[0] == 4
        realm = second.realm()
        realm.compile(SOURCE)
        assert realm.call("f3", [1])[0] == 4
    assert not caplog.records


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsrt.code_cache.IN_MEMORY", 1000)
    store = Store("v", None)
    for n in range(10):
        store.put(bytes([n]) * 32, b"x" * 300, False)
    assert store.memory_size <= 1000
    assert len(store.memory) == 3
    assert store.get(b"\x09" * 32) == (b"x" * 300, False)
    assert store.get(b"\x00" * 32) == (None, False)


def test_the_disk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jsrt.code_cache.ON_DISK", 2000)
    store = Store("v", tmp_path / "c")
    for n in range(10):
        store.put(bytes([n]) * 32, b"x" * 500, True)
        os.utime(store.path(bytes([n]) * 32), (n, n))
    assert len(list((tmp_path / "c").iterdir())) == 3
    with caplog.at_level(logging.WARNING):
        assert Store("v", tmp_path / "c").get(b"\x09" * 32) == (b"x" * 500, True)
    assert not caplog.records
