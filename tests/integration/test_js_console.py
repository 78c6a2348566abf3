# SPDX-License-Identifier: MIT
"""What a script tells its console is in the server's log."""

from __future__ import annotations

import json

import pytest
from casgi_process import casgi

SCRIPT = """
console.log("library loaded", { parts: 2 });
function process(data) { console.warn("asked for %o", data.a); return { sum: data.a + data.b } }
"""


@pytest.mark.parametrize("kind", ["async", "def"])
def test_text(tmp_path, kind):
    library = tmp_path / "library.js"
    library.write_text(SCRIPT)
    with casgi("js_apps:api", "--js", str(library)) as server:
        server.wait_for(r"INFO: +library loaded { parts: 2 }")
        assert server.get(f"/{kind}/process").json() == {"sum": 5}
        server.wait_for(r"WARNING: +asked for 2")


def test_json_names_the_place(tmp_path):
    library = tmp_path / "library.js"
    library.write_text(SCRIPT)
    with casgi("js_apps:api", "--js", str(library), "--log-format", "json") as server:
        line = json.loads(server.wait_for(r".*library loaded.*")[0])
    assert (line["logger"], line["js_filename"], line["js_lineno"]) == (
        "asgiserver.js",
        str(library),
        2,
    )


def test_level(tmp_path):
    library = tmp_path / "library.js"
    library.write_text("console.log('quiet'); console.error('loud')")
    with casgi("js_apps:api", "--js", str(library), "--log-level", "error") as server:
        server.wait_for("loud")
        assert "quiet" not in server.log
