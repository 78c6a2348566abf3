# SPDX-License-Identifier: MIT
"""call_json: JSON in, JSON out, and no Python object between."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jsrt

SOURCE = """
const same = (x) => x;
const count = (...args) => args.length;
const kind = (x) => x === null ? 'null' : Array.isArray(x) ? 'array' : typeof x;
const thrower = () => { throw new RangeError('too far') };
const promised = async (x) => ({ got: x });
const refused = async () => { throw new TypeError('refused') };
const odd = {
  undefined: () => undefined,
  function: () => () => 1,
  symbol: () => Symbol('s'),
  text: () => 'undefined',
  nan: () => [NaN, Infinity, -0],
  date: () => new Date(0),
  dropped: () => ({ a: undefined, b: 1 }),
  surrogate: () => '\\ud800',
  map: () => new Map([[1, 2]]),
  big: () => 1n,
  cycle: () => { const a = {}; a.a = a; return a; },
  custom: () => ({ toJSON: () => undefined }),
  getter: () => ({ get a() { throw new Error('from a getter'); } }),
};
JSON.stringify = () => 'replaced';
JSON.parse = () => 'replaced';
"""


@pytest.fixture
def lib(ctx: jsrt.Context) -> jsrt.Context:
    ctx.compile(SOURCE)
    return ctx


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, -3e2, true, false, null, "text"]}',
        '{"a": "\u00e9"}'.encode(),
        '["\u20ac", "\U0001f600"]'.encode(),
        '{"latin": "\u00e9", "wide": "\u4e2d"}',
        "[]",
        bytearray(b'{"__proto__": 1, "": {}}'),
        memoryview(b"[[[[]]]]"),
        b' \t\r\n"spaces" \n',
        b"0",
        b'"' + b"x" * 100_000 + b'"',
        ('["' + "\u00e9" * 70_000 + '"]').encode(),
    ],
)
def test_what_goes_in_comes_out(lib: jsrt.Context, body: bytes | str) -> None:
    text = lib.call_json("same", body)
    assert type(text) is bytes
    given = body if isinstance(body, str) else bytes(body).decode()
    assert json.loads(text) == json.loads(given)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_round_trip(value: object) -> None:
    body = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in body):
        body = json.dumps(value)
    # JavaScript writes large doubles as integers: 4.2e16 is 42000000000000000.
    assert json.loads(shared().call_json("same", body), parse_int=float) == value


_shared = threading.local()


def shared() -> jsrt.Context:
    """One context for all of Hypothesis' examples."""
    if not hasattr(_shared, "context"):
        _shared.context = jsrt.Context(profile="bare", code="const same = (x) => x")
    return _shared.context


@pytest.fixture(autouse=True)
def _close_shared() -> object:
    yield
    if hasattr(_shared, "context"):
        _shared.context.close()
        del _shared.context


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{}", "object"), (b"[1]", "array"), (b"null", "null"), (b"1", "number"), (b'""', "string")],
)
def test_the_function_gets_values(lib: jsrt.Context, body: bytes, kind: str) -> None:
    assert lib.call_json("kind", body) == json.dumps(kind).encode()


