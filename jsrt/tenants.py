# SPDX-License-Identifier: MIT
"""Scripts of many users in one process, each in a global scope of its own, bounded together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any, Literal

from ._jsrt import Context
from .console import Console, Writer
from .errors import ContextClosed, HeapLimit, Timeout

__all__ = ["Tenants"]

MEGABYTE = 1 << 20
LOOK_EVERY = 64  # calls between two looks at the memory
COLLECT_ABOVE, EVICT_ABOVE, EVICT_TO = 0.75, 0.6, 0.45  # of the share of one isolate
RESERVE = 1.25  # the heap limit of a shared isolate, as a part of its share


class Tenant:
    """One script and its context."""

    __slots__ = ("busy", "calls", "code", "context", "host", "size")

    def __init__(self, code: str, context: Context, host: Host | None) -> None:
        self.code = code
        self.context = context
        self.host = host
        self.busy = 0  # calls that are open: it is not evicted meanwhile
        self.calls = 0
        self.size = 0.0  # MB, of an isolate of its own


class Host:
    """An isolate that tenants share."""

    __slots__ = ("calls", "context", "made", "share")

    def __init__(self, share: float, heap_limit: float, timeout: float | None) -> None:
        self.share = share  # MB
        self.calls = self.made = 0
        self.context = Context(
            profile="bare", heap_limit=heap_limit, timeout=timeout, share_buffers=False
        )

    def due(self) -> bool:
        """Whether a tenant that was made is a reason to look at the memory."""
        self.made += 1
        return self.made % 16 == 0

    def size(self) -> float:
        """MB in use, garbage included."""
        return megabytes(self.context)


class Tenants:
    """Runs a script for each tenant, and keeps the tenants used last ready.

    A tenant is made by its first call: its script is run, then a function of it called. What the
    script and its calls leave in the global scope stays for the next call, until the tenant is
    evicted, its script changes, or a limit ended a call of it; it is then made afresh. Every method
    may be called by any thread; calls to one isolate take turns. Buffers are copied, never shared.

    Args:
        isolation: ``"realm"``: a global scope with intrinsics of its own in a shared isolate. Code
            cannot reach another tenant's objects, but shares the heap: who fills it makes all
            tenants of that isolate start again. ``"isolate"``: an isolate each, ten times as dear.
            Both are of this process; V8 ends it where one allocation is beyond all bounds.
        profile: what the scripts find; ``"bare"`` for realms (Node's APIs would join them).
        max_tenants: how many are kept.
        max_memory: MB for all of them together. The least recently used go first.
        max_isolates: how many isolates realms are spread over.
        heap_limit: MB of heap for one isolate. None: its share of max_memory and a reserve for
            realms; a sixteenth of max_memory (16 MB at least) for isolates.
        timeout: seconds for one call, and for running the script. None: no limit.
        console: where the scripts' console writes, as in `Context`; records have ``tenant`` in
            addition.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        isolation: Literal["realm", "isolate"] = "realm",
        profile: Literal["bare", "web", "node"] = "bare",
        max_tenants: int = 1000,
        max_memory: float = 128,
        max_isolates: int = 1,
        heap_limit: float | None = None,
        timeout: float | None = 1.0,
        console: Console | None = None,
    ) -> None:
        if isolation not in ("realm", "isolate"):
            raise ValueError(f"isolation must be 'realm' or 'isolate', not {isolation!r}")
        if isolation == "realm" and profile != "bare":
            raise ValueError("realms are bare: Node's APIs would lead from one to all others")
        if max_tenants < 1 or max_isolates < 1:
            raise ValueError("max_tenants and max_isolates must be 1 at least")
        if not max_memory >= 16 * (max_isolates if isolation == "realm" else 1):
            raise ValueError("max_memory must be 16 MB at least for each isolate")
        self._isolation = isolation
        self._profile = profile
        self._max_tenants = max_tenants
        self._max_memory = max_memory
        self._timeout = timeout
        self._console = Writer(console) if console is not None else None
        self._lock = threading.Lock()
        self._live: OrderedDict[Hashable, Tenant] = OrderedDict()
        self._hosts: list[Host] = []
        self._closed = False
        self._made = self._evicted = self._timeouts = self._heap_limits = 0
        if isolation == "realm":
            share = max_memory / max_isolates
            self._heap_limit = heap_limit if heap_limit is not None else share * RESERVE
            self._hosts = [Host(share, self._heap_limit, timeout) for _ in range(max_isolates)]
        else:
            self._heap_limit = heap_limit if heap_limit is not None else max(16, max_memory / 16)

    def call(self, tenant: Hashable, code: str, name: str, args: list[Any] | tuple[Any, ...] = ()):  # type: ignore[no-untyped-def]  # JavaScript's
        """Calls a function of a tenant's script.

        Args:
            tenant: whose call it is.
            code: the script. Run where the tenant is not ready or had another one.
            name: the function: a global's name or a dotted path.
            args: what it gets.

        Returns:
            The function's value; a promise is waited for, as in `Context.call`.

        Raises:
            JSError: the script or the function threw. Timeout, HeapLimit: a limit ended it; the
                tenant starts again with its next call.
            ContextClosed: close() was called.
        """
        entry = self._enter(tenant, code)
        try:
            return entry.context.call(name, args)
        except (Timeout, HeapLimit) as error:
            self._limited(tenant, entry, error)
            raise
        finally:
            self._leave(tenant, entry)

    def check(self, code: str, filename: str | None = None) -> None:
        """Runs a script in a scope that is thrown away: whether a tenant could be made of it.

        Raises:
            JSError: it cannot.
        """
        context = self._new_context(None)[0]
        try:
            context.compile(code, filename)
        finally:
            context.close()

    def drop(self, tenant: Hashable) -> bool:
        """Forgets a tenant. Returns whether it was there."""
        with self._lock:
            entry = self._live.pop(tenant, None)
            idle = entry is not None and not entry.busy
        if entry is not None and idle:
            entry.context.close()
        return entry is not None

    def close(self) -> None:
        """Frees everything; later calls raise ContextClosed."""
        with self._lock:
            self._closed = True
            entries = list(self._live.values())
            self._live.clear()
        for entry in entries:
            entry.context.close()
        for host in self._hosts:
            host.context.close()

    def stats(self) -> dict[str, Any]:
        """Counts and sizes since the start: tenants ready, made, evicted, memory in MB, limits."""
        with self._lock:
            entries = list(self._live.values())
            hosts = [] if self._closed else list(self._hosts)
        return {
            "isolation": self._isolation,
            "tenants": len(entries),
            "isolates": len(hosts) if self._isolation == "realm" else len(entries),
            "made": self._made,
            "evicted": self._evicted,
            "timeouts": self._timeouts,
            "heap_limits": self._heap_limits,
            "memory": sum(host.size() for host in hosts) + sum(entry.size for entry in entries),
        }

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Hashable]:
        """The tenants that are ready, the one not used for longest first."""
        with self._lock:
            return iter(list(self._live))

    def __contains__(self, tenant: object) -> bool:
        return tenant in self._live

    def __enter__(self) -> Tenants:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- Inside -----------------------------------------------------------------------------

    def _enter(self, tenant: Hashable, code: str) -> Tenant:
        with self._lock:
            entry = self._live.get(tenant)
            if entry is not None and (entry.code is code or entry.code == code):
                self._live.move_to_end(tenant)
                entry.busy += 1
                return entry
            if self._closed:
                raise ContextClosed("the tenants are closed")
        return self._make(tenant, code)

    def _make(self, tenant: Hashable, code: str) -> Tenant:
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        context, host = self._new_context(tenant)
        entry = Tenant(code, context, host)
        entry.busy = 1
        try:
            context.compile(code, filename=f"{tenant}.js")
        except BaseException as error:
            if isinstance(error, HeapLimit):
                self._heap_limits += 1
            elif isinstance(error, Timeout):
                self._timeouts += 1
            context.close()
            raise
        old: list[Tenant] = []
        with self._lock:
            closed = self._closed  # by another thread, while the script ran
            if closed:
                old.append(entry)
            else:
                replaced = self._live.pop(tenant, None)
                if replaced is not None and not replaced.busy:
                    old.append(replaced)
                self._live[tenant] = entry
                self._made += 1
                while len(self._live) > self._max_tenants and (found := self._pop_oldest(None)):
                    old.append(found)
        for each in old:
            each.context.close()
        if closed:
            raise ContextClosed("the tenants are closed")
        if host is None or host.due():
            self._bound(entry)
        return entry

    def _new_context(self, tenant: Hashable) -> tuple[Context, Host | None]:
        console = None
        if self._console is not None:
            console = Writer(self._console, {"tenant": tenant})
        if self._isolation == "realm":
            host = self._hosts[hash(tenant) % len(self._hosts)]
            return host.context.realm(console=console), host
        context = Context(
            profile=self._profile,
            heap_limit=self._heap_limit,
            timeout=self._timeout,
            console=console,
            share_buffers=False,
        )
        return context, None

    def _leave(self, tenant: Hashable, entry: Tenant) -> None:
        counted: Host | Tenant = entry.host or entry
        with self._lock:
            entry.busy -= 1
            gone = not entry.busy and self._live.get(tenant) is not entry
            counted.calls += 1
            look = counted.calls % LOOK_EVERY == 0
        if gone:
            entry.context.close()
        elif look:
            self._bound(entry)

    def _limited(self, tenant: Hashable, entry: Tenant, error: Exception) -> None:
        """A limit ended a call: what the script left behind is not used again."""
        with self._lock:
            if isinstance(error, HeapLimit):
                self._heap_limits += 1
            else:
                self._timeouts += 1
            if self._live.get(tenant) is entry:
                del self._live[tenant]

    def _pop_oldest(self, host: Host | None) -> Tenant | None:
        """Takes out the one that was not used for longest, of one host or of all. Lock held."""
        for tenant, entry in self._live.items():
            if not entry.busy and (host is None or entry.host is host):
                del self._live[tenant]
                self._evicted += 1
                return entry
        return None

    def _bound(self, entry: Tenant) -> None:
        """Evicts until the memory is within its bound."""
        if self._closed:
            return
        if entry.host is not None:
            self._bound_host(entry.host)
            return
        entry.size = megabytes(entry.context)
        while sum(each.size for each in list(self._live.values())) > self._max_memory:
            with self._lock:
                oldest = self._pop_oldest(None)
            if oldest is None:
                return
            oldest.context.close()

    def _bound_host(self, host: Host) -> None:
        if host.size() <= host.share * COLLECT_ABOVE:
            return
        host.context._collect_once()
        if host.size() <= host.share * EVICT_ABOVE:
            return
        while (size := host.size()) > host.share * EVICT_TO:
            with self._lock:
                mine = sum(each.host is host for each in self._live.values())
                surplus = max(1, int(mine * (1 - host.share * EVICT_TO / size)))
                old = [each for _ in range(surplus) if (each := self._pop_oldest(host))]
            if not old:
                return
            for each in old:
                each.context.close()
            del each, old
            host.context._collect_once()


def megabytes(context: Context) -> float:
    """What a context's isolate uses, garbage included."""
    figures = context.heap_statistics()
    return (figures["heap_used"] + figures["external"]) / MEGABYTE
