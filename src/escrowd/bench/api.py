"""``escrowd bench api``: what it costs to ask the API, beside a bare route of its framework.

Both are served by the same server in processes of their own, and asked in turn by the same client. The store holds as
many trades as a service has after a while.
"""

import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from escrowd.bench.api_process import BARE_PATH, READY_PATH, Orders, Serving, in_own_process
from escrowd.bench.http_load import Connection, request, requests_per_second
from escrowd.bench.rows import Goal, Row, at_most_times_floor, row
from escrowd.bench.sampling import Sides, Tell, side_by_side, tell_nobody
from escrowd.testing.api_house import sqlite_url
from escrowd.testing.postgres import PostgresMissing, PostgresServer
from escrowd.testing.simulation.addresses import address

#: Times of the bare route that an answer may take.
GET_GOAL: Final = at_most_times_floor(3)
CREATE_GOAL: Final = at_most_times_floor(10)


@dataclass(frozen=True, slots=True)
class ApiSamples:
    """How much is measured."""

    trades: int = 1_000
    gets: int = 1_000
    #: Of lists and of pages of events, each.
    pages: int = 500
    creates: int = 500
    #: Further creates, beside a bare route that reads a body.
    beside: int = 200
    #: Requests before each measurement that do not count.
    warming: int = 20
    connections: int = 16
    #: Requests over all these connections.
    crowd: int = 800

    @property
    def all_creates(self) -> int:
        """Return how many escrows are made in all."""
        return self.warming + self.creates + self.beside + self.crowd


async def measure_api(samples: ApiSamples | None = None, tell: Tell = tell_nobody) -> tuple[Row, ...]:
    """Measure everything on SQLite, and on PostgreSQL where that is installed.

    Raises:
        EscrowdError: a measurement could not be made.

    """
    wanted = samples or ApiSamples()
    with tempfile.TemporaryDirectory(prefix="escrowd-bench-api-") as directory:
        place = Path(directory)
        rows = await _measure("SQLite", sqlite_url(place / "escrowd.sqlite"), place / "sqlite", wanted, tell)
        try:
            async with PostgresServer(is_durable=True) as server, server.database() as name:
                rows += await _measure("PostgreSQL", server.url(name), place / "postgresql", wanted, tell)
        except PostgresMissing as error:
            tell(f"left out: {error}", 1, 1)
    return rows


# ---------------------------------------------------------------------------------------------------------------------

_HUNDREDTHS: Final = 100
_MILLI: Final = 1000


async def _measure(name: str, database_url: str, place: Path, wanted: ApiSamples, tell: Tell) -> tuple[Row, ...]:
    filling = f"{name}: putting {wanted.trades:,} escrows into the store"
    tell(filling, 0, 1)
    async with _asked_in_turn(name, database_url, place, wanted) as bench:
        tell(filling, 1, 1)
        rows: tuple[Row, ...] = ()
        measurements = bench.measurements()
        for done, measure in enumerate(measurements):
            tell(f"{name}: asking", done, len(measurements))
            rows += await measure()
        tell(f"{name}: asking", len(measurements), len(measurements))
        return rows


@asynccontextmanager
async def _asked_in_turn(name: str, database_url: str, place: Path, wanted: ApiSamples) -> AsyncIterator["_Bench"]:
    stock = wanted.all_creates
    orders = Orders(place=f"{place}-api", database_url=database_url, trades=wanted.trades, stock=stock)
    async with in_own_process(orders) as api:
        answer = (await _an_escrow(api)).decode()
        async with (
            in_own_process(Orders(place=f"{place}-bare", answer=answer)) as bare,
            # Opened last: a server closes connections that are idle.
            Connection.open(api.port) as to_api,
            Connection.open(bare.port) as to_bare,
        ):
            yield _Bench(name, wanted, _Side(api, to_api), _Side(bare, to_bare))


async def _an_escrow(api: Serving) -> bytes:
    async with Connection.open(api.port) as connection:
        headers = {"Authorization": f"Bearer {api.key}"}
        return await connection.ask(request("GET", f"/v1/escrows/{api.escrows[-1]}", headers))


@dataclass(frozen=True, slots=True)
class _Side:
    """A server, and a connection to it."""

    serving: Serving
    connection: Connection


