# SPDX-License-Identifier: MIT
"""never_jscore 3.2 over jsrt: ``import jsrt.compat.never_jscore as never_jscore``.

Names, signatures, defaults, results and hook data are never_jscore's: values go both ways as JSON
would carry them, and every JavaScript error is a plain `Exception` with a text (its ``__cause__``
is jsrt's own). `tests/js/test_compat_never_jscore.py` runs one list of scripts through both.

What differs on purpose:

- Contexts may be used from any thread, be alive in any number, and be dropped in any order.
- The name given to ``call`` is a global's name or a dotted path, not source: nothing in it is run.
- Arguments are data: a key ``__proto__`` is a key, and text is text whatever is in it. Cyclic and
  very deep arguments are errors; theirs end the process.
- A call waits for its own promise, not for every timer there is, and its result or error never
  reaches another caller. ``fast_return`` has nothing left to do.
- ``throw 0``, ``throw null`` and the like are raised; theirs return None.
- A lone surrogate in a result is kept; theirs is an error.
- Hook data belongs to its context; theirs to the process.
- ``$return`` and ``$storeResult`` give their value in `JSEngine` too; there theirs raises an
  internal error, or forgets it.
- ``gc()`` collects; theirs does nothing. ``JSEngine`` raises errors of its code when it is made.
- ``random_seed`` gives a sequence of its own; ``enable_logging`` has nothing to log.
- The texts of errors carry jsrt's file names and positions.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Literal

from .._jsrt import Context as _Context
from ..engine import JSEngine as _JSEngine
from ..errors import Error as _Error

__all__ = ["Context", "JSEngine"]

__version__ = "2.5.2"  # what never_jscore 3.2.0 says

DEEPEST = 200  # of arguments; a result may be deeper
SAFE = 2**53
LARGE = 4096  # characters of code that jsrt keeps, for the code cache

# $-functions and the way results go out. Runs first, so that its intrinsics are the intrinsic ones.
PRELUDE = r"""
globalThis.$jsrt = (() => {
  const { stringify } = JSON, text = String, { isSafeInteger, isInteger, isFinite } = Number;
  const evaluate = eval;
  const { defineProperty } = Object, { test } = RegExp.prototype;
  const plainName = /^[A-Za-z_$][\w$]*$/u, { apply } = Reflect, split = String.prototype.split;
  const getters = new Map(), { get, set } = Map.prototype;
  class EarlyReturn extends Error {}
  class Terminated extends Error {}
  let stored = false, result, hook;

  const give = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const leave = (value) => {
    stored = true;
    result = value;
    throw new EarlyReturn("early return");
  };
  give("$return", leave);
  give("$exit", leave);
  give("$storeResult", (value) => {
    stored = true;
    result = value;
  });
  give("$terminate", (data) => {
    hook = stringify(data) ?? "null";
    throw new Terminated("execution terminated");
  });
  if (typeof setTimeout === "function") {
    for (const name of ["setTimeout", "setInterval"]) {
      const real = globalThis[name];
      give(name, (...args) => +real(...args));
    }
  }

  // Scalars go out as they are, all else as JSON in a list.
  const encode = (value) => {
    switch (typeof value) {
      case "undefined":
        return null;
      case "boolean":
      case "string":
        return value;
      case "number":
        if (value === 0) return 0;
        if (!isFinite(value)) return null;
        return isInteger(value) && !isSafeInteger(value) ? [stringify(value)] : value;
      case "bigint":
        return text(value);
      case "function":
      case "symbol":
        return [""];
    }
    if (value === null) return null;
    try {
      return [stringify(value) ?? ""];
    } catch {
      return text(value);
    }
  };
  const finish = (value) => {
    if (hook !== undefined) return [1, hook];
    if (stored) {
      value = result;
      stored = false;
      result = undefined;
    }
    return encode(value);
  };
  const failed = (error) => {
    if (hook !== undefined || stored) return finish();
    throw error;
  };
  const settle = (value, wait) => {
    if (!wait || value === null || (typeof value !== "object" && typeof value !== "function")) {
      return finish(value);
    }
    let then;
    try {
      then = value.then;
    } catch (error) {
      return failed(error);
    }
    if (typeof then !== "function") return finish(value);
    return (async () => {
      try {
        return finish(await value);
      } catch (error) {
        return failed(error);
      }
    })();
  };
  const run = function (eval, $code) {
    return eval($code);
  };
  const begin = () => {
    stored = false;
    result = hook = undefined;
  };
  const binding = (name) => {
    let getter = apply(get, getters, [name]);
    if (getter === undefined) {
      if (!apply(test, plainName, [name])) throw new SyntaxError(`${name} is not a name`);
      getter = evaluate(`() => ${name}`);
      apply(set, getters, [name, getter]);
    }
    return getter();
  };
  return {
    call(name, args, wait) {
      begin();
      let value;
      try {
        const path = apply(split, name, ["."]);
        let self, callee = binding(path[0]);
        for (let i = 1; i < path.length; i++) {
          self = callee;
          callee = callee[path[i]];
        }
        if (typeof callee !== "function") throw new TypeError(`${name} is not a function`);
        value = apply(callee, self, args);
      } catch (error) {
        return failed(error);
      }
      return settle(value, wait);
    },
    run(code, wait) {
      begin();
      let value;
      try {
        value = run(evaluate, code);
      } catch (error) {
        return failed(error);
      }
      return settle(value, wait);
    },
  };
})();
Object.defineProperty(globalThis, "$jsrt", { enumerable: false });
"""

SEEDED = r"""
(() => {
  let a = %d >>> 0;
  Math.random = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
})();
"""


def to_plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON would carry it.

    Raises:
        Exception: it cannot.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -SAFE <= value <= SAFE else to_float(value)
    if kind is str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Exception("Unsupported Python type") from None
        return value
    if kind is float:
        return to_float(value)
    if depth > DEEPEST:
        raise Exception("Maximum nesting depth exceeded")
    if isinstance(value, list):
        return [to_plain(each, depth + 1) for each in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"'{type(key).__name__}' object cannot be cast as 'str'")
        return {key: to_plain(each, depth + 1) for key, each in value.items()}
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return to_plain(base(value), depth)
    raise Exception("Unsupported Python type")


def to_float(value: float) -> float:
    """A number that is finite in JavaScript."""
    try:
        number = float(value)
    except OverflowError:
        raise Exception("Unsupported Python type") from None
    if not math.isfinite(number):
        raise Exception("Invalid float")
    return number


def parse_int(text: str) -> int | float:
    """An integer of JSON: a float where 64 bits do not hold it."""
    value = int(text)
    return value if -(2**63) <= value < 2**63 else float(text)


DECODER = json.JSONDecoder(parse_int=parse_int)


def from_plain(value: Any) -> tuple[Any, str | None]:
    """What the prelude's `encode` gave: the value, and the hook's data where $terminate ended it.

    Raises:
        Exception: a function or symbol.
    """
    if type(value) is not list:
        return value, None
    if len(value) == 2:
        return None, value[1]
    if not value[0]:
        raise Exception("JSON parse error: EOF while parsing a value at line 1 column 0")
    return DECODER.decode(value[0]), None


def check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(
            f"argument '{name}': '{type(value).__name__}' object cannot be cast as 'str'"
        )


def describe(error: BaseException) -> str:
    """An error as never_jscore's texts have it."""
    name = getattr(error, "name", None)
    if name == "":  # a primitive was thrown
        return f"Uncaught (in promise) {getattr(error, 'message', error)}"
    if name and not getattr(error, "stack", ""):  # some other object
        return f"Uncaught (in promise) #<{name}>"
    return str(error)


