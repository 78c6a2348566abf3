# SPDX-License-Identifier: MIT
"""Hostile JavaScript, as data: what is evaluated, and what ours must make of it.

An outcome is the class of the exception (with JavaScript's name of the error, for a JSError), or
`= repr` of the value. Several are divided by ` | `, where V8's versions or its timing decide: the
first is what the case is about (and one that is about the timeout has a short one).
"""

from __future__ import annotations

TIMEOUT = "Timeout"
HEAP = "HeapLimit"
RANGE = "JSError RangeError"
TYPE = "JSError TypeError"
SYNTAX = "JSSyntaxError SyntaxError"
REFERENCE = "JSError ReferenceError"
THROWN = "JSError "  # a primitive, or an object that is no Error
CONVERSION = "ConversionError"

# (module (memory 1) (func (export "f") (loop (br 0))))
WASM_LOOP = (
    "0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,5,3,1,0,1,7,5,1,1,102,0,0,10,9,1,7,0,3,64,12,0,11,11"
)
# (module (func $f (export "f") (call $f)))
WASM_RECURSION = "0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,7,5,1,1,102,0,0,10,6,1,4,0,16,0,11"


def wasm(code: str) -> str:
    return f"new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([{code}]))).exports.f()"


Script = tuple[str, str, str]

