# SPDX-License-Identifier: MIT
"""jsrt.snapshot: bare contexts that start where a script has ended.

Isolates from different blobs in one process corrupt each other, so every test that boots one runs
in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import jsrt

Run = Callable[..., subprocess.CompletedProcess[str]]

SCRIPT = """
const lib = {
  add: (a, b) => a + b,
  pattern: /(?<word>[a-z]+)-\\d+/gu,
  map: new Map([[1, 'one'], ['two', {deep: [2]}]]),
  set: new Set(['a', 'b']),
  floats: new Float64Array([1.5, -0, NaN]),
  bytes: new Uint8Array(1000).map((_, i) => i),
  date: new Date(0),
  big: 2n ** 100n,
  text: 'h\\u20ac\\u{1f600}' + 'x'.repeat(100),
  symbol: Symbol.for('shared'),
  weak: new WeakMap(),
};
class Animal { #name; constructor(name) { this.#name = name } get name() { return this.#name } }
class Dog extends Animal { speak() { return `${this.name} barks` } static kind = 'dog' }
const rex = new Dog('Rex');
lib.weak.set(rex, 'kept');
async function later(x) { await null; return x * 2 }
function* numbers() { yield 1; yield 2 }
let changed = 0;
Promise.resolve().then(() => { changed = 1 });
var visible = 'a var';
"""

LOOK = """[
  lib.add(1, 2), 'ab-12'.match(lib.pattern), 'ab-12'.replace(lib.pattern, '$<word>'),
  lib.map.get('two').deep[0], [...lib.set].join(), Object.is(lib.floats[1], -0),
  lib.bytes.reduce((a, b) => a + b), lib.date.toISOString(), String(lib.big), lib.text.length,
  lib.text.codePointAt(2), Symbol.keyFor(lib.symbol), lib.weak.get(rex), rex.speak(), Dog.kind,
  rex instanceof Animal, [...numbers()].join(), changed, visible, new Dog('Ann').name,
]"""

SEEN = [
    3, ["ab-12"], "ab", 2, "a,b", True, 124716, "1970-01-01T00:00:00.000Z",
    "1267650600228229401496703205376", 104, 0x1F600, "shared", "kept", "Rex barks", "dog", True,
    "1,2", 1, "a var", "Ann",
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshot") / "lib.snapshot"
    jsrt.snapshot(SCRIPT, "lib.js").save(path)
    return path


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_there(run_python: Run, file: Path) -> None:
    script = f"""
import jsrt, sys
snap = jsrt.Snapshot.load(sys.argv[1])
seen = {SEEN!r}
for round in range(20):
    with jsrt.Context(profile="bare", snapshot=snap, heap_limit=64, timeout=10) as ctx:
        assert ctx.eval({LOOK!r}) == seen, ctx.eval({LOOK!r})
        assert ctx.call("later", [21]) == 42
        assert ctx.call("lib.add", ["a", "b"]) == "ab"
        ctx.compile("const more = lib.add(1, 1)")
        assert ctx.eval("more") == 2
        ctx.collect()
        assert ctx.eval({LOOK!r}) == seen
"""
    ok(run_python(script, str(file)))


def test_realms_pools_and_rebuilt_isolates(run_python: Run, file: Path) -> None:
    script = f"""
import jsrt, sys, threading
snap = jsrt.Snapshot.load(sys.argv[1])
seen, look = {SEEN!r}, {LOOK!r}
with jsrt.Context(profile="bare", snapshot=snap, pool=3, heap_limit=32) as ctx:
    with ctx.realm() as realm:
        realm.eval("visible = 'changed'; lib.add = null")
        assert ctx.eval(look) == seen
    failed = []
    def work():
        for _ in range(50):
            if ctx.eval(look) != seen:
                failed.append(1)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not failed
    try:
        ctx.eval("const all = []; for (;;) all.push(new Array(1000).fill(1.5))")
    except jsrt.HeapLimit:
        pass
    assert ctx.eval(look) == seen
others = [jsrt.Context(profile="bare", snapshot=snap) for _ in range(10)]
for other in others:
    assert other.eval(look) == seen
for other in others[::2] + others[1::2]:
    other.close()
"""
    ok(run_python(script, str(file)))


def test_the_language_is_all_there(run_python: Run, file: Path) -> None:
    """What a context without a snapshot has, one from a snapshot has too."""
    names = """JSON.stringify(Object.getOwnPropertyNames(globalThis).flatMap(name => {
        const value = globalThis[name];
        return [name].concat(Object(value) !== value || value === globalThis ? [] :
          Reflect.ownKeys(value).concat(Reflect.ownKeys(value.prototype ?? {}))
            .map(key => `${name}.${String(key)}`));
      }).sort())"""
    plain = ok(
        run_python(
            "import jsrt, sys\n"
            "with jsrt.Context(profile='bare') as ctx: print(ctx.eval(sys.argv[1]))",
            names,
        )
    )
    made = ok(
        run_python(
            "import jsrt, sys\n"
            "snap = jsrt.Snapshot.load(sys.argv[2])\n"
            "with jsrt.Context(profile='bare', snapshot=snap) as ctx:\n"
            "    print(ctx.eval('delete globalThis.visible; ' + sys.argv[1]))",
            names,
            str(file),
        )
    )
    ours = {"visible", "later", "numbers", "later.length", "later.name", "numbers.length"}
    ours |= {"numbers.name", "numbers.prototype"}
    assert {*json.loads(plain)} - {*json.loads(made)} == set()
    assert {*json.loads(made)} - {*json.loads(plain)} - ours == set()


def library() -> str:
    """A large program: thousands of classes, texts, patterns and tables; it describes itself."""
    parts = ["const kinds = [];"]
    for n in range(3000):
        parts.append(
            f"class K{n} extends {'Object' if n % 7 == 0 else f'K{n - 1}'} {{"
            f" #hidden = {n}; static tag = 'tag \\u20ac {n}';"
            f" m{n}(x) {{ return x.replace(/k(\\d*){n % 100}\\b/gi, '<$1>') + this.#hidden }}"
            f" get g{n}() {{ return [K{n}.tag, {n}.5, `t${{{n}}}`, {n}n ** 5n] }} }};"
            f"kinds.push([K{n}, 'm{n}', 'g{n}']);"
        )
    parts.append(
        """
const tables = Array.from({length: 300}, (_, n) => ({
  ints: Int32Array.from({length: n}, (_, i) => i * n),
  floats: Float32Array.from({length: n}, (_, i) => i / (n + 1)),
  map: new Map(Array.from({length: n % 50}, (_, i) => [`key ${i}`, {i, s: 'v'.repeat(i)}])),
  text: String.fromCharCode(...Array.from({length: 50}, (_, i) => 0x20 + (i * n) % 0x2000)),
}));
function describe() {
  let hash = 0x811c9dc5;
  const eat = (text) => {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  };
  for (const [K, method, getter] of kinds) {
    const k = new K();
    eat(`${K.name} ${K.tag} ${k[method]('k12 K7 key')} ${k[getter].join()}`);
    eat(K.toString().slice(0, 200));
  }
  for (const { ints, floats, map, text } of tables) {
    eat(`${ints.join()} ${floats.join()} ${JSON.stringify([...map])} ${text}`);
  }
  return hash >>> 0;
}
"""
    )
    return "\n".join(parts)


def test_a_large_library(run_python: Run, tmp_path: Path) -> None:
    """Strings, patterns, typed arrays, classes: all as where the script itself has run. This is
    what a second blob in the process would break. CASGI_SNAPSHOT_LIBRARY names a script to take in
    place of ours, CASGI_SNAPSHOT_EXPRESSION what describes it."""
    code = os.environ.get("CASGI_SNAPSHOT_LIBRARY")
    source = Path(code).read_text() if code else library()
    expression = os.environ.get("CASGI_SNAPSHOT_EXPRESSION", "describe()")
    (tmp_path / "library.js").write_text(source)
    snap = jsrt.snapshot(source, "library.js", check=expression)
    snap.save(tmp_path / "library.snapshot")
    plain = ok(
        run_python(
            "import jsrt, sys\n"
            "with jsrt.Context(profile='bare', code=open(sys.argv[1]).read()) as ctx:\n"
            "    print(ctx.eval(sys.argv[2]))",
            str(tmp_path / "library.js"),
            expression,
        )
    )
    made = ok(
        run_python(
            "import jsrt, sys\n"
            "snap = jsrt.Snapshot.load(sys.argv[1])\n"
            "for round in range(5):\n"
            "    with jsrt.Context(profile='bare', snapshot=snap) as ctx:\n"
            "        first = ctx.eval(sys.argv[2])\n"
            "        ctx.collect()\n"
            "        assert ctx.eval(sys.argv[2]) == first\n"
            "        print(first)\n",
            str(tmp_path / "library.snapshot"),
            expression,
        )
    )
    assert made == plain * 5


def test_code_caches_are_kept_apart(run_python: Run, file: Path, tmp_path: Path) -> None:
    """A cache knows objects by their place in the blob: another blob's would be wrong."""
    body = "var unused = 'text of some length';\n" * 200
    code = "function fresh() { return ['caf\u00e9', /x+/.test('xx'), typeof lib] }\n{" + body + "}"
    (tmp_path / "code.js").write_text(code)
    script = """
import jsrt, sys, os
os.environ["CASGI_JS_CACHE"] = sys.argv[1]
snap = jsrt.Snapshot.load(sys.argv[3]) if len(sys.argv) > 3 else None
for round in range(3):
    with jsrt.Context(profile="bare", snapshot=snap) as ctx:
        ctx.compile(open(sys.argv[2]).read())
        print(ctx.call("fresh"))
"""
    cache = tmp_path / "cache"
    arguments = [str(cache), str(tmp_path / "code.js")]
    for _ in range(2):
        plain = ok(run_python(script, *arguments))
        made = ok(run_python(script, *arguments, str(file)))
        assert plain == "['caf\u00e9', True, 'undefined']\n" * 3
        assert made == "['caf\u00e9', True, 'object']\n" * 3
    assert len([each for each in cache.rglob("*") if each.is_file()]) == 2


REFUSED = "import jsrt, sys\nsnap = jsrt.Snapshot.load(sys.argv[1])\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "jsrt.Context(profile='bare').eval('1')\n"
            "jsrt.Context(profile='bare', snapshot=snap).eval('1')",
            "has had an isolate without a snapshot",
        ),
        (
            "jsrt.Context(profile='bare', snapshot=snap).eval('1')\n"
            "jsrt.Context(profile='bare').eval('1')",
            "come from a snapshot",
        ),
        (
            "jsrt.Context(profile='bare', snapshot=snap).eval('1')\n"
            "jsrt.Context(profile='web').eval('1')",
            "come from a snapshot",
        ),
        (
            "jsrt.Context(profile='bare', snapshot=snap).eval('1')\n"
            "other = jsrt.snapshot('var other')\n"
            "jsrt.Context(profile='bare', snapshot=other).eval('1')",
            "come from another snapshot",
        ),
    ],
)
def test_one_blob_in_a_process(run_python: Run, file: Path, script: str, message: str) -> None:
    done = run_python(REFUSED + script, str(file))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("jsrt.errors.Error: ")
    assert message in last