def profile_of(enable_node_compat: bool) -> Any:
    return "node" if enable_node_compat else "web"


def prelude_of(random_seed: int | None) -> str:
    return PRELUDE + (SEEDED % random_seed if random_seed is not None else "")


class Context:
    """never_jscore's Context. Arguments as there; see the module for what differs."""

    __slots__ = ("_calls", "_context", "_hook")

    def __init__(
        self,
        enable_extensions: bool = True,
        enable_logging: bool = False,
        random_seed: int | None = None,
        enable_node_compat: bool = False,
        fast_return: bool = False,
    ) -> None:
        self._context = _Context(profile=profile_of(enable_node_compat))
        self._context.compile(prelude_of(random_seed), filename="jsrt:never_jscore")
        self._calls = 0
        self._hook: str | None = None

    def compile(self, code: str) -> None:
        """Runs code in the global scope.

        Raises:
            Exception: it threw.
        """
        check_text("code", code)
        self._calls += 1
        try:
            if len(code) >= LARGE:
                self._context.compile(code, filename="<exec>")
            else:
                self._context.eval(f"{code}\n;undefined", filename="<exec>")
        except _Error as error:
            raise Exception(f"Compile error: {describe(error)}") from error

    def eval(self, code: str, return_value: bool = False, auto_await: bool | None = None) -> Any:
        """As `compile`, or, with return_value, as `evaluate`."""
        if return_value:
            return self._run("Eval", code, auto_await)
        return self.compile(code)

    def evaluate(self, code: str, auto_await: bool | None = None) -> Any:
        """The value of the last expression; declarations do not stay.

        Raises:
            Exception: it threw, or the value has no JSON.
        """
        return self._run("Evaluate", code, auto_await)

    def call(self, name: str, args: Any, auto_await: bool | None = None) -> Any:
        """Calls a function with a list of arguments, or with one value.

        Raises:
            Exception: it threw, there is none, or a value has no JSON.
        """
        check_text("name", name)
        plain = to_plain(args)
        if type(plain) is not list:
            plain = [plain]
        return self._out("Call", "$jsrt.call", [name, plain, auto_await is not False])

    def gc(self) -> None:
        """Collects garbage."""
        self._context.collect()

    def get_stats(self) -> tuple[int]:
        """How many calls there were."""
        return (self._calls,)

    def reset_stats(self) -> None:
        """Counts from 0 again."""
        self._calls = 0

    def get_heap_statistics(self) -> dict[str, int]:
        """V8's figures, under V8's names."""
        return self._context._v8_statistics()

    def take_heap_snapshot(self, file_path: str) -> None:
        """Writes a file that Chrome DevTools opens."""
        self._context.heap_snapshot(file_path)

    def get_hook_data(self) -> str | None:
        """What the last `$terminate` was given, as JSON."""
        return self._hook

    def clear_hook_data(self) -> None:
        """Forgets it."""
        self._hook = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> Literal[False]:
        self._context.collect()
        return False

    def _run(self, what: str, code: str, auto_await: bool | None) -> Any:
        check_text("code", code)
        return self._out(what, "$jsrt.run", [code, auto_await is not False])

    def _out(self, what: str, name: str, args: list[Any]) -> Any:
        self._calls += 1
        try:
            value, hook = from_plain(self._context.call(name, args))
        except _Error as error:
            raise Exception(f"{what} error: {describe(error)}") from error
        if hook is not None:
            self._hook = hook
            raise Exception(f"{what} error: Uncaught Error: execution terminated")
        return value