class _Bench:
    """Both sides, and what is measured of them."""

    def __init__(self, name: str, wanted: ApiSamples, api: _Side, bare: _Side) -> None:
        self._name = name
        self._wanted = wanted
        self._api = api
        self._bare = bare
        self._headers = {"Authorization": f"Bearer {api.serving.key}"}

    def measurements(self) -> tuple[Callable[[], Any], ...]:
        """Return what there is to be measured, in order. Creating comes last: it makes the store larger."""
        wanted = self._wanted
        pages = request("GET", "/v1/escrows?limit=20", self._headers)
        events = request("GET", "/v1/events?limit=100", self._headers)
        gets, creates = self._gets(), self._creates()
        return (
            partial(self._answers, "get an escrow", gets, wanted.gets, GET_GOAL),
            partial(self._beside, _READY, "get an escrow, beside bytes that are ready, p50", gets, wanted.gets),
            partial(self._answers, "list 20 escrows", cycle([pages]), wanted.pages),
            partial(self._answers, "100 events", cycle([events]), wanted.pages),
            partial(self._answers, _CREATE, creates, wanted.creates, CREATE_GOAL),
            partial(self._beside, _BARE_WITH_BODY, _CREATE_BESIDE_BODY, creates, wanted.beside),
            partial(self._throughput, "get an escrow", gets),
            partial(self._throughput, _CREATE, creates),
        )

    async def _answers(
        self, what: str, requests: Iterator[bytes], rounds: int, goal: Goal | None = None
    ) -> tuple[Row, ...]:
        """Ask both sides in turn, and hold what the API takes, usually and at most, against the bare route."""
        for _ in range(self._wanted.warming):
            await self._bare.connection.ask(_BARE)
            await self._api.connection.ask(next(requests))
        sides = await self._in_turn(_BARE, requests, rounds)
        return (
            self._row(f"{what}, p50", sides, 50, goal),
            self._row(f"{what}, p99", sides, 99),
        )

    async def _beside(self, bare: bytes, what: str, requests: Iterator[bytes], rounds: int) -> tuple[Row, ...]:
        """Ask beside another bare route: no goal, but another floor."""
        return (self._row(what, await self._in_turn(bare, requests, rounds), 50),)

    async def _in_turn(self, bare: bytes, requests: Iterator[bytes], rounds: int) -> Sides:
        return await side_by_side(
            rounds,
            lambda: self._bare.connection.ask(bare),
            lambda: self._api.connection.ask(next(requests)),
        )

    def _row(self, what: str, sides: Sides, percent: int, goal: Goal | None = None) -> Row:
        value, floor = (_MILLI * percentile(samples, percent) for samples in (sides.managed, sides.raw))
        return row(f"{self._name}: {what}", value, "ms", floor=floor, goal=goal)

    async def _throughput(self, what: str, requests: Iterator[bytes]) -> tuple[Row, ...]:
        count, connections = self._wanted.crowd, self._wanted.connections
        port = self._bare.serving.port
        bare = await requests_per_second(port, connections, [_BARE] * count)
        port = self._api.serving.port
        ours = await requests_per_second(port, connections, [next(requests) for _ in range(count)])
        return (row(f"{self._name}: {what}, over {connections} connections", ours, "/s", floor=bare),)

    def _gets(self) -> Iterator[bytes]:
        escrows = self._api.serving.escrows
        while True:
            yield request("GET", f"/v1/escrows/{secrets.choice(escrows)}", self._headers)

    def _creates(self) -> Iterator[bytes]:
        """Return requests that are ready, each for other people: their addresses are checked every time."""
        return iter([self._create(number) for number in range(self._wanted.all_creates)])

    def _create(self, number: int) -> bytes:
        key = {"Idempotency-Key": secrets.token_urlsafe(18)}
        parties = {
            "buyer": {"refund_address": address(f"buyer {number}")},
            "vendor": {"payout_address": address(f"vendor {number}")},
        }
        return request("POST", "/v1/escrows", self._headers | key, _NEW_ESCROW | parties)


_BARE: Final = request("GET", BARE_PATH)
_READY: Final = request("GET", READY_PATH)
_CREATE: Final = "create an escrow, from the stock"
_CREATE_BESIDE_BODY: Final = f"{_CREATE}, beside a bare route that reads a body, p50"
_NEW_ESCROW: Final = {
    "amount": "1500000000000",
    "fee": {"basis_points": 250, "address": address("site")},
    "reference": "order-1",
    "description": "A used bicycle, as shown in the offer, with lights and a lock",
    "metadata": {"order": "1", "shop": "north"},
}
_BARE_WITH_BODY: Final = request("POST", BARE_PATH, body=_NEW_ESCROW)


def percentile(samples: list[float], percent: int) -> float:
    """Return what so many of a hundred samples are not above."""
    return quantiles(samples, n=_HUNDREDTHS, method="inclusive")[percent - 1]
