# SPDX-License-Identifier: MIT
"""Twenty web APIs in a `web` context, each awaited on an event loop: asyncio's own and casgi's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import jsrt


def stock(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def casgi(main: Coroutine[Any, Any, Any]) -> Any:
    run_loop = getattr(pytest.importorskip("asgiserver"), "run_loop", None)
    if run_loop is None:
        pytest.skip("asgiserver has no run_loop yet")
    return run_loop(main)


CHECKS: dict[str, tuple[str, Any]] = {
    "url": (
        "const u = new URL('../b?x=1&y=%20#h', 'https://ex.org:8443/a/c');"
        "return [u.href, u.port, [...u.searchParams], u.hash]",
        ["https://ex.org:8443/b?x=1&y=%20#h", "8443", [["x", "1"], ["y", " "]], "#h"],
    ),
    "url_search_params": (
        "const p = new URLSearchParams({a: 'ü', b: '1 2'}); p.append('a', '3');"
        "return [p.toString(), p.getAll('a')]",
        ["a=%C3%BC&b=1+2&a=3", ["ü", "3"]],
    ),
    "text_encoder": ("return new TextEncoder().encode('€')", "€".encode()),
    "text_decoder": (
        "return [new TextDecoder('utf-8').decode(new Uint8Array([0xe2, 0x82, 0xac, 0xff])),"
        "new TextDecoder('utf-16le').decode(new Uint8Array([0xac, 0x20]))]",
        ["€\ufffd", "€"],
    ),
    "base64": ("return [btoa('hi\\xff'), atob('aGk=')]", ["aGn/", "hi"]),
    "fetch_json": (
        "const r = await fetch(base + '/json');"
        "return [r.status, r.ok, r.headers.get('content-type'), await r.json()]",
        [200, True, "application/json", {"hello": "world", "n": [1, 2]}],
    ),
    "fetch_post_bytes": (
        "const r = await fetch(base + '/echo', {method: 'POST', body: new Uint8Array([1, 2, 3])});"
        "return new Uint8Array(await r.arrayBuffer())",
        b"\3\2\1",
    ),
    "fetch_status": (
        "const r = await fetch(base + '/status/404'); return [r.status, r.ok, await r.text()]",
        [404, False, "no"],
    ),
    "fetch_concurrent": (
        "const all = await Promise.all([1, 2, 3, 4, 5].map(async n =>"
        "(await fetch(base + '/' + n)).text())); return all",
        ["/1", "/2", "/3", "/4", "/5"],
    ),
    "abort_controller": (
        "const c = new AbortController(); setTimeout(() => c.abort(), 5);"
        "try { await new Promise((_, no) => c.signal.addEventListener('abort', () => "
        "no(c.signal.reason))) } catch (e) { return [e.name, c.signal.aborted] }",
        ["AbortError", True],
    ),
    "fetch_abort": (
        "const c = new AbortController(); c.abort();"
        "try { await fetch(base, {signal: c.signal}); return 'no' } catch (e) { return e.name }",
        "AbortError",
    ),
    "digest": (
        "const d = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc'));"
        "return [...new Uint8Array(d)].slice(0, 4).map(b => b.toString(16).padStart(2, '0'))",
        ["ba", "78", "16", "bf"],
    ),
    "hmac": (
        "const k = await crypto.subtle.importKey('raw', new Uint8Array(16), {name: 'HMAC', "
        "hash: 'SHA-256'}, false, ['sign', 'verify']); const data = new Uint8Array([1]);"
        "const s = await crypto.subtle.sign('HMAC', k, data);"
        "return [s.byteLength, await crypto.subtle.verify('HMAC', k, s, data)]",
        [32, True],
    ),
    "aes": (
        "const k = await crypto.subtle.generateKey({name: 'AES-GCM', length: 256}, true, "
        "['encrypt', 'decrypt']); const iv = crypto.getRandomValues(new Uint8Array(12));"
        "const c = await crypto.subtle.encrypt({name: 'AES-GCM', iv}, k, new Uint8Array([7, 8]));"
        "return new Uint8Array(await crypto.subtle.decrypt({name: 'AES-GCM', iv}, k, c))",
        b"\7\x08",
    ),
    "random_uuid": (
        "return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(crypto.randomUUID())",
        True,
    ),
    "timer_order": (
        "const order = []; await new Promise(done => { setTimeout(() => { order.push('t20');"
        "done() }, 20); setTimeout(() => order.push('t5'), 5); queueMicrotask(() => "
        "order.push('micro')); Promise.resolve().then(() => order.push('promise'));"
        "const gone = setTimeout(() => order.push('never'), 1); clearTimeout(gone);"
        "order.push('sync') }); return order",
        ["sync", "micro", "promise", "t5", "t20"],
    ),
    "interval": (
        "let n = 0; await new Promise(done => { const i = setInterval(() => { if (++n === 3) {"
        "clearInterval(i); done() } }, 2) }); return n",
        3,
    ),
    "structured_clone": (
        "const o = {d: new Date(0), m: new Map([[1, new Set([2])]])}; o.me = o;"
        "const c = structuredClone(o);"
        "return [c !== o, c.me === c, c.d.getTime(), c.m.get(1).has(2)]",
        [True, True, 0, True],
    ),
    "streams": (
        "const s = new ReadableStream({start(c) { c.enqueue('a'); c.enqueue('b'); c.close() }});"
        "const up = new TransformStream({transform(x, c) { c.enqueue(x.toUpperCase()) }});"
        "const out = []; const r = s.pipeThrough(up).getReader();"
        "for (;;) { const {done, value} = await r.read(); if (done) break; out.push(value) }"
        "return out",
        ["A", "B"],
    ),
    "intl": (
        "return [new Intl.NumberFormat('de-DE').format(1234.5), new Intl.DateTimeFormat('en-GB',"
        "{timeZone: 'UTC'}).format(new Date(0)), 'a'.localeCompare('b')]",
        ["1.234,5", "01/01/1970", -1],
    ),
    "events": (
        "const t = new EventTarget(); let got; t.addEventListener('x', e => { got = e.type });"
        "t.dispatchEvent(new Event('x')); return got",
        "x",
    ),
    "blob": (
        "const b = new Blob(['ab', new Uint8Array([99])], {type: 'text/plain'});"
        "return [b.size, b.type, await b.text()]",
        [3, "text/plain", "abc"],
    ),
}


@pytest.mark.parametrize("run", [stock, casgi])
@pytest.mark.parametrize("name", CHECKS)
def test_web_api(name: str, run: Callable[..., Any], http_url: str) -> None:
    body, expected = CHECKS[name]

    async def main() -> Any:
        with jsrt.Context(profile="web") as ctx:
            ctx.compile(f"async function check(base) {{ {body} }}")
            return await asyncio.wait_for(ctx.call_async("check", [http_url]), 30)

    assert run(main()) == expected


def test_there_are_twenty() -> None:
    assert len(CHECKS) >= 20


def test_a_bare_context_has_none_of_them() -> None:
    with jsrt.Context(profile="bare") as ctx:
        names = ["fetch", "URL", "setTimeout", "crypto", "process", "require", "console"]
        assert {n: ctx.eval(f"typeof {n}") for n in names if n != "console"} == dict.fromkeys(
            names[:-1], "undefined"
        )


def test_a_web_context_is_not_node() -> None:
    with jsrt.Context(profile="web") as ctx:
        for name in ("require", "process", "Buffer", "module", "__dirname"):
            assert ctx.eval(f"typeof {name}") == "undefined", name
