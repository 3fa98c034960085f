"""The API in a process of its own, as its clients meet it, and beside it a bare route of the framework in another one.

The bare route returns the same JSON each time, as large as an escrow, and nobody asks who calls. For what has a body
there is one that reads it as JSON and does nothing with it. A third one returns bytes that were there before, which is
the least that the framework can do.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.responses import Response

from escrowd.bench.trades import fill
from escrowd.bootstrap import configure_logging
from escrowd.bootstrap.serving import served
from escrowd.domain.access import Scope
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.testing.api_house import ApiHouse
from escrowd.testing.ending import until_told_or_orphaned
from escrowd.testing.ports import LOOPBACK
from escrowd.wallets.running import RunningProcess

#: Where the bare route is, and the one with bytes that are ready.
BARE_PATH: Final = "/bare"
READY_PATH: Final = "/ready"
#: Seconds in which a process must have filled its store and begun to serve, and then to end.
PATIENCE: Final = 300.0


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process serves: the API over a database, or the bare route where there is none."""

    #: Where it says that it serves.
    place: str
    database_url: str | None = None
    trades: int = 0
    #: Finished wallets that are left for escrows to come.
    stock: int = 0
    #: The answer of the bare route, as JSON.
    answer: str = "{}"


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process serves, and what is asked of it with. The key opens nothing but this store of nobody's money."""

    port: int
    key: str = ""
    escrows: tuple[str, ...] = ()


class NotServed(EscrowdError):
    """A process of the benchmark did not come to serve."""

    fault = Fault.OPERATOR


@asynccontextmanager
async def in_own_process(orders: Orders) -> AsyncIterator[Serving]:
    """Serve in another process for as long as the block lasts.

    Raises:
        NotServed: it ended, or took too long.

    """
    output = Path(f"{orders.place}.log")
    told = os.environ | {_TOLD: msgspec.json.encode(orders).decode()}
    process = RunningProcess.spawn([sys.executable, "-m", __spec__.name], told, output)
    try:
        yield await _until_it_serves(process, orders, output)
    finally:
        await process.end(_SECONDS_TO_END)
        process.close()


# ---------------------------------------------------------------------------------------------------------------------

_TOLD: Final = "ESCROWD_BENCH_API"
_LOOK_EVERY: Final = 0.05
_SECONDS_TO_END: Final = 10.0


async def _until_it_serves(process: RunningProcess, orders: Orders, output: Path) -> Serving:
    deadline = time.monotonic() + PATIENCE
    while (said := _said(orders)) is None:
        if not process.is_alive or time.monotonic() > deadline:
            raise NotServed(f"the API ended, or did not begin to serve: {_last_words(output)}")
        await asyncio.sleep(_LOOK_EVERY)
    return said


def _say(orders: Orders, serving: Serving) -> None:
    """Write down where we serve, in one piece."""
    place = Path(orders.place)
    new = place.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(serving))
    new.rename(place)


def _said(orders: Orders) -> Serving | None:
    place = Path(orders.place)
    return msgspec.json.decode(place.read_bytes(), type=Serving) if place.exists() else None


def _last_words(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines() if output.exists() else []
    return " / ".join(line.strip() for line in lines[-4:]) or "it said nothing"


async def _serve(orders: Orders) -> None:
    # As a service does in earnest: one line of JSON for each request.
    configure_logging(level=logging.INFO, as_json=True)
    ends = asyncio.create_task(until_told_or_orphaned())
    async with _bare(orders.answer) if orders.database_url is None else _api(orders, orders.database_url) as serving:
        _say(orders, serving)
        await ends


@asynccontextmanager
async def _api(orders: Orders, database_url: str) -> AsyncIterator[Serving]:
    async with ApiHouse.open(database_url) as house:
        escrows = await fill(house, orders.trades)
        await house.fill_stock(orders.stock)
        key = await house.key([Scope.ESCROWS_READ, Scope.ESCROWS_WRITE])
        async with served(house.app, LOOPBACK, 0) as port:
            yield Serving(port=port, key=key.reveal(), escrows=escrows)


@asynccontextmanager
async def _bare(answer: str) -> AsyncIterator[Serving]:
    app, value = FastAPI(openapi_url=None), json.loads(answer)

    @app.get(BARE_PATH)
    async def bare() -> Any:
        return value

    @app.post(BARE_PATH, status_code=201)
    async def bare_with_body(_body: dict[str, Any]) -> Any:
        return value

    @app.get(READY_PATH)
    async def ready() -> Response:
        return Response(answer, media_type="application/json")

    async with served(app, LOOPBACK, 0) as port:
        yield Serving(port=port)


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(os.environ.pop(_TOLD), type=Orders)))
