# SPDX-License-Identifier: MIT
"""Applications that the tests of ids and traces serve; they run in the server's processes."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from asgiserver import request_id

logger = logging.getLogger("asgiserver.error")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the headers it got and the id it is known by. /own sends an id of its own,
    /fails raises, /log writes a line."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.sleep(0)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": request_id.current.get()})
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/fails":
        raise RuntimeError("as asked")
    if scope["path"] == "/log":
        logger.info("a line of the application's")
    seen = {
        "headers": [[k.decode(), v.decode()] for k, v in scope["headers"]],
        "current": request_id.current.get(),
    }
    headers = [(b"content-type", b"application/json")]
    if scope["path"] == "/own":
        headers.append((b"X-Request-ID", b"mine"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


def traced() -> Any:
    """The application under OpenTelemetry's middleware, which prints its spans."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    provider = TracerProvider()
    exporter = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryMiddleware(app, tracer_provider=provider)
