/* SPDX-License-Identifier: MIT
 *
 * bootstrap.hh: the JavaScript that turns a fresh Node environment into the profile's realm.
 *
 * It is the body of a function (process, require, native). require is Node's own, for built-in
 * modules. native: web (bool), report(thrown), fromNode() (did Node's own code call the function
 * that asks?), ticks(Uint8Array), unwind(function to call after a termination), internalBinding
 * (Node's own, where Node gives it to embedders; else undefined).
 *
 * What it sees to in both profiles: nothing ends the process; errors nobody catches go to
 * report(); console and process.stdout write synchronously and never switch the descriptors,
 * which Python shares, to non-blocking.
 */
#ifndef JSRT_V8_BOOTSTRAP_HH
#define JSRT_V8_BOOTSTRAP_HH

namespace jsv8
{

constexpr char kBootstrap[] = R"JS('use strict';
const fs = require('fs');
const { Console } = require('console');
const { Buffer } = require('buffer');
const { formatWithOptions, inspect } = require('util');
const define = (name, value) => Object.defineProperty(globalThis, name,
  { value, writable: true, configurable: true, enumerable: false });

// Node's own bindings. A termination skips the JS that pops Node's stack of async ids, which Node,
// finding it out of step, answers with an abort: so that check goes off, and the shim clears the
// stack. The tick flags let the shim skip an empty tick queue; without them it asks each time.
let { internalBinding } = native;
for (const id of ['internal/bootstrap/realm', 'internal/bootstrap/loaders']) {
  try {
    internalBinding ??= require(id).internalBinding;
  } catch { /* not in this version of Node, or not for us */ }
}
if (internalBinding !== undefined) {
  const { tickInfo } = internalBinding('task_queue');
  if (tickInfo instanceof Uint8Array && tickInfo.length >= 2) native.ticks(tickInfo);
}
{
  const { emitWarning } = process;
  process.emitWarning = () => {};    // process.binding is deprecated; there is nothing else
  const hooks = process.binding('async_wrap');
  process.emitWarning = emitWarning;
  hooks.async_hook_fields[hooks.constants.kCheck] = 0;
  native.unwind(hooks.clearAsyncIdStack);
}

// ---- nothing ends the process
const noExit = (what) => function(code) {
  const error = new Error(`${what}() cannot end the process that JavaScript is embedded in`);
  error.code = 'ERR_PROCESS_EXIT';
  if (code !== undefined) error.exitCode = code;
  throw error;
};
for (const name of ['exit', 'reallyExit', 'abort'])
  Object.defineProperty(process, name,
    { value: noExit('process.' + name), writable: true, configurable: true, enumerable: true });
process.setUncaughtExceptionCaptureCallback((thrown) => {
  try {
    if (native.web || !process.emit('uncaughtException', thrown, 'uncaughtException'))
      native.report(thrown);
  } catch (second) {
    native.report(second);
  }
});
process.on('unhandledRejection', (reason) => {
  if (process.listenerCount('unhandledRejection') === 1) native.report(reason);
});
const { emitWarning } = process;
process.emitWarning = function(warning, type, ...rest) {
  const kind = type !== null && typeof type === 'object' ? type.type : type;
  if (kind === 'ExperimentalWarning') return;
  return Reflect.apply(emitWarning, process, [warning, type, ...rest]);
};

// ---- output
const sleeper = new Int32Array(new SharedArrayBuffer(4));
function writeAll(fd, chunk, encoding) {
  let bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
  for (let patience = 5000; bytes.length > 0 && patience > 0;) {
    try {
      bytes = bytes.subarray(fs.writeSync(fd, bytes));
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
      Atomics.wait(sleeper, 0, 0, 1);
      patience--;
    }
  }
}
const sink = (fd) => ({ write(chunk) { writeAll(fd, chunk, 'utf8'); return true; } });
define('console', new Console(
  { stdout: sink(1), stderr: sink(2), ignoreErrors: false, colorMode: false }));
// For a console of the host's, which is JavaScript of a realm's own.
Object.defineProperty(console, Symbol.for('jsrt.inspect'), { value: Object.freeze({
  format: (...args) => formatWithOptions({ colors: false }, ...args),
  inspect: (value, options) => inspect(value, { ...options, colors: false }) }) });

if (!native.web) {
  for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) {
    let stream;
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get() {
      if (stream === undefined) {
        const { Writable } = require('stream');
        stream = new Writable({ decodeStrings: false, write(chunk, encoding, done) {
          writeAll(fd, chunk, encoding);
          done();
        } });
        stream.fd = fd;
        stream.isTTY = require('tty').isatty(fd);
        stream._isStdio = true;
        stream.destroySoon = stream.destroy = function() { return this; };
      }
      return stream;
    } });
  }
}

// ---- globals that this version of Node keeps in modules
const missing = (name, get) => {
  if (name in globalThis) return;
  Object.defineProperty(globalThis, name, { configurable: true, enumerable: false,
    get() { const value = get(); define(name, value); return value; },
    set(value) { define(name, value); } });
};
missing('self', () => globalThis);
const crypto = () => require('crypto');
if (globalThis.crypto === undefined) {
  delete globalThis.crypto;
  missing('crypto', () => crypto().webcrypto);
}
missing('Crypto', () => crypto().webcrypto.constructor);
missing('CryptoKey', () => crypto().webcrypto.CryptoKey ??
  require('internal/crypto/webcrypto').CryptoKey);
missing('SubtleCrypto', () => crypto().webcrypto.subtle.constructor);
const inModule = (module, names) => {
  for (const name of names)
    missing(name, () => require(module)[name]);
};
inModule('stream/web', [
  'ReadableStream', 'ReadableStreamDefaultReader', 'ReadableStreamBYOBReader',
  'ReadableByteStreamController', 'ReadableStreamBYOBRequest', 'ReadableStreamDefaultController',
  'TransformStream', 'TransformStreamDefaultController', 'WritableStream',
  'WritableStreamDefaultController', 'WritableStreamDefaultWriter', 'ByteLengthQueuingStrategy',
  'CountQueuingStrategy', 'TextEncoderStream', 'TextDecoderStream', 'CompressionStream',
  'DecompressionStream']);
inModule('buffer', ['Blob', 'File', 'atob', 'btoa']);
inModule('perf_hooks', ['performance', 'Performance', 'PerformanceEntry']);
inModule('worker_threads', ['MessageChannel', 'MessagePort', 'BroadcastChannel']);
missing('CustomEvent', () => require('internal/event_target').CustomEvent);

if (native.web) {
  // Node's fetch looks some of its own helpers up as globals, so they stay, for it alone.
  for (const name of ['process', 'Buffer', 'global', 'setImmediate', 'clearImmediate']) {
    const value = name === 'process' ? process : name === 'Buffer' ? Buffer : globalThis[name];
    let own;
    Object.defineProperty(globalThis, name, { configurable: true, enumerable: false,
      get() { return native.fromNode() ? value : own; },
      set(replacement) { own = replacement; } });
  }
  delete globalThis.require;
  delete globalThis.module;
} else {
  define('require', require('module').createRequire(process.cwd() + '/'));
}
)JS";

}   // namespace jsv8
#endif
