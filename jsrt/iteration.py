# SPDX-License-Identifier: MIT
"""``async for`` over what JavaScript iterates over: an async generator, a stream, any iterable."""

from __future__ import annotations

from typing import Any, NoReturn

from ._jsrt import Context, JSFunction, JSObject

__all__ = ["AsyncIterator"]

STEPS = """((object, stop) => {
  const asynchronous = object[Symbol.asyncIterator] != null;
  const it = asynchronous ? object[Symbol.asyncIterator]() : object[Symbol.iterator]();
  return [
    async () => {
      const step = await it.next();
      if (step.done) stop();
      return step.value;
    },
    async () => { await it.return?.() },
  ];
})"""


class End(Exception):
    """The iteration is over: crosses JavaScript and back as itself."""


def stop() -> NoReturn:
    raise End


class AsyncIterator:
    """What ``aiter(handle)`` gives.

    Left before its end (a ``break``), it stays where it is; ``contextlib.aclosing`` closes it.

    Args:
        handle: an object with ``Symbol.asyncIterator`` or ``Symbol.iterator``.
        context: its context.

    Raises:
        JSError: it has neither.
    """

    __slots__ = ("_close", "_next")

    def __init__(self, handle: JSObject, context: Context) -> None:
        steps = context.evaluate(STEPS, "jsrt:iteration", convert=False)(
            handle, stop, convert=False
        )
        self._next: JSFunction = steps[0]
        self._close: JSFunction = steps[1]

    def __aiter__(self) -> AsyncIterator:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._next(convert=False)
        except End:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Says that nothing more is wanted: the generator's ``finally`` runs."""
        await self._close(convert=False)
