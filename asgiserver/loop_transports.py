# SPDX-License-Identifier: MIT
"""What the loop changes in asyncio's TLS protocol.

``TLSProtocol`` has the methods that every message takes in C (``_core.TLSData``); handshake,
shutdown and flow control are asyncio's. What it does otherwise than asyncio, uvloop does, too:
the application's protocol is always called in the context in which the connection was made, data
that comes after its close() is dropped instead of failing the shutdown, and the first data is given
out after start_tls() has returned.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextvars
import ssl
from typing import Any

from . import _core

_SSLProtocol: Any = asyncio.sslproto.SSLProtocol
_State: Any = asyncio.sslproto.SSLProtocolState
_AGAIN: Any = asyncio.sslproto.SSLAgainErrors


class TLSProtocol(_SSLProtocol):  # type: ignore[misc]
    """asyncio's SSLProtocol over a transport of this loop."""

    _app_reading_paused: bool
    max_size = 0  # of the buffer that asyncio would make for each connection

    def __init__(self, loop: Any, *args: Any, **kwargs: Any) -> None:
        self._context = contextvars.copy_context()
        self._waking = False
        super().__init__(loop, *args, **kwargs)
        self.max_size = _SSLProtocol.max_size
        data = _core.TLSData(
            loop,
            self,
            self._incoming,
            self._outgoing,
            _State.WRAPPED,
            _AGAIN,
            super().buffer_updated,
            super()._write_appdata,
        )
        self._data: _core.TLSData | None = data
        # The buffer is the loop's, filled and emptied within one call of the transport.
        self._ssl_buffer = self._ssl_buffer_view = data.view
        self.get_buffer = data.get_buffer
        self.buffer_updated = data.buffer_updated
        self._write_appdata = data.write_appdata

    def connection_lost(self, exc: Exception | None) -> None:
        """The end; of the cycle of the two objects, too."""
        super().connection_lost(exc)
        self._data = None
        del self.get_buffer, self.buffer_updated, self._write_appdata

    def _set_app_protocol(self, app_protocol: Any) -> None:
        super()._set_app_protocol(app_protocol)
        if not hasattr(app_protocol, "data_received") and hasattr(app_protocol, "get_buffer"):
            # A buffered protocol that says so by its methods alone.
            self._app_protocol_buffer_updated = app_protocol.buffer_updated
            self._app_protocol_is_buffer = True
        if self._app_protocol_is_buffer:
            # asyncio slices what it gets: slices of a bytearray would be copies.
            self._app_protocol_get_buffer = lambda hint: memoryview(app_protocol.get_buffer(hint))

    def adopt_context(self, transport: Any) -> None:
        """Takes the context of the transport that this one stands on."""
        below = getattr(transport, "_ssl_protocol", transport)
        self._context = getattr(below, "_context", None) or self._context

    def _abort(self, exc: BaseException | None = None) -> None:
        # 3.11's takes no exception, but gets one where TLS runs over TLS.
        self._set_state(_State.UNWRAPPED)
        if self._transport is not None:
            self._transport._force_close(exc)

    def _control_app_writing(self) -> None:
        # write() is called in anybody's context.
        self._context.copy().run(super()._control_app_writing)

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        self._waking = True
        try:
            super()._on_handshake_complete(handshake_exc)
        finally:
            self._waking = False

    def _do_read(self) -> None:
        if self._waking:
            # Who waits for the handshake gets the new transport before there is data.
            self._loop.call_soon(self._do_read, context=self._context)
        elif self._data is not None and self._state == _State.WRAPPED:
            if not self._app_reading_paused:
                self._data.do_read()
            self._control_ssl_reading()
        else:
            super()._do_read()

    def _resume_reading(self) -> None:
        if self._app_reading_paused:
            self._app_reading_paused = False
            self._loop.call_soon(self._resumed, context=self._context)

    def _resumed(self) -> None:
        if self._state == _State.WRAPPED:
            self._do_read()
        elif self._state == _State.FLUSHING:
            self._do_flush()
        elif self._state == _State.SHUTDOWN:
            self._do_shutdown()

    def _discard(self) -> None:
        """Reads what the peer has sent before it knew of the end, for nobody."""
        try:
            while self._sslobj.read(self.max_size):
                pass
        except (*_AGAIN, ssl.SSLZeroReturnError):
            pass

    def _deliver(self) -> None:
        """Gives the application all that the peer has sent before its end."""
        while True:
            before = self._incoming.pending, self._sslobj.pending()
            super()._do_read()
            after = self._incoming.pending, self._sslobj.pending()
            if after in (before, (0, 0)) or self._state != _State.FLUSHING:
                break

    def _do_flush(self) -> None:
        try:
            if self._app_transport is None or self._app_transport._closed:
                self._discard()
            else:
                self._deliver()
            if self._write_backlog:
                self._do_write()
            else:
                self._process_outgoing()
            self._control_ssl_reading()
        except Exception as exc:
            self._fatal_error(exc, "Fatal error on SSL protocol")
        else:
            self._set_state(_State.SHUTDOWN)
            self._do_shutdown()

    def _do_shutdown(self) -> None:
        try:
            if not self._eof_received:
                self._discard()
        except ssl.SSLError as exc:
            self._on_shutdown_complete(exc)
        else:
            super()._do_shutdown()
