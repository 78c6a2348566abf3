# SPDX-License-Identifier: MIT
"""``loop.sock_recv()`` and its like: asyncio's names, with fewer calls between them and the socket.

A socket that is closed while an operation on it waits stays open until the operation has ended, as
over uvloop: the number of its descriptor cannot become another's meanwhile.
"""

from __future__ import annotations

import asyncio
import asyncio.unix_events
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_UnixLoop: Any = asyncio.unix_events._UnixSelectorEventLoop
_AGAIN = (BlockingIOError, InterruptedError)


@contextmanager
def _held(sock: Any) -> Iterator[None]:
    """Defers the socket's close(), by the count that socket.makefile() keeps."""
    if not isinstance(sock, socket.socket):
        yield
        return
    held: Any = sock
    held._io_refs += 1
    try:
        yield
    finally:
        held._decref_socketios()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class SocketOperations(_UnixLoop):  # type: ignore[misc]
    """The part of the loop that works on sockets of the caller's."""

    def _check_socket(self, sock: Any) -> None:
        if isinstance(sock, ssl.SSLSocket):
            raise TypeError("Socket cannot be of type SSLSocket")
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    async def _readable(self, fd: int) -> None:
        self._ensure_fd_no_transport(fd)
        waiter = self.create_future()
        handle = self._add_reader(fd, _wake, waiter)
        try:
            await waiter
        finally:
            # Cancelled, it is another operation's by now.
            if not handle.cancelled():
                self._remove_reader(fd)

    async def _writable(self, fd: int) -> None:
        self._ensure_fd_no_transport(fd)
        waiter = self.create_future()
        handle = self._add_writer(fd, _wake, waiter)
        try:
            await waiter
        finally:
            if not handle.cancelled():
                self._remove_writer(fd)

    async def _when_readable(self, sock: socket.socket, operation: Any, *args: Any) -> Any:
        """An operation that had to wait, again whenever there may be something to read."""
        with _held(sock):
            while True:
                await self._readable(sock.fileno())
                try:
                    return operation(*args)
                except _AGAIN:
                    pass

    async def sock_recv(self, sock: socket.socket, nbytes: int) -> bytes:
        """Receive up to `nbytes`; b"" is the end of the stream."""
        self._check_socket(sock)
        try:
            return sock.recv(nbytes)
        except _AGAIN:
            pass
        return await self._when_readable(sock, sock.recv, nbytes)  # type: ignore[no-any-return]

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Receive into a buffer. Returns how much."""
        self._check_socket(sock)
        try:
            return sock.recv_into(buf)
        except _AGAIN:
            pass
        return await self._when_readable(sock, sock.recv_into, buf)  # type: ignore[no-any-return]

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Send all of `data`."""
        self._check_socket(sock)
        try:
            sent = sock.send(data)
        except _AGAIN:
            sent = 0
        if sent == len(data):
            return
        with _held(sock), memoryview(data).cast("B") as view:
            while sent < len(view):
                await self._writable(sock.fileno())
                try:
                    sent += sock.send(view[sent:])
                except _AGAIN:
                    pass

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept a connection. Returns its socket, which does not block, and its address."""
        self._check_socket(sock)
        with _held(sock):
            while True:
                try:
                    connection, address = sock.accept()
                except _AGAIN:
                    await self._readable(sock.fileno())
                else:
                    connection.setblocking(False)
                    return connection, address

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket; a host's name is looked up first.

        Raises:
            OSError: nobody is there.
        """
        self._check_socket(sock)
        with _held(sock):
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                found = await self._ensure_resolved(
                    address, family=sock.family, type=sock.type, proto=sock.proto, loop=self
                )
                address = found[0][4]
            try:
                sock.connect(address)
            except _AGAIN:
                # Within this machine it is connected by now, and needs no turn of the loop.
                poll = select.poll()
                poll.register(sock, select.POLLOUT)
                if [events for _, events in poll.poll(0)] != [select.POLLOUT]:
                    await self._writable(sock.fileno())
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, f"Connect call failed {address}")