class JSEngine:
    """never_jscore's JSEngine. Arguments as there; see the module for what differs."""

    __slots__ = ("_engine",)

    def __init__(
        self,
        code: str,
        workers: int | None = None,
        enable_extensions: bool = True,
        enable_node_compat: bool = False,
        enable_logging: bool = False,
        random_seed: int | None = None,
        fast_return: bool = False,
    ) -> None:
        check_text("code", code)
        self._engine = _JSEngine(
            prelude_of(random_seed),
            workers if workers is not None else os.cpu_count() or 1,
            profile=profile_of(enable_node_compat),
        )
        try:
            self._engine.compile(code, filename="<pool_init>")
        except _Error as error:
            raise Exception(f"Compile error: {describe(error)}") from error

    @property
    def workers(self) -> int:
        """How many isolates there may be."""
        return self._engine.workers

    def call(self, func_name: str, args: list[Any]) -> Any:
        """Calls a function in a free isolate.

        Raises:
            Exception: it threw, there is none, or a value has no JSON.
        """
        check_text("func_name", func_name)
        if not isinstance(args, list):
            raise TypeError(
                f"argument 'args': '{type(args).__name__}' object cannot be cast as 'list'"
            )
        return self._out("$jsrt.call", [func_name, to_plain(args), True])

    def execute(self, code: str) -> Any:
        """The value of code in a free isolate; declarations do not stay."""
        check_text("code", code)
        return self._out("$jsrt.run", [code, True])

    def get_hook_data(self, worker_id: int) -> str | None:
        """None: what `$terminate` was given is in the call's result."""
        return None

    def clear_hook_data(self, worker_id: int) -> None:
        """Does nothing."""

    def __enter__(self) -> JSEngine:
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return f"JSEngine(workers={self.workers})"

    def _out(self, name: str, args: list[Any]) -> Any:
        try:
            value, hook = from_plain(self._engine.call(name, args))
        except _Error as error:
            raise Exception(f"Event loop error: {describe(error)}") from error
        if hook is not None:
            return {"__hook__": True, "worker_id": 0, "data": DECODER.decode(hook)}
        return value
