# SPDX-License-Identifier: MIT
"""JavaScript's ``console`` as records of Python's logging: ``Context(console=...)``.

`SOURCE` is run first in each global scope that has a console of ours. It takes the `Writer`, which
waits under a name of its own on the global object, and makes a ``console`` whose methods first ask
whether anybody listens at their level, then write one text. Texts are formatted as Node formats
them: by Node where its environment is there, by a smaller formatter in a bare isolate.
"""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

from . import _jsrt

__all__ = ["SOURCE", "Console", "Writer"]

Console: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any] | str | Writer"
"""What ``console=`` takes."""

LONGEST = 65_536
"""Characters of one record; of a longer text the rest is left out."""


class Writer:
    """What ``console`` of one context calls.

    Args:
        console: a logger or its name, or an adapter, whose ``extra`` each record gets.
        extra: more of that.

    Raises:
        TypeError: console is none of these.
    """

    __slots__ = ("_extra", "_logger")

    def __init__(
        self,
        console: Console,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self._extra: dict[str, Any] = {}
        if isinstance(console, Writer):
            self._extra.update(console._extra)
            console = console._logger
        while isinstance(console, logging.LoggerAdapter):
            self._extra = {**(console.extra or {}), **self._extra}
            console = console.logger
        if isinstance(console, str):
            console = logging.getLogger(console)
        if not isinstance(console, logging.Logger):
            raise TypeError(
                "console must be a logging.Logger, a LoggerAdapter or a logger's name, not "
                f"{type(console).__name__}"
            )
        self._logger: logging.Logger = console
        self._extra.update(extra or {})

    def __call__(self, level: int, text: str | None = None) -> bool:
        """Whether anybody listens at this level; with a text, it is written."""
        logger = self._logger
        if text is None or not logger.isEnabledFor(level):
            return logger.isEnabledFor(level)
        filename, line, function = _jsrt._caller()
        extra = {**self._extra, "js_filename": filename, "js_lineno": line}
        logger.handle(
            logger.makeRecord(logger.name, level, filename, line, text, (), None, function, extra)
        )
        return True


SOURCE = r"""((write, longest) => {
  "use strict";
  delete globalThis["jsrt:console"];
  const DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, is, keys } = Object;
  const { isArray } = Array, { isView } = ArrayBuffer, { ownKeys } = Reflect, { stringify } = JSON;
  const clock = typeof performance === "object" ? performance : Date;

  // ---- A formatter for where Node's is not
  const SHOWN = 100, DEPTH = 2, WIDTH = 72, TEXT = 10000;
  const cut = (text, most) => text.length <= most ? text
    : `${text.slice(0, most)}... ${text.length - most} more characters`;
  const quoted = (text) => {
    const inner = stringify(cut(text, TEXT)).slice(1, -1);
    return inner.includes("'") ? `"${inner}"` : `'${inner.replaceAll('\\"', '"')}'`;
  };
  const number = (value) => is(value, -0) ? "-0" : `${value}`;
  const keyed = (key) => typeof key === "symbol" ? `[${String(key)}]`
    : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);
  const nameOf = (object) => {
    for (let at = object; at !== null; at = getPrototypeOf(at)) {
      const found = getOwnPropertyDescriptor(at, "constructor")?.value;
      if (typeof found === "function" && found.name !== "") return found.name;
    }
    return null;
  };
  const laidOut = (head, open, parts, close) => {
    const before = head === "" ? open : `${head} ${open}`;
    if (parts.length === 0) return before + close;
    const line = parts.join(", ");
    return line.length <= WIDTH && !line.includes("\n")
      ? `${before} ${line} ${close}`
      : `${before}\n  ${parts.join(",\n").replaceAll("\n", "\n  ")}\n${close}`;
  };
  class Inspection {
    left = 5000;             // entries: a bound for all of it
    path = [];

    entry(object, key, depth) {
      const { value, get, set } = getOwnPropertyDescriptor(object, key);
      return get !== undefined ? (set !== undefined ? "[Getter/Setter]" : "[Getter]")
        : set !== undefined ? "[Setter]" : this.show(value, depth - 1);
    }
    properties(object, names, depth, parts) {
      let shown = 0;
      for (const key of names) {
        if (shown++ === SHOWN || this.left-- <= 0) {
          parts.push(`... ${names.length - shown + 1} more items`);
          break;
        }
        parts.push(`${keyed(key)}: ${this.entry(object, key, depth)}`);
      }
      return parts;
    }
    elements(object, length, depth, parts) {
      let holes = 0;
      const flush = () => {
        if (holes > 0) parts.push(`<${holes} empty item${holes > 1 ? "s" : ""}>`);
        holes = 0;
      };
      const most = Math.min(length, SHOWN);
      for (let i = 0; i < most && this.left-- > 0; i++) {
        if (getOwnPropertyDescriptor(object, i) === undefined) {
          holes++;
        } else {
          flush();
          parts.push(this.entry(object, i, depth));
        }
      }
      flush();
      if (length > most) parts.push(`... ${length - most} more items`);
      return parts;
    }
    show(value, depth) {
      switch (typeof value) {
        case "string": return quoted(value);
        case "number": return number(value);
        case "bigint": return `${value}n`;
        case "function":
        case "object": break;
        default: return String(value);
      }
      if (value === null) return "null";
      if (this.path.includes(value)) return "[Circular]";
      this.path.push(value);
      try {
        return this.object(value, depth);
      } catch {
        return "[object]";     // a Proxy or a getter of a prototype threw
      } finally {
        this.path.pop();
      }
    }
    object(object, depth) {
      const name = nameOf(object);
      const head = name ?? "[Object: null prototype]";
      const enumerable = ownKeys(object).filter(
        (key) => getOwnPropertyDescriptor(object, key)?.enumerable);
      const list = isArray(object), view = isView(object) && !(object instanceof DataView);
      const others = list || view
        ? enumerable.filter((key) => typeof key === "symbol" || !/^\d+$/.test(key)) : enumerable;
      let parts = [], before = name === "Object" ? "" : head;
      if (typeof object === "function") {
        const text = Function.prototype.toString.call(object);
        const kind = text.startsWith("class") ? "class" : name ?? "Function";
        const label = object.name === "" ? " (anonymous)"
          : kind === "class" ? ` ${object.name}` : `: ${object.name}`;
        before = `[${kind}${label}]`;
        if (others.length === 0) return before;
      } else if (object instanceof Error) {
        const stack = object.stack;
        before = typeof stack === "string" && stack !== "" ? stack : `[${String(object)}]`;
        const cause = getOwnPropertyDescriptor(object, "cause");
        if (cause !== undefined && !cause.enumerable) {
          parts.push(`[cause]: ${this.show(cause.value, depth - 1)}`);
        }
        if (parts.length + others.length === 0) return before;
      } else if (object instanceof Date) {
        const time = Date.prototype.getTime.call(object);
        before = time === time ? Date.prototype.toISOString.call(object) : "Invalid Date";
        if (others.length === 0) return before;
      } else if (object instanceof RegExp) {
        before = RegExp.prototype.toString.call(object);
        if (others.length === 0) return before;
      } else if ([Number, String, Boolean].some((each) => object instanceof each)) {
        return `[${head}: ${this.show(object.valueOf(), depth)}]`;
      }
      if (depth < 0) return list ? "[Array]" : `[${head}]`;
      if (list || view) {
        this.elements(object, object.length, depth, parts);
        this.properties(object, others, depth, parts);
        before = list && name === "Array" ? "" : `${head}(${object.length})`;
        return laidOut(before, "[", parts, "]");
      }
      if (object instanceof Map) {
        for (const [key, value] of Map.prototype.entries.call(object)) {
          if (parts.length === SHOWN || this.left-- <= 0) { parts.push("..."); break; }
          parts.push(`${this.show(key, depth - 1)} => ${this.show(value, depth - 1)}`);
        }
        before = `${head}(${object.size})`;
      } else if (object instanceof Set) {
        for (const value of Set.prototype.values.call(object)) {
          if (parts.length === SHOWN || this.left-- <= 0) { parts.push("..."); break; }
          parts.push(this.show(value, depth - 1));
        }
        before = `${head}(${object.size})`;
      } else if (object instanceof ArrayBuffer) {
        parts.push(`byteLength: ${object.byteLength}`);
      }
      return laidOut(before, "{", this.properties(object, others, depth, parts), "}");
    }
  }
  const own = {
    inspect: (value, { depth = DEPTH } = {}) => new Inspection().show(value, depth ?? Infinity),
    format(...args) {
      const { inspect } = own;
      let out = "", used = 0;
      if (typeof args[0] === "string") {
        used = 1;
        out = args[0].replace(/%[%sdifjoOc]/g, (what) => {
          if (what === "%%") return args.length === 1 ? what : "%";
          if (used === args.length) return what;
          const value = args[used++];
          switch (what) {
            case "%s":
              return typeof value === "string" ? value : inspect(value, { depth: 0 });
            case "%d":
              return typeof value === "bigint" ? `${value}n`
                : typeof value === "symbol" ? "NaN" : number(Number(value));
            case "%i":
              return typeof value === "bigint" ? `${value}n`
                : typeof value === "symbol" ? "NaN" : number(parseInt(value));
            case "%f": return typeof value === "symbol" ? "NaN" : number(parseFloat(value));
            case "%j":
              try { return stringify(value); } catch { return "[Circular]"; }
            case "%o": return inspect(value, { depth: 4 });
            case "%O": return inspect(value);
            default: return "";
          }
        });
      }
      for (; used < args.length; used++) {
        const text = typeof args[used] === "string" ? args[used] : inspect(args[used]);
        out = used === 0 ? text : `${out} ${text}`;
      }
      return out;
    },
  };
  const { format, inspect } = globalThis.console?.[Symbol.for("jsrt.inspect")] ?? own;

  // ---- console
  let indent = "";
  const counts = new Map(), timers = new Map();
  const put = (level, text) => {
    text = cut(text, longest);
    write(level, indent === "" ? text : indent + text.replaceAll("\n", "\n" + indent));
  };
  const at = (level) => (...args) => { if (write(level)) put(level, format(...args)); };
  const named = (label) => `${label ?? "default"}`;
  const passed = (label) => {
    const since = timers.get(label);
    if (since === undefined) {
      put(WARNING, `Timer '${label}' does not exist`);
      return null;
    }
    const ms = clock.now() - since;
    return ms >= 1000 ? `${(ms / 1000).toFixed(3)}s` : `${+ms.toFixed(3)}ms`;
  };
  const table = (data, columns) => {
    const rows = [], heads = [], plain = "Values", cells = (value) => {
      const row = new Map();
      if (Object(value) === value && typeof value !== "function") {
        for (const key of columns ?? keys(value)) {
          if (key in value) row.set(key, inspect(value[key], { depth: 0 }));
        }
      } else {
        row.set(plain, inspect(value));
      }
      return row;
    };
    const entries = data instanceof Map ? [...data].map(([key, value], i) => [i, value])
      : data instanceof Set ? [...data].map((value, i) => [i, value])
      : keys(data).map((key) => [key, data[key]]);
    for (const [index, value] of entries.slice(0, 1000)) {
      const row = cells(value);
      for (const key of row.keys()) if (!heads.includes(key) && key !== plain) heads.push(key);
      rows.push([`${index}`, row]);
    }
    const all = ["(index)", ...heads];
    if (rows.some(([, row]) => row.has(plain))) all.push(plain);
    const lines = [all, ...rows.map(([index, row]) =>
      [index, ...all.slice(1).map((key) => row.get(key) ?? "")])];
    const widths = all.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
    const drawn = lines.map((line) =>
      `| ${line.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`);
    drawn.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
    return drawn.join("\n");
  };
  const log = at(INFO);
  const group = (...args) => {
    if (args.length > 0) log(...args);
    if (indent.length < 64) indent += "  ";
  };
  const methods = {
    debug: at(DEBUG), log, info: at(INFO), warn: at(WARNING), error: at(ERROR),
    dir(value, options) { if (write(INFO)) put(INFO, inspect(value, options)); },
    dirxml: at(INFO),
    table(data, columns) {
      if (Object(data) !== data) log(data);
      else if (write(INFO)) put(INFO, table(data, columns));
    },
    trace(...args) {
      if (!write(INFO)) return;
      const here = { name: "Trace", message: format(...args) };
      Error.captureStackTrace(here, methods.trace);
      const { stack } = here;
      put(INFO, typeof stack === "string" ? stack : `Trace: ${here.message}`);
    },
    assert(condition, ...args) {
      if (condition || !write(ERROR)) return;
      if (typeof args[0] === "string") args[0] = `Assertion failed: ${args[0]}`;
      else args.unshift("Assertion failed");
      put(ERROR, format(...args));
    },
    group, groupCollapsed: group,
    groupEnd() { indent = indent.slice(2); },
    count(label) {
      label = named(label);
      const count = (counts.get(label) ?? 0) + 1;
      counts.set(label, count);
      if (write(INFO)) put(INFO, `${label}: ${count}`);
    },
    countReset(label) {
      label = named(label);
      if (!counts.delete(label)) put(WARNING, `Count for '${label}' does not exist`);
    },
    time(label) {
      label = named(label);
      if (timers.has(label)) put(WARNING, `Timer '${label}' already exists`);
      else timers.set(label, clock.now());
    },
    timeLog(label, ...args) {
      label = named(label);
      const text = passed(label);
      if (text !== null && write(INFO)) put(INFO, format(`%s: ${text}`, label, ...args));
    },
    timeEnd(label) {
      label = named(label);
      const text = passed(label);
      timers.delete(label);
      if (text !== null && write(INFO)) put(INFO, `${label}: ${text}`);
    },
    clear() {}, profile() {}, profileEnd() {}, timeStamp() {},
  };
  defineProperty(methods, Symbol.toStringTag, { value: "console", configurable: true });
  defineProperty(globalThis, "console",
    { value: methods, writable: true, configurable: true, enumerable: false });
})(globalThis["jsrt:console"], %LONGEST%);
""".replace("%LONGEST%", str(LONGEST))
