# SPDX-License-Identifier: MIT
"""One script in several isolates, for calls from many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal

from ._jsrt import Context
from .console import Console

__all__ = ["JSEngine"]


class JSEngine:
    """Calls functions of a script from any thread.

    The thread that calls enters a free isolate and runs the JavaScript itself: there is no channel
    and no other thread. Isolates are made when calls overlap, `workers` at most, and freed when
    they were idle for half a minute; who waits longest gets the next free one. The GIL is put down
    in calls that are worth it. What calls leave in the global scope stays in the isolate that ran
    them.

    Args:
        code: run in each isolate before its first call.
        workers: how many isolates there may be. None: the number of CPUs.
        profile: as in `Context`.
        heap_limit: MB of heap for each isolate.
        timeout: seconds for one call.
        console: as in `Context`.
        wait: seconds a call waits for a free isolate; None: as long as it takes.

    Raises:
        JSError: the code threw, when it was run in the first isolate.
        ValueError: an argument is out of range.
    """

    __slots__ = ("__weakref__", "_context", "_workers", "call", "compile", "eval", "evaluate")

    def __init__(
        self,
        code: str | None = None,
        workers: int | None = None,
        *,
        profile: Literal["bare", "web", "node"] = "web",
        heap_limit: float | None = None,
        timeout: float | None = None,
        console: Console | None = None,
        wait: float | None = None,
    ) -> None:
        workers = workers if workers is not None else os.cpu_count() or 1
        if wait is not None and not wait > 0:
            raise ValueError("wait is in seconds, more than 0")
        self._workers = workers
        self._context = Context(
            profile=profile,
            heap_limit=heap_limit,
            timeout=timeout,
            code=code,
            console=console,
            pool=workers,
            _homeless=True,
            _patience=wait or 0.0,
        )
        # The context's own methods: nothing of Python's stands between.
        self.call = self._context.call
        self.compile = self._context.compile
        self.eval = self._context.eval
        self.evaluate = self._context.evaluate

    @property
    def workers(self) -> int:
        """How many isolates there may be."""
        return self._workers

    def map(
        self,
        name: str,
        list_of_args: Iterable[list[Any] | tuple[Any, ...]],
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Any]:
        """Calls a function once for each list of arguments, in all isolates at once.

        Args:
            name: the function.
            list_of_args: the arguments of each call.
            progress: called by this thread with the number of calls that are done and of all.

        Returns:
            The results in the order of the arguments.

        Raises:
            JSError, ConversionError: of the first call, in order, that failed; calls that have not
                begun by then are not made.
        """
        todo = list(list_of_args)
        results: list[Any] = [None] * len(todo)
        errors: list[tuple[int, BaseException]] = []
        finished = threading.Condition()
        next_index = done = 0

        def work() -> None:
            nonlocal next_index, done
            while True:
                with finished:
                    index = next_index
                    if errors or index >= len(todo):
                        return
                    next_index += 1
                try:
                    results[index] = self.call(name, todo[index])
                except BaseException as error:
                    with finished:
                        errors.append((index, error))
                        finished.notify()
                    return
                with finished:
                    done += 1
                    if progress is not None or done == len(todo):
                        finished.notify()

        threads = [
            threading.Thread(target=work, name=f"jsrt-map-{n}", daemon=True)
            for n in range(min(self._workers, len(todo)))
        ]
        for thread in threads:
            thread.start()
        told = 0
        try:
            while told < len(todo) and not errors:
                with finished:
                    while done == told and not errors:
                        finished.wait()
                    now = done
                if progress is not None:
                    for each in range(told + 1, now + 1):
                        progress(each, len(todo))
                told = now
        except BaseException as error:
            with finished:
                errors.append((len(todo), error))  # begin nothing more
            raise
        finally:
            for thread in threads:
                thread.join()
        if errors:
            raise min(errors, key=lambda each: each[0])[1]
        return results

    def stats(self) -> dict[str, Any]:
        """Figures since the start.

        Returns:
            ``isolates`` there are and ``idle`` ones among them; ``waiting`` threads; ``calls``;
            ``waits``: calls that had to wait, ``wait_time``: seconds they did; ``shrunk``: isolates
            freed; ``heap``: bytes in use in the idle isolates; ``workers``.
        """
        return {"workers": self._workers, **self._context._pool_stats()}

    def shrink(self, idle: float = 0.0) -> int:
        """Frees the isolates that nobody has used for so many seconds. Returns how many."""
        return self._context._pool_shrink(idle)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._context.closed

    def close(self) -> None:
        """Frees the isolates; later calls raise ContextClosed, those that run end normally."""
        self._context.close()

    def __enter__(self) -> JSEngine:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jsrt.JSEngine workers={self._workers}{', closed' if self.closed else ''}>"