def test_a_process_goes_on_after_a_refusal(run_python: Run, file: Path) -> None:
    script = REFUSED + (
        "ctx = jsrt.Context(profile='web')\n"
        "assert ctx.eval('typeof fetch') == 'function'\n"
        "try:\n"
        "    jsrt.Context(profile='bare', snapshot=snap).eval('1')\n"
        "except jsrt.Error:\n"
        "    pass\n"
        "assert ctx.eval('new URL(`http://a/b`).pathname') == '/b'\n"
    )
    ok(run_python(script, str(file)))


class TestObjects:
    def test_profiles(self, file: Path) -> None:
        snap = jsrt.Snapshot.load(file)
        for profile in ("web", "node"):
            with pytest.raises(ValueError, match="profile='bare'"):
                jsrt.Context(profile=profile, snapshot=snap)
        with pytest.raises((TypeError, AttributeError)):
            jsrt.Context(profile="bare", snapshot=b"bytes")  # type: ignore[arg-type]

    def test_another_version(self, file: Path, tmp_path: Path) -> None:
        data = file.read_bytes()
        _, version, rest = data.split(b"\n", 2)
        (tmp_path / "old").write_bytes(b"jsrt snapshot 1\n9.9.9 of old\n" + rest)
        old = jsrt.Snapshot.load(tmp_path / "old")
        with pytest.raises(jsrt.Error, match=r"made by V8 9\.9\.9 of old, this is "):
            jsrt.Context(profile="bare", snapshot=old)
        assert jsrt.v8_version.encode() in version

    @pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
    def test_damaged_files(self, file: Path, tmp_path: Path, damage: str) -> None:
        data = bytearray(file.read_bytes())
        if damage == "cut":
            del data[-100:]
        elif damage == "changed":
            data[len(data) // 2] ^= 1
        elif damage == "empty":
            data.clear()
        else:
            data[:4] = b"nope"
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(ValueError, match="snapshot"):
            jsrt.Snapshot.load(tmp_path / "bad")

    def test_scripts_that_fail(self) -> None:
        with pytest.raises(jsrt.Error, match="TypeError: no"):
            jsrt.snapshot("throw new TypeError('no')", "bad.js")
        with pytest.raises(jsrt.Error, match="SyntaxError"):
            jsrt.snapshot("const = 1")
        with pytest.raises(TimeoutError):
            jsrt.snapshot("for (;;);", timeout=1)

    def test_a_check_that_fails(self) -> None:
        assert len(jsrt.snapshot("const at = Math.random(), two = 2", check="two + 1")) > 100_000
        with pytest.raises(jsrt.Error, match=r"gave 0\.\d+, and without it 0\.\d+"):
            jsrt.snapshot("const at = Math.random()", check="at")
        with pytest.raises(jsrt.Error, match="missing is not defined"):
            jsrt.snapshot("const at = 1", check="missing")

    def test_what_it_says(self, file: Path) -> None:
        snap = jsrt.Snapshot.load(file)
        assert repr(snap).startswith(f"<jsrt.Snapshot of V8 {jsrt.v8_version}")
        assert len(snap) > 100_000
