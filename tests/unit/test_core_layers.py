# SPDX-License-Identifier: MIT
"""Rules on what the C files of asgiserver/core may include, read from their text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "asgiserver" / "core"
PYTHON_FREE = ("base", "proto")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def sources(layer: str) -> list[Path]:
    return sorted([*(CORE / layer).glob("*.c"), *(CORE / layer).glob("*.h")])


def closure(path: Path, seen: dict[str, Path]) -> None:
    """Adds every header that path includes, directly or not, with the file that asks for it."""
    for name in INCLUDE.findall(path.read_text()):
        if name not in seen:
            seen[name] = path
            inner = CORE / name
            if inner.exists():
                closure(inner, seen)


TLS = ("tls.c", "tls_context.c", "tls_tickets.c")


@pytest.mark.parametrize("name", TLS)
def test_tls_is_python_free(name: str) -> None:
    """TLS sessions are bytes in, bytes out: tested alone, like the layers below."""
    seen: dict[str, Path] = {}
    closure(CORE / "net" / name, seen)
    assert "Python.h" not in seen
    assert "uv.h" not in seen


@pytest.mark.parametrize("layer", PYTHON_FREE)
def test_python_free(layer: str) -> None:
    files = sources(layer)
    assert files
    for path in files:
        seen: dict[str, Path] = {}
        closure(path, seen)
        assert "Python.h" not in seen, f"{path.name} gets Python.h through {seen['Python.h']}"
        foreign = [n for n in seen if (CORE / n).exists() and n.split("/")[0] not in PYTHON_FREE]
        assert not foreign, f"{path.name} includes {foreign}"


def test_no_lenient_parser_flags() -> None:
    for path in CORE.rglob("*.[ch]"):
        assert "llhttp_set_lenient" not in path.read_text(), path


def test_files_are_short() -> None:
    for layer in ("base", "proto", "net", "asgi"):
        for path in sources(layer):
            assert len(path.read_text().splitlines()) <= 800, path