def test_without_a_body_there_is_no_argument(lib: jsrt.Context) -> None:
    assert lib.call_json("count") == b"0"
    assert lib.call_json("count", b"[1, 2]") == b"1"
    assert lib.call_json(name="same", body=b"{}") == b"{}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("undefined", b"null"),
        ("function", b"null"),
        ("symbol", b"null"),
        ("custom", b"null"),
        ("text", b'"undefined"'),
        ("nan", b"[null,null,0]"),
        ("date", b'"1970-01-01T00:00:00.000Z"'),
        ("dropped", b'{"b":1}'),
        ("surrogate", b'"\\ud800"'),
        ("map", b"{}"),
    ],
)
def test_results_are_what_json_stringify_makes_of_them(
    lib: jsrt.Context, name: str, text: bytes
) -> None:
    assert lib.call_json(f"odd.{name}") == text


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("odd.big", "TypeError", "BigInt"),
        ("odd.cycle", "TypeError", "circular"),
        ("odd.getter", "Error", "from a getter"),
        ("thrower", "RangeError", "too far"),
    ],
)
def test_what_javascript_throws(lib: jsrt.Context, name: str, error: str, message: str) -> None:
    with pytest.raises(jsrt.JSError, match=message) as caught:
        lib.call_json(name, b"1")
    assert caught.value.name == error
    assert lib.call_json("same", b"1") == b"1"


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": 1,}', b"undefined", b"'a'", b"[1] 2", "\ufeff{}", b"NaN", b"\x00"]
)
def test_a_body_that_is_not_json(lib: jsrt.Context, body: bytes | str) -> None:
    with pytest.raises(jsrt.ConversionError, match="not JSON"):
        lib.call_json("same", body)
    assert lib.call_json("same", b"1") == b"1"


def test_a_body_that_is_not_utf8(lib: jsrt.Context) -> None:
    with pytest.raises(UnicodeDecodeError):
        lib.call_json("same", b'"\xff"')


@pytest.mark.parametrize("body", [1, None, {"a": 1}, [b"1"]])
def test_a_body_of_another_type(lib: jsrt.Context, body: object) -> None:
    with pytest.raises(TypeError, match="JSON as bytes or str"):
        lib.call_json("same", body)  # type: ignore[arg-type]


def test_names_are_looked_up(lib: jsrt.Context) -> None:
    with pytest.raises(TypeError, match="name must be a str"):
        lib.call_json(b"same", b"1")  # type: ignore[arg-type]
    with pytest.raises(jsrt.JSError, match="no such function"):
        lib.call_json("missing", b"1")


def test_a_promise_is_waited_for(lib: jsrt.Context) -> None:
    assert lib.call_json("promised", b"[1]") == b'{"got":[1]}'
    with pytest.raises(jsrt.JSError, match="refused"):
        lib.call_json("refused", b"1")


def test_a_promise_that_waits_gives_its_json_too() -> None:
    source = """
    const later = (x) => new Promise((done) => setTimeout(done, 5, { later: x }));
    const cyclic = () => new Promise((done) => setTimeout(() => {
      const a = []; a.push(a); done(a);
    }, 1));
    """
    with jsrt.Context(code=source) as web:
        assert web.call_json("later", b"1") == b'{"later":1}'

        async def main() -> None:
            assert await web.call_json_async("later", '"é"') == '{"later":"é"}'.encode()
            many = [web.call_json_async("later", str(i)) for i in range(20)]
            assert await asyncio.gather(*many) == [b'{"later":%d}' % i for i in range(20)]
            assert await web.call_async("later", [1]) == {"later": 1}
            with pytest.raises(jsrt.JSError, match="circular"):
                await web.call_json_async("cyclic")

        asyncio.run(main())


def test_from_other_threads() -> None:
    body = json.dumps({"items": list(range(200))}).encode()
    answers: list[bytes] = []
    with jsrt.Context(profile="bare", code="const same = (x) => x", pool=2) as context:

        def work() -> None:
            for _ in range(50):
                answers.append(context.call_json("same", body))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(answers) == 200
    assert {json.dumps(json.loads(text)) for text in answers} == {body.decode()}


def test_limits_hold() -> None:
    with jsrt.Context(profile="bare", timeout=0.2, code="const loop = () => { for (;;); }") as ctx:
        with pytest.raises(jsrt.Timeout):
            ctx.call_json("loop", b"1")
        ctx.compile("const slow = () => ({ toJSON() { for (;;); } })")
        with pytest.raises(jsrt.Timeout):
            ctx.call_json("slow")
        ctx.compile("const one = () => 1")
        assert ctx.call_json("one") == b"1"
