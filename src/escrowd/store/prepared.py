"""Statements that are written once and carried out many times, without what SQLAlchemy does for each of them.

SQLAlchemy takes many times longer to put a statement together, to recognise it and to wrap its rows than a database
takes for a row by its key. So what every request needs is written down once for each database, and then goes straight
to the driver, in the same transaction as everything else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import BindParameter, ClauseElement, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase


@dataclass(frozen=True, slots=True)
class Written:
    """A statement as a driver takes it."""

    text: str
    #: Of its parameters, in order.
    names: tuple[str, ...]
    #: Parameters that are always the same.
    constants: Mapping[str, Any]
    #: Whether it answers with rows. What changes something without answering tells how many it has changed.
    has_rows: bool

    def values(self, named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put the parameters into order."""
        return tuple(named[name] if name in named else self.constants[name] for name in self.names)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a statement: its rows, and how many it has changed."""

    rows: Sequence[Any]
    changed: int = -1

    def one_or_none(self) -> Any:
        """Return the only row, or ``None`` where there is none."""
        if len(self.rows) > 1:
            raise AssertionError(f"one row was expected, and there are {len(self.rows)}")
        return self.rows[0] if self.rows else None


class Prepared:
    """A statement with ``bindparam`` for everything that differs, and without ``in_`` over a list.

    ``write`` makes it, given the name of a dialect.
    """

    def __init__(self, write: Callable[[str], ClauseElement]) -> None:
        self._write = write
        self._written: dict[str, Written] = {}

    def on(self, dialect: Dialect) -> Written:
        """Return it as the driver of a database takes it."""
        written = self._written.get(dialect.name)
        if written is None:
            written = self._written[dialect.name] = _written(self._write(dialect.name), dialect)
        return written


def insert_into(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Begin an INSERT that knows ON CONFLICT, which both databases have and standard SQL has not."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def filled(table: Table, *names: str) -> dict[str, BindParameter[Any]]:
    """Return a parameter for each of these columns, under its name; for all of the table where none is named."""
    return {name: bindparam(name, type_=table.c[name].type) for name in names or table.c.keys()}


class Runs(Protocol):
    """Who carries out prepared statements: a transaction, or whoever asks a single question outside of one."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    async def run(self, prepared: Prepared, **values: Any) -> Outcome:
        """Carry out a statement."""
        ...


# ---------------------------------------------------------------------------------------------------------------------


def _written(statement: ClauseElement, dialect: Dialect) -> Written:
    compiled = statement.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError("only questions and changes are prepared")
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Written(str(compiled), tuple(compiled.positiontup or ()), constants, _has_rows(statement))


def _has_rows(statement: ClauseElement) -> bool:
    return not isinstance(statement, UpdateBase) or bool(statement.exported_columns)
