# SPDX-License-Identifier: MIT
"""One face for the engines that meet the hostile cases: ours in two forms, and the peers.

Each adapter is a few lines: make it with the limits the engine has, evaluate, call, expose a Python
function where it can. Peers are imported when asked for, so this file loads wherever Python does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

TIMEOUT = float(os.environ.get("CASGI_HOSTILE_TIMEOUT", "0.25"))
HEAP_MB = int(os.environ.get("CASGI_HOSTILE_HEAP", "64"))

Function = Callable[..., Any]


class NotOffered(Exception):
    """The engine has nothing of the kind that the case needs."""


class Engine:
    """What a case gets.

    Attributes:
        ours: False for a peer.
    """

    ours = False

    def eval(self, code: str) -> Any:
        raise NotImplementedError

    def define(self, code: str) -> None:
        """Runs declarations of the global scope."""
        self.eval(code + "; 0")

    def call(self, name: str, args: list[Any]) -> Any:
        raise NotImplementedError

    def expose(self, name: str, function: Function) -> None:
        raise NotOffered("no Python callbacks")

    def another(self) -> Engine:
        """A further one of the same kind, with the same limits."""
        return type(self)()

    def close(self) -> None:
        """Frees it, as far as the engine lets its users do so."""


class Ours(Engine):
    """A jsrt.Context with an isolate of its own.

    Attributes:
        ctx: the context.
    """

    ours = True

    def __init__(self, profile: str = "bare", **limits: Any) -> None:
        import jsrt

        self.profile = profile
        self.limits = {"heap_limit": HEAP_MB, "timeout": TIMEOUT, **limits}
        self.owner = jsrt.Context(profile=profile, **self.limits)  # type: ignore[arg-type]
        self.ctx = self.owner

    def eval(self, code: str) -> Any:
        return self.ctx.eval(code)

    def call(self, name: str, args: list[Any]) -> Any:
        return self.ctx.call(name, args)

    def expose(self, name: str, function: Function) -> None:
        self.ctx.expose(name, function)

    def another(self) -> Engine:
        return type(self)(self.profile, **self.limits)

    def close(self) -> None:
        self.ctx.close()
        self.owner.close()


class OurRealm(Ours):
    """A realm beside another one, `neighbour`, which must not notice anything.

    Attributes:
        neighbour: shares the isolate.
    """

    def __init__(self, profile: str = "bare", **limits: Any) -> None:
        super().__init__(profile, **limits)
        self.ctx = self.owner.realm()
        self.neighbour = self.owner.realm()
        self.neighbour.compile("function add(a, b) { return a + b }")


class NeverJscore(Engine):
    def __init__(self) -> None:
        import never_jscore

        self.js = never_jscore.Context()

    def eval(self, code: str) -> Any:
        return self.js.eval(code, return_value=True)

    def define(self, code: str) -> None:
        self.js.compile(code)  # what eval() declares is gone when it returns

    def call(self, name: str, args: list[Any]) -> Any:
        return self.js.call(name, args)

    def close(self) -> None:
        del self.js


class MiniRacer(Engine):
    def __init__(self) -> None:
        from py_mini_racer import MiniRacer as Isolate

        self.js = Isolate()

    def eval(self, code: str) -> Any:
        return self.js.eval(code, timeout_sec=TIMEOUT, max_memory=HEAP_MB << 20)

    def call(self, name: str, args: list[Any]) -> Any:
        return self.js.call(name, *args, timeout_sec=TIMEOUT, max_memory=HEAP_MB << 20)

    def close(self) -> None:
        self.js.close()


class StPyV8(Engine):
    def __init__(self) -> None:
        import STPyV8

        self.js = STPyV8.JSContext()
        self.js.enter()

    def eval(self, code: str) -> Any:
        return self.js.eval(code)

    def call(self, name: str, args: list[Any]) -> Any:
        return getattr(self.js.locals, name)(*args)

    def expose(self, name: str, function: Function) -> None:
        setattr(self.js.locals, name, function)

    def close(self) -> None:
        self.js.leave()


class JsRun(Engine):
    """Its timeout works in eval_async only; so eval is that, run to its end."""

    def __init__(self) -> None:
        import jsrun

        self.js = jsrun.Runtime(jsrun.RuntimeConfig(max_heap_size=HEAP_MB << 20))

    def eval(self, code: str) -> Any:
        import asyncio

        async def evaluate() -> Any:
            return await self.js.eval_async(code, timeout=TIMEOUT)

        return asyncio.run(evaluate())

    def call(self, name: str, args: list[Any]) -> Any:
        return self.js.eval(name)(*args)

    def expose(self, name: str, function: Function) -> None:
        self.js.bind_function(name, function)

    def close(self) -> None:
        self.js.close()


class PythonMonkey(Engine):
    """One global scope for the process."""

    def __init__(self) -> None:
        import pythonmonkey

        self.js = pythonmonkey

    def eval(self, code: str) -> Any:
        return self.js.eval(code)

    def call(self, name: str, args: list[Any]) -> Any:
        return self.js.eval(name)(*args)

    def expose(self, name: str, function: Function) -> None:
        self.js.eval(f"f => {{ globalThis.{name} = f }}")(function)


class Iv8(Engine):
    def __init__(self) -> None:
        import iv8

        self.js = iv8.JSContext()
        self.js.enter()

    def eval(self, code: str) -> Any:
        return self.js.eval(code)

    def call(self, name: str, args: list[Any]) -> Any:
        return self.js.eval(name)(*args)

    def expose(self, name: str, function: Function) -> None:
        self.js.expose(function, name)
        self.js.eval(f"globalThis.{name} = __iv8__.data.{name}; 0")

    def close(self) -> None:
        self.js.leave()
        self.js.close()


OURS: dict[str, type[Ours]] = {"realm": OurRealm, "isolate": Ours}
PEERS: dict[str, type[Engine]] = {
    "never_jscore": NeverJscore,
    "mini-racer": MiniRacer,
    "stpyv8": StPyV8,
    "jsrun": JsRun,
    "pythonmonkey": PythonMonkey,
    "iv8": Iv8,
}
