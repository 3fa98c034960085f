import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

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
#: What is planned, and does not come to pass.
PLANNED_ONLY = {
    # SQLite looks for rows that point at a new one only while a deferred constraint is broken, and there is none.
    ("sqlite", "escrowd.store.escrows._ADD"): frozenset({"deliveries"}),
    # PostgreSQL begins with the attempts while it takes them for few, which it does without statistics.
    ("postgresql", "escrowd.store.overview._QUESTION"): frozenset({"attempts"}),
}


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
    """Return the tables that are read from end to end, in whatever order, where there is no other way."""
    values = f"({', '.join('NULL' for _ in written.names)})" if written.names else ""
    for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "material"):
        await connection.exec_driver_sql(f"SET enable_{way} = off")
    await connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
    await connection.exec_driver_sql(f"PREPARE asked AS {written.text}")
    explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE asked{values}")
    return {
        str(node.get("Relation Name", node.get("Index Name")))
        for node in nodes_of(explained.scalar_one()[0]["Plan"])
        if node["Node Type"].endswith("Scan") and ("Relation Name" in node or "Index Name" in node)
        # A scan of an index without a condition reads all of it.
        if "Index Cond" not in node and "Recheck Cond" not in node
    }


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes_of(each)
