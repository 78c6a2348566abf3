# SPDX-License-Identifier: MIT
"""Which files --reload watches."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from asgiserver.reload import Watched, forget_bytecode, has_loaded


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for folder in ("src/pages", "other", "src/.cache"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_the_current_folder_and_python_files(tree):
    watched = Watched()
    assert watched.dirs == [tree]
    assert watched.matches(tree / "src/a.py")
    for name in ("src/a.html", "src/.a.py", "src/a.pyc", "src/~a.py"):
        assert not watched.matches(tree / name), name
    assert not watched.matches(Path("/elsewhere/a.py"))


def test_folders_and_nested_ones(tree):
    watched = Watched(dirs=["src", "src/pages", "missing"])
    assert watched.dirs == [tree / "src"]
    assert watched.missing == [str(tree / "missing")]
    assert not watched.matches(tree / "other/a.py")


def test_patterns(tree):
    watched = Watched(includes=["*.html", ".env", "~*"], excludes=["*_test.*", "src/pages"])
    assert watched.matches(tree / "src/a.html")
    assert watched.matches(tree / ".env"), "named outright"
    assert not watched.matches(tree / "src/a_test.py")
    assert not watched.matches(tree / "src/pages/a.py")
    assert not watched.matches(tree / "src/a_test.html"), "an exclude beats a pattern"


def test_a_default_is_switched_off_by_the_other_list(tree):
    assert not Watched(excludes="*.py").matches(tree / "a.py")
    assert Watched(includes=".*").matches(tree / ".hidden")


def test_include_that_names_folders(tree):
    watched = Watched(includes=["sr*"])
    assert watched.dirs == [tree / "src"]
    assert watched.includes == ["*.py"]


def test_files_outside_are_watched_by_their_folder(tree, tmp_path):
    script = tree / "other/lib.js"
    watched = Watched(dirs=["src"], files=["other/lib.js"])
    assert watched.matches(script)
    assert not watched.matches(tree / "other/b.js")
    assert watched.roots() == [str(tree / "src"), str(tree / "other")]


def test_stale_bytecode_is_removed(tree):
    source = tree / "m.py"
    source.write_text("x = 1\n")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir()
    compiled.touch()
    forget_bytecode(str(source))
    assert not compiled.exists()
    forget_bytecode(str(source))
    forget_bytecode(str(tree / "lib.js"))


def test_loaded_modules_are_noticed(tree, monkeypatch):
    monkeypatch.syspath_prepend(str(tree))
    (tree / "reload_probe.py").write_text("")
    watched = Watched()
    assert not has_loaded(watched)
    import reload_probe  # noqa: F401

    try:
        assert has_loaded(watched)
    finally:
        del sys.modules["reload_probe"]