LOOPS: list[Script] = [
    ("for", "for (;;) {}", TIMEOUT),
    ("while with a body", "let i = 0; while (true) { i += Math.sqrt(i) }", TIMEOUT),
    ("catch-all", "for (;;) { try { throw 1 } catch {} }", TIMEOUT),
    ("finally that swallows", "for (;;) { try { for (;;); } finally { continue } }", TIMEOUT),
    ("finally that loops", "try { for (;;); } finally { for (;;); }", TIMEOUT),
    ("labels", "a: for (;;) { b: for (;;) { continue a } }", TIMEOUT),
    ("generator", "function* g() { for (;;) yield 1 } for (const x of g());", TIMEOUT),
    (
        "generator that refuses to end",
        """
        function* g() { for (;;) { try { yield 1 } finally { continue } } }
        const it = g(); it.next(); for (;;) it.return(1)""",
        TIMEOUT,
    ),
    (
        "spread of an endless iterator",
        "Math.max(...{*[Symbol.iterator]() { for (;;) yield }})",
        f"{HEAP} | {TIMEOUT} | {RANGE}",
    ),
    ("regular expression", "/^(a+)+$/.test('a'.repeat(64) + 'b')", TIMEOUT),
    ("regular expression, replace", "'x'.repeat(40).replace(/(x+x+)+y/, '')", TIMEOUT),
    (
        "regular expression, lookbehind",
        "/(?<=(\\w+)+)!/.test('a'.repeat(60) + '?')",
        f"{TIMEOUT} | = False",
    ),
    ("sort with a mad comparator", "for (;;) [3, 1, 2].sort(() => Math.random() - 0.5)", TIMEOUT),
    ("sort, comparator never ends", "[2, 1].sort(() => { for (;;); })", TIMEOUT),
    ("toString", "`${{toString() { for (;;); }}}`", TIMEOUT),
    ("valueOf", "1 + {valueOf() { for (;;); }}", TIMEOUT),
    ("Symbol.toPrimitive", "+{[Symbol.toPrimitive]() { for (;;); }}", TIMEOUT),
    ("toJSON", "JSON.stringify({toJSON() { for (;;); }})", TIMEOUT),
    ("reviver", "JSON.parse('[1]', () => { for (;;); })", TIMEOUT),
    ("getter of a result", "({get a() { for (;;); }})", TIMEOUT),
    (
        "proxy's ownKeys, as a result",
        "[new Proxy({}, {ownKeys() { for (;;); }})]",
        f"{TIMEOUT} | {CONVERSION}",
    ),
    ("eval", "for (;;) eval('1')", TIMEOUT),
    ("Function", "for (;;) new Function('return ' + Math.random())()", TIMEOUT),
    ("Function that loops", "new Function('for (;;);')()", TIMEOUT),
    ("bigint: squares", "let n = 3n; for (;;) n *= n", f"{TIMEOUT} | {RANGE}"),
    # One operation that V8 cannot be stopped in may end late, with its value.
    ("bigint: power", "3n ** (1n << 26n)", f"{TIMEOUT} | {RANGE} | = int"),
    (
        "bigint: to text",
        "(1n << 29n << 29n << 0n) && (1n << (1n << 28n)).toString().length",
        f"{TIMEOUT} | {RANGE}",
    ),
    ("bigint: from text", "BigInt('7'.repeat(1 << 24)) % 7n", f"{TIMEOUT} | {RANGE} | {SYNTAX}"),
    (
        "bigint: division",
        "(3n ** 9000000n) / (7n ** 1500000n) && 1",
        f"{TIMEOUT} | {RANGE} | = 1",
    ),
    ("Date", "for (;;) new Date(2024, Math.random() * 1e5).toISOString()", TIMEOUT),
    ("Intl", "for (;;) new Intl.NumberFormat('de').format(1e9)", f"{TIMEOUT} | {HEAP}"),
    ("localeCompare", "const s = 'é'.repeat(1e5); for (;;) s.localeCompare(s + 'a')", TIMEOUT),
    ("Atomics.wait", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", TIMEOUT),
    ("WebAssembly loop", wasm(WASM_LOOP), TIMEOUT),
    (
        "WebAssembly compiled over and over",
        f"for (;;) {{ {wasm(WASM_LOOP)[:-4]} }}",
        f"{HEAP} | {TIMEOUT}",
    ),
    ("symbols and weak maps", "for (const w = new WeakMap();;) w.set({}, Symbol())", TIMEOUT),
    (
        "finalization registry",
        "const r = new FinalizationRegistry(() => { for (;;); }); for (;;) r.register({}, 1)",
        f"{HEAP} | {TIMEOUT}",
    ),
    (
        "defineProperty and delete",
        "const o = {}; for (let i = 0;; i++) "
        "{ Object.defineProperty(o, 'k' + i, {configurable: true}); delete o['k' + i] }",
        f"{TIMEOUT} | {HEAP}",
    ),
    ("prototype chain grows", "let o = {}; for (;;) o = Object.create(o)", f"{HEAP} | {TIMEOUT}"),
    (
        "prototype chain of 1,000,000",
        "let o = {}; for (let i = 0; i < 1e6; i++) o = Object.create(o); for (;;) o.missing",
        f"{HEAP} | {TIMEOUT}",
    ),
]

PROMISES: list[Script] = [
    (
        "promise jobs without end",
        "(function f() { Promise.resolve().then(f) })(); new Promise(() => 0)",
        TIMEOUT,
    ),
    ("await in a loop", "(async () => { for (;;) await 0 })()", TIMEOUT),
    ("async recursion", "(async function f() { await 0; return f() })()", f"{HEAP} | {TIMEOUT}"),
    (
        "async generator",
        "(async () => { async function* g() { for (;;) yield 1 } for await (const x of g()); })()",
        TIMEOUT,
    ),
    ("thenable that thens itself", "const t = {then(f) { f(t) }}; Promise.resolve(t)", TIMEOUT),
    ("promise that never settles", "new Promise(() => 0)", "PendingPromiseError"),
    ("then poisoned", "Promise.prototype.then = () => { throw 1 }; Promise.resolve(7)", "= 7"),
    (
        "then poisoned by a loop",
        "Promise.prototype.then = () => { for (;;); }; (async () => 7)()",
        "= 7",
    ),
    ("constructor poisoned", "Promise.prototype.constructor = 5; (async () => 7)()", "= 7"),
    ("rejected with nothing", "Promise.reject()", THROWN),
    ("rejected with a hostile proxy", "Promise.reject(new Proxy({}, {get() { throw 1 }}))", THROWN),
    ("rejected, nobody looks", "for (let i = 0; i < 1000; i++) Promise.reject(i); 7", "= 7"),
    ("loop after the call, in a job", "Promise.resolve().then(() => { for (;;); }); 7", TIMEOUT),
    ("all of a million", "Promise.all(Array(1e5).fill(0)).then(a => a.length)", "= 100000"),
    ("import() in bare", "import('fs')", f"{TYPE} | JSError Error"),
]

BOMBS: list[Script] = [
    ("array of arrays", "const a = []; for (;;) a.push(new Array(1000).fill(a.length))", HEAP),
    ("objects", "let o = {}; for (let i = 0;; i++) o['k' + i] = {i, s: 'x'.repeat(100)}", HEAP),
    ("strings", "const a = []; for (let i = 0;; i++) a.push(String(i).padStart(5000, 'ab'))", HEAP),
    ("string doubling", "let s = 'a'; for (;;) s += s", RANGE),
    (
        "string doubling, flattened",
        "const a = []; for (;;) { let s = 'ab'; "
        "for (let i = 0; i < 22; i++) { s += s; /x/.test(s) } a.push(s) }",
        HEAP,
    ),
    ("repeat", "'a'.repeat(2 ** 30)", RANGE),
    ("padStart", "'a'.padStart(2 ** 30)", RANGE),
    (
        "replace that grows",
        "let s = 'aaaa'; for (;;) s = s.replace(/a/g, 'aaaaaaaa')",
        f"{HEAP} | {RANGE}",
    ),
    (
        "join of itself",
        "let a = ['x'.repeat(1e6)]; for (;;) a = [a.join(), a.join()]",
        f"{HEAP} | {RANGE}",
    ),
    ("split", "'a'.repeat(1 << 26).split('')", HEAP),
    ("closures", "const a = []; for (;;) { const b = new Array(5000); a.push(() => b) }", HEAP),
    ("map", "const m = new Map(); for (let i = 0;; i++) m.set({i}, {i})", f"{HEAP} | {RANGE}"),
    (
        "set of numbers",
        "const s = new Set(); for (let i = 0;; i++) s.add(i + 0.5)",
        f"{HEAP} | {RANGE}",
    ),
    ("symbols", "const a = []; for (;;) a.push(Symbol('x'.repeat(50)))", HEAP),
    ("bigints", "const a = []; for (let i = 0n;; i++) a.push((i + 1n) << 9000n)", HEAP),
    ("bigint: 2 ** (2 ** 40)", "2n ** (2n ** 40n)", RANGE),
    (
        "sparse array",
        "const a = []; for (let i = 0;; i += 5e5) a[i % 4294967295] = {}",
        f"{HEAP} | {TIMEOUT}",
    ),
    (
        "arguments",
        "(function f() { return f.apply(0, arguments) }).apply(0, new Array(1e6))",
        RANGE,
    ),
    ("spread that doubles", "let a = [1]; for (;;) a = [...a, ...a]", f"{HEAP} | {RANGE}"),
    ("concat that doubles", "let a = [1, 2.5, {}]; for (;;) a = a.concat(a)", f"{HEAP} | {RANGE}"),
    ("flat", "let a = [1]; for (;;) a = [a, a, a].flat()", f"{HEAP} | {RANGE}"),
    ("JSON.parse of 3 MB", "JSON.parse('[' + '{},'.repeat(3 << 19) + '1]')", HEAP),
    ("JSON.parse, 10 million deep", "JSON.parse('['.repeat(1e7))", f"{SYNTAX} | {RANGE}"),
    (
        "JSON.stringify doubles",
        "let s = {a: '\\n'.repeat(1e6)}; for (;;) s = {a: JSON.stringify(s)}",
        f"{HEAP} | {RANGE}",
    ),
    (
        "toJSON bomb",
        "JSON.stringify({toJSON() { return [this, {toJSON: this.toJSON}, "
        "new Array(1e4).fill(0)].slice(1) }})",
        f"{RANGE} | {HEAP}",
    ),
    (
        "typed arrays",
        "const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))",
        f"{HEAP} | {RANGE}",
    ),
    (
        "small typed arrays",
        "const a = []; for (;;) a.push(new Uint8Array(1000).fill(1))",
        f"{HEAP} | {RANGE}",
    ),
    ("typed array of 8 GB", "new Uint8Array(2 ** 33)", RANGE),
    ("ArrayBuffer of 100 MB, limit 64", "new ArrayBuffer(100 << 20).byteLength", RANGE),
    (
        "shared array buffers",
        "const a = []; for (;;) a.push(new SharedArrayBuffer(1 << 20))",
        f"{HEAP} | {RANGE}",
    ),
    (
        "resizable buffer",
        "const b = new ArrayBuffer(1, {maxByteLength: 2 ** 40}); "
        "b.resize ? b.resize(2 ** 39) : (() => { throw new RangeError() })()",
        RANGE,
    ),
    (
        "WebAssembly memory of 4 GB",
        "const m = new WebAssembly.Memory({initial: 65536}); new Uint8Array(m.buffer).length",
        f"{HEAP} | {RANGE}",
    ),
    (
        "WebAssembly memories, filled",
        "const a = []; for (;;) { "
        "const m = new WebAssembly.Memory({initial: 500}); new Uint8Array(m.buffer).fill(1); "
        "a.push(m) }",
        f"{HEAP} | {RANGE}",
    ),
    (
        "WebAssembly memory that grows",
        "const m = new WebAssembly.Memory({initial: 1}); "
        "for (;;) { m.grow(100); new Uint8Array(m.buffer).fill(1) }",
        f"{HEAP} | {RANGE}",
    ),
    (
        "WebAssembly memory, shared",
        "const a = []; for (;;) { "
        "const m = new WebAssembly.Memory({initial: 500, maximum: 500, shared: true}); "
        "new Uint8Array(m.buffer).fill(1); a.push(m) }",
        f"{HEAP} | {RANGE}",
    ),
    (
        "WebAssembly table",
        "new WebAssembly.Table({element: 'anyfunc', initial: 1e7 - 1}).length && "
        "(() => { const a = []; for (;;) a.push(new WebAssembly.Table("
        "{element: 'anyfunc', initial: 1e5})) })()",
        f"{HEAP} | {RANGE}",
    ),
    (
        "regular expressions",
        "const a = []; for (let i = 0;; i++) "
        "a.push(new RegExp('x{' + i % 1000 + '}(?:y|' + i + ')*')); ",
        f"{HEAP} | {TIMEOUT}",
    ),
    (
        "source text",
        "let s = 'x'; for (;;) { s += ';' + s; new Function(s) }",
        f"{HEAP} | {TIMEOUT} | {RANGE} | {SYNTAX}",
    ),
    ("errors with stacks", "const a = []; for (;;) a.push(new Error('x'.repeat(1000)))", HEAP),
    (
        "functions",
        "const a = []; for (let i = 0;; i++) a.push(new Function('return ' + i))",
        f"{HEAP} | {TIMEOUT}",
    ),
    (
        "generators never ended",
        "function* g() { const b = new Array(1000); yield b } "
        "const a = []; for (;;) { const i = g(); i.next(); a.push(i) }",
        HEAP,
    ),
    ("promises", "const a = []; for (;;) a.push(new Promise(() => 0).then(x => x))", HEAP),
    ("result of 10 million", "Array.from({length: 1e7}, (_, i) => i + 0.5)", f"{HEAP} | {RANGE}"),
    ("globals", "for (let i = 0;; i++) globalThis['g' + i] = [i]", f"{HEAP} | {TIMEOUT}"),
]

# One allocation beyond all bounds: V8 ends the process, and only such a case may (see Case.fatal).
FATAL: list[Script] = [
    ("new Array(1e9).fill(0)", "new Array(1e9).fill(0).length", "abort"),
    (
        "JSON.stringify of 1e8 strings",
        "JSON.stringify(Array(1e8).fill('abc')).length",
        f"abort | {RANGE} | {HEAP}",
    ),
]

DEEP: list[Script] = [
    ("recursion", "(function f() { return 1 + f() })()", RANGE),
    ("mutual recursion", "const f = () => g() + 1, g = () => f() + 1; f()", RANGE),
    (
        "recursion that catches itself",
        "(function f() { try { f() } catch { f() } })()",
        f"{TIMEOUT} | {RANGE}",
    ),
    ("recursion in a getter", "({get a() { return this.a }}).a", RANGE),
    ("recursion in toString", "const o = {toString() { return '' + this }}; '' + o", RANGE),
    ("recursion in a proxy", "const p = new Proxy({}, {get(t, k, r) { return r[k] }}); p.a", RANGE),
    (
        "proxies on proxies",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.a",
        RANGE,
    ),
    (
        "bound functions",
        "let f = x => x; for (let i = 0; i < 1e5; i++) f = f.bind(0); f(1)",
        f"{RANGE} | = 1",
    ),
    (
        "recursion in JSON.stringify",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
        f"{RANGE} | {HEAP} | {TIMEOUT}",
    ),
    (
        "recursion in a regular expression",
        "/(?:a|b)*?c/.test('ab'.repeat(5e6))",
        f"{TIMEOUT} | = False | {RANGE}",
    ),
    ("pattern nested 100,000 deep", "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", SYNTAX),
    ("parentheses nested 100,000 deep", "eval('('.repeat(1e5) + '1' + ')'.repeat(1e5))", RANGE),
    ("arrays nested 100,000 deep, in source", "eval('['.repeat(1e5) + ']'.repeat(1e5))", RANGE),
    ("binary operators, 1,000,000", "eval('1' + '+1'.repeat(1e6))", f"= 1000001 | {RANGE}"),
    ("else if, 100,000", "eval('if (0); '.concat('else if (0); '.repeat(1e5)))", RANGE),
    ("WebAssembly recursion", wasm(WASM_RECURSION), RANGE),
    (
        "result nested 100,000 deep",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a",
        CONVERSION,
    ),
    (
        "result nested 100,000 deep, objects",
        "let a = {}; for (let i = 0; i < 1e5; i++) a = {a}; a",
        CONVERSION,
    ),
    (
        "result nested 100,000 deep, maps",
        "let a = 1; for (let i = 0; i < 1e5; i++) a = new Map([[1, a]]); a",
        CONVERSION,
    ),
    (
        "errors that cause each other, 1,000",
        "let e = new Error('x'); "
        "for (let i = 0; i < 1e3; i++) e = new Error('y', {cause: e}); throw e",
        "JSError Error",
    ),
    ("error as its own cause", "const e = new Error('x'); e.cause = e; throw e", "JSError Error"),
    (
        "error as its own cause, returned",
        "const e = new Error('x'); e.cause = e; e",
        f"{CONVERSION}",
    ),
]

THROWS: list[Script] = [
    ("throw null", "throw null", THROWN),
    ("throw undefined", "throw undefined", THROWN),
    ("throw 0", "throw 0", THROWN),
    ("throw ''", "throw ''", THROWN),
    ("throw NaN", "throw NaN", THROWN),
    ("throw false", "throw false", THROWN),
    ("throw -0", "throw -0", THROWN),
    ("throw 10n", "throw 10n", THROWN),
    ("throw a symbol", "throw Symbol('s')", THROWN),
    ("throw a function", "throw () => 1", THROWN),
    ("throw null-prototype object", "throw Object.create(null)", "JSError Object"),
    (
        "throw a proxy",
        "throw new Proxy({}, {get() { throw 1 }, has() { throw 2 }, getPrototypeOf() { throw 3 }})",
        THROWN,
    ),
    (
        "throw a revoked proxy",
        "const r = Proxy.revocable({}, {}); r.revoke(); throw r.proxy",
        THROWN,
    ),
    ("throw a 100 MB text", "throw 'x'.repeat(1e8)", THROWN),
    ("error with a 100 MB message", "throw new Error('x'.repeat(1e8))", f"JSError Error | {HEAP}"),
    (
        "message is a getter that throws",
        "throw Object.defineProperty(new Error(), 'message', {get() { throw 1 }})",
        "JSError Error",
    ),
    (
        "message is a getter that loops",
        "throw Object.defineProperty(new Error(), 'message', {get() { for (;;); }})",
        TIMEOUT,
    ),
    (
        "stack is a getter that throws",
        "throw Object.defineProperty(new Error('m'), 'stack', {get() { throw 1 }})",
        "JSError Error",
    ),
    (
        "name is an object",
        "const e = new Error('m'); e.name = {toString() { throw 1 }}; throw e",
        "JSError Error",
    ),
    (
        "prepareStackTrace throws",
        "Error.prepareStackTrace = () => { throw 1 }; throw new Error('m')",
        "JSError Error",
    ),
    (
        "prepareStackTrace loops",
        "Error.prepareStackTrace = () => { for (;;); }; throw new Error('m')",
        TIMEOUT,
    ),
    (
        "prepareStackTrace recurses",
        "Error.prepareStackTrace = () => new Error('n').stack; throw new Error('m')",
        "JSError Error",
    ),
    (
        "stackTraceLimit",
        "Error.stackTraceLimit = Infinity; "
        "(function f(n) { if (n == 0) throw new Error('m'); f(n - 1) })(5000)",
        "JSError Error",
    ),
    ("lone surrogate in the message", "throw new Error('\\ud800')", "JSError Error"),
    ("NUL in the message", "throw new Error('a\\0b')", "JSError Error"),
    ("class extends null", "class E extends null {}; throw new E", f"{TYPE} | {REFERENCE}"),
    (
        "AggregateError of itself",
        "const e = new AggregateError([1]); e.errors.push(e); throw e",
        "JSError AggregateError",
    ),
    (
        "error whose prototype is poisoned",
        "const e = new Error('m'); Object.setPrototypeOf(e, "
        "new Proxy({}, {get() { throw 1 }})); throw e",
        "JSError Error | JSError ",
    ),
    (
        "throw in a finalizer of an iterator",
        "for (const x of {[Symbol.iterator]: () => ({next: () => "
        "({value: 1}), return() { throw new TypeError('r') }})}) break",
        TYPE,
    ),
]

VALUES: list[Script] = [
    ("bigint", "2n ** 200n", f"= {2**200}"),
    ("lone surrogate", "'\\ud800'", "= '\\ud800'"),
    ("pair in two halves", "'\\ud83d' + '\\ude00'", "= '\U0001f600'"),
    ("cyclic", "const a = []; a.push(a); a", CONVERSION),
    ("cyclic by way of a map", "const m = new Map(); m.set(1, m); m", CONVERSION),
    ("cyclic by way of a getter", "const o = {get o() { return o }}; o", CONVERSION),
    ("endless by way of a getter", "const f = () => ({get a() { return f() }}); f()", CONVERSION),
    ("getter that throws", "({get a() { throw new TypeError('g') }})", TYPE),
    ("proxy", "new Proxy({a: 1}, {})", "= <jsrt.JSObject Proxy>"),
    ("proxy inside", "[new Proxy({}, {})]", CONVERSION),
    (
        "revoked proxy",
        "const r = Proxy.revocable({}, {}); r.revoke(); r.proxy",
        "= <jsrt.JSObject Proxy>",
    ),
    (
        "revoked proxy inside",
        "const r = Proxy.revocable({}, {}); r.revoke(); [r.proxy]",
        CONVERSION,
    ),
    (
        "proxy with hostile traps",
        "new Proxy({}, new Proxy({}, {get() { throw 1 }}))",
        "= <jsrt.JSObject Proxy>",
    ),
    ("array of length 2^32 - 1", "new Array(2 ** 32 - 1)", CONVERSION),
    ("sparse", "const a = []; a[1e9] = 1; a", CONVERSION),
    ("array with a length getter", "({length: {valueOf() { for (;;); }}}).a", "= None"),
    (
        "array subclass with species",
        "class A extends Array { static get [Symbol.species]() { throw 1 } } new A(1, 2)",
        "= [1, 2]",
    ),
    ("symbol", "Symbol.iterator", "= <jsrt.JSObject Symbol(Symbol.iterator)>"),
    ("symbol inside", "[Symbol()]", CONVERSION),
    ("NaN and infinities", "[NaN, Infinity, -Infinity, -0]", "= [nan, inf, -inf, -0.0]"),
    ("invalid date", "new Date(NaN)", "= None"),
    ("date beyond Python", "new Date(8.64e15)", CONVERSION),
    ("map with NaN keys", "new Map([[NaN, 1]])", "= {nan: 1}"),
    ("map with objects as keys", "new Map([[{}, 1]])", CONVERSION),
    (
        "detached buffer",
        "const b = new ArrayBuffer(8); const v = new Uint8Array(b); "
        "structuredClone?.(b, {transfer: [b]}); v",
        f"= b'' | {REFERENCE}",
    ),
    ("__proto__ as a key", "JSON.parse('{\"__proto__\": 1}')", "= {'__proto__': 1}"),
    (
        "getter that deletes its neighbour",
        "({get a() { delete this.b; return 1 }, b: 2})",
        "= {'a': 1, 'b': None} | = {'a': 1}",
    ),
    (
        "getter that grows the array",
        "const a = [1, 2]; Object.defineProperty(a, 0, {get() "
        "{ a.push(3); return 1 }, enumerable: true}); a",
        "= [1, 2] | = [1, 2, 3]",
    ),
    (
        "getter that empties the array",
        "const a = [1, 2, 3]; Object.defineProperty(a, 0, {get() "
        "{ a.length = 1; return 1 }, enumerable: true}); a",
        "= [1] | = [1, None, None]",
    ),
    ("WeakRef", "new WeakRef({})", "= <jsrt.JSObject WeakRef>"),
    ("global object", "globalThis", "= <jsrt.JSObject global> | = <jsrt.JSObject Object>"),
    ("arguments object", "(function () { return arguments })(1, 2)", CONVERSION),
    ("document.all of V8", "typeof %GetUndetectable()", SYNTAX),
    ("module namespace", "typeof import.meta", SYNTAX),
]

POISONED: list[Script] = [
    ("Array.prototype.push", "Array.prototype.push = () => { throw 1 }; [1, [2]]", "= [1, [2]]"),
    ("Array.prototype[Symbol.iterator]", "Array.prototype[Symbol.iterator] = null; [1]", "= [1]"),
    (
        "Object.prototype setters",
        "for (const k of ['a', 'tag', 'length', '0']) Object.defineProperty("
        "Object.prototype, k, {set() { throw 1 }, get() { throw 2 }, configurable: true}); "
        "({__proto__: null, b: [1]})",
        "= {'b': [1]}",
    ),
    ("Object.prototype gets a value", "Object.prototype.extra = 1; ({a: 1})", "= {'a': 1}"),
    (
        "Object.prototype.toJSON",
        "Object.prototype.toJSON = () => 'mine'; ({a: [1]})",
        "= {'a': [1]}",
    ),
    (
        "Array.prototype[0] getter",
        "Object.defineProperty(Array.prototype, 0, {get() { throw 1 }}); [5]",
        "= [5]",
    ),
    (
        "Array.prototype[0] getter, a hole",
        "Object.defineProperty(Array.prototype, 0, {get() { return 9 }}); [, 5]",
        "= [9, 5] | = [None, 5]",
    ),
    ("JSON gone", "JSON = null; ({a: 1})", "= {'a': 1}"),
    (
        "JSON.stringify poisoned",
        "JSON.stringify = JSON.parse = () => { for (;;); }; ({a: 'é'})",
        "= {'a': 'é'}",
    ),
    (
        "Map.prototype poisoned",
        "Map.prototype.entries = Map.prototype.forEach = null; "
        "Map.prototype[Symbol.iterator] = () => { for (;;); }; new Map([[1, 2]])",
        "= {1: 2} | JSError TypeError",
    ),
    (
        "Function.prototype.call",
        "Function.prototype.call = Function.prototype.apply = () => 0; 5",
        "= 5",
    ),
    (
        "Error.prototype.toString",
        "Error.prototype.toString = () => { for (;;); }; throw new Error('m')",
        "JSError Error",
    ),
    (
        "Symbol.prototype.description",
        "Object.defineProperty(Symbol.prototype, 'description', "
        "{get() { throw 1 }}); throw Symbol('x')",
        THROWN,
    ),
    (
        "constructor of everything",
        "Object.prototype.constructor = Array.prototype.constructor = "
        "{get name() { for (;;); }}; [{a: 1}]",
        "= [{'a': 1}]",
    ),
    (
        "globalThis emptied",
        "const g = globalThis; for (const k of Reflect.ownKeys(g)) delete g[k]; 5",
        "= 5",
    ),
    ("globalThis sealed", "Object.freeze(globalThis); 5", "= 5 | JSError TypeError"),
    (
        "globalThis gets a hostile prototype",
        "try { Object.setPrototypeOf(globalThis, "
        "new Proxy({}, {get() { for (;;); }, has() { for (;;); }})) } catch {} 5",
        f"= 5 | {TIMEOUT}",
    ),
    (
        "undefined keys on Object.prototype",
        "Object.defineProperty(Object.prototype, 'then', "
        "{get() { for (;;); }, configurable: true}); 5",
        "= 5",
    ),
    (
        "await with a poisoned Object.prototype.then",
        "Object.prototype.then = function (f) { f(1) }; (async () => ({a: 1}))()",
        "= 1",
    ),
]

SOURCES: list[Script] = [
    ("syntax error at the end", "if (true) {", SYNTAX),
    ("unfinished template", "`${", SYNTAX),
    ("unfinished comment", "/* never", SYNTAX),
    ("nothing", "", "= None"),
    ("blanks only", " \n\t ", "= None"),
    ("byte order mark", "\ufeff1 + 1", "= 2"),
    ("hashbang", "#!/usr/bin/env node\n1 + 1", "= 2"),
    ("NUL", "1 + \0 1", SYNTAX),
    ("NUL in a text", "'a\0b'", "= 'a\\x00b'"),
    ("lone surrogate in the source", "'\ud800'", "= '\\ud800'"),
    ("line separators", "'a\u2028b'.length", "= 3"),
    ("10 MB", "/*" + "x" * 10_000_000 + "*/ 7", "= 7"),
    ("10 MB of statements", "a=1;" * 2_500_000, f"= 1 | {HEAP} | {TIMEOUT}"),
    ("identifier of 1 MB", "var " + "a" * 1_000_000 + " = 7; 7", "= 7"),
    ("100,000 variables", ";".join(f"let v{n}={n}" for n in range(100_000)), "= None"),
    ("HTML comment", "<!-- hello\n7", "= 7"),
    ("legacy octal", "017", "= 15"),
    ("with", "with ({a: 7}) a", "= 7"),
    ("delete of a variable", "var gone = 1; delete gone", "= False"),
    ("native syntax", "%DebugPrint(1)", SYNTAX),
    ("import statement", "import fs from 'fs'", SYNTAX),
    ("await outside", "await 1", SYNTAX),
    ("return outside", "return 1", SYNTAX),
    ("require in bare", "require('fs')", REFERENCE),
    ("process in bare", "process.exit(3)", REFERENCE),
    ("debugger", "debugger; 7", "= 7"),
]

GROUPS: dict[str, list[Script]] = {
    "loop": LOOPS,
    "promise": PROMISES,
    "bomb": BOMBS,
    "one allocation": FATAL,
    "deep": DEEP,
    "throw": THROWS,
    "value": VALUES,
    "poisoned": POISONED,
    "source": SOURCES,
}

# Beside Node: (profile, name, script, outcome).
NODE: list[tuple[str, str, str, str]] = [
    (
        "web",
        "setTimeout(0) loop",
        "(function f() { setTimeout(f, 0) })(); new Promise(() => 0)",
        TIMEOUT,
    ),
    ("web", "queueMicrotask loop", "(function f() { queueMicrotask(f) })()", TIMEOUT),
    ("web", "timer that loops", "new Promise(() => setTimeout(() => { for (;;); }, 1))", TIMEOUT),
    (
        "web",
        "timers, a million",
        "const a = []; for (;;) a.push(setTimeout(() => 0, 1e6))",
        f"{HEAP} | {TIMEOUT}",
    ),
    (
        "web",
        "MessageChannel ping-pong",
        "const c = new MessageChannel(); "
        "c.port1.onmessage = () => c.port1.postMessage(1); c.port2.onmessage = () => "
        "c.port2.postMessage(1); c.port1.postMessage(1); c.port2.postMessage(1); "
        "new Promise(() => 0)",
        TIMEOUT,
    ),
    (
        "web",
        "structuredClone of a proxy",
        "structuredClone(new Proxy({}, {}))",
        "JSError DataCloneError",
    ),
    (
        "web",
        "crypto.getRandomValues of 65,537",
        "crypto.getRandomValues(new Uint8Array(65537))",
        "JSError QuotaExceededError",
    ),
    (
        "web",
        "TextDecoder loop",
        "const b = new Uint8Array(1 << 20); for (;;) new TextDecoder().decode(b)",
        f"{TIMEOUT} | {HEAP}",
    ),
    (
        "web",
        "URL loop",
        "for (;;) new URL('http://a/' + 'x/../'.repeat(1000))",
        f"{TIMEOUT} | {HEAP}",
    ),
    (
        "web",
        "Blob bomb",
        "const a = []; for (;;) a.push(new Blob(['x'.repeat(1e6)]))",
        f"{HEAP} | {TIMEOUT} | {RANGE}",
    ),
    (
        "web",
        "stream without end",
        "new Response(new ReadableStream({pull(c) { c.enqueue("
        "new Uint8Array(1000)) }})).arrayBuffer()",
        f"{HEAP} | {TIMEOUT} | {RANGE}",
    ),
    (
        "web",
        "throw in a timer",
        "setTimeout(() => { throw new Error('late') }, 0); new Promise(f => setTimeout(f, 20, 7))",
        "= 7",
    ),
    (
        "web",
        "rejection nobody handles",
        "Promise.reject(new Error('late')); new Promise(f => setTimeout(f, 20, 7))",
        "= 7",
    ),
    ("web", "fetch of a file", "fetch('file:///etc/passwd')", TYPE),
    ("node", "process.exit", "process.exit(3)", "JSError Error"),
    ("node", "process.reallyExit", "process.reallyExit(3)", "JSError Error"),
    ("node", "process.abort", "process.abort()", "JSError Error"),
    ("node", "process.kill of itself", "process.kill(process.pid, 'SIGKILL')", "SIGKILL"),
    (
        "node",
        "uncaughtException handler that loops",
        "process.on('uncaughtException', () => "
        "{ for (;;); }); setTimeout(() => { throw 1 }, 0); new Promise(f => setTimeout(f, 50, 7))",
        f"{TIMEOUT} | = 7",
    ),
    (
        "node",
        "exit in a timer",
        "new Promise(f => { setTimeout(() => process.exit(3), 0); setTimeout(f, 30, 7) })",
        "= 7",
    ),
    ("node", "nextTick loop", "(function f() { process.nextTick(f) })()", TIMEOUT),
    (
        "node",
        "setImmediate loop",
        "(function f() { setImmediate(f) })(); new Promise(() => 0)",
        TIMEOUT,
    ),
    (
        "node",
        "worker_threads",
        "const {Worker} = require('worker_threads'); new Promise((f, g) => "
        "{ const w = new Worker('require(\"worker_threads\").parentPort.postMessage(7)', "
        "{eval: true}); w.on('message', f); w.on('error', g) })",
        "= 7",
    ),
    (
        "node",
        "worker_threads that never end",
        "const {Worker} = require('worker_threads'); new Worker('for (;;);', {eval: true}); 7",
        "= 7",
    ),
    ("node", "execSync", "require('child_process').execSync('sleep 1')", TIMEOUT),
    ("node", "chdir", "process.chdir('/'); 7", TYPE),
    (
        "node",
        "v8.setFlagsFromString",
        "require('v8').setFlagsFromString('--allow-natives-syntax'); 7",
        "= 7",
    ),
    ("node", "vm without a context", "require('vm').runInNewContext('for (;;);')", TIMEOUT),
    ("node", "Buffer of 4 GB", "Buffer.alloc(4e9)", RANGE),
    (
        "node",
        "zlib bomb",
        "const z = require('zlib'); "
        "z.gunzipSync(z.gzipSync(Buffer.alloc(50e6))).length && "
        "z.gunzipSync(z.gzipSync(Buffer.concat([Buffer.alloc(40e6), Buffer.alloc(40e6)])))",
        f"{RANGE} | {HEAP} | {TIMEOUT}",
    ),
]

# What V8 cannot be stopped in, or late: builtins that look for nothing while they walk over
# billions of holes, and loops whose steps are long builtins: V8 looks every hundred KB of bytecode.
UNSTOPPABLE = [
    ("array with 2^32 - 1 holes: forEach", "new Array(2 ** 32 - 1).forEach(x => x)", "hang"),
    (
        "array with 2^32 - 1 holes: indexOf",
        "const a = new Array(2 ** 32 - 1); a[5] = 1; "
        "Array.prototype.indexOf.call(new Proxy(a, {}), 7)",
        TIMEOUT,
    ),
    (
        "array-like with 2^53 - 1 holes",
        "Array.prototype.reverse.call({length: 2 ** 53 - 1})",
        "hang",
    ),
    (
        "typed array: includes, over and over",
        "const a = new Uint8Array(1 << 25); for (;;) a.includes(1)",
        "hang",
    ),
    ("normalize, over and over", "const s = 'é'.repeat(1e6); for (;;) s.normalize('NFKD')", "hang"),
]
UNSTOPPABLE.append(
    (
        "JSON.parse of 12 MB",
        "JSON.parse('[' + '{},'.repeat(1 << 22) + '1]')",
        f"{TIMEOUT} | {HEAP} | hang",
    )
)
GROUPS["beyond reach"] = UNSTOPPABLE

HEAVY = {
    "loop: bigint: to text",
    "bomb: typed array of 8 GB",
}
