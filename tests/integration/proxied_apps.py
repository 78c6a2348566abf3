# SPDX-License-Identifier: MIT
"""The application that is served behind a proxy, in a process of its own."""

from __future__ import annotations

import json
from typing import Any

from process_apps import lifespan


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks whom; /check says it to the log as well."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/check":
        (host, port), (_, own) = scope["client"], scope["server"]
        print(f"checked by {host}, port {port}, at port {own}", flush=True)
    body = json.dumps({key: scope[key] for key in ("client", "server", "scheme")}).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
