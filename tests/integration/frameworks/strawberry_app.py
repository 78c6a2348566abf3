# SPDX-License-Identifier: MIT
"""Strawberry: GraphQL over HTTP, subscriptions over WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return f"hello {name}"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, target: int) -> AsyncGenerator[int, None]:
        for value in range(target):
            yield value
            await asyncio.sleep(0)


app = GraphQL(strawberry.Schema(Query, subscription=Subscription))
