# SPDX-License-Identifier: MIT
"""The application of fastapi_database.py: FastAPI with asyncpg's pool; $DATABASE says where."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from pydantic import BaseModel


class Item(BaseModel):
    id: int
    name: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with asyncpg.create_pool(os.environ["DATABASE"], min_size=10, max_size=10) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/item/{number}")
async def item(request: Request, number: int) -> Item:
    pool = request.state.pool
    return Item(**await pool.fetchrow("select id, name, price from items where id = $1", number))


@app.get("/items")
async def items(request: Request, count: int = 20) -> list[Item]:
    rows = await request.state.pool.fetch("select id, name, price from items limit $1", count)
    return [Item(**row) for row in rows]


@app.post("/item/{number}")
async def change(request: Request, number: int, changed: Item) -> dict[str, int]:
    async with request.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "update items set name = $2, price = $3 where id = $1",
            number,
            changed.name,
            changed.price,
        )
        return {"items": await connection.fetchval("select count(*) from items where id < 10")}
