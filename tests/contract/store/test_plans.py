import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

import escrowd.store
from escrowd.store.database import Database
from escrowd.store.prepared import Prepared, Written

#: Tables of which each row is a node, an endpoint, or the only one.
SHORT = frozenset({"cursors", "nodes", "service_clock", "webhooks"})
#: What one of the databases cannot do, or need not.
NOT_FOR = {
    "escrowd.store.escrows._ADD_ENTRIES_AND_ASK": "sqlite",
    "escrowd.store.log_lock._LOCK": "sqlite",
    "escrowd.store.provision._LOOK_AND_TAKE": "sqlite",
    "escrowd.store.work._NOTIFY": "sqlite",
    "escrowd.store.work._TOUCH_AND_NOTIFY": "sqlite",
}
#: What is planned, and does not come to pass: SQLite looks for rows that point at a new one only while a deferred
#: constraint is broken, and there is none.
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
        read_whole = await (read_whole_by_sqlite if database.is_sqlite else read_whole_by_postgresql)(
            connection, written
        )
    assert read_whole - PLANNED_ONLY.get((database.dialect, name), frozenset()) <= SHORT


def test_statements_are_not_found() -> None:
    """The law above is held against all statements that are prepared, and each exception is one of them."""
    assert len(PREPARED) > 20
    assert set(NOT_FOR) <= set(PREPARED)


async def read_whole_by_sqlite(connection: AsyncConnection, written: Written) -> set[str]:
    """Return what is read from end to end: a table or a name that it was given, and ``sort`` where rows are sorted."""
    values = tuple(written.constants.get(name, "") for name in written.names)
    plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written.text}", values)).all()
    # What is made within the statement, of a list of one row, or of its own values.
    made = {*re.findall(r"(\w+) AS\s*\(", written.text), "CONSTANT"}
    scans = [re.match(r"SCAN (\w+)(?! VIRTUAL TABLE)\b", row.detail) for row in plan]
    sorts = {"sort" for row in plan if "TEMP B-TREE" in row.detail}
    return {found[1] for found in scans if found} - made | sorts


async def read_whole_by_postgresql(connection: AsyncConnection, written: Written) -> set[str]:
    """Return the tables that are read from end to end because there is no index for it.

    What PostgreSQL would rather do depends on its statistics, and there are none of tables that are empty.
    """
    values = f"({', '.join('NULL' for _ in written.names)})" if written.names else ""
    for statement in ("SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan"):
        await connection.exec_driver_sql(statement)
    await connection.exec_driver_sql(f"PREPARE asked AS {written.text}")
    plan = (await connection.exec_driver_sql(f"EXPLAIN EXECUTE asked{values}")).scalars()
    return {found[1] for line in plan if (found := re.search(r"Seq Scan on (\w+)", line))}
