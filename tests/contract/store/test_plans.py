import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

import escrowd.store
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.prepared import Prepared, Written

#: Tables of which each row is a node, an endpoint, or the only one.
SHORT = frozenset({"cursors", "nodes", "service_clock", "webhooks"})
#: What one of the databases cannot do, or need not.
NOT_FOR = {
    "escrowd.store.escrows._ADD_ALL_AND_ASK": "sqlite",
    "escrowd.store.escrows._ADD_ENTRIES_AND_ASK": "sqlite",
    "escrowd.store.escrows._LOCK_LOG": "sqlite",
    "escrowd.store.provision._LOOK_AND_TAKE": "sqlite",
    "escrowd.store.work._NOTIFY": "sqlite",
    "escrowd.store.work._TOUCH_AND_NOTIFY": "sqlite",
}
#: SQLite also plans to look for rows that point at a new one. It does so only while a deferred constraint is broken;
#: there is none.
PLANNED_ONLY = {("sqlite", "escrowd.store.escrows._ADD"): frozenset({"deliveries"})}


def prepared() -> Iterator[tuple[str, Prepared]]:
    for module in pkgutil.walk_packages(escrowd.store.__path__, f"{escrowd.store.__name__}."):
        if ".migrations" not in module.name:
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, Prepared):
                    yield f"{module.name}.{name}", value


PREPARED = dict(prepared())


@pytest.mark.parametrize("name", sorted(PREPARED))
async def test_statement_of_every_request_reads_a_whole_table(database: Database, name: str) -> None:
    """A statement that every request needs finds its rows by an index, however many escrows there have ever been."""
    if NOT_FOR.get(name) == database.dialect:
        return
    async with database.connection() as connection:
        written = PREPARED[name].on(connection.dialect)
        plan = await (sqlite_plan if database.is_sqlite else postgresql_plan)(connection, written)
    scanned = set(re.findall(r"\b(?:SCAN|Seq Scan on) (\w+)", plan)) & set(schema.metadata.tables)
    assert scanned - PLANNED_ONLY.get((database.dialect, name), frozenset()) <= SHORT, plan
    assert "TEMP B-TREE" not in plan, plan


def test_statements_are_not_found() -> None:
    """The law above is held against all statements that are prepared, and each exception is one of them."""
    assert len(PREPARED) > 20
    assert set(NOT_FOR) <= set(PREPARED)


async def sqlite_plan(connection: AsyncConnection, written: Written) -> str:
    values = tuple(written.constants.get(name, "") for name in written.names)
    rows = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written.text}", values)).all()
    return "\n".join(row.detail for row in rows)


async def postgresql_plan(connection: AsyncConnection, written: Written) -> str:
    """Return the plan that is made for whatever values. A whole table is read only where there is no other way."""
    values = f"({', '.join('NULL' for _ in written.names)})" if written.names else ""
    for statement in ("SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan"):
        await connection.exec_driver_sql(statement)
    await connection.exec_driver_sql(f"PREPARE asked AS {written.text}")
    return "\n".join((await connection.exec_driver_sql(f"EXPLAIN EXECUTE asked{values}")).scalars())
