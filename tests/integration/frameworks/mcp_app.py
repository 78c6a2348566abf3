# SPDX-License-Identifier: MIT
"""An MCP server, over SSE and over streamable HTTP."""

from __future__ import annotations

import contextlib

from starlette.applications import Starlette

try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("casgi-frameworks")


@server.tool()
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


over_http = server.streamable_http_app()


@contextlib.asynccontextmanager
async def lifespan(app):
    async with over_http.router.lifespan_context(app):
        yield


app = Starlette(lifespan=lifespan, routes=[*server.sse_app().routes, *over_http.routes])
