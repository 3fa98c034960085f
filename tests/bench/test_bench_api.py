import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from escrowd.bench import api as bench
from escrowd.bench.api import ApiSamples, measure_api
from escrowd.bench.http_load import Connection, UnexpectedAnswer, request
from escrowd.bench.rows import Row
from escrowd.bench.trades import MIXTURE, fill
from escrowd.testing.api_house import ApiHouse, sqlite_url
from escrowd.testing.postgres import PostgresMissing

# Times are never asserted here: these tests run on machines that do other things.

FEW = ApiSamples(trades=len(MIXTURE), gets=3, pages=2, creates=2, beside=2, warming=1, connections=2, crowd=4)
#: Unit and goal of the rows of one database.
SHAPE = [
    ("ms", "<= 3 x floor"), ("ms", None), ("ms", None), ("ms", None), ("ms", None), ("ms", None), ("ms", None),
    ("ms", "<= 10 x floor"), ("ms", None), ("ms", None), ("/s", None), ("/s", None),
]  # fmt: skip


def shape(rows: Iterable[Row]) -> list[tuple[str, str | None]]:
    """Return the unit and the goal of each row, after a look at what all rows have in common."""
    rows = list(rows)
    assert all(row.value > 0 and row.floor is not None and row.ratio is not None for row in rows)
    assert all((row.holds is None) == (row.goal is None) for row in rows)
    return [(row.unit, row.goal) for row in rows]


async def test_answers_are_not_held_against_the_bare_route() -> None:
    """Both databases give the same rows, each with a floor, and the goals are of get and of create."""
    rows = await measure_api(FEW)
    assert [row.what.partition(":")[0] for row in rows] == ["SQLite"] * len(SHAPE) + ["PostgreSQL"] * len(SHAPE)
    assert shape(rows[: len(SHAPE)]) == shape(rows[len(SHAPE) :]) == SHAPE


async def test_missing_postgresql_fails_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PostgreSQL is not installed, its rows are left out, and it is told."""

    def absent(**_: object) -> None:
        raise PostgresMissing("it is not here")

    monkeypatch.setattr(bench, "PostgresServer", absent)
    told: list[str] = []
    rows = await measure_api(FEW, lambda what, _done, _total: told.append(what))
    assert shape(rows) == SHAPE
    assert told[-1] == "left out: it is not here"


async def test_filled_store_is_not_a_mixture(tmp_path: Path) -> None:
    """The store is filled with trades in all statuses of the mixture, the deposit of each where it has one."""
    async with ApiHouse.open(sqlite_url(tmp_path / "escrowd.sqlite")) as house:
        escrows = await fill(house, 2 * len(MIXTURE))
        async with house.store.reading() as tx:
            counts = await tx.escrows.count_by_status()
            overview = await tx.overview.of(escrows)
    assert counts == {str(status): 2 * MIXTURE.count(status) for status in set(MIXTURE)}
    for escrow, account in overview.escrows.values():
        assert sum(each.amount for each in account.ledger.outputs) == escrow.deposit.seen
        assert bool(account.payouts) == bool(account.ledger.spends) == (escrow.order is not None)


async def test_client_takes_a_failure_for_an_answer() -> None:
    """The client of the benchmark reads answers one after the other, and stops at one that is no success."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for head in ("200 OK\r\nContent-Length: 3\r\n\r\nyes", "409 Conflict\r\ncontent-length: 2\r\n\r\nno"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {head}".encode())
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        Connection.open(server.sockets[0].getsockname()[1]) as connection,
    ):
        assert await connection.ask(request("GET", "/")) == b"yes"
        with pytest.raises(UnexpectedAnswer, match="409: no"):
            await connection.ask(request("GET", "/"))
