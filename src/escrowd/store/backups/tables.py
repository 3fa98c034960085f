"""The tables of a database as they are, whatever its revision, and their rows as lines of JSON.

The database is asked for its tables, and not the program: a backup holds those too that a part of the program brought
which is not loaded, and an old one is restored into the tables of its own time.
"""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    ForeignKeyConstraint,
    MetaData,
    Table,
    inspect,
    literal,
    select,
    tuple_,
)

from escrowd.store.backups.errors import BackupError
from escrowd.store.errors import UnknownShape
from escrowd.store.session import Session

#: Rows that are in memory at the same time. A row can be as large as a sealed key file, some kilobytes.
PAGE: Final = 500
#: Where alembic notes the revision. It is in the manifest.
REVISION_TABLE: Final = "alembic_version"


async def tables_of(session: Session) -> tuple[Table, ...]:
    """Return the tables of a database, those first to which others refer, else by name."""
    return await session.connection.run_sync(_tables_of)


async def pages(session: Session, table: Table, size: int = PAGE) -> AsyncIterator[list[bytes]]:
    """Yield all rows of a table in the order of its key, so many lines at a time.

    Raises:
        UnknownShape: a row holds what cannot be written down.
        BackupError: the table has no key.

    """
    key = tuple(table.primary_key.columns)
    if not key:
        raise BackupError(f"the table {table.name} has no primary key, so it cannot be read in parts")
    query = select(table).order_by(*key).limit(size)
    found = (await session.connection.execute(query)).all()
    while found:
        yield [_line(table, row) for row in found]
        last = found[-1]._mapping  # noqa: SLF001 - the documented way to a row's names
        after = tuple_(*key) > tuple_(*(literal(last[each.name], each.type) for each in key))
        found = (await session.connection.execute(query.where(after))).all() if len(found) == size else []


def rows_of(table: Table, lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Read lines as rows of a table.

    Raises:
        UnknownShape: a line is no row of this table.

    """
    return [_row(table, each) for each in lines]


# ---------------------------------------------------------------------------------------------------------------------

_PLAIN: Final = (str, int, float, bool, type(None))
#: How bytes are written, for which JSON has no form.
_BYTES: Final = "base64"


def _tables_of(connection: Connection) -> tuple[Table, ...]:
    # Not reflected by SQLAlchemy: it warns of kinds of indexes that it does not know, and no index matters here.
    found, metadata = inspect(connection), MetaData()
    for name in sorted(found.get_table_names()):
        if name == REVISION_TABLE:
            continue
        key = found.get_pk_constraint(name)["constrained_columns"]
        columns = [
            Column(each["name"], each["type"], primary_key=each["name"] in key, autoincrement=False)
            for each in found.get_columns(name)
        ]
        references = [
            ForeignKeyConstraint(
                each["constrained_columns"],
                [f"{each['referred_table']}.{column}" for column in each["referred_columns"]],
            )
            for each in found.get_foreign_keys(name)
        ]
        Table(name, metadata, *columns, *references)
    return tuple(metadata.sorted_tables)


def _line(table: Table, row: Sequence[Any]) -> bytes:
    return msgspec.json.encode(
        {column.name: _written(column, value) for column, value in zip(table.columns, row, strict=True)}
    )


def _written(column: Column[Any], value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode("ascii")}
    if not isinstance(value, _PLAIN):
        raise UnknownShape(f"{column.table.name}.{column.name} holds a {type(value).__name__}: no backup can keep that")
    return value


def _row(table: Table, line: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UnknownShape(f"a row of the table {table.name} cannot be read: {error}") from error
    if set(values) != set(table.columns.keys()):
        raise UnknownShape(f"a row of the table {table.name} has other columns than the table")
    return {name: _read(value) for name, value in values.items()}


def _read(value: Any) -> Any:
    return b64decode(value[_BYTES]) if isinstance(value, dict) else value
